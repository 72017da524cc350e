"""The benchmarks run, their arithmetic is right, and the README shows what was committed."""

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import scoring
from benchmarks.app import app
from benchmarks.capture import jain, rss_slope
from benchmarks.clips import encode_demo
from benchmarks.harness import Stopwatch
from benchmarks.load import largest, measure_overload_curve
from benchmarks.peers import WAYS, measure_peers, peers_table
from benchmarks.pipeline import STAGES
from benchmarks.report import ROOT, up_to_date


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


@pytest.mark.parametrize("carries", [0, 1, 2, 3, 5, 8, 13, 16])
def test_the_largest_number_of_streams_is_found_with_few_tries(carries: int) -> None:
    tried: list[int] = []

    def carried(streams: int) -> bool:
        tried.append(streams)
        return streams <= carries

    assert largest(carried, 16) == carries
    assert len(tried) == len(set(tried)) <= 9
    assert max(tried) <= 16


def test_every_benchmark_is_described_for_whoever_repeats_it() -> None:
    told = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"python -m benchmarks {command.callback.__name__}" in told


def test_the_overload_benchmark_loads_the_scorer_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.capture._SETTLE_S", 0.5)
    monkeypatch.setattr("benchmarks.load.OFFERED", (0.5, 4.0))
    result = measure_overload_curve(seconds=2, streams=1, rate_hz=15)
    light, heavy = result["rows"]
    assert (light["offered"], heavy["offered"]) == pytest.approx((0.5, 4.0))
    assert heavy["scored"] < 0.5 < light["scored"]
    assert heavy["dropped"]["score"] > light["dropped"]["score"]


def test_the_tables_in_the_readme_are_the_committed_results() -> None:
    assert up_to_date(), "run: python -m benchmarks report"


def test_the_alarm_benchmark_says_what_its_facts_are_and_gives_every_table(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    done = CliRunner().invoke(app, ["alarm", "--alarms", "10", "--json", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())["result"]
    assert result["facts"]["real_faces"] >= 20
    assert {row["stated"] for row in result["rates"]} == {1.0, 24.0}
    assert [row["duty"] for row in result["bursts"]][-1] == 1.0
    assert "| alarm |" in done.output
    assert result["facts"]["source"] in done.output


def test_the_capture_benchmark_shows_streams_alive_drops_counted_and_the_true_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.capture._SETTLE_S", 1.0)
    out = tmp_path / "result.json"
    done = CliRunner().invoke(app, ["capture", "--seconds", "2", "--streams", "2", "--json", str(out)])
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


def test_the_scoring_benchmark_says_how_fast_how_exact_and_what_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [way for way in scoring.ways() if way.name in ("onnx", "openvino int8", "tensorrt")]
    monkeypatch.setattr(scoring, "ways", lambda: few)
    monkeypatch.setattr(scoring, "measure_bare", lambda seconds: None)
    out = tmp_path / "result.json"
    words = ["scoring", "--seconds", "0.1", "--rounds", "1", "--largest", "1", "--json", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())["result"]
    exact, int8 = result["rows"]
    assert (exact["way"], exact["max_dlogit"]) == ("onnx", 0.0)
    assert 0.0 < int8["mean_dlogit"] < 0.5
    assert int8["batches"]["1"]["faces_per_s"] > 0
    assert list(result["unusable"]) == ["tensorrt"]
    assert result["macs"] == pytest.approx(4.6e9, rel=0.02)  # 8.4e9 at 299 px, Chollet 2017, by area


def test_the_peers_benchmark_judges_every_frame_the_published_way_and_some_its_own(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    encode_demo(clip, seconds=2, rate_hz=10)
    result = measure_peers(clip, rounds=1, score_hz=5.0)
    verdicts = {way: found["verdicts"] for way, found in result["median"].items()}
    assert verdicts == {"ffpp": 20, "ffpp-openvino": 20, "ours": 10}
    for found in result["median"].values():
        assert found["video_s"] == 2.0
        assert found["peak_mb"] > 100
    table = peers_table(result)
    for name in WAYS.values():
        assert f"| {name} |" in table
