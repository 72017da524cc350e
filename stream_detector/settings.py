"""Every default of a run, with its unit and its range, in one place."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_detector.errors import UsageError

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


class Settings(BaseModel):
    """What a run does. Made once, from the command line or by a program; never changed after."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    """As the user wrote them; may hold passwords, so never print them: see `sources.address`."""
    model: Path | None = None
    """A model file with its sidecar; None: the packaged model."""
    backend: Backend = "auto"
    precision: RunPrecision = "auto"
    face_model: FaceModel = "full-range-sparse"
    score_hz: Annotated[float, Field(gt=0, le=120)] = 5.0
    """Scores per face and second of media time."""
    find_hz: Annotated[float, Field(gt=0, le=120)] = 10.0
    """Face searches per second of media time; never fewer than scores."""
    half_life_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """After this much media time a score counts half: the rolling score is about the last seconds."""
    max_faces: Annotated[int, Field(ge=1, le=100)] = 8
    """The most faces scored per stream and frame: the largest, those already known first."""
    max_batch: Annotated[int, Field(ge=1, le=64)] = 8
    """The most crops scored at once."""
    max_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """The longest a crop waits for others to share its batch."""
    min_face_px: Annotated[int, Field(ge=8, le=4096)] | None = None
    """Faces smaller than this are not scored; None: what the model was trained for."""
    duration_s: Annotated[float, Field(gt=0)] | None = None
    """Stop after this much media time; None: at the end."""
    max_frames: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many decoded frames of each source; None: at the end."""
    give_up_after_s: Annotated[float, Field(ge=0)] | None = None
    """A live source that gives no picture for so long has failed; 0: at its first failure; None: it is
    tried again for ever."""
    hwaccel: HardwareDecoder = "off"
    """Which hardware decodes; where it cannot, software does, and a warning says so once."""
    realtime: bool = False
    """Play files at their own speed, as if they were live: frames that come too late are dropped."""

    @property
    def effective_find_hz(self) -> float:
        """Face searches per second: as asked, and at least one per score."""
        return max(self.find_hz, self.score_hz)


def make_settings(**values: object) -> Settings:
    """Settings from named values.

    Raises:
        UsageError: a value is out of range; the sentence names the option as the user typed it.
    """
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "settings"
        name = field.removesuffix("_s").removesuffix("_px") if field != "max_wait_ms" else field
        option = "--" + name.replace("_", "-")
        raise UsageError(
            f"{option} {first.get('input')!r} makes no sense: {first['msg'].lower()}; "
            f"see stream-detector watch --help"
        ) from error
    if settings.half_life_s * settings.score_hz < 0.5:
        raise UsageError(
            f"--half-life {settings.half_life_s:g} with --score-hz {settings.score_hz:g} makes no sense: "
            f"each score is forgotten before the next one comes; choose a half-life of at least "
            f"{0.5 / settings.score_hz:g} seconds"
        )
    return settings
