from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PyQt6.QtCore import QCoreApplication, QEvent, QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PyQt6.QtGui import QDropEvent, QMouseEvent
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from gui.app import mistake_teller
from gui.board import Board
from gui.faces_panel import FacesPanel
from gui.incident_log import IncidentLog
from gui.incidents import IncidentsPanel
from gui.overlay import Overlay
from gui.palette import CHIPS, LOOKS, Tone
from gui.region_picker import RegionPicker, region_source
from gui.remembered import Remembered
from gui.source_picker import SourcePicker
from gui.timeline import Timeline, spread
from gui.tuning import Tuning, TuningPanel
from gui.video_grid import VideoGrid
from gui.view import FaceView, Status, StreamView, View
from gui.window import Window
from stream_detector.records import Box, EventKind, Record, State
from tests.gui_parts import HEADER, event, frame, moved, portrait, score

FAKE = score(State.LIKELY_FAKE, rolling=0.95, p_fake=0.99)


@pytest.fixture
def remembered(tmp_path: Path) -> Remembered:
    return Remembered(QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat))


@pytest.fixture
def window(qtbot: QtBot, qapp: QApplication, remembered: Remembered, tmp_path: Path) -> Iterator[Window]:
    qapp.setStyle("Fusion")
    made = Window(remembered, folder=tmp_path / "kept")
    made.show()
    yield made
    made.close()
    assert made.all_stopped
    # Now, not some time: every window that is left makes the next change of colours slower.
    made.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def face_of(record: object, **changes: object) -> FaceView:
    values = {
        "record": record,
        "first_s": 0.0,
        "waited_s": 0.0,
        "scores": 3,
        "crop": getattr(record, "pixels", None),
        "best": record,
    } | changes
    return FaceView(**values)  # type: ignore[arg-type]


def stream_of(
    *faces: FaceView, status: Status = Status.LIVE, stream: int = 0, title: str = "Demo"
) -> StreamView:
    return StreamView(
        stream=stream,
        title=title,
        status=status,
        detail="why it is so" if not status.current else "",
        frame=frame(stream=stream),
        faces=faces,
        capture_hz=25.0,
        score_hz=5.0,
        dropped={"find": 2},
        lag_ms=None,
        media_s=1.0,
    )


def click(widget: QWidget) -> None:
    cast(Any, QTest).mouseClick(widget, Qt.MouseButton.LeftButton)  # the stubs call it no static method


def view_of(*streams: StreamView, running: bool = True) -> View:
    return View(header=HEADER, streams=streams, running=running)


def show(window: Window, view: View) -> None:
    window._show_picker(False)
    window.bridge._board.header = view.header
    window._turn = -1
    window._update(view)


def pixels_like(widget: VideoGrid, colour: str) -> int:
    """How many pixels of what is drawn have this colour."""
    from gui.pictures import to_array

    drawn = to_array(widget.grab().toImage())
    wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)
    return int((drawn == wanted).all(axis=2).sum())


@pytest.mark.parametrize("state", list(State))
def test_a_face_is_drawn_in_the_colour_of_its_state_and_no_other(window: Window, state: State) -> None:
    show(window, view_of(stream_of(face_of(score(state, rolling=0.5)))))
    wanted = LOOKS[state].tone
    drawn = {tone for tone, (ground, _) in CHIPS.items() if pixels_like(window.grid, ground) > 200}
    assert drawn == {wanted}


@pytest.mark.parametrize("status", [status for status in Status if not status.current])
def test_no_face_is_drawn_over_a_picture_that_is_not_current(window: Window, status: Status) -> None:
    show(window, view_of(stream_of(face_of(score(State.LIKELY_REAL)), status=status)))
    assert pixels_like(window.grid, CHIPS[Tone.REAL][0]) == 0


def test_a_held_picture_has_no_green(window: Window) -> None:
    show(window, view_of(stream_of(face_of(score(State.LIKELY_REAL)))))
    window.actions_["pause"].setChecked(True)
    assert pixels_like(window.grid, CHIPS[Tone.REAL][0]) == 0
    assert pixels_like(window.grid, CHIPS[Tone.NONE][0]) > 200
    window.actions_["pause"].setChecked(False)
    assert pixels_like(window.grid, CHIPS[Tone.REAL][0]) > 200


def test_a_held_picture_stays_while_others_come_and_incidents_go_on(window: Window) -> None:
    show(window, view_of(stream_of(face_of(score(State.LIKELY_REAL)))))
    window.actions_["pause"].setChecked(True)
    window.bridge.incidents.take(FAKE, title="Demo", frame=None, at=datetime.now().astimezone())
    show(window, view_of(stream_of(face_of(FAKE)), running=False))
    (row,) = window.faces.rows
    assert "likely real" in row.words()
    assert window.incidents.list.count() == 1


def test_the_faces_panel_says_state_and_score_of_the_record_in_words(qtbot: QtBot) -> None:
    panel = FacesPanel()
    qtbot.addWidget(panel)
    stale = score(State.STALE, rolling=None, p_fake=None, face_id=2)
    panel.show_view(view_of(stream_of(face_of(FAKE), face_of(stale, best=None, crop=None))), paused=False)
    assert [row.words() for row in panel.rows] == [
        "#1: LIKELY FAKE, rolling fake score 0.95",
        "#2: stale, no score",
    ]
    panel.show_view(view_of(stream_of()), paused=False)
    assert panel.rows == []


def test_with_several_streams_a_face_says_which_it_is_in(qtbot: QtBot) -> None:
    panel = FacesPanel()
    qtbot.addWidget(panel)
    other = stream_of(face_of(score(stream=1)), stream=1, title="Door")
    panel.show_view(view_of(stream_of(face_of(FAKE)), other), paused=False)
    assert "Door" in panel.rows[1].words()


def test_a_click_enlarges_a_stream_and_another_shows_all_again(window: Window, qtbot: QtBot) -> None:
    streams = [stream_of(stream=number, title=f"Camera {number}") for number in range(4)]
    show(window, view_of(*streams))
    assert [view.isVisible() for view in window.grid.views] == [True] * 4
    click(window.grid.views[2])
    assert [view.isVisible() for view in window.grid.views] == [False, False, True, False]
    assert window.grid.selected == 2
    click(window.grid.views[2])
    assert [view.isVisible() for view in window.grid.views] == [True] * 4


@pytest.mark.parametrize(("width", "height"), [(360, 640), (640, 360), (64, 64)])
def test_a_picture_of_any_shape_fills_its_room_undistorted(window: Window, width: int, height: int) -> None:
    image = np.full((height, width, 3), 255, np.uint8)
    show(window, view_of(stream_of()))
    base = stream_of()
    shaped = StreamView(**{n: getattr(base, n) for n in StreamView.__slots__} | {"frame": frame(image)})
    show(window, view_of(shaped))
    room = window.grid.views[0]._room()
    assert room.width() / room.height() == pytest.approx(width / height, rel=0.02)
    assert room.width() == window.grid.width() or room.height() == window.grid.height()


def test_the_numbers_along_the_edge_say_rates_age_drops_and_what_scores(window: Window) -> None:
    show(window, view_of(stream_of(face_of(score(), waited_s=0.06))))
    assert window.hud.text("capture") == "capture 25.0 fps"
    assert window.hud.text("scores") == "scores 5.0/s"
    assert window.hud.text("age") == "newest verdict 100 ms old"
    assert window.hud.text("drops") == "dropped: 2 at find"


def test_an_error_is_said_in_its_own_words_and_can_be_copied(window: Window, qtbot: QtBot) -> None:
    window.bridge.failed.emit("cannot open rtsp://***@host/: refused; check the address")
    assert window.error_bar.sentence == "cannot open rtsp://***@host/: refused; check the address"
    assert not window.error_bar.retry.isVisibleTo(window.error_bar), "nothing was watched"
    click(window.error_bar.copy)
    clipboard = QApplication.clipboard()
    assert clipboard is not None
    assert clipboard.text() == window.error_bar.sentence
    click(window.error_bar.dismiss)
    assert window.error_bar.sentence == ""


def test_a_mistake_of_the_program_is_said_without_secrets_and_the_window_stays(
    window: Window, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("cannot read rtsp://user:hunter2@host/x?token=s3cret")
    mistake_teller(window)(ValueError, error, None)
    assert (
        "the program made a mistake (ValueError: cannot read rtsp://***@host/x" in window.error_bar.sentence
    )
    assert "hunter2" not in window.error_bar.sentence
    assert "s3cret" not in window.error_bar.sentence
    assert window.isVisible()


def test_record_is_a_wish_that_is_shown_only_while_it_is_granted(window: Window, tmp_path: Path) -> None:
    assert not window.hud.shows_recording()
    window.actions_["record"].setChecked(True)
    assert not window.hud.shows_recording(), "nothing is watched"
    window.bridge.recording.emit(tmp_path / "records" / "run")
    assert window.hud.shows_recording()
    window.bridge.recording.emit(None)
    assert not window.hud.shows_recording()
    assert window.actions_["record"].isChecked(), "the next run is recorded too"


def test_a_rectangle_dragged_over_the_screen_is_picked(qtbot: QtBot) -> None:
    picked: list[str] = []
    region = RegionPicker()
    region.picked.connect(picked.append)
    region.show()
    for kind, at in (
        (QEvent.Type.MouseButtonPress, QPointF(20, 30)),
        (QEvent.Type.MouseMove, QPointF(119, 130)),
        (QEvent.Type.MouseButtonRelease, QPointF(219, 229)),
    ):
        left, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(region, QMouseEvent(kind, at, at, left, left, keys))
    assert picked == ["screen:200x200+20+30"]


def test_an_address_that_makes_no_sense_is_an_error_and_nothing_starts(window: Window) -> None:
    window.watch("nonsense://x")
    assert "nonsense:// is not known here" in window.error_bar.sentence
    assert not window.bridge.running


def test_files_dropped_on_the_window_are_watched_together(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(window, "watch", lambda *sources: asked.append(sources))
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile("/a b.mp4"), QUrl.fromLocalFile("/c.mp4"), QUrl("https://x/y")])
    where, buttons, keys = QPointF(5, 5), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(where, Qt.DropAction.CopyAction, mime, buttons, keys))
    assert asked == [("/a b.mp4", "/c.mp4")]


def test_a_snapshot_is_the_untouched_picture_the_marked_one_and_the_numbers(
    window: Window, tmp_path: Path
) -> None:
    import json

    import cv2

    show(window, view_of(stream_of(face_of(FAKE))))
    window._snapshot()
    assert "Kept snapshot-" in window.hud.currentMessage()
    kept = tmp_path / "kept"
    assert len(list(kept.iterdir())) == 3
    (marked,), (numbers,) = kept.glob("*-marked.png"), kept.glob("*.json")
    plain = numbers.with_suffix(".png")
    assert np.all(np.asarray(cv2.imread(str(plain))) == 90)
    assert not np.all(np.asarray(cv2.imread(str(marked))) == 90)
    content = json.loads(numbers.read_text())
    assert content["faces"][0]["state"] == "likely_fake"
    assert content["faces"][0]["p_fake_rolling"] == 0.95
    assert content["model_sha256"] == HEADER.model_sha256
    assert "not proof" in content["note"]


def test_a_snapshot_that_cannot_be_written_says_why(window: Window, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")
    show(window, view_of(stream_of()))
    window._snapshot()
    assert "cannot write to" in window.error_bar.sentence


def test_an_incident_can_be_looked_at_and_exported(window: Window, qtbot: QtBot, tmp_path: Path) -> None:
    show(window, view_of(stream_of(face_of(FAKE))))
    at = datetime.now().astimezone()
    window.bridge.incidents.take(FAKE, title="Demo", frame=frame(), at=at)
    window._refresh()
    item = window.incidents.list.item(0)
    assert item is not None
    assert "peak 0.95" in item.text()
    window.incidents.list.itemClicked.emit(item)
    assert window.moment.isVisible()
    assert "LIKELY FAKE, rolling 0.95" in window.moment.words
    window.moment.close()
    window.incidents.list.setCurrentRow(0)
    window.incidents._export.click()
    (folder,) = (tmp_path / "kept").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "crop-evidence-map.png",
        "crop.png",
        "incident.json",
        "picture.jpg",
    ]


def test_a_long_list_of_incidents_keeps_the_one_that_is_chosen(qtbot: QtBot) -> None:
    panel, log = IncidentsPanel(), IncidentLog()
    qtbot.addWidget(panel)
    for face_id in range(1, 4):
        record = score(State.LIKELY_FAKE, rolling=0.95, face_id=face_id)
        log.take(record, title="Demo", frame=None, at=datetime.now().astimezone())
    panel.show_log(log)
    panel.list.setCurrentRow(2)
    log.take(score(State.LIKELY_FAKE, face_id=9), title="Demo", frame=None, at=datetime.now().astimezone())
    panel.show_log(log)
    assert panel.list.count() == 4
    assert panel.list.currentRow() == 3


def board_with(*records: Record) -> Board:
    board = Board(IncidentLog())
    board.begin({0: "Demo"})
    for record in records:
        board.take(record, frame=None, now_s=0.0, at=datetime.now().astimezone())
    return board


def test_a_click_on_the_timeline_chooses_the_face_and_the_moment(qtbot: QtBot) -> None:
    timeline = Timeline()
    qtbot.addWidget(timeline)
    timeline.resize(800, 200)
    timeline.show()
    low = [moved(score(rolling=0.1), pts_s=t / 5) for t in range(50)]
    high = [moved(score(State.LIKELY_FAKE, rolling=0.95, face_id=2), pts_s=t / 5) for t in range(50)]
    history = board_with(*(r for pair in zip(low, high, strict=True) for r in pair)).history(0)
    timeline.show_history(history)
    chosen: list[tuple[int, float]] = []
    timeline.moment_chosen.connect(lambda face, pts_s: chosen.append((face, pts_s)))
    box = timeline._box
    for value in (0.93, 0.12):
        timeline._clicked(box.mapViewToScene(QPointF(5.0, value)))
    assert [face for face, _ in chosen] == [2, 1]
    assert [pts_s for _, pts_s in chosen] == pytest.approx([5.0, 5.0], abs=0.2)
    timeline._hovered(box.mapViewToScene(QPointF(5.0, 0.5)))
    assert timeline._readout.toPlainText() == "0:05\n#1: 0.10\n#2: 0.95"


def test_the_timeline_draws_no_more_points_the_longer_it_runs(qtbot: QtBot) -> None:
    timeline = Timeline()
    qtbot.addWidget(timeline)
    board = board_with()
    counts = []
    for round_ in range(3):
        for tick in range(1200):
            record = moved(score(), pts_s=round_ * 240 + tick / 5)
            board.take(record, frame=None, now_s=0.0, at=datetime.now().astimezone())
        timeline.show_history(board.history(0))
        counts.append(timeline.points())
    assert max(counts) <= 902


def test_the_numbers_of_the_lines_never_lie_on_each_other_nor_outside() -> None:
    assert spread([0.1, 0.5], gap=0.1, most=1.1) == [0.1, 0.5]
    assert spread([0.95, 0.96, 0.97], gap=0.1, most=1.1) == pytest.approx([0.9, 1.0, 1.1])


def test_tuning_tells_the_new_numbers_and_keeps_the_band_in_order(qtbot: QtBot) -> None:
    panel = TuningPanel()
    qtbot.addWidget(panel)
    assert not panel.isEnabled()
    panel.begin(HEADER)
    told: list[Tuning] = []
    panel.changed.connect(told.append)
    panel.high.setValue(0.6)
    assert told[-1] == Tuning(0.3, 0.6, 1.0)
    panel.low.setValue(0.99)
    assert panel.low.value() < panel.high.value()
    panel._reset.click()
    assert told[-1] == Tuning(0.3, 0.9, 1.0)


def test_the_picker_never_keeps_a_typed_password(qtbot: QtBot, remembered: Remembered) -> None:
    picker = SourcePicker(welcome=True)
    qtbot.addWidget(picker)
    picked: list[str] = []
    picker.picked.connect(picked.append)
    picker.offer([], ["rtsp://***@host/x"])
    picker._edit.setText("rtsp://user:secret@host/x")
    picker.watch_address.click()
    assert picked == ["rtsp://user:secret@host/x"]
    assert picker._edit.text() == ""
    assert "secret" not in "".join(picker.address.itemText(i) for i in range(picker.address.count()))


def test_a_source_from_the_history_asks_for_the_password_that_was_left_out(qtbot: QtBot) -> None:
    picker = SourcePicker(welcome=False)
    qtbot.addWidget(picker)
    picked: list[str] = []
    picker.picked.connect(picked.append)
    picker.offer([], ["rtsp://***@host/x"])
    picker.address.setCurrentIndex(0)
    picker.watch_address.click()
    assert picked == []
    assert "was not kept" in picker.complaint.text()
    assert picker._edit.selectedText() == "***"


def test_without_a_camera_the_picker_says_so(qtbot: QtBot) -> None:
    picker = SourcePicker(welcome=True)
    qtbot.addWidget(picker)
    picker.offer([], [])
    assert picker.camera.currentText() == "no camera found"
    assert not picker.watch_camera.isEnabled()


def test_compact_mode_is_small_on_top_and_left_with_escape(window: Window) -> None:
    show(window, view_of(stream_of()))
    window.actions_["compact"].setChecked(True)
    assert window.windowFlags() & Qt.WindowType.WindowStaysOnTopHint
    assert not window.hud.isVisible()
    window.actions_["all"].trigger()
    assert not window.windowFlags() & Qt.WindowType.WindowStaysOnTopHint
    assert window.hud.isVisible()


@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_window_takes_the_colours_that_the_user_wants(window: Window, look: str) -> None:
    window._choose_appearance(look)
    background = window.palette().window().color().lightness()
    assert (background > 128) == (look == "light")


def test_a_dragged_region_becomes_a_source_in_the_screens_own_pixels() -> None:
    from PyQt6.QtCore import QRect

    assert region_source(QRect(QPoint(10, 20), QPoint(330, 201)), 1.0) == "screen:320x182+10+20"
    assert region_source(QRect(10, 20, 101, 100), 2.0) == "screen:202x200+20+40"


def test_chips_of_faces_side_by_side_do_not_cover_each_other(window: Window) -> None:
    from PyQt6.QtCore import QRectF

    from gui.overlay import _place

    placed: list[QRectF] = []
    for x in (0, 60, 120):
        placed.append(_place(QRectF(0, 0, 110, 40), QRectF(x, 100, 50, 50), QRectF(0, 0, 400, 300), placed))
    assert not any(a.intersects(b) for i, a in enumerate(placed) for b in placed[:i])


def test_a_face_at_the_edge_keeps_its_chip_inside_the_picture(window: Window) -> None:
    face = face_of(score(State.LIKELY_FAKE, rolling=0.9, box=Box(-40, -50, 60, 60)))
    show(window, view_of(stream_of(face)))
    assert pixels_like(window.grid, CHIPS[Tone.FAKE][0]) > 200


def test_the_portrait_of_the_demo_is_drawn_with_its_evidence_map(window: Window) -> None:
    picture = portrait(tampered=True)
    base = stream_of(face_of(score(State.LIKELY_FAKE, rolling=0.95, box=Box(480, 180, 760, 460))))
    shown = StreamView(**{n: getattr(base, n) for n in StreamView.__slots__} | {"frame": frame(picture)})
    show(window, view_of(shown))
    without = window.grid.grab().toImage()
    window.actions_["evidence"].setChecked(True)
    assert window.grid.grab().toImage() != without


def test_an_overlay_is_what_the_window_was_asked_for(window: Window) -> None:
    assert window._overlay(False) == Overlay(evidence=False, crop_margin=1.0, paused=False)


def test_events_without_a_picture_are_words(window: Window) -> None:
    board = board_with(event(EventKind.STREAM_FAILED, detail="cannot open x"))
    show(window, board.view(lambda _stream: None, now_s=0.0, running=False))
    (video,) = window.grid.views
    assert video._retry.isVisible()
