"""A package that is missing, and one that does not load, each get their sentence."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stream_detector.errors import MissingDependency
from stream_detector.optional import require, stand_ins


def test_a_missing_package_says_what_to_install() -> None:
    sentence = r"drawing needs no_such_package.*pip install 'stream-detector\[gui\]'"
    with pytest.raises(MissingDependency, match=sentence):
        require("no_such_package", why="drawing", extra="gui")


def test_a_missing_system_library_names_its_debian_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_gl.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingDependency, match=r"system library libGL\.so\.1.*apt-get install libgl1"):
        require("needs_gl", why="reading pictures")


def test_a_package_that_lacks_another_is_called_broken_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more.py").write_text("import another_missing_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingDependency, match="installed, but lacks 'another_missing_package'"):
        require("needs_more", why="scoring")
    assert "needs_more" not in sys.modules


def test_finding_faces_loads_neither_a_plotting_library_nor_the_sound_system() -> None:
    _run_alone("""
        import sys
        import numpy as np
        from stream_detector.optional import load_media_libraries
        load_media_libraries()
        from stream_detector.faces import MediaPipeFaceFinder
        finder = MediaPipeFaceFinder()
        finder.find(np.zeros((64, 64, 3), np.uint8))
        finder.close()
        assert not {"matplotlib", "matplotlib.pyplot", "sounddevice"} & set(sys.modules)
        from mediapipe.tasks.python.vision import drawing_utils
        import matplotlib.pyplot
        assert drawing_utils.plt.figure is matplotlib.pyplot.figure
    """)


def test_a_part_of_a_package_that_is_stood_in_for_can_be_imported_meanwhile() -> None:
    _run_alone("""
        import sys
        from stream_detector.optional import stand_ins
        with stand_ins("matplotlib", "matplotlib.pyplot"):
            import matplotlib.pyplot as plt
            assert type(plt).__name__ == "_StandIn"
            from matplotlib.figure import Figure
            assert Figure.__module__ == "matplotlib.figure"
        import matplotlib.pyplot
        assert plt.Figure is matplotlib.pyplot.Figure is Figure
    """)


def test_a_package_that_is_loaded_already_is_not_stood_in_for() -> None:
    with stand_ins("json"):
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json


def _run_alone(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
