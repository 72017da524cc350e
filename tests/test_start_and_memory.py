"""The benchmarks of the start and of memory run, and memory stays within its bounds."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import start
from benchmarks.app import app
from benchmarks.clips import encode_demo
from benchmarks.memory import FURTHER_STREAM_MB, ONE_STREAM_MB


def test_the_start_benchmark_splits_what_comes_before_the_first_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[bool] = []

    def forget() -> bool:
        forgotten.append(True)
        return True

    monkeypatch.setattr(start, "_forget_files", forget)  # it would concern the whole machine
    clip, out = tmp_path / "clip.mp4", tmp_path / "result.json"
    encode_demo(clip, seconds=1, rate_hz=10)
    done = CliRunner().invoke(app, ["start", str(clip), "--rounds", "1", "--json", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())["result"]
    assert forgotten == [True]
    for kind in ("cold", "warm"):
        (run,) = result["runs"][kind]
        assert 0 < run["imported_s"] < run["model_s"] < run["verdict_s"]
        assert run["imported_s"] < run["found_s"] < run["verdict_s"]
        assert 0 < run["imported_cpu_s"] < run["model_cpu_s"] <= run["verdict_cpu_s"]
        assert result["median"][kind] == run
    assert str(tmp_path) not in out.read_text()
    for told in start.STEPS.values():
        assert f"| {told} |" in done.output


def test_a_start_that_may_not_be_made_cold_is_called_warm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "_DROP", tmp_path)  # a folder: nobody can write to it
    assert not start._forget_files()
    run = dict.fromkeys([f"{step}{unit}" for step in start.STEPS for unit in ("_s", "_cpu_s")], 1.0)
    table = start.start_table({"clip": "a.mp4", "rounds": 1, "median": {"warm": run}})
    assert "cold: s" not in table
    assert "1.00 s after a warm start" in table
    assert "could not be measured" in table


def test_one_stream_and_each_further_one_stay_within_their_memory(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    words = ["memory", "--streams", "3", "--seconds", "2", "--json", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())["result"]
    one, many = result["rows"]
    assert (one["streams"], many["streams"]) == (1, 4)
    assert 100 < one["peak_mb"] < ONE_STREAM_MB
    assert 0 < result["further_stream_mb"] < FURTHER_STREAM_MB
    assert f"each further one {result['further_stream_mb']:.1f} MB" in done.output
