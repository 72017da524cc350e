"""A package that is missing, and one that does not load, each get their sentence."""

import sys
from pathlib import Path

import pytest

from stream_detector.errors import MissingDependency
from stream_detector.optional import require


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
