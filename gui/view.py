"""What the window shows at one instant: frozen; the board makes it, widgets draw it."""

from dataclasses import dataclass, field
from enum import StrEnum

from stream_detector.records import FaceScore, Frame, Image, RunHeader


class Status(StrEnum):
    """How a stream fares."""

    CONNECTING = "connecting"
    LIVE = "watching"
    NO_FACE = "no face in view"
    STALLED = "stalled"
    RECONNECTING = "reconnecting"
    REFUSED = "access refused"
    GAVE_UP = "gave up"
    FAILED = "failed"
    ENDED = "ended"

    @property
    def over(self) -> bool:
        """Nothing more will come of the stream."""
        return self in (Status.GAVE_UP, Status.FAILED, Status.ENDED)

    @property
    def current(self) -> bool:
        """The picture shows what is now."""
        return self in (Status.LIVE, Status.NO_FACE)


@dataclass(frozen=True, slots=True, eq=False)
class FaceView:
    """One face in view."""

    record: FaceScore
    """The newest; `stale` where it has grown too old to speak for now."""
    first_s: float
    """Media time when it was first seen."""
    waited_s: float
    """Seconds since the record came."""
    scores: int
    """How often it was scored."""
    crop: Image | None = field(repr=False)
    """The newest crop that was scored; None if it never was."""
    best: FaceScore | None
    """The single score that speaks most for a fake, with its crop; None if it was never scored."""

    @property
    def key(self) -> tuple[int, int]:
        """Stream and number of the face."""
        return self.record.stream, self.record.face_id

    @property
    def age_ms(self) -> float:
        """How old the newest verdict is: when it was made, and since."""
        return self.record.age_ms + self.waited_s * 1000


@dataclass(frozen=True, slots=True, eq=False)
class StreamView:
    """One stream."""

    stream: int
    title: str
    """What the user calls it, or its address without secrets."""
    status: Status
    detail: str
    """A sentence where there is more to say."""
    frame: Frame | None
    """The newest; None before the first."""
    faces: tuple[FaceView, ...]
    capture_hz: float | None
    score_hz: float
    """Scores of all its faces together."""
    dropped: dict[str, int]
    """By stage."""
    lag_ms: float | None
    """How much later pictures come than at the stream's best; None where it is not live."""
    media_s: float
    """Media time of the newest picture or record."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Everything the window shows of a run."""

    header: RunHeader | None
    """None until the model is loaded."""
    streams: tuple[StreamView, ...]
    running: bool

    def stream(self, number: int) -> StreamView | None:
        """The stream of that number."""
        return next((stream for stream in self.streams if stream.stream == number), None)


IDLE = View(header=None, streams=(), running=False)
