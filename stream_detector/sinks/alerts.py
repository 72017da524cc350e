"""What a person must act on: alarms, and what happens to streams."""

from stream_detector.records import EventKind, FaceScore, Record, RunHeader, State, StreamEvent
from stream_detector.sinks.in_view import FaceKey, FacesInView
from stream_detector.sinks.stream_names import StreamNames

LOST = "lost"
"""Stands in for a state once the face has left."""
_NOT_JUDGED = frozenset({State.TOO_SMALL, State.BLURRED, State.CUT_OFF, State.WARMING_UP})
"""They say that this picture could not be judged, not that the verdict changed: a face that blurs while
it turns would else give two alerts each time."""
_OF_FACES = frozenset(
    {
        EventKind.FACE_FOUND,
        EventKind.FACE_LOST,
        EventKind.NO_FACE,
        EventKind.SCENE_CUT,
        EventKind.CONNECTING,
        EventKind.ALARM,
        EventKind.ALARM_CLEARED,
    }
)
"""Events nobody needs to act on, and those that are told as alarms."""


class Alerts:
    """Picks alerts out of the records of a run. Pure; belongs to one thread.

    Where the model states a false-alarm rate, alarms are told, and when they end; where it does not,
    every turn of a verdict to or from `likely_fake`, which nothing dampens.
    """

    def __init__(self, header: RunHeader) -> None:
        """Nothing has happened yet."""
        self._names = StreamNames()
        self._names.begin(header)
        self._by_alarm = header.alarm is not None
        self._in_view = FacesInView()
        self._verdicts: dict[FaceKey, State] = {}
        self._said: dict[int, str] = {}

    def take(self, record: Record) -> list[dict[str, object]]:
        """The alerts that `record` gives rise to; mostly none."""
        self._names.take(record)
        alarmed = set(self._in_view.alarmed)
        left = self._in_view.take(record)
        if self._by_alarm:
            alerts = [self._ended(key, record.pts_s) for key in left if key in alarmed]
        else:
            alerts = [alert for key in left if (alert := self._turned(key, LOST, None, record.pts_s))]
        if isinstance(record, FaceScore):
            if not self._by_alarm and record.state not in _NOT_JUDGED:
                key = record.stream, record.face_id
                alert = self._turned(key, record.state, record.p_fake_rolling, record.pts_s)
                alerts += [alert] if alert else []
        elif record.event in (EventKind.ALARM, EventKind.ALARM_CLEARED):
            alerts.append(self._alarm(record))
        # A host that stays away is tried every few seconds; the first time is news.
        elif record.event not in _OF_FACES and self._said.get(record.stream) != record.event:
            self._said[record.stream] = record.event
            alerts.append(
                self._about("event", record.stream, record.pts_s)
                | {"event": record.event.value, "detail": record.detail}
            )
        return alerts

    def _alarm(self, event: StreamEvent) -> dict[str, object]:
        change = "raised" if event.event is EventKind.ALARM else "cleared"
        return self._about("alarm", event.stream, event.pts_s) | {
            "face": event.face_id,
            "alarm": change,
            "detail": event.detail,
        }

    def _ended(self, key: FaceKey, pts_s: float | None) -> dict[str, object]:
        detail = "the face has left, and its alarm with it"
        return self._about("alarm", key[0], pts_s) | {"face": key[1], "alarm": LOST, "detail": detail}

    def _turned(
        self, key: FaceKey, after: State | str, p_fake_rolling: float | None, pts_s: float | None
    ) -> dict[str, object] | None:
        """The alert that a verdict has turned to or from fake; None where it has not."""
        before = self._verdicts.pop(key, None)
        if isinstance(after, State):
            self._verdicts[key] = after
        if before == after or State.LIKELY_FAKE not in (before, after):
            return None
        return self._about("state", key[0], pts_s) | {
            "face": key[1],
            "from": None if before is None else before.value,
            "to": str(after),
            "p_fake_rolling": _rounded(p_fake_rolling),
        }

    def _about(self, kind: str, stream: int, pts_s: float | None) -> dict[str, object]:
        return {
            "type": kind,
            "stream": stream,
            "name": self._names.of(stream),
            "source": self._names.source_of(stream),
            "pts_s": _rounded(pts_s),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
