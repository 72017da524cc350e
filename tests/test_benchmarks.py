"""The benchmarks run, their arithmetic is right, and the README shows what was committed."""

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.app import app
from benchmarks.clips import encode_demo
from benchmarks.harness import Stopwatch
from benchmarks.pipeline import STAGES
from benchmarks.report import up_to_date


def test_a_stopwatch_counts_every_call_and_knows_its_percentiles() -> None:
    watch = Stopwatch(wall_s=[i / 1000 for i in range(1, 101)], cpu_s=[0.0] * 100)
    assert watch.calls == 100
    assert watch.percentile_ms(50) == pytest.approx(50.5)
    assert watch.percentile_ms(95) == pytest.approx(95.05)
    with watch.call():
        time.sleep(0.01)
    assert watch.calls == 101
    assert watch.wall_s[-1] >= 0.01
    assert Stopwatch().percentile_ms(50) == 0.0


def test_the_pipeline_benchmark_accounts_for_all_its_time(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.mp4", tmp_path / "result.json"
    encode_demo(clip, seconds=2, rate_hz=10)
    done = CliRunner().invoke(app, ["pipeline", str(clip), "--rounds", "1", "--json", str(out)])
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    result = content["result"]
    assert [row["stage"] for row in result["stages"]] == list(STAGES)
    assert sum(row["cpu_share"] for row in result["stages"]) == pytest.approx(1.0)
    assert (result["frames"], result["scores"], result["whole"]["scores"]) == (20, 20, 20)
    assert str(tmp_path) not in out.read_text()
    assert content["machine"]["cores"] >= 1
    for stage in STAGES:
        assert f"| {stage} |" in done.output


def test_the_tables_in_the_readme_are_the_committed_results() -> None:
    assert up_to_date(), "run: python -m benchmarks report"
