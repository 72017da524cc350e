"""The window's benchmarks run, and their arithmetic is right."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.app import app
from benchmarks.gui import PARTS
from benchmarks.soak import _trend
from tests import gui_parts

_ = gui_parts


def test_painting_and_verdicts_are_timed_with_and_without_the_window(tmp_path: Path) -> None:
    out = tmp_path / "gui.json"
    done = CliRunner().invoke(app, ["gui", "--seconds", "1", "--rounds", "1", "--json", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())["result"]
    for parts in result["painting"].values():
        assert list(parts) == list(PARTS)
        assert all(0 < part["ms_p50"] <= part["ms_p95"] for part in parts.values())
        assert parts["whole"]["ms_p50"] >= parts["paint"]["ms_p50"]
    assert result["faces"] == 4
    for name in ("with", "without"):
        assert result["latency"][name]["verdicts"] > 0
        assert f"| {name} the window |" in done.output


def test_the_soak_samples_memory_and_buffers(tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    done = CliRunner().invoke(app, ["gui", "--soak", "0.06", "--json", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())["result"]
    assert result["broke"] == ""
    assert len(result["samples"]) >= 2
    assert all(sample["rss_mb"] > 50 for sample in result["samples"])


def test_the_trend_is_that_of_the_second_half() -> None:
    samples = [{"minute": float(m), "rss_mb": 100.0 * min(m, 5) + 2.0 * max(0, m - 5)} for m in range(11)]
    assert _trend(samples) == pytest.approx(2.0)
    assert _trend(samples[:2]) is None
