"""One JSON object per line, for programs. The fields are documented in the README."""

import json
from collections.abc import Mapping
from typing import TextIO

from stream_detector.errors import OutputClosed, OutputError
from stream_detector.records import FaceScore, FaceSummary, Record, RunHeader, RunSummary

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

    def begin(self, header: RunHeader) -> None:
        """The line of type "header"."""
        self._precision = header.precision
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
                "score_hz": header.score_hz,
                "half_life_s": header.half_life_s,
                "band": list(header.band),
            },
        )

    def take(self, record: Record) -> None:
        """A line of type "score" or "event"."""
        if isinstance(record, FaceScore):
            box = record.box
            write_json_line(
                self._stream,
                {
                    "type": "score",
                    "stream": record.stream,
                    "pts_s": round(record.pts_s, 3),
                    "face": record.face_id,
                    "box": [box.x0, box.y0, box.x1, box.y1],
                    "p_fake": _rounded(record.p_fake),
                    "p_fake_rolling": _rounded(record.p_fake_rolling),
                    "state": record.state,
                    "precision": self._precision,
                    "age_ms": round(record.age_ms, 1),
                },
            )
        else:
            write_json_line(
                self._stream,
                {
                    "type": "event",
                    "stream": record.stream,
                    "pts_s": _rounded(record.pts_s, 3),
                    "event": record.event,
                    "reason": record.reason,
                    "face": record.face_id,
                    "detail": record.detail,
                },
            )

    def end(self, summary: RunSummary) -> None:
        """The line of type "summary"."""
        latency_ms = summary.latency_ms
        write_json_line(
            self._stream,
            {
                "type": "summary",
                "frames": summary.frames,
                "scores": summary.scores,
                "dropped": summary.dropped,
                "latency_ms": latency_ms and {name: round(ms, 1) for name, ms in latency_ms.items()},
                "media_s": round(summary.media_s, 3),
                "wall_s": round(summary.wall_s, 3),
                "faces_seen": summary.faces_seen,
                "faces": [_face(face) for face in summary.faces],
                "failures": list(summary.failures),
            },
        )


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
        "states": {str(state): count for state, count in sorted(face.states.items())},
    }


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
