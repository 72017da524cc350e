"""The benchmarks run, their arithmetic is right, and the README shows what was committed."""

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.app import app
from benchmarks.capture import jain, rss_slope
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


def test_the_alarm_benchmark_says_what_its_facts_are_and_gives_every_table(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    done = CliRunner().invoke(app, ["alarm", "--alarms", "10", "--json", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())["result"]
    assert result["facts"]["real_faces"] >= 20
    assert {row["stated"] for row in result["rates"]} == {1.0, 10.0}
    assert [row["duty"] for row in result["bursts"]][-1] == 1.0
    assert "| alarm |" in done.output
    assert result["facts"]["source"] in done.output


def test_the_capture_benchmark_shows_streams_alive_drops_counted_and_the_true_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.capture._SETTLE_S", 1.0)
    out = tmp_path / "result.json"
    done = CliRunner().invoke(app, ["capture", "--seconds", "3", "--streams", "2", "--json", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())["result"]
    many, overload, delay = result["streams"], result["overload"], result["delay"]
    assert many["live"] == 2
    assert many["rate_hz_lowest"] > 0.2
    assert overload["age_ms"]["p99"] < overload["bound_ms"] + 2000  # a queue would grow to more
    assert overload["jain"] >= 0.95
    assert overload["dropped"]["score"] > 20
    assert delay["true_ms"]["p50"] > delay["whole_ms"]["p50"] > 0
    assert "selftest:" in done.output


def test_memory_that_grows_has_a_slope_and_the_start_does_not_count() -> None:
    flat = [(float(second), 900.0 if second < 10 else 1000.0) for second in range(120)]
    assert rss_slope(flat)[0] == pytest.approx(0)
    growing = [(float(second), 1000 + second / 30) for second in range(120)]
    slope, curve = rss_slope(growing)
    assert slope == pytest.approx(2)
    assert [point["s"] for point in curve] == [0, 30, 60, 90]


def test_jain_is_one_where_all_are_alike_and_a_share_where_one_has_everything() -> None:
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(1 / 4)
    assert jain([1.0, 2.0]) == pytest.approx(0.9)
