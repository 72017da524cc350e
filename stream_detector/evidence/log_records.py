"""Records as the log of a run holds them: every number exactly, nothing that must stay secret."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_detector.errors import UsageError
from stream_detector.model_spec import AlarmFacts, Calibration, UncertainBand
from stream_detector.records import (
    AlarmDesign,
    Box,
    Doubt,
    EventKind,
    FaceQuality,
    FaceScore,
    Reason,
    State,
    StreamEvent,
)

_M = TypeVar("_M", bound=BaseModel)
_Count = Annotated[int, Field(ge=0)]
_Part = Annotated[float, Field(ge=0.0, le=1.0)]


class _Logged(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StreamJudging(_Logged):
    """By what the faces of one stream are judged."""

    half_life_s: Annotated[float, Field(gt=0.0)]
    alarm: AlarmDesign | None


class Judging(_Logged):
    """By what a run judges, besides its scores: with them, enough to judge again without the model."""

    band: UncertainBand
    calibration: Calibration | None
    max_turn: float | None
    """See `model_spec.Quality`."""
    alarm_facts: AlarmFacts | None
    streams: dict[int, StreamJudging]


class _Score(_Logged):
    stream: _Count
    pts_s: float
    face: _Count
    box: tuple[int, int, int, int]
    p_fake: _Part | None
    p_fake_rolling: _Part | None
    p_fake_slow: _Part | None
    scores_worth: float | None
    state: State
    age_ms: float
    logit: float | None
    quality: FaceQuality | None
    doubt: Doubt | None
    alarm_level: float | None
    alarmed: bool


class _Event(_Logged):
    stream: _Count
    pts_s: float | None
    event: EventKind
    face: int | None
    detail: str
    reason: Reason | None
    name: str | None


def score_content(record: FaceScore) -> dict[str, object]:
    """A score, without its pictures."""
    box = record.box
    return {
        "stream": record.stream,
        "pts_s": record.pts_s,
        "face": record.face_id,
        "box": [box.x0, box.y0, box.x1, box.y1],
        "p_fake": record.p_fake,
        "p_fake_rolling": record.p_fake_rolling,
        "p_fake_slow": record.p_fake_slow,
        "scores_worth": record.scores_worth,
        "state": record.state,
        "age_ms": record.age_ms,
        "logit": record.logit,
        "quality": None if record.quality is None else asdict(record.quality),
        "doubt": record.doubt,
        "alarm_level": record.alarm_level,
        "alarmed": record.alarmed,
    }


def event_content(event: StreamEvent) -> dict[str, object]:
    """An event."""
    return {
        "stream": event.stream,
        "pts_s": event.pts_s,
        "event": event.event,
        "face": event.face_id,
        "detail": event.detail,
        "reason": event.reason,
        "name": event.name,
    }


def parse_score(content: Mapping[str, object], where: str) -> FaceScore:
    """The score that `score_content` wrote.

    Raises:
        UsageError: it is none; `where` names it in the sentence.
    """
    found = _parsed(_Score, content, where)
    try:
        box = Box(*found.box)
    except ValueError as error:
        raise UsageError(f"{where} makes no sense: {error}") from None
    return FaceScore(
        stream=found.stream,
        pts_s=found.pts_s,
        face_id=found.face,
        box=box,
        p_fake=found.p_fake,
        p_fake_rolling=found.p_fake_rolling,
        p_fake_slow=found.p_fake_slow,
        scores_worth=found.scores_worth,
        state=found.state,
        age_ms=found.age_ms,
        logit=found.logit,
        quality=found.quality,
        doubt=found.doubt,
        alarm_level=found.alarm_level,
        alarmed=found.alarmed,
    )


def parse_event(content: Mapping[str, object], where: str) -> StreamEvent:
    """The event that `event_content` wrote.

    Raises:
        UsageError: as `parse_score`.
    """
    found = _parsed(_Event, content, where)
    return StreamEvent(
        found.stream, found.pts_s, found.event, found.face, found.detail, found.reason, found.name
    )


def parse_judging(content: object, where: str) -> Judging:
    """What the header of a log says the run judged by.

    Raises:
        UsageError: as `parse_score`.
    """
    return _parsed(Judging, content, where)


def parse_stream(content: object, where: str) -> StreamJudging:
    """What the log says a stream that came later is judged by.

    Raises:
        UsageError: as `parse_score`.
    """
    return _parsed(StreamJudging, content, where)


def _parsed(model: type[_M], content: object, where: str) -> _M:
    try:
        return model.model_validate(content)
    except (ValidationError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise UsageError(f"{where} makes no sense: it is nested too deeply") from None
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UsageError(
            f"{where} makes no sense: {place}: {first['msg'].lower()} (found {str(first['input'])[:40]!r})"
        ) from None
