"""What a scan says of a file: frozen, checked, and the same in every output."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1
"""Rises when a field changes its meaning or goes away; new fields may come without."""


class FileVerdict(StrEnum):
    """What may be said of a file, or of one face in it. Only three of them are verdicts."""

    LIKELY_FAKE = "likely_fake"
    UNCERTAIN = "uncertain"
    LIKELY_REAL = "likely_real"
    TOO_LITTLE = "too_little"
    """A face was seen, but not often or long enough to say anything."""
    NO_FACE = "no_face"
    """No face could be scored. Not a verdict."""
    UNREADABLE = "unreadable"
    """The file could not be read at all; `problem` says why."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class MeanScore(_Frozen):
    """The mean of a series of scores, with its interval."""

    value: Probability
    low: Probability
    high: Probability
    level: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Of the interval: 0.95, or more where several faces could each have raised a false alarm."""
    scores: Annotated[int, Field(ge=1)]
    worth: Annotated[float, Field(gt=0.0)]
    """How many independent scores they are worth: neighbours in a video repeat each other."""


class Segment(_Frozen):
    """A stretch of media time in which a face was likely fake."""

    start_s: float
    end_s: float
    peak: Probability
    """The highest rolling score in it."""


class FaceResult(_Frozen):
    """One face of a file, from when it came into view until it was lost."""

    face: int
    first_s: float
    last_s: float
    verdict: FileVerdict
    mean: MeanScore | None
    """None: never scored."""
    peak: Probability | None
    """The highest rolling score once it had warmed up; None where it never did."""
    segments: tuple[Segment, ...] = ()
    alarmed: bool = False
    """Whether the alarm of the stated false-alarm rate was raised."""
    timeline: tuple[tuple[float, Probability], ...] = ()
    """(media time, rolling score), rising; of a long file the highest of each stretch."""
    picture: str | None = None
    """The crop with the highest score, as a base64 JPEG; only where the HTML page was asked for."""
    picture_s: float | None = None
    """Media time of the crop."""
    evidence: str | None = None
    """The same with the evidence map laid over it."""


class FileResult(_Frozen):
    """One row of a scan."""

    path: str
    size_bytes: int | None
    """None where the file cannot be looked at."""
    modified_ns: int | None
    verdict: FileVerdict
    mean: MeanScore | None = None
    """Over all faces; None: nothing was scored."""
    evidence_share: Probability = 0.0
    """Part of the media time in which a face could be scored."""
    media_s: float = 0.0
    """Media time that was looked at."""
    faces: tuple[FaceResult, ...] = ()
    problem: str | None = None
    """Why the file, or the rest of it, could not be read."""

    @property
    def segments(self) -> list[tuple[int, Segment]]:
        """(face, segment) of every face, in order of time."""
        found = [(face.face, segment) for face in self.faces for segment in face.segments]
        return sorted(found, key=lambda each: (each[1].start_s, each[0]))


class ScanReport(_Frozen):
    """Everything a scan found, and what it was made with."""

    schema_version: int = SCHEMA
    program: str
    model: str
    model_sha256: str
    spec_sha256: str
    band: tuple[float, float]
    """Rolling scores from the first to the second say nothing."""
    mean_high: float
    """Mean scores from the first of `band` to this say nothing."""
    score_hz: float
    half_life_s: float
    files: tuple[FileResult, ...]
