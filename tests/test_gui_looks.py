"""The window at several sizes, with one face and nine, tall pictures and long names: nothing is cut off.

With SCREENSHOTS=FOLDER the pictures are kept, to be looked at.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from PyQt6.QtCore import QCoreApplication, QEvent, QSettings
from PyQt6.QtWidgets import QApplication, QLabel, QPushButton, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from gui.remembered import Remembered
from gui.view import Status
from gui.window import Window
from stream_detector.records import Box, EventKind, Frame, Image, State
from stream_detector.settings import StreamSettings, make_settings
from tests.gui_parts import HEADER, event, frame, portrait, score

FACE = Box(500, 175, 770, 445)
"""Where the demo's face is in its picture of 1280x720."""
STATES = (
    State.LIKELY_REAL,
    State.LIKELY_FAKE,
    State.UNCERTAIN,
    State.WARMING_UP,
    State.TOO_SMALL,
    State.BLURRED,
    State.CUT_OFF,
    State.STALE,
    State.LIKELY_FAKE,
)
LONG = "rtsp://***@a-camera-with-a-very-long-name.building-7.example.org:8554/second-floor/corridor/stream1"


class Stage:
    """A window whose board is filled by hand, without a run."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._frames: dict[int, Frame] = {}
        self._settings = make_settings(sources=("demo:",))
        self.board = window.bridge._board

    def begin(self, *titles: str) -> None:
        self.board.begin(dict(enumerate(titles)))
        self.board.header = HEADER
        self.window.tuning.begin(HEADER)
        self.window.timeline.set_band(*HEADER.band)
        for stream in range(len(titles)):
            self.tell(event(EventKind.STREAM_STARTED, stream=stream))

    def tell(self, record: object) -> None:
        at = datetime.now().astimezone()
        stream = record.stream  # type: ignore[attr-defined]
        self.board.take(record, frame=self._frames.get(stream), now_s=0.0, at=at)  # type: ignore[arg-type]

    def picture(self, image: Image, stream: int = 0) -> None:
        self._frames[stream] = replace(frame(image, index=290, stream=stream), captured_at_s=0.0)

    def faces(self, boxes: list[Box], crop: Image, stream: int = 0) -> None:
        """Each in a state of its own, with scores over a minute."""
        rng = np.random.default_rng(3)
        for tick in range(300):
            for number, box in enumerate(boxes, start=1):
                state = STATES[(number - 1) % len(STATES)] if tick > 250 else State.UNCERTAIN
                base = {State.LIKELY_FAKE: 0.95, State.LIKELY_REAL: 0.12}.get(state, 0.4 + 0.05 * number)
                rolling = float(np.clip(base + rng.normal(0, 0.01), 0, 1))
                silent = state in (State.TOO_SMALL, State.BLURRED, State.CUT_OFF, State.STALE)
                made = score(
                    state,
                    face_id=number,
                    stream=stream,
                    pts_s=tick / 5,
                    rolling=None if state is State.STALE else rolling,
                    p_fake=None if silent else rolling,
                    box=box,
                    pixels=crop,
                )
                self.tell(made)

    def show(self) -> None:
        self.window._show_picker(False)
        view = self.board.view(self._frames.get, now_s=0.1, running=True)
        self.window._turn = -1
        self.window._update(view)
        QApplication.processEvents()
        self.window._turn = -1
        self.window._update(view)


@pytest.fixture(params=["light-1280x800", "dark-1920x1080"])
def stage(
    request: pytest.FixtureRequest, qapp: QApplication, tmp_path: Path, qtbot: QtBot
) -> Iterator[Stage]:
    look, _, size = str(request.param).partition("-")
    qapp.setStyle("Fusion")
    remembered = Remembered(QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat))
    remembered.appearance = look
    window = Window(remembered, folder=tmp_path)
    window.resize(*(int(side) for side in size.split("x")))
    window.show()
    yield Stage(window)
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        name = f"{request.node.originalname.removeprefix('test_')[:40]}-{request.param}.png"
        Path(folder).mkdir(parents=True, exist_ok=True)
        window.grab().save(str(Path(folder, name)))
    window.close()
    window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def cut_off(window: QWidget) -> list[str]:
    """The words that have less room than they need."""
    found = []
    for widget in window.findChildren(QWidget):
        if not isinstance(widget, QLabel | QPushButton | QToolButton) or not widget.isVisible():
            continue
        needed = widget.sizeHint()
        wraps = isinstance(widget, QLabel) and widget.wordWrap()
        high = widget.heightForWidth(widget.width()) if wraps else needed.height()
        if (not wraps and needed.width() > widget.width()) or high > widget.height():
            found.append(widget.text())
    return found


def crop_of(image: Image) -> Image:
    return np.ascontiguousarray(image[120:500, 445:825])


def mosaic(columns: int) -> tuple[Image, list[Box]]:
    """The portrait of the demo many times, and where its faces are."""
    image, width, height = portrait(), 1280 // columns, 720 // columns
    tile = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    boxes = [
        Box(*(round(v / columns) + o for v, o in zip((500, 175, 770, 445), (x, y, x, y), strict=True)))
        for y in range(0, height * columns, height)
        for x in range(0, width * columns, width)
    ]
    return np.ascontiguousarray(np.tile(tile, (columns, columns, 1))), boxes


def test_the_first_start(stage: Stage) -> None:
    assert cut_off(stage.window) == []


def test_one_face(stage: Stage) -> None:
    image = portrait()
    stage.picture(image)
    stage.begin("Demo")
    stage.faces([FACE], crop_of(image))
    stage.show()
    assert cut_off(stage.window) == []
    assert len(stage.window.faces.rows) == 1


def test_nine_faces_in_nine_states(stage: Stage) -> None:
    image, boxes = mosaic(3)
    stage.picture(image)
    stage.begin("A gallery of nine callers")
    stage.faces(boxes, crop_of(portrait()))
    stage.show()
    assert cut_off(stage.window) == []
    assert len(stage.window.faces.rows) == 9
    assert stage.window.incidents.list.count() == 2


def test_a_tall_picture_with_a_long_name(stage: Stage) -> None:
    tall = np.ascontiguousarray(portrait()[:, 435:840])
    stage.picture(tall)
    stage.begin(LONG)
    stage.faces([Box(65, 175, 335, 445), Box(0, 500, 60, 560)], crop_of(portrait()))
    stage.show()
    assert cut_off(stage.window) == []


def test_several_streams_that_fare_differently(stage: Stage) -> None:
    image = portrait()
    stage.picture(image, 0)
    stage.picture(portrait(tampered=True), 1)
    stage.begin("Front door", "Reception", LONG, "Camera 3")
    stage.faces([FACE], crop_of(image), 0)
    stage.tell(event(EventKind.STREAM_FAILED, stream=2, detail=f"cannot open {LONG}: connection refused"))
    stage.board._streams[3].status = Status.CONNECTING
    stage.show()
    assert cut_off(stage.window) == []
    assert [view.isVisible() for view in stage.window.grid.views] == [True] * 4


def test_an_error_with_a_long_sentence(stage: Stage) -> None:
    stage.begin(LONG)
    sentence = (
        f"cannot open {LONG}: the host refuses the connection; check the address and that it runs, twice"
    )
    stage.tell(event(EventKind.STREAM_FAILED, detail=sentence))
    stage.window.bridge._streams = {0: StreamSettings(url="rtsp://x/")}
    stage.window.bridge.failed.emit(sentence)
    stage.show()
    assert cut_off(stage.window) == []


def test_the_picker_over_a_picture(stage: Stage) -> None:
    stage.picture(portrait())
    stage.begin("Demo")
    stage.show()
    stage.window.offering.open(watching=True)
    assert cut_off(stage.window) == []
    stage.window.offering.dialog.close()
