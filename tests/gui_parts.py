"""What the tests of the window share: Qt off screen, and records made by hand."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest

for _module in ("PyQt6.QtWidgets", "pyqtgraph", "pytestqt"):
    pytest.importorskip(_module, reason=f"needs {_module} (pip install '.[gui,dev]')", exc_type=ImportError)
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from gui.qt_libraries import forget_other_qt  # noqa: E402
from stream_detector.optional import load_media_libraries  # noqa: E402
from stream_detector.records import (  # noqa: E402
    Box,
    EventKind,
    FaceScore,
    Frame,
    Image,
    RgbPicture,
    RunHeader,
    State,
    StreamEvent,
)
from stream_detector.sources.demo import DemoSource  # noqa: E402

load_media_libraries()
forget_other_qt()

CROP_PX = 96
BOX = Box(100, 80, 200, 180)
HEADER = RunHeader(
    program="stream-detector 0",
    model="test",
    model_sha256="ab" * 32,
    spec_sha256="cd" * 32,
    backend="openvino",
    precision="int8",
    sources=("demo:",),
    score_hz=5.0,
    half_life_s=1.0,
    band=(0.3, 0.9),
)


def score(
    state: State = State.LIKELY_REAL,
    *,
    face_id: int = 1,
    pts_s: float = 1.0,
    rolling: float | None = 0.1,
    p_fake: float | None = 0.1,
    box: Box = BOX,
    stream: int = 0,
    pixels: Image | None = None,
    alarm_level: float | None = None,
    alarmed: bool = False,
) -> FaceScore:
    """A record; scored if `p_fake` is a number."""
    scored = p_fake is not None
    crop = np.full((CROP_PX, CROP_PX, 3), 120, np.uint8) if pixels is None else pixels
    return FaceScore(
        stream=stream,
        pts_s=pts_s,
        face_id=face_id,
        box=box,
        p_fake=p_fake,
        p_fake_rolling=rolling,
        state=state,
        age_ms=40.0,
        evidence=np.linspace(-20, 20, 49, dtype=np.float32).reshape(7, 7) if scored else None,
        pixels=crop if scored else None,
        alarm_level=alarm_level,
        alarmed=alarmed,
    )


def event(kind: EventKind, *, face_id: int | None = None, stream: int = 0, detail: str = "") -> StreamEvent:
    """An event."""
    return StreamEvent(stream, 1.0, kind, face_id=face_id, detail=detail)


def frame(image: Image | None = None, *, index: int = 0, age_s: float = 0.0, stream: int = 0) -> Frame:
    """A picture that was decoded `age_s` ago."""
    picture = RgbPicture(np.full((360, 640, 3), 90, np.uint8) if image is None else image)
    captured_at_s = time.monotonic() - age_s
    return Frame(stream=stream, index=index, pts_s=index / 25, captured_at_s=captured_at_s, picture=picture)


def portrait(*, tampered: bool = False) -> Image:
    """A picture of the demo, (720, 1280, 3)."""
    count = 3 if tampered else 1
    frames = list(DemoSource(duration_s=0.16).frames())
    return frames[count].picture.rgb()


def moved(record: FaceScore, *, pts_s: float) -> FaceScore:
    """The same at another time."""
    return replace(record, pts_s=pts_s)
