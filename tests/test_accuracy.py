"""The accuracy benchmark is the evaluator's, told as the other benchmarks tell theirs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.app import app
from benchmarks.clips import encode_demo
from engine_build.evaluate_command import evaluate
from engine_build.evaluation import Evaluation
from engine_build.evaluation_media import find_samples
from engine_build.evaluation_scores import Way
from stream_detector.errors import ModelError, UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo as a real and as a fake clip, and a broken one."""
    root = tmp_path_factory.mktemp("media") / "clips"
    for each in ("real", "fake/patched", "fake/broken"):
        (root / each).mkdir(parents=True)
    encode_demo(root / "real" / "Jane Doe.mp4", seconds=2, rate_hz=10)
    (root / "fake" / "patched" / "Jane Doe.mp4").write_bytes((root / "real" / "Jane Doe.mp4").read_bytes())
    (root / "fake" / "broken" / "Joe Public.mp4").write_bytes(b"no video at all")
    return root


def test_the_benchmark_finds_what_the_evaluator_finds_and_names_nobody(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    words = ["accuracy", str(folder), "--score-hz", "4", "--draws", "20", "--json", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    content = json.loads(out.read_text())
    assert set(content) == {"name", "command", "machine", "result"}
    result = content["result"]
    found = Evaluation.model_validate(result["evaluation"])
    way = Way(None, "auto", "auto", 4.0, None)
    expected, _ = evaluate(find_samples(folder), way, scores=tmp_path / "s", data="clips", draws=20)
    assert found == expected.model_copy(update={"unscored": ()})
    assert (result["files"], result["unscored"]) == (3, 1)
    assert [level.auc.value for level in found.levels] == [0.5, 0.5]  # it is twice the same clip
    for written in (out.read_text(), done.output):
        assert "Jane" not in written
        assert "Joe" not in written
        assert str(folder.parent) not in written
    clip = found.levels[0]
    assert f"| clip | 1, 1 | {clip.auc} | {clip.eer} | {clip.ece} |" in done.stdout
    assert "| patched | 1 |" in done.stdout
    assert "3 files, of which 1 could not be scored" in done.stdout


def test_a_folder_without_labels_or_without_both_is_refused(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["accuracy", str(folder / "real")])
    assert isinstance(done.exception, UsageError)
    assert "nothing says whether" in str(done.exception)
    done = CliRunner().invoke(app, ["accuracy", str(tmp_path / "absent")])
    assert isinstance(done.exception, ModelError)
    (tmp_path / "half/fake").mkdir(parents=True)
    whole = (folder / "real" / "Jane Doe.mp4").read_bytes()
    (tmp_path / "half/fake/a.mp4").write_bytes(whole)
    done = CliRunner().invoke(app, ["accuracy", str(tmp_path / "half"), "--duration", "0.5"])
    assert isinstance(done.exception, ModelError)
    assert "on 0 real and 1 fake clips" in str(done.exception)
