"""What travels between stages: frozen records, checked where they are made."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""(height, width, 3) uint8, RGB, full range."""


class Picture(Protocol):
    """The pixels of one decoded frame, converted to RGB only when somebody looks."""

    width_px: int
    """Upright width: rotation stated by the stream is already counted in."""
    height_px: int

    def rgb(self) -> Image:
        """The upright picture, (height_px, width_px, 3) uint8 RGB, not writeable.

        Any thread may call it; the second call costs nothing.
        """


class RgbPicture:
    """A picture that is RGB already (drawn by a program, or made by a test)."""

    def __init__(self, image: Image) -> None:
        """Takes over `image`, (height, width, 3) uint8, and makes it read-only.

        Raises:
            ValueError: another shape or dtype.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image must be (height, width, 3) uint8, got {image.shape} {image.dtype}")
        image.flags.writeable = False
        self._image = image
        self.height_px, self.width_px = image.shape[:2]

    def rgb(self) -> Image:
        """The image as it was given."""
        return self._image


@dataclass(frozen=True, slots=True, eq=False)  # eq=False: comparing pictures is never what you meant
class Frame:
    """One decoded picture. Read-only, so any number of threads may hold it."""

    stream: int
    """0-based number of its stream in this run; see `Pipeline.add_stream`."""
    index: int
    """0-based position among the decoded pictures of the stream, counting those later dropped."""
    pts_s: float
    """Presentation time in seconds, from the stream's own clock, first frame at 0, never falling."""
    captured_at_s: float
    """time.monotonic() when decoding finished. Only for latency, never for media time."""
    picture: Picture = field(repr=False)
    segment: int = 0
    """Rises by one at every frame that does not continue the one before (time jumped, size changed).
    A counter, not a mark on that frame: the frame may be the one that is dropped."""
    packet_at_s: float | None = None
    """time.monotonic() when the demuxer delivered the packet that this picture was decoded from; None
    where there is no packet."""
    painted_at_s: float | None = None
    """time.monotonic() when the picture was made, where it says so itself (a time code); else None."""


@dataclass(frozen=True, slots=True)
class Box:
    """Half-open pixel rectangle in frame coordinates: x0 <= x < x1, y0 <= y < y1.

    A face at the edge may reach outside the frame, so coordinates may be negative.
    """

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise ValueError(f"a box must hold at least one pixel, got {self}")

    @property
    def width_px(self) -> int:
        return self.x1 - self.x0

    @property
    def height_px(self) -> int:
        return self.y1 - self.y0

    @property
    def side_px(self) -> int:
        """The larger of width and height."""
        return max(self.width_px, self.height_px)

    def overlap(self, other: "Box") -> float:
        """Intersection over union with `other`, in [0, 1]."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        whole = self.width_px * self.height_px + other.width_px * other.height_px - shared
        return shared / whole


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture, in pixels from its top left corner."""

    x0: int
    y0: int
    width_px: int
    height_px: int

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}+{self.x0}+{self.y0}"


@dataclass(frozen=True, slots=True)
class FoundFace:
    """One face as the face finder saw it in one frame, before it has an id."""

    box: Box
    confidence: float
    """The face finder's own, in [0, 1]: that this is a face, nothing about fakes."""
    key_points: tuple[tuple[float, float], ...] = ()
    """(x, y) in frame pixels: right eye, left eye, nose tip, mouth, right ear, left ear; as seen
    by the person whose face it is. Empty where the finder gives none."""


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """A found face with its id."""

    face_id: int
    """Stable while the same face stays in view; never reused within a run of one stream."""
    found: FoundFace


class State(StrEnum):
    """What may be said of a face, or of a stream without one. Only two of them are verdicts."""

    NO_FACE = "no_face"
    """The stream shows no face. Not a verdict."""
    TOO_SMALL = "too_small"
    """The face has fewer pixels than the model was trained for; it is not scored."""
    BLURRED = "blurred"
    """The face is too blurred to score."""
    CUT_OFF = "cut_off"
    """Too much of the face lies outside the picture to score."""
    WARMING_UP = "warming_up"
    """Scored, but not often or long enough yet to say anything."""
    UNCERTAIN = "uncertain"
    """Scored; the evidence points neither way, or has grown too old."""
    LIKELY_REAL = "likely_real"
    LIKELY_FAKE = "likely_fake"
    STALE = "stale"
    """No new picture has come for a while: whatever was said before no longer holds."""


class Doubt(StrEnum):
    """Why a score proves nothing: the face lies outside what the model's data cover."""

    TURNED = "turned"
    """Further than the faces that the model was trained on."""


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """What can be told of how well a face was seen, before anything is said of fakes."""

    face_px: int
    """Larger side of the face's box."""
    sharpness: float
    """`quality.sharpness` of the crop."""
    turn: float | None = None
    """How far the head is turned, see `quality.turn`: 0 faces the camera, 1 shows its profile; None without
    key points."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """When one scored frame passed each stage, all time.monotonic(), each no earlier than the one before.

    packet      decoded      taken       found       queued      batch       batch       verdict
      │  decode    │   wait    │   find    │    cut    │   queue   │   score   │  verdict  │
      └────────────┴───────────┴───────────┴───────────┴───────────┴───────────┴───────────┘
    """

    packet_at_s: float
    """The demuxer delivered the packet; the same as `decoded_at_s` where there is none."""
    decoded_at_s: float
    taken_at_s: float
    """The face finder's thread took the frame."""
    found_at_s: float
    """The picture was converted, and its faces found."""
    queued_at_s: float
    """The face was cut out, and fit to be scored."""
    batch_started_at_s: float
    batch_ended_at_s: float
    verdict_at_s: float
    painted_at_s: float | None = None
    """The picture was made; known only where it carries a time code."""

    def stages_s(self) -> dict[str, float]:
        """Seconds spent in each stage, in order.

        Their sum is exactly `whole_s`: readings of a clock that has run for longer than a frame takes are
        multiples of one step, and so are their differences, so nothing is rounded.
        """
        return {
            "decode": self.decoded_at_s - self.packet_at_s,
            "wait": self.taken_at_s - self.decoded_at_s,
            "find": self.found_at_s - self.taken_at_s,
            "cut": self.queued_at_s - self.found_at_s,
            "queue": self.batch_started_at_s - self.queued_at_s,
            "score": self.batch_ended_at_s - self.batch_started_at_s,
            "verdict": self.verdict_at_s - self.batch_ended_at_s,
        }

    @property
    def whole_s(self) -> float:
        """From the packet to the verdict."""
        return self.verdict_at_s - self.packet_at_s


STAGES = ("decode", "wait", "find", "cut", "queue", "score", "verdict")
"""The keys of `Stamps.stages_s`."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The stamps of a face until it waits to be scored; see `Stamps`."""

    packet_at_s: float
    taken_at_s: float
    found_at_s: float
    queued_at_s: float
    painted_at_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FaceCrop:
    """One face cut out for the model, waiting to be scored."""

    stream: int
    frame_index: int
    pts_s: float
    captured_at_s: float
    """Its frame's `captured_at_s`."""
    face_id: int
    box: Box
    pixels: Image = field(repr=False)
    """(S, S, 3) uint8 RGB, S the model's input size; from `crops.cut_face`."""
    sighting: Sighting
    quality: FaceQuality | None = None


@dataclass(frozen=True, slots=True)
class UnscoredFace:
    """A face that is in view but cannot be scored in this frame, and why."""

    stream: int
    frame_index: int
    pts_s: float
    captured_at_s: float
    face_id: int
    box: Box
    why: State
    """TOO_SMALL, BLURRED or CUT_OFF; STALE when pictures stopped coming."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What the model says of a batch of n faces. Owned by whoever asked."""

    logit: npt.NDArray[np.float32]
    """(n,), positive = fake, uncalibrated."""
    evidence: npt.NDArray[np.float32] = field(repr=False)
    """(n, h, w), the class activation map in logit units: its mean over h and w, plus the model's
    bias, is the logit (Zhou et al., CVPR 2016, section 2)."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceScore:
    """What is known of one face at one instant. The record people and programs consume."""

    stream: int
    pts_s: float
    face_id: int
    box: Box
    p_fake: float | None
    """This frame alone: 0 = real, 1 = fake. None where the face could not be scored."""
    p_fake_rolling: float | None
    """Weighted over this face's past scores, see smoothing.py. None before the first score."""
    state: State
    age_ms: float
    """From the end of decoding to this verdict."""
    evidence: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    """(h, w) class activation map in logit units, row 0 at the top of the crop; None if not scored."""
    pixels: Image | None = field(default=None, repr=False)
    """(S, S, 3) uint8 RGB, the very crop that was scored, which `evidence` lies over; None if not scored."""
    stamps: Stamps | None = field(default=None, repr=False)
    """When its frame passed each stage; None if not scored."""
    logit: float | None = None
    """The model's own output, uncalibrated; None if not scored. With `quality` and media time, everything
    else in this record follows from it."""
    quality: FaceQuality | None = None
    """None if not scored."""
    p_fake_slow: float | None = None
    """As `p_fake_rolling`, over `smoothing.SLOW` times the half-life: a swap that drops out for a second is
    still in it. None where that is."""
    scores_worth: float | None = None
    """How many fresh scores `p_fake_rolling` rests on now: its effective sample size. None where that is."""
    doubt: Doubt | None = None
    """Why the state is `uncertain` whatever the score; None where it depends on the score."""
    alarm_level: float | None = None
    """The alarm's statistic over its threshold: 0 no evidence, 1 alarm; None where there is no alarm."""
    alarmed: bool = False
    """Whether the face's alarm has been raised and not been cleared since."""


class EventKind(StrEnum):
    """What can happen to a stream besides a score."""

    STREAM_ADDED = "stream_added"
    """A stream was added to a run that had begun; `name` and `detail` say which."""
    CONNECTING = "connecting"
    """A network or live source is being opened for the first time."""
    LIVE = "live"
    """A live source has delivered its first picture."""
    STALLED = "stalled"
    """An open live source has not delivered a picture for a while; it may still come back by itself."""
    RECONNECTING = "reconnecting"
    """A source does not answer, or broke; it is tried again until `gave_up`. Once per outage and reason."""
    AUTH_FAILED = "auth_failed"
    """User name or password were refused; tried again a few times only, at long intervals."""
    RESUMED = "resumed"
    """Pictures come again, after `stalled` or `reconnecting`."""
    GAVE_UP = "gave_up"
    """A source is not tried any more; `stream_failed` follows."""
    STREAM_STARTED = "stream_started"
    """The first frame of the run has arrived. Once, however often the source reconnects."""
    FACE_FOUND = "face_found"
    FACE_LOST = "face_lost"
    NO_FACE = "no_face"
    """The stream shows no face (once, when it begins to)."""
    SCENE_CUT = "scene_cut"
    """The picture changed at once; every face gets a new id."""
    ALARM = "alarm"
    """The evidence that a face is fake has passed the threshold of the stated false-alarm rate."""
    ALARM_CLEARED = "alarm_cleared"
    """The evidence has gone again; the face's alarm is armed anew."""
    STREAM_ENDED = "stream_ended"
    """Nothing more will come: a recording is over, or the run was stopped. An end for good."""
    STREAM_FAILED = "stream_failed"
    """The source broke and is not tried again; `detail` is the sentence. An end for good."""


NOBODY_LEFT = (EventKind.STREAM_ENDED, EventKind.STREAM_FAILED, EventKind.SCENE_CUT, EventKind.NO_FACE)
"""After these no face of before is in view; an overloaded live stream may drop the `face_lost` of each."""


class Reason(StrEnum):
    """Why a source does not deliver. Decided by what was going on and for how long."""

    TIMEOUT = "timeout"
    """It said nothing, or too little, for as long as it may."""
    REFUSED = "refused"
    """The host is there, and refuses the connection or the request."""
    UNREACHABLE = "unreachable"
    """No such host, no way to it, or no such device."""
    NOT_FOUND = "not_found"
    """The server, or this machine, has nothing under this name."""
    AUTH = "auth"
    """User name or password are missing, wrong, or not enough."""
    NO_DATA = "no_data"
    """It is open and sends, but no picture comes of it."""
    ENDED = "ended"
    """The other side ended the stream, or hung up."""
    DAMAGED = "damaged"
    """What it sends is no video, or too damaged."""
    UNSUPPORTED = "unsupported"
    """It cannot be read with what is installed here, or holds no video."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Something that happened to a stream besides a score."""

    stream: int
    pts_s: float | None
    """Media time; None where the stream never delivered a frame."""
    event: EventKind
    face_id: int | None = None
    detail: str = ""
    """One sentence where there is more to say; holds no password."""
    reason: Reason | None = None
    """Why, where the source does not deliver."""
    name: str | None = None
    """Of STREAM_ADDED: what the user calls the stream."""


class StreamState(StrEnum):
    """What a stream is doing."""

    OPENING = "opening"
    """No frame has come yet."""
    RUNNING = "running"
    STALLED = "stalled"
    """It is live, and no frame has come for a while."""
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """What one stream has done so far, and how it fares now."""

    stream: int
    name: str | None
    source: str
    """Redacted."""
    state: StreamState
    frames: int
    """Decoded."""
    scores: int
    dropped: dict[str, int]
    """By stage: `decode` damaged packets, `find` frames and `score` crops given up for newer ones."""
    media_s: float
    """Media time covered."""
    frame_age_s: float | None
    """Seconds since the newest frame left the decoder; None before the first."""
    lag_ms: float | None
    """How much later pictures come than at this stream's best; None where it is not live. It grows when
    pictures pile up before they reach this program, where `age_ms` cannot see it."""
    lag_ms_peak: float | None
    """The most it ever was."""
    age_ms: dict[str, float] | None
    """p50, p95 and p99 of `FaceScore.age_ms`; None if nothing was scored."""
    alarmed: int = 0
    """Faces in view whose alarm holds now: any one's alarm is the stream's."""
    alarms: int = 0
    """How many alarms were raised so far."""


@dataclass(frozen=True, slots=True)
class FaceSummary:
    """What became of one face by the end of a run."""

    stream: int
    face_id: int
    first_s: float
    """Media time when it was first seen."""
    last_s: float
    """Media time when it was last seen."""
    scores: int
    """How often it was scored."""
    p_fake_rolling: float | None
    """As it stood last; None if never scored."""
    p_fake_rolling_peak: float | None
    """The highest it ever was after warming up."""
    state: State
    """The last one."""
    states: dict[State, int]
    """How many records each state had."""
    alarms: int = 0
    """How often its alarm was raised."""
    first_alarm_s: float | None = None
    """Media time when it was raised first."""


@dataclass(frozen=True, slots=True)
class AlarmDesign:
    """By what a face's alarm is raised, and what that implies; from `alarm_design.design_alarm`."""

    false_alarms_per_day: float
    """At most so many a day of a real face in view, for every real face measured."""
    reference: float
    """Log-likelihood ratio of fake against real above which a score is evidence, below which it is taken
    off: higher than a real face's mean, for faces differ and keep their difference."""
    threshold: float
    """Evidence that raises the alarm: excess over `reference`, summed over scores worth one independent
    one each."""
    most: float
    """One independent score adds or takes off no more than this, whatever it says."""
    correlation_s: float
    """Scores this much media time apart still correlate as 1/e, those of one face about its mean."""
    expected_per_day: float
    """The mean over the real faces measured, scored without a gap; most have far fewer than stated."""
    worst_per_day: float
    """That of the one real face measured that looks most like a fake, scored without a gap: a little less
    than stated, for gaps may add some."""
    real_faces: int
    """How many real faces the rate rests on."""
    delays_s: tuple[float | None, float | None, float | None]
    """Media time until the alarm, the mean over what may happen, of fake faces whose mean score is the
    upper quartile, the median and the lower quartile of those measured; None where the alarm is not to
    be expected within `alarm_design.HOPELESS_S`."""
    detectable: float
    """Share of the fake faces measured whose alarm is to be expected within
    `alarm_design.DETECT_WITHIN_S`."""

    @property
    def rate(self) -> str:
        """`false_alarms_per_day` in words: "1 false alarm"."""
        return f"{self.false_alarms_per_day:g} false alarm" + "s" * (self.false_alarms_per_day != 1)

    @property
    def unseen(self) -> float:
        """At most this share of real faces is more extreme than any of those measured, with 95 % confidence
        (rule of three: Hanley and Lippman-Hand, JAMA 249, 1983). The rate is not promised for them."""
        return min(1.0, 3.0 / self.real_faces)


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a run is made with. The first record of every output."""

    program: str
    """Name and version."""
    model: str
    model_sha256: str
    spec_sha256: str
    """Of the model's sidecar: contract, band and limits."""
    backend: str
    precision: str
    """What the arithmetic runs in."""
    sources: tuple[str, ...]
    """Redacted; one per stream that the run begins with, in order of their numbers."""
    score_hz: float
    half_life_s: float
    band: tuple[float, float]
    """Rolling scores from the first to the second say nothing."""
    names: tuple[str | None, ...] = ()
    """What the user calls each stream; None where the command line gave only an address."""
    alarm: AlarmDesign | None = None
    """Of streams without a false-alarm rate of their own; None where no rate can be stated, because the
    model's sidecar holds no facts for one: then no alarm is ever raised."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did. The last record of every output."""

    frames: int
    """Decoded, over all streams."""
    scores: int
    dropped: dict[str, int]
    """By stage: `decode` damaged packets, `find` frames and `score` crops given up for newer ones."""
    latency_ms: dict[str, float] | None
    """p50, p95 and p99 from the end of decoding to the verdict; None if nothing was scored."""
    media_s: float
    """Media time covered, the longest stream's."""
    wall_s: float
    faces_seen: int
    """How many faces were given an id and a record."""
    faces: tuple[FaceSummary, ...]
    """One each, the newest where they are very many."""
    failures: tuple[str, ...]
    """One sentence per stream that broke."""
    stages_ms: dict[str, dict[str, float]] | None = None
    """For each of `STAGES`, for `whole` (packet to verdict) and, where pictures carry a time code, for
    `true` (picture made to verdict): p50, p95 and p99; None if nothing was scored."""
    streams: tuple[StreamSnapshot, ...] = ()
    """One per stream there ever was."""


Record = FaceScore | StreamEvent
"""What a run yields between its header and its summary."""
