"""Starting the window: what is loaded, and what is said where it cannot open."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gui import qt_libraries
from gui.qt_libraries import forget_other_qt, missing_library
from stream_detector.errors import MissingDependency
from tests import gui_parts
from tests.conftest import REPOSITORY

_ = gui_parts


def start(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    unset = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    env = {name: value for name, value in os.environ.items() if name not in unset}
    return subprocess.run(
        [sys.executable, "-m", "stream_detector", "gui", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPOSITORY,
        env={**env, **more},
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only there a screen is a variable")
def test_without_a_screen_the_window_says_so_in_one_sentence() -> None:
    done = start()
    assert done.returncode == 4
    assert "needs a screen" in done.stderr
    assert "stream-detector watch" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_that_makes_no_sense_is_said_before_a_window_opens() -> None:
    done = start("--score-hz", "0", QT_QPA_PLATFORM="offscreen")
    assert done.returncode == 2
    assert "--score-hz" in done.stderr


def test_a_mistake_in_the_file_of_streams_is_said_before_a_window_opens(tmp_path: Path) -> None:
    config = tmp_path / "streams.toml"
    config.write_text('[[stream]]\nname = "door"\n')
    done = start("--config", str(config), QT_QPA_PLATFORM="offscreen")
    assert done.returncode == 2
    assert "streams.toml: stream 1 ('door') has no url" in done.stderr


def test_without_pyqt_the_window_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['PyQt6'] = None; sys.modules['PyQt6.QtCore'] = None\n"
        "from gui.qt_libraries import load_qt; load_qt()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=REPOSITORY
    )
    assert "MissingDependency" in done.stderr
    assert "stream-detector[gui]" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="Debian's packages are named on Linux")
def test_a_missing_library_of_the_system_is_named_with_the_debian_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(qt_libraries, "missing_library", lambda: "libxcb-cursor.so.0")
    with pytest.raises(MissingDependency, match=r"libxcb-cursor\.so\.0.*apt-get install .*libxcb-cursor0"):
        qt_libraries._check_screen()


@pytest.mark.skipif(sys.platform != "linux", reason="the plug-in of X11")
def test_a_library_that_is_missing_is_found_before_qt_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = tmp_path / "PyQt6" / "Qt6" / "plugins" / "platforms"
    plugins.mkdir(parents=True)
    (tmp_path / "PyQt6" / "__init__.py").touch()
    (plugins / "libqxcb.so").write_bytes(b"this is no library")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from gui.qt_libraries import missing_library; print(missing_library())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
    )
    assert "libqxcb.so" in done.stdout
    assert missing_library() is None or ".so" in str(missing_library())


def test_the_variables_of_the_other_qt_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", "/somewhere/cv2/qt/plugins")
    monkeypatch.setenv("QT_QPA_FONTDIR", "/somewhere/cv2/qt/fonts")
    forget_other_qt()
    assert not {"QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"} & set(os.environ)


def test_the_logic_of_the_window_needs_no_qt() -> None:
    code = "import gui.board, gui.history, gui.palette, sys; print('PyQt6' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=REPOSITORY
    )
    assert done.stdout.strip() == "False", done.stderr
