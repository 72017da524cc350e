"""What the window costs: painting, and whether verdicts come later because of it."""

import os
import time
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.clips import encode_mosaic
from benchmarks.harness import Stopwatch
from stream_detector.records import FaceScore, Frame, Record
from stream_detector.settings import Settings, make_settings

WIDTH_PX, HEIGHT_PX = 1920, 1080
COLUMNS = 2
"""Faces are its square."""
PARTS = ("convert", "scale and copy", "paint", "whole")


def off_screen() -> Any:
    """Qt without a screen, unless QT_QPA_PLATFORM says otherwise; returns the application."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from gui.qt_libraries import load_qt

    load_qt()
    from PyQt6.QtWidgets import QApplication

    application = QApplication.instance() or QApplication(["benchmarks"])
    assert isinstance(application, QApplication)
    application.setStyle("Fusion")
    return application


def measure_gui(*, seconds: float, rounds: int) -> dict[str, Any]:
    """Paint a 1080p video with four faces at 1:1, and time verdicts with and without the window.

    Args:
        seconds: length of the video.
        rounds: how often verdicts are timed each way, in turns.
    """
    application = off_screen()
    with TemporaryDirectory() as folder:
        clip = Path(folder, "mosaic.mp4")
        encode_mosaic(
            clip, columns=COLUMNS, width_px=WIDTH_PX, height_px=HEIGHT_PX, seconds=seconds, rate_hz=25
        )
        settings = make_settings(sources=(str(clip),), realtime=True)
        records, margin = _records_of(settings)
        painting = {
            name: _paint(application, str(clip), records, margin, evidence=evidence)
            for name, evidence in (("boxes", False), ("boxes and evidence maps", True))
        }
        ages: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(rounds):
            ages["without"] += _ages_without(settings)
            ages["with"] += _ages_with(application, settings)
    return {
        "width_px": WIDTH_PX,
        "height_px": HEIGHT_PX,
        "faces": COLUMNS**2,
        "painting": painting,
        "latency": {name: {"verdicts": len(values), **_percentiles(values)} for name, values in ages.items()},
        "rounds": rounds,
        "load_average": os.getloadavg()[0],
    }


def gui_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| painting one frame | ms p50 | ms p95 | CPU ms p50 | CPU ms p95 |", "|---|--:|--:|--:|--:|"]
    for name, parts in result["painting"].items():
        lines += [
            f"| {name}: {part} | " + " | ".join(f"{value:.2f}" for value in ms.values()) + " |"
            for part, ms in parts.items()
        ]
    lines += ["", "| verdict after | verdicts | ms p50 | ms p95 |", "|---|--:|--:|--:|"]
    for name, values in result["latency"].items():
        lines.append(
            f"| {name} the window | {values['verdicts']} | {values['ms_p50']:.0f} | {values['ms_p95']:.0f} |"
        )
    return (
        "\n".join(lines) + f"\n\n{result['faces']} faces at {result['width_px']}x{result['height_px']}, "
        f"off screen; {result['rounds']} rounds each way in turns; load average {result['load_average']:.1f}."
    )


def _records_of(settings: Settings) -> tuple[list[Record], float]:
    """What a run says of the clip, and the margin of its crops."""
    from stream_detector.pipeline import Pipeline

    with Pipeline(settings.model_copy(update={"realtime": False})) as run:
        return [record for record in run.records() if record is not None], run.crop_margin


def _paint(
    application: Any, clip: str, records: list[Record], margin: float, *, evidence: bool
) -> dict[str, dict[str, float]]:
    """Draw every frame of the clip with the faces known by then."""
    from gui.board import Board
    from gui.incident_log import IncidentLog
    from gui.overlay import Overlay
    from gui.video_grid import VideoGrid
    from stream_detector.sources.address import parse_address
    from stream_detector.sources.reader import Reader

    grid = VideoGrid()
    grid.resize(WIDTH_PX, HEIGHT_PX)
    grid.show()
    board = Board(IncidentLog())
    board.begin({0: "mosaic.mp4"})
    overlay = Overlay(evidence=evidence, crop_margin=margin, paused=False)
    watches = {part: Stopwatch() for part in PARTS}
    waiting = [record for record in records if record.pts_s is not None]
    at = datetime.now().astimezone()
    with closing(Reader(parse_address(clip), threads=1).frames()) as frames:
        for frame in frames:
            now_s = time.monotonic()
            while waiting and (waiting[0].pts_s or 0.0) <= frame.pts_s:
                record = waiting.pop(0)
                if not (isinstance(record, FaceScore) or record.face_id is None):
                    continue
                board.take(record, frame=None, now_s=now_s, at=at)
            with watches["whole"].call():
                with watches["convert"].call():
                    frame.picture.rgb()
                with watches["scale and copy"].call():
                    view = board.view(partial(_always, frame), now_s=now_s, running=True)
                    grid.show_view(view, overlay)
                with watches["paint"].call():
                    grid.repaint()
            application.processEvents()
    grid.close()
    grid.deleteLater()
    return {
        part: {
            "ms_p50": watch.percentile_ms(50),
            "ms_p95": watch.percentile_ms(95),
            "cpu_ms_p50": Stopwatch(wall_s=watch.cpu_s).percentile_ms(50),
            "cpu_ms_p95": Stopwatch(wall_s=watch.cpu_s).percentile_ms(95),
        }
        for part, watch in watches.items()
    }


def _always(frame: Frame, _stream: int) -> Frame:
    return frame


def _ages_without(settings: Settings) -> list[float]:
    """The age of every verdict of a run that nobody looks at."""
    from stream_detector.pipeline import Pipeline

    with Pipeline(settings) as run:
        return [r.age_ms for r in run.records() if isinstance(r, FaceScore) and r.p_fake is not None]


def _ages_with(application: Any, settings: Settings) -> list[float]:
    """The same with the window open; it sees every record, as each face has fewer than it has turns."""
    from gui.view import View

    ages: dict[tuple[int, int, float], float] = {}

    def note(view: View) -> None:
        for stream in view.streams:
            for face in stream.faces:
                if face.record.p_fake is not None:
                    ages[*face.key, face.record.pts_s] = face.record.age_ms

    with TemporaryDirectory() as folder:
        window = open_window(Path(folder))
        window.bridge.updated.connect(note)
        window.bridge.ended.connect(application.quit)
        window.watch(*settings.sources)
        application.exec()
        window.close()
        window.deleteLater()
    return list(ages.values())


def open_window(folder: Path) -> Any:
    """A window that remembers nothing of the user's."""
    from PyQt6.QtCore import QSettings

    from gui.remembered import Remembered
    from gui.window import Window

    settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
    window = Window(Remembered(settings), folder=folder)
    window.resize(WIDTH_PX, HEIGHT_PX)
    window.show()
    return window


def _percentiles(values: list[float]) -> dict[str, float]:
    watch = Stopwatch(wall_s=[value / 1000 for value in values])
    return {"ms_p50": watch.percentile_ms(50), "ms_p95": watch.percentile_ms(95)}
