"""Rules that matter: light imports, one-line docstrings, a README that is held to the code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SOURCES = sorted(
    path
    for package in ("stream_detector", "engine_build", "gui", "benchmarks")
    for path in (REPOSITORY / package).rglob("*.py")
)
HEAVY = ("torch", "tensorrt", "tensorrt_rtx", "mediapipe", "PyQt6", "openvino", "onnxruntime", "cv2", "av")


def loaded_after(statement: str, modules: tuple[str, ...]) -> str:
    code = f"import sys; {statement}; print([m for m in {modules!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import stream_detector", HEAVY) == "[]"


def test_importing_the_pipeline_loads_no_torch_no_window_and_no_engine() -> None:
    heavy = ("torch", "tensorrt", "PyQt6", "mediapipe", "openvino", "onnxruntime")
    assert loaded_after("import stream_detector.pipeline", heavy) == "[]"


def test_importing_the_command_loads_no_opencv_which_must_come_after_pyav() -> None:
    heavy = ("cv2", "av", "mediapipe")
    assert loaded_after("import stream_detector.commands.app, stream_detector.commands.watch", heavy) == "[]"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_every_module_says_in_its_first_line_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, "no module docstring"
    assert docstring.splitlines()[0].rstrip().endswith((".", "?")), "the first line is not a sentence"


def test_every_packaged_asset_is_named_with_its_hash_in_the_notice() -> None:
    from stream_detector.model_spec import file_sha256

    assets = REPOSITORY / "stream_detector" / "assets"
    notice = (assets / "NOTICE.md").read_text(encoding="utf-8")
    for asset in sorted(assets.iterdir()):
        if asset.suffix in {".py", ".md", ""} or asset.name.startswith("."):
            continue
        assert asset.name in notice, f"{asset.name} is not in NOTICE.md"
        if asset.suffix != ".json":
            assert file_sha256(asset) in notice, f"NOTICE.md states another hash for {asset.name}"
