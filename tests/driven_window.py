"""The program's window, which also writes down where its buttons are and what it says, for a test to read.

Run as a program of its own: `python -m tests.driven_window REPORT.json [SOURCE...]`.
"""

import json
import sys
from pathlib import Path

from gui.app import run
from stream_detector.commands.logs import LogLevel, log_to_stderr

_EVERY_MS = 100


def _report(window: object, path: Path) -> None:
    from PyQt6.QtCore import QPoint
    from PyQt6.QtWidgets import QAbstractButton, QApplication, QWidget

    from gui.window import Window

    assert isinstance(window, Window)

    def place(widget: QWidget, *, top: bool = False) -> list[float]:
        ratio = widget.devicePixelRatioF()
        middle = widget.mapToGlobal(QPoint(widget.width() // 2, 24 if top else widget.height() // 2))
        return [middle.x() * ratio, middle.y() * ratio]

    buttons = {
        widget.text(): place(widget)
        for widget in QApplication.allWidgets()
        if isinstance(widget, QAbstractButton) and widget.isVisible() and widget.text()
    }
    view = window._held or window._view
    content = {
        "buttons": buttons,
        "places": {
            "timeline": place(window.timeline),
            "address": place(window.offering.dialog.picker.address),
            "first_incident": place(window.incidents.list, top=True),
        },
        "streams": [
            {
                "title": stream.title,
                "status": str(stream.status),
                "faces": {str(face.record.face_id): str(face.record.state) for face in stream.faces},
                "pts_s": stream.frame.pts_s if stream.frame else None,
            }
            for stream in view.streams
        ],
        "running": window.bridge.running,
        "paused": window._held is not None,
        "evidence": window.actions_["evidence"].isChecked(),
        "incidents": window.bridge.incidents.count,
        "moment": window.moment.words if window.moment.isVisible() else "",
        "error": window.error_bar.sentence,
        "note": window.hud.currentMessage(),
        "history": window._remembered.history,
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(path)


def main() -> int:
    path, sources = Path(sys.argv[1]), sys.argv[2:]
    log_to_stderr(LogLevel.warning)

    def opened(window: object) -> None:
        from PyQt6.QtCore import QTimer
        from PyQt6.QtWidgets import QWidget

        assert isinstance(window, QWidget)
        timer = QTimer(window)
        timer.timeout.connect(lambda: _report(window, path))
        timer.start(_EVERY_MS)

    return run(sources, {}, opened=opened)


if __name__ == "__main__":
    sys.exit(main())
