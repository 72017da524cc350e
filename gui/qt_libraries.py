"""Makes sure that Qt can start, or says in one sentence what is missing."""

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from stream_detector.errors import MissingDependency
from stream_detector.optional import load_media_libraries, require

DEBIAN_PACKAGES = (
    "libegl1 libgl1 libdbus-1-3 libfontconfig1 libglib2.0-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 "
    "libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xkb1 "
    "libxkbcommon-x11-0 fonts-dejavu-core"
)
"""What Qt's wheel needs of a bare Debian or Ubuntu to open a window."""
_WHY = "the window"


def load_qt() -> None:
    """Load everything the window is made of, in the order in which it gets on with each other.

    Raises:
        MissingDependency: PyQt6 or pyqtgraph is not installed, a system library is missing, or there
            is no screen.
    """
    load_media_libraries()
    forget_other_qt()
    try:
        for module in ("PyQt6.QtCore", "PyQt6.QtGui", "PyQt6.QtWidgets"):
            require(module, why=_WHY, extra="gui")
    except MissingDependency as error:
        if find_spec("PyQt6") is None:
            raise
        raise MissingDependency(f"{error}; all that Qt needs: apt-get install {DEBIAN_PACKAGES}") from error
    require("pyqtgraph", why=_WHY, extra="gui")
    _check_screen()


def forget_other_qt() -> None:
    """Take back what `import cv2` did: it points Qt at the plug-ins and fonts of its own Qt 5."""
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):
        os.environ.pop(name, None)


def _check_screen() -> None:
    """Qt ends the process where it cannot open a window, so ask beforehand."""
    platform = os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if sys.platform != "linux" or platform not in ("", "xcb"):
        return
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        raise MissingDependency(
            "the window needs a screen, but neither DISPLAY nor WAYLAND_DISPLAY is set; start it on a "
            "desktop, or use stream-detector watch"
        )
    missing = missing_library() if os.environ.get("DISPLAY") else None
    if missing is not None:
        raise MissingDependency(
            f"{_WHY} needs Qt, which needs the system library {missing}; on Debian and Ubuntu install all "
            f"that Qt needs with: apt-get install {DEBIAN_PACKAGES}"
        )


def missing_library() -> str | None:
    """The first library that Qt lacks to open a window under X; None if it lacks none."""
    spec = find_spec("PyQt6")
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        return "PyQt6"
    plugin = Path(folders[0], "Qt6", "plugins", "platforms", "libqxcb.so")
    if not plugin.is_file():  # a PyQt6 of the distribution brings its own dependencies
        return None
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        return str(error).partition(":")[0]
    return None
