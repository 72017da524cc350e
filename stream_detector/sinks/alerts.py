"""What a person must act on: verdicts that turn to or from fake, and what happens to streams."""

from stream_detector.records import EventKind, FaceScore, Record, RunHeader, State
from stream_detector.sinks.in_view import FaceKey, FacesInView
from stream_detector.sinks.stream_names import StreamNames

LOST = "lost"
"""Stands in for a state once the face has left."""
_NOT_JUDGED = frozenset({State.TOO_SMALL, State.BLURRED, State.CUT_OFF, State.WARMING_UP})
"""They say that this picture could not be judged, not that the verdict changed: a face that blurs while
it turns would else give two alerts each time."""
_OF_FACES = frozenset(
    {EventKind.FACE_FOUND, EventKind.FACE_LOST, EventKind.NO_FACE, EventKind.SCENE_CUT, "connecting"}
)
"""Events nobody needs to act on."""


class Alerts:
    """Picks alerts out of the records of a run. Pure; belongs to one thread."""

    def __init__(self, header: RunHeader) -> None:
        """Nothing has happened yet."""
        self._names = StreamNames()
        self._names.begin(header)
        self._in_view = FacesInView()
        self._verdicts: dict[FaceKey, State] = {}
        self._said: dict[int, str] = {}

    def take(self, record: Record) -> list[dict[str, object]]:
        """The alerts that `record` gives rise to; mostly none."""
        self._names.take(record)
        alerts = []
        for key in self._in_view.take(record):
            if self._verdicts.pop(key, None) is State.LIKELY_FAKE:
                alerts.append(self._turned(key, State.LIKELY_FAKE, LOST, None, record.pts_s))
        if isinstance(record, FaceScore):
            key = record.stream, record.face_id
            before = self._verdicts.get(key)
            if record.state in _NOT_JUDGED or record.state is before:
                return alerts
            self._verdicts[key] = record.state
            if State.LIKELY_FAKE in (before, record.state):
                alerts.append(
                    self._turned(key, before, record.state.value, record.p_fake_rolling, record.pts_s)
                )
            return alerts
        # A host that stays away is tried every few seconds; the first time is news.
        if record.event not in _OF_FACES and self._said.get(record.stream) != record.event:
            self._said[record.stream] = record.event
            alerts.append(
                {
                    "type": "event",
                    "stream": record.stream,
                    "name": self._names.of(record.stream),
                    "source": self._names.source_of(record.stream),
                    "pts_s": _rounded(record.pts_s),
                    "event": record.event.value,
                    "detail": record.detail,
                }
            )
        return alerts

    def _turned(
        self,
        key: FaceKey,
        before: State | None,
        after: str,
        p_fake_rolling: float | None,
        pts_s: float | None,
    ) -> dict[str, object]:
        return {
            "type": "state",
            "stream": key[0],
            "name": self._names.of(key[0]),
            "source": self._names.source_of(key[0]),
            "pts_s": _rounded(pts_s),
            "face": key[1],
            "from": None if before is None else before.value,
            "to": after,
            "p_fake_rolling": _rounded(p_fake_rolling),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
