"""One JSON object per line, for programs. The fields are documented in the README."""

import json
from collections.abc import Mapping
from typing import TextIO

from stream_detector.errors import OutputClosed, OutputError
from stream_detector.records import (
    AlarmDesign,
    EventKind,
    FaceQuality,
    FaceScore,
    FaceSummary,
    Record,
    RunHeader,
    RunSummary,
    StreamEvent,
    StreamSnapshot,
)

SCHEMA = 1
"""Rises when a field changes its meaning or goes away; new fields may come without."""


class JsonLines:
    """Writes records to a text stream, each line flushed so that a reader sees it at once."""

    def __init__(self, stream: TextIO) -> None:
        """Writes to `stream`, which stays open.

        Every method raises as `write_json_line` does.
        """
        self._stream = stream
        self._precision = ""
        self._names: dict[int, str | None] = {}

    def begin(self, header: RunHeader) -> None:
        """The line of type "header"."""
        self._precision = header.precision
        self._names = dict(enumerate(header.names))
        write_json_line(
            self._stream,
            {
                "type": "header",
                "schema": SCHEMA,
                "program": header.program,
                "model": header.model,
                "model_sha256": header.model_sha256,
                "spec_sha256": header.spec_sha256,
                "backend": header.backend,
                "precision": header.precision,
                "sources": list(header.sources),
                "names": list(header.names),
                "score_hz": header.score_hz,
                "half_life_s": header.half_life_s,
                "band": list(header.band),
                "alarm": header.alarm and alarm_fields(header.alarm),
            },
        )

    def take(self, record: Record) -> None:
        """A line of type "score" or "event"."""
        if isinstance(record, FaceScore):
            fields = score_fields(record, name=self._names.get(record.stream), precision=self._precision)
        else:
            if record.event is EventKind.STREAM_ADDED:
                self._names[record.stream] = record.name
            fields = event_fields(record, name=self._names.get(record.stream))
        write_json_line(self._stream, fields)

    def end(self, summary: RunSummary) -> None:
        """The line of type "summary"."""
        latency_ms, stages_ms = summary.latency_ms, summary.stages_ms
        write_json_line(
            self._stream,
            {
                "type": "summary",
                "frames": summary.frames,
                "scores": summary.scores,
                "dropped": summary.dropped,
                "latency_ms": latency_ms and _table(latency_ms),
                "stages_ms": stages_ms and {stage: _table(ms) for stage, ms in stages_ms.items()},
                "media_s": round(summary.media_s, 3),
                "wall_s": round(summary.wall_s, 3),
                "faces_seen": summary.faces_seen,
                "faces": [_face(face) for face in summary.faces],
                "streams": [_stream(stream) for stream in summary.streams],
                "failures": list(summary.failures),
            },
        )


def score_fields(record: FaceScore, *, name: str | None, precision: str) -> dict[str, object]:
    """A score as JSON holds it.

    Args:
        name: what the user calls the stream.
        precision: what the run's arithmetic runs in.
    """
    box = record.box
    return {
        "type": "score",
        "stream": record.stream,
        "name": name,
        "pts_s": round(record.pts_s, 3),
        "face": record.face_id,
        "box": [box.x0, box.y0, box.x1, box.y1],
        "p_fake": _rounded(record.p_fake),
        "p_fake_rolling": _rounded(record.p_fake_rolling),
        "p_fake_slow": _rounded(record.p_fake_slow),
        "scores_worth": _rounded(record.scores_worth, 2),
        "logit": _rounded(record.logit),
        "state": record.state,
        "doubt": record.doubt,
        "quality": _quality(record.quality),
        "alarm_level": _rounded(record.alarm_level),
        "alarmed": record.alarmed,
        "precision": precision,
        "age_ms": round(record.age_ms, 1),
    }


def _quality(quality: FaceQuality | None) -> dict[str, object] | None:
    if quality is None:
        return None
    return {
        "face_px": quality.face_px,
        "sharpness": _rounded(quality.sharpness),
        "turn": _rounded(quality.turn, 3),
    }


def event_fields(record: StreamEvent, *, name: str | None) -> dict[str, object]:
    """An event as JSON holds it; `name` is what the user calls the stream."""
    return {
        "type": "event",
        "stream": record.stream,
        "name": name,
        "pts_s": _rounded(record.pts_s, 3),
        "event": record.event,
        "reason": record.reason,
        "face": record.face_id,
        "detail": record.detail,
    }


def write_json_line(stream: TextIO, content: Mapping[str, object]) -> None:
    """Write one object as one line, and flush it.

    Raises:
        OutputClosed: whoever reads has gone.
        OutputError: there is no room for it.
    """
    try:
        stream.write(json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n")
        stream.flush()
    except BrokenPipeError as error:
        raise OutputClosed("the reader of the output has gone") from error
    except OSError as error:
        raise OutputError(
            f"cannot write the output: {error.strerror}; make room, or send it elsewhere"
        ) from error


def alarm_fields(alarm: AlarmDesign) -> dict[str, object]:
    """The design of an alarm as JSON holds it."""
    return {
        "false_alarms_per_day": alarm.false_alarms_per_day,
        "reference": alarm.reference,
        "threshold": alarm.threshold,
        "most": alarm.most,
        "correlation_s": alarm.correlation_s,
        "expected_per_day": _rounded(alarm.expected_per_day),
        "worst_per_day": _rounded(alarm.worst_per_day),
        "real_faces": alarm.real_faces,
        "unseen": _rounded(alarm.unseen),
        "delays_s": [_rounded(delay_s, 1) for delay_s in alarm.delays_s],
        "detectable": _rounded(alarm.detectable),
    }


def _face(face: FaceSummary) -> dict[str, object]:
    return {
        "stream": face.stream,
        "face": face.face_id,
        "first_s": round(face.first_s, 3),
        "last_s": round(face.last_s, 3),
        "scores": face.scores,
        "p_fake_rolling": _rounded(face.p_fake_rolling),
        "p_fake_rolling_peak": _rounded(face.p_fake_rolling_peak),
        "state": face.state,
        "alarms": face.alarms,
        "first_alarm_s": _rounded(face.first_alarm_s, 3),
        "states": {str(state): count for state, count in sorted(face.states.items())},
    }


def _stream(stream: StreamSnapshot) -> dict[str, object]:
    return {
        "stream": stream.stream,
        "name": stream.name,
        "source": stream.source,
        "state": stream.state,
        "frames": stream.frames,
        "scores": stream.scores,
        "dropped": stream.dropped,
        "media_s": round(stream.media_s, 3),
        "lag_ms": _rounded(stream.lag_ms, 1),
        "lag_ms_peak": _rounded(stream.lag_ms_peak, 1),
        "alarms": stream.alarms,
        "latency_ms": stream.age_ms and _table(stream.age_ms),
    }


def _table(percentiles: Mapping[str, float]) -> dict[str, float]:
    return {name: round(ms, 1) for name, ms in percentiles.items()}


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
