"""Many live streams and too slow a scorer: ages, fairness, memory, and the true delay of a verdict."""

import gc
import os
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loopback import cameras
from stream_detector.pipeline import Pipeline
from stream_detector.records import FaceScore, Image, Scores, StreamSnapshot, StreamState
from stream_detector.scorers.choice import choose_scorer
from stream_detector.settings import Settings, make_settings
from stream_detector.stages import Scorer

WIDTH_PX, HEIGHT_PX, RATE_HZ = 640, 360, 15
_TOO_SLOW = 5
_OPEN_WITHIN_S = 60.0
_SETTLE_S = 5.0
"""Pictures buffered while a source opens are old when they are seen; they are not what is measured."""
_PATIENCE_S = 5.0


class Slowed:
    """A scorer whose every batch takes at least `batch_s`."""

    def __init__(self, scorer: Scorer, batch_s: float) -> None:
        self._scorer = scorer
        self._batch_s = batch_s
        self.spec = scorer.spec
        self.backend, self.precision = scorer.backend, scorer.precision
        self.max_batch = self.best_batch = scorer.max_batch  # a full batch takes it no longer than one crop

    def score(self, faces: Image) -> Scores:
        """As the scorer it wraps, later."""
        done_s = time.monotonic() + self._batch_s
        scores = self._scorer.score(faces)
        time.sleep(max(0.0, done_s - time.monotonic()))
        return scores

    def close(self) -> None:
        """Close the scorer it wraps."""
        self._scorer.close()


@dataclass
class Watched:
    """What a run showed once it had settled."""

    seconds: float = 0.0
    ages_ms: list[float] = field(default_factory=list)
    batch_ms: list[float] = field(default_factory=list)
    in_line_ms: list[float] = field(default_factory=list)
    """Waiting for the scorer and being scored: the part of the age that overload makes."""
    true_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    scores: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    longest_gap_s: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    rss_mb: list[tuple[float, float]] = field(default_factory=list)
    """(second, MB), about once a second."""
    python_objects: list[int] = field(default_factory=list)
    """How many the garbage collector knows, once settled and at the end."""
    cpu_s: float = 0.0
    streams: tuple[StreamSnapshot, ...] = ()


def watch(settings: Settings, *, seconds: float, batch_s: float | None = None) -> Watched:
    """Watch live streams until each has been scored, let them settle, then measure for `seconds`.

    Raises:
        RuntimeError: a stream brought no score within a minute.
    """

    def open_scorer(wanted: Settings) -> Scorer:
        scorer = choose_scorer(
            model=wanted.model,
            backend=wanted.backend,
            precision=wanted.precision,
            max_batch=wanted.max_batch,
        )
        return scorer if batch_s is None else Slowed(scorer, batch_s)

    seen = Watched()
    waiting_for = set(range(len(settings.streams)))
    last_at_s: dict[int, float] = {}
    with Pipeline(settings, open_scorer=open_scorer) as pipeline:
        pipeline.patience_s = _PATIENCE_S
        opened_s = time.monotonic()
        began_s: float | None = None
        cpu_s = 0.0
        for record in pipeline.records(tick_s=0.2):
            now_s = time.monotonic()
            if isinstance(record, FaceScore) and record.stamps is not None:
                waiting_for.discard(record.stream)
            if waiting_for:
                if now_s - opened_s > _OPEN_WITHIN_S:
                    raise RuntimeError(f"no score of streams {sorted(waiting_for)} in {_OPEN_WITHIN_S:g} s")
                settled_s = now_s + _SETTLE_S
                continue
            if now_s < settled_s:
                continue
            if began_s is None:
                began_s, cpu_s = now_s, time.process_time()
                last_at_s = dict.fromkeys(range(len(settings.streams)), now_s)
                seen.python_objects.append(len(gc.get_objects()))
            due = not seen.rss_mb or now_s - began_s - seen.rss_mb[-1][0] >= 1.0
            if due and (rss_mb := _rss_mb()) is not None:
                seen.rss_mb.append((now_s - began_s, rss_mb))
            if isinstance(record, FaceScore):
                _count(seen, record, last_at_s, now_s)
            if now_s - began_s >= seconds:
                break
        assert began_s is not None
        seen.seconds = time.monotonic() - began_s
        seen.cpu_s = time.process_time() - cpu_s
        for stream, at_s in last_at_s.items():
            seen.longest_gap_s[stream] = max(seen.longest_gap_s[stream], time.monotonic() - at_s)
        seen.streams = pipeline.snapshot()
        seen.python_objects.append(len(gc.get_objects()))
    return seen


def _count(seen: Watched, record: FaceScore, last_at_s: dict[int, float], now_s: float) -> None:
    stamps = record.stamps
    if stamps is None:
        return
    seen.ages_ms.append(record.age_ms)
    stages_s = stamps.stages_s()
    seen.batch_ms.append(stages_s["score"] * 1000)
    seen.in_line_ms.append((stages_s["queue"] + stages_s["score"]) * 1000)
    seen.whole_ms.append(stamps.whole_s * 1000)
    if stamps.painted_at_s is not None:
        seen.true_ms.append((stamps.verdict_at_s - stamps.painted_at_s) * 1000)
    seen.scores[record.stream] += 1
    gap_s = now_s - last_at_s[record.stream]
    seen.longest_gap_s[record.stream] = max(seen.longest_gap_s[record.stream], gap_s)
    last_at_s[record.stream] = now_s


def measure_overload(*, seconds: float, streams: int) -> dict[str, Any]:
    """`streams` cameras that want a score for every frame, and a scorer five times too slow for one."""
    batch_s = _TOO_SLOW / RATE_HZ
    with cameras(streams, width_px=WIDTH_PX, height_px=HEIGHT_PX, rate_hz=RATE_HZ) as urls:
        settings = make_settings(sources=tuple(urls), score_hz=RATE_HZ, max_batch=max(8, streams))
        seen = watch(settings, seconds=seconds, batch_s=batch_s)
    interval_ms = 1000 / RATE_HZ
    batch_ms = float(np.percentile(seen.batch_ms, 50))
    slope, curve = rss_slope(seen.rss_mb)
    return {
        "streams": streams,
        "seconds": seen.seconds,
        "age_ms": percentiles(seen.ages_ms),
        "in_line_ms": percentiles(seen.in_line_ms),
        "bound_ms": interval_ms + batch_ms,
        "interval_ms": interval_ms,
        "batch_ms": percentiles(seen.batch_ms),
        "scores_per_s": sum(seen.scores.values()) / seen.seconds,
        "jain": jain([seen.scores[stream] / seen.seconds for stream in range(streams)]),
        "dropped": {
            stage: sum(s.dropped[stage] for s in seen.streams) for stage in ("decode", "find", "score")
        },
        "lag_ms_peak": max((s.lag_ms or 0.0) for s in seen.streams),
        "python_objects": seen.python_objects,
        "rss_mb_per_min": slope,
        "rss_mb": curve,
    }


def measure_streams(*, seconds: float, streams: int, score_hz: float) -> dict[str, Any]:
    """`streams` cameras of 640x360 at 15 frames/s, a score per face and `score_hz`."""
    with cameras(streams, width_px=WIDTH_PX, height_px=HEIGHT_PX, rate_hz=RATE_HZ) as urls:
        seen = watch(make_settings(sources=tuple(urls), score_hz=score_hz), seconds=seconds)
    rates_hz = [seen.scores[stream] / seen.seconds for stream in range(streams)]
    return {
        "streams": streams,
        "seconds": seen.seconds,
        "score_hz": score_hz,
        "live": sum(s.state is StreamState.RUNNING for s in seen.streams),
        "rate_hz_lowest": min(rates_hz),
        "rate_hz_highest": max(rates_hz),
        "jain": jain(rates_hz),
        "longest_gap_s": max(seen.longest_gap_s.values()),
        "age_ms": percentiles(seen.ages_ms),
        "lag_ms_highest": max((s.lag_ms or 0.0) for s in seen.streams),
        "dropped": {
            stage: sum(s.dropped[stage] for s in seen.streams) for stage in ("decode", "find", "score")
        },
        "cpu_s_per_s": seen.cpu_s / seen.seconds,
    }


def measure_delay(*, seconds: float) -> dict[str, Any]:
    """From the making of a picture to its verdict, by the time in its pixels."""
    seen = watch(make_settings(sources=("selftest:",)), seconds=seconds)
    return {
        "seconds": seen.seconds,
        "scores": len(seen.true_ms),
        "true_ms": percentiles(seen.true_ms),
        "whole_ms": percentiles(seen.whole_ms),
        "age_ms": percentiles(seen.ages_ms),
    }


def load_average() -> float:
    """Of the last quarter of an hour: how many threads wanted a processor; 0 where the system has none."""
    return os.getloadavg()[2] if hasattr(os, "getloadavg") else 0.0


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the highest."""
    names = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    return {name: float(np.percentile(values, percent)) for name, percent in names.items()}


def jain(rates: list[float]) -> float:
    """Fairness (Jain, Chiu & Hawe, 1984): 1 where all are alike, 1/n where one has everything."""
    values = np.asarray(rates)
    return float(values.sum() ** 2 / (len(values) * (values**2).sum()))


def rss_slope(samples: list[tuple[float, float]]) -> tuple[float | None, list[dict[str, float]]]:
    """Growth of the resident memory in MB per minute, by least squares, and the curve: one point per 30 s.

    The first fifth of the time is left out: caches fill then. The growth is None without two samples.
    """
    if len(samples) < 2:
        return None, []
    begin_s = samples[-1][0] / 5
    seconds, rss_mb = np.asarray([sample for sample in samples if sample[0] >= begin_s]).T
    slope = float(np.polyfit(seconds, rss_mb, 1)[0]) * 60 if len(seconds) > 1 else None
    curve: list[dict[str, float]] = []
    for second, mb in samples:
        if not curve or second - curve[-1]["s"] >= 30:
            curve.append({"s": round(second, 1), "mb": round(mb, 1)})
    return slope, curve


def _rss_mb() -> float | None:
    """Resident memory of this process; None where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return None


_SHORTEST_SOAK_S = 300.0
"""In a shorter run the memory that a start takes is most of any slope."""


def _memory_text(over: dict[str, Any]) -> str:
    objects = f"Python objects {over['python_objects'][-1] - over['python_objects'][0]:+d}"
    if over["rss_mb_per_min"] is None:
        return f"not measured here; {objects}"
    if over["seconds"] < _SHORTEST_SOAK_S:
        return f"too short a run to tell; {objects}"
    return f"{over['rss_mb_per_min']:+.2f} MB/min; {objects}"


def capture_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table: what was asked for, the bound, what was measured."""
    over, many, delay = result["overload"], result["streams"], result["delay"]
    rows = [
        (
            f"{over['streams']} streams, scorer {_TOO_SLOW} times too slow, {over['seconds']:.0f} s",
            f"age p99 ≤ frame interval + batch = {over['bound_ms']:.0f} ms",
            f"p99 {over['age_ms']['p99']:.0f} ms; in line and scored {over['in_line_ms']['p99']:.0f} ms",
        ),
        ("", "even: Jain ≥ 0.95", f"{over['jain']:.3f}"),
        (
            "",
            "memory < 1 MB/min",
            _memory_text(over),
        ),
        (
            f"{many['streams']} streams of {WIDTH_PX}x{HEIGHT_PX} at {RATE_HZ}/s, "
            f"{many['score_hz']:g} score/s each, {many['seconds']:.0f} s",
            "all live, none starved",
            f"{many['live']} live, {many['rate_hz_lowest']:.2f}–{many['rate_hz_highest']:.2f} scores/s, "
            f"longest gap {many['longest_gap_s']:.1f} s",
        ),
        ("", "even: Jain ≥ 0.95", f"{many['jain']:.3f}"),
        (
            "",
            "age p95",
            f"{many['age_ms']['p95']:.0f} ms, {many['cpu_s_per_s']:.2f} CPU seconds per second",
        ),
        (
            f"selftest:, {delay['seconds']:.0f} s",
            "picture made to verdict",
            f"p50 {delay['true_ms']['p50']:.0f}, p95 {delay['true_ms']['p95']:.0f} ms",
        ),
        (
            "",
            "of it after the packet came",
            f"p50 {delay['whole_ms']['p50']:.0f}, p95 {delay['whole_ms']['p95']:.0f} ms",
        ),
    ]
    return "\n".join(
        ["| what | bound | measured |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    )
