"""From records to what the window shows: pure, told the time, and the only place where a record grows old."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from gui.history import StreamHistory
from gui.incident_log import IncidentLog
from gui.view import FaceView, Status, StreamView, View
from stream_detector.records import (
    EventKind,
    FaceScore,
    Frame,
    Image,
    Record,
    RunHeader,
    State,
    StreamEvent,
    StreamSnapshot,
)
from stream_detector.settings import STALE_AFTER_S

_RATE_OVER_S = 3.0
"""Rates are counted over so much time."""

_STATUS_OF = {
    EventKind.CONNECTING: Status.CONNECTING,
    EventKind.LIVE: Status.LIVE,
    EventKind.STALLED: Status.STALLED,
    EventKind.RECONNECTING: Status.RECONNECTING,
    EventKind.AUTH_FAILED: Status.REFUSED,
    EventKind.RESUMED: Status.LIVE,
    EventKind.GAVE_UP: Status.GAVE_UP,
    EventKind.STREAM_STARTED: Status.LIVE,
    EventKind.FACE_FOUND: Status.LIVE,
    EventKind.NO_FACE: Status.NO_FACE,
    EventKind.STREAM_ENDED: Status.ENDED,
    EventKind.STREAM_FAILED: Status.FAILED,
}


@dataclass(slots=True, eq=False)
class _Face:
    record: FaceScore
    came_at_s: float
    first_s: float
    scores: int = 0
    crop: Image | None = None
    best: FaceScore | None = None


@dataclass(slots=True, eq=False)
class _Stream:
    title: str
    status: Status = Status.CONNECTING
    detail: str = ""
    media_s: float = 0.0
    frame: Frame | None = None
    faces: dict[int, _Face] = field(default_factory=dict)
    scored_at_s: deque[float] = field(default_factory=lambda: deque(maxlen=512))
    frames: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=256))
    history: StreamHistory = field(default_factory=StreamHistory)


class Board:
    """What is known of a run. Belongs to one thread; has no clock."""

    def __init__(self, incidents: IncidentLog) -> None:
        """Knows nothing yet; notes incidents in `incidents`, which outlives it."""
        self._incidents = incidents
        self._streams: dict[int, _Stream] = {}
        self.header: RunHeader | None = None
        self.failed: list[tuple[int, str]] = []
        """(stream, sentence) of every stream that broke, in the order in which they did."""

    def begin(self, titles: dict[int, str]) -> None:
        """The streams that are about to be watched, by number."""
        for stream, title in titles.items():
            self._streams[stream] = _Stream(title)

    def forget(self, stream: int) -> None:
        """Show this stream no more."""
        self._incidents.lost(stream)
        self._streams.pop(stream, None)

    def history(self, stream: int) -> StreamHistory | None:
        """The scores of a stream over time; None if there is no such stream."""
        found = self._streams.get(stream)
        return None if found is None else found.history

    def take(self, record: Record, *, frame: Frame | None, now_s: float, at: datetime) -> None:
        """Take the next record.

        Args:
            frame: the newest picture of its stream.
            now_s: time.monotonic().
            at: the time of day.
        """
        stream = self._streams.get(record.stream)
        if stream is None:
            return
        if record.pts_s is not None:
            stream.media_s = max(stream.media_s, record.pts_s)
        if isinstance(record, FaceScore):
            self._take_score(stream, record, now_s)
            self._incidents.take(record, title=stream.title, frame=frame, at=at)
        else:
            self._take_event(stream, record)

    def end(self) -> None:
        """The run is over: nothing of what was said still holds."""
        for number, stream in self._streams.items():
            stream.faces.clear()
            self._incidents.lost(number)
            if not stream.status.over:
                stream.status, stream.detail = Status.ENDED, ""

    def view(
        self,
        newest: Callable[[int], Frame | None],
        *,
        now_s: float,
        running: bool,
        accounts: Mapping[int, StreamSnapshot] = MappingProxyType({}),
    ) -> View:
        """What to show now.

        Args:
            newest: the newest picture of a stream.
            accounts: how the streams fare, by number; those missing have no numbers to show.
            now_s: time.monotonic().
            running: whether the run goes on.
        """
        streams = tuple(
            self._stream_view(number, stream, newest(number), accounts.get(number), now_s)
            for number, stream in self._streams.items()
        )
        return View(header=self.header, streams=streams, running=running)

    def _take_score(self, stream: _Stream, record: FaceScore, now_s: float) -> None:
        face = stream.faces.get(record.face_id)
        if face is None:
            face = stream.faces[record.face_id] = _Face(record, now_s, record.pts_s)
        face.record, face.came_at_s = record, now_s
        if record.p_fake is not None:
            face.scores += 1
            face.crop = record.pixels
            stream.scored_at_s.append(now_s)
            if face.best is None or record.p_fake > (face.best.p_fake or 0.0):
                face.best = record
        stream.history.add(record)

    def _take_event(self, stream: _Stream, event: StreamEvent) -> None:
        if event.event is EventKind.FACE_LOST and event.face_id is not None:
            stream.faces.pop(event.face_id, None)
            self._incidents.lost(event.stream, event.face_id)
        if event.event is EventKind.STREAM_FAILED:
            self.failed.append((event.stream, event.detail))
        status = _STATUS_OF.get(event.event)
        if status is None or (status is Status.FAILED and stream.status is Status.GAVE_UP):
            return  # that it gave up says more than that it failed
        stream.status, stream.detail = status, event.detail
        if status.over:
            stream.faces.clear()
            self._incidents.lost(event.stream)

    def _stream_view(
        self,
        number: int,
        stream: _Stream,
        frame: Frame | None,
        account: StreamSnapshot | None,
        now_s: float,
    ) -> StreamView:
        status, detail = stream.status, stream.detail
        # The pipeline forgets a stream that has ended; its last picture stays.
        frame = stream.frame = frame or stream.frame
        if frame is not None:
            stream.media_s = max(stream.media_s, frame.pts_s)
            if not stream.frames or stream.frames[-1][1] != frame.index:
                stream.frames.append((frame.captured_at_s, frame.index))
            silent_s = now_s - frame.captured_at_s
            if status.current and silent_s > STALE_AFTER_S:
                status, detail = Status.STALLED, f"no new picture for {silent_s:.0f} s"
        return StreamView(
            stream=number,
            title=stream.title,
            status=status,
            detail=detail,
            frame=frame,
            faces=tuple(_face_view(face, now_s, status.current) for _, face in sorted(stream.faces.items())),
            capture_hz=_capture_hz(stream.frames, now_s),
            score_hz=_score_hz(stream.scored_at_s, now_s),
            dropped=account.dropped if account is not None else {},
            lag_ms=account.lag_ms if account is not None else None,
            media_s=stream.media_s,
        )


def _face_view(face: _Face, now_s: float, current: bool) -> FaceView:
    """A face as it may be shown: nothing stays green when records or pictures stop, whatever stopped them."""
    waited_s = now_s - face.came_at_s
    record = face.record
    if waited_s > STALE_AFTER_S or not current:
        record = replace(record, state=State.STALE, p_fake_rolling=None, p_fake=None, evidence=None)
    return FaceView(record, face.first_s, waited_s, face.scores, face.crop, face.best)


def _capture_hz(frames: "deque[tuple[float, int]]", now_s: float) -> float | None:
    """Frames per second, those not shown included; None where too few came."""
    while len(frames) > 2 and now_s - frames[0][0] > _RATE_OVER_S:
        frames.popleft()
    if len(frames) < 2 or now_s - frames[-1][0] > _RATE_OVER_S:
        return None
    (first_s, first), (last_s, last) = frames[0], frames[-1]
    return (last - first) / (last_s - first_s) if last_s > first_s else None


def _score_hz(scored_at_s: "deque[float]", now_s: float) -> float:
    while scored_at_s and now_s - scored_at_s[0] > _RATE_OVER_S:
        scored_at_s.popleft()
    return len(scored_at_s) / _RATE_OVER_S
