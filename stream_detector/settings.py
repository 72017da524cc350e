"""Every default of a run, with its unit and its range, in one place."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic.functional_validators import AfterValidator, BeforeValidator

from stream_detector.errors import UsageError
from stream_detector.records import Region

Backend = Literal["auto", "tensorrt", "tensorrt-rtx", "onnx-cuda", "openvino", "onnx"]
RunPrecision = Literal["auto", "int8", "bf16", "fp32"]
FaceModel = Literal["full-range-sparse", "short-range"]
HardwareDecoder = Literal["off", "auto", "cuda", "vaapi"]

OPEN_TIMEOUT_S = 10.0
"""How long a source may take to open before it counts as failed."""
FIRST_FRAME_TIMEOUT_S = 30.0
"""How long an open source that sends data may take to its first picture: key frames may be far apart."""
READ_TIMEOUT_S = 10.0
"""How long an open source may stay silent before it counts as failed."""
STALE_AFTER_S = 2.0
"""A live stream without a frame for this long: whatever was said of its faces no longer holds, and by
then every one of them is `stale`."""
FACE_LOST_AFTER_S = 1.0
"""A face unseen for this long, in media time, is lost; if it comes back it is a new face."""
_FIND_AT_LEAST_HZ = 4.0
"""A face is followed from look to look: with fewer a second a quick turn of the head loses it."""

_REGION = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})\+(\d{1,5})\+(\d{1,5})", re.ASCII)
_NAME_CHARACTERS = 64


def _parse_region(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _REGION.fullmatch(value)
    if found is None:
        raise ValueError("expected WIDTHxHEIGHT+LEFT+TOP in pixels, such as 640x360+0+0")
    width_px, height_px, x0, y0 = map(int, found.groups())
    return Region(x0, y0, width_px, height_px)


def _check_name(name: str) -> str:
    fit = 0 < len(name) <= _NAME_CHARACTERS and name == name.strip()
    if not fit or not all(character.isalnum() or character in " -_." for character in name):
        raise ValueError(f"expected 1 to {_NAME_CHARACTERS} letters, digits, inner spaces, - _ or .")
    return name


StreamName = Annotated[str, AfterValidator(_check_name)]
CropRegion = Annotated[Region, BeforeValidator(_parse_region), PlainSerializer(str)]


class StreamOptions(BaseModel):
    """How one stream is watched."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    score_hz: Annotated[float, Field(gt=0, le=120)] = 5.0
    """Scores per face and second of media time."""
    half_life_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """After this much media time a score counts half: the rolling score is about the last seconds."""
    false_alarms_per_day: Annotated[float, Field(ge=0.001, le=1000)] = 1.0
    """How often, at most, a real face may raise the alarm in a day of its time in view."""
    max_faces: Annotated[int, Field(ge=1, le=100)] = 8
    """The most faces scored per frame: the largest, those already known first."""
    min_face_px: Annotated[int, Field(ge=8, le=4096)] | None = None
    """Faces smaller than this are not scored; None: what the model was trained for."""
    duration_s: Annotated[float, Field(gt=0)] | None = None
    """Stop after this much media time; None: at the end."""
    max_frames: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many decoded frames; None: at the end."""
    give_up_after_s: Annotated[float, Field(ge=0)] | None = None
    """A live source that gives no picture for so long has failed; 0: at its first failure; None: it is
    tried again for ever."""
    hwaccel: HardwareDecoder = "off"
    """Which hardware decodes; where it cannot, software does, and a warning says so once."""
    realtime: bool = False
    """Play a file at its own speed, as if it were live: frames that come too late are dropped."""

    @property
    def find_hz(self) -> float:
        """Face searches per second of media time: one per score, and at least 4. A search costs as much
        as half a score; two per score held on to no more faces."""
        return max(self.score_hz, _FIND_AT_LEAST_HZ)


class StreamSettings(StreamOptions):
    """One stream: what is watched, and how."""

    url: str = Field(repr=False)
    """As the user wrote it; may hold a password, so never print it: see `sources.address`."""
    name: StreamName | None = None
    """What the user calls it, unique in a run; None where it came from the command line."""
    crop: CropRegion | None = None
    """The part of the upright picture that is looked at; None: all of it."""


class Settings(StreamOptions):
    """What a run does. Made once, from the command line or by a program; never changed after.

    The options of a stream stand here for the streams of `sources`.
    """

    sources: tuple[str, ...] = Field(default=(), repr=False)
    """As the user wrote them; may hold passwords, so never print them: see `sources.address`."""
    configured: tuple[StreamSettings, ...] = ()
    """Further streams with options of their own; see `config`."""
    stay: bool = False
    """Whether the run goes on when every stream has ended, because others may be added."""
    model: Path | None = None
    """A model file with its sidecar; None: the packaged model."""
    backend: Backend = "auto"
    precision: RunPrecision = "auto"
    face_model: FaceModel = "full-range-sparse"
    max_batch: Annotated[int, Field(ge=1, le=64)] = 8
    """The most crops scored at once; on a CPU each is scored alone, since together none would be sooner."""
    max_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """The longest a crop waits for others to share its batch."""

    @property
    def streams(self) -> tuple[StreamSettings, ...]:
        """Every stream to begin with: those of `sources`, then those of `configured`."""
        options = {name: getattr(self, name) for name in StreamOptions.model_fields}
        return (*(StreamSettings(url=url, **options) for url in self.sources), *self.configured)

    def with_streams(self, streams: tuple[StreamSettings, ...]) -> Self:
        """The same run with these `configured` streams."""
        return self.model_copy(update={"configured": streams})


def make_settings(**values: object) -> Settings:
    """Settings from named values.

    Raises:
        UsageError: a value is out of range, or there is nothing to watch; the sentence names the option
            as the user typed it.
    """
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "settings"
        raise UsageError(
            f"--{key_of(field).replace('_', '-')} {first.get('input')!r} makes no sense: "
            f"{first['msg'].lower()}; see stream-detector watch --help"
        ) from error
    if not settings.sources and not settings.configured and not settings.stay:
        raise UsageError(
            "there is nothing to watch: name a source, or a file with --config; "
            "see stream-detector watch --help"
        )
    if settings.sources and (least_s := least_half_life_s(settings)) is not None:
        raise UsageError(
            f"--half-life {settings.half_life_s:g} with --score-hz {settings.score_hz:g} makes no sense: "
            f"each score is forgotten before the next one comes; choose a half-life of at least "
            f"{least_s:g} seconds"
        )
    return settings


def key_of(field: str) -> str:
    """A field of the settings as the user writes it, but for - in place of _ on the command line."""
    return field if field == "max_wait_ms" else field.removesuffix("_s").removesuffix("_px")


def least_half_life_s(options: StreamOptions) -> float | None:
    """The shortest half-life that makes sense with this score rate; None where the one given does."""
    least_s = 0.5 / options.score_hz
    return least_s if options.half_life_s < least_s else None
