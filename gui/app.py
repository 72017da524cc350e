"""Starts Qt, opens the window, and ends with every thread."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from gui.mistakes import mistake
from gui.qt_libraries import load_qt
from stream_detector.config import read_config
from stream_detector.settings import make_settings

if TYPE_CHECKING:
    from gui.window import Window

ExceptHook = Callable[[type[BaseException], BaseException, TracebackType | None], None]
_NAME = "stream-detector"
_log = logging.getLogger("stream_detector.gui")


def run(
    sources: Sequence[str],
    options: Mapping[str, object],
    *,
    config: Path | None = None,
    opened: "Callable[[Window], None] | None" = None,
) -> int:
    """Open the window and stay until it is closed; returns the exit code.

    Args:
        sources: what to watch at once; none offers what there is.
        options: named values of `Settings` for every run, but for its sources.
        config: streams to watch with the sources; see `config.read_config`.
        opened: called once the window is shown.

    Raises:
        UsageError: an option makes no sense, or something in the file does.
        MissingDependency: Qt cannot start here.
    """
    make_settings(sources=("demo:",), **options)
    configured = None
    if config is not None:
        configured = read_config(config, {"realtime": True, **options, "sources": tuple(sources)})
    load_qt()
    from PyQt6.QtCore import QSettings, QTimer
    from PyQt6.QtWidgets import QApplication

    from gui.remembered import Remembered
    from gui.window import Window

    application = QApplication([_NAME])
    application.setApplicationName(_NAME)
    application.setDesktopFileName(_NAME)
    application.setStyle("Fusion")
    window = Window(Remembered(QSettings(_NAME, _NAME)), options=options)
    window.show()
    if configured is not None:
        window.watch_configured(configured)
    elif sources:
        window.watch(*sources)
    if opened is not None:
        opened(window)
    sys.excepthook = mistake_teller(window)
    # Python handles a signal only when it gets to run, and an idle Qt lets it sleep.
    signal.signal(signal.SIGINT, lambda *_: window.close())
    signal.signal(signal.SIGTERM, lambda *_: window.close())
    heartbeat = QTimer()
    heartbeat.timeout.connect(lambda: None)
    heartbeat.start(200)
    code = application.exec()
    if not window.all_stopped:
        # A thread is stuck in a source that does not answer. It goes with the process, and Python's own
        # end would wait for it.
        sys.stderr.flush()
        os._exit(code)
    return code


def mistake_teller(
    window: "Window",
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """What Qt calls when our own code raises inside it; without it Qt ends the process at once."""

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        _log.error("a mistake in the window", exc_info=(kind, error, trace))
        window.error_bar.say(mistake(error), can_retry=False)

    return tell
