"""Writes what was seen to files: snapshots and exported incidents, each a PNG with its JSON."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QPainter

from gui.incident_log import Incident
from gui.overlay import Overlay
from gui.pictures import to_array, to_qimage, with_evidence
from gui.tuning import Tuning
from gui.view import StreamView
from stream_detector.errors import OutputError
from stream_detector.records import FaceScore, Image, RunHeader

NOTE = "A rolling fake score is a hint for a person who then looks closer. It is not proof."


def write_snapshot(
    folder: Path, stream: StreamView, header: RunHeader, tuning: Tuning, overlay: Overlay, at: datetime
) -> list[Path]:
    """The newest picture untouched, the same with what the window draws over it, and the numbers.

    Args:
        folder: made where it is missing.
        at: the time now; names the files.

    Returns:
        The PNG, the marked PNG, the JSON.

    Raises:
        OutputError: there is no picture yet, or the files cannot be written.
    """
    if stream.frame is None:
        raise OutputError(f"there is no picture of {stream.title} yet; take a snapshot once it shows one")
    image = stream.frame.picture.rgb()
    content = {
        **_about(header, tuning, at),
        "stream": stream.stream,
        "source": header.sources[stream.stream] if stream.stream < len(header.sources) else stream.title,
        "status": str(stream.status),
        "picture_pts_s": round(stream.frame.pts_s, 3),
        "faces": [_face(face.record) for face in stream.faces],
    }
    name = f"snapshot-{at:%Y%m%d-%H%M%S-%f}"[:-3]
    files = {
        f"{name}.png": _png(image),
        f"{name}-marked.png": _png(_marked(image, stream, overlay)),
        f"{name}.json": _json(content),
    }
    return _write(folder, files)


def write_incident(folder: Path, incident: Incident, header: RunHeader, tuning: Tuning) -> Path:
    """The crop with which an incident began, its evidence map, the whole picture, and the numbers.

    Returns:
        The folder it made inside `folder`.

    Raises:
        OutputError: the files cannot be written.
    """
    record = incident.record
    content = {
        **_about(header, tuning, incident.at),
        "incident": incident.number,
        "stream": record.stream,
        "source": incident.title,
        "face": _face(record),
        "peak": round(incident.peak, 4),
        "last_s": round(incident.last_s, 3),
        "picture_pts_s": incident.picture_pts_s and round(incident.picture_pts_s, 3),
    }
    files = {"incident.json": _json(content)}
    if record.pixels is not None:
        files["crop.png"] = _png(record.pixels)
        if record.evidence is not None:
            files["crop-evidence-map.png"] = _png(with_evidence(record.pixels, record.evidence))
    if incident.picture_jpeg is not None:
        files["picture.jpg"] = incident.picture_jpeg
    target = folder / f"incident-{incident.at:%Y%m%d-%H%M%S}-{incident.number}-face-{record.face_id}"
    _write(target, files)
    return target


def _about(header: RunHeader, tuning: Tuning, at: datetime) -> dict[str, Any]:
    return {
        "note": NOTE,
        "at": at.isoformat(timespec="milliseconds"),
        "program": header.program,
        "model": header.model,
        "model_sha256": header.model_sha256,
        "spec_sha256": header.spec_sha256,
        "backend": header.backend,
        "precision": header.precision,
        "score_hz": header.score_hz,
        "judged_by": asdict(tuning),
    }


def _face(record: FaceScore) -> dict[str, Any]:
    box = record.box
    return {
        "face": record.face_id,
        "pts_s": round(record.pts_s, 3),
        "box": [box.x0, box.y0, box.x1, box.y1],
        "p_fake": record.p_fake and round(record.p_fake, 4),
        "p_fake_rolling": record.p_fake_rolling and round(record.p_fake_rolling, 4),
        "state": record.state,
        "alarmed": record.alarmed,
        "alarm_level": record.alarm_level and round(record.alarm_level, 4),
        "evidence": None if record.evidence is None else np.round(record.evidence, 3).tolist(),
    }


def _marked(image: Image, stream: StreamView, overlay: Overlay) -> Image:
    canvas = to_qimage(image)
    painter = QPainter(canvas)
    overlay.draw(painter, stream.faces, QRectF(canvas.rect()), 1.0)
    painter.end()
    return to_array(canvas)


def _png(image: Image) -> bytes:
    # Level 1 takes a tenth of the time of the default, and the window waits for it.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror}; make room, or choose another folder"
        ) from error
    return [folder / name for name in files]
