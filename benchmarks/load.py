"""Under load: how old verdicts are, how many streams a machine carries, and what overload does."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.capture import HEIGHT_PX, WIDTH_PX, Watched, jain, percentiles, watch
from benchmarks.loopback import cameras
from stream_detector.settings import make_settings

RATES_HZ = (15, 30, 60)
OFFERED = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0)
SWEEP = tuple((batch, wait_ms) for batch in (1, 2, 4, 8) for wait_ms in (0.0, 5.0, 20.0, 50.0))
_FAIR = 0.95
_RATE_KEPT = 0.9
"""Of the scores asked for, so that a stream is not carried by scoring it less."""
_BATCH_S = 0.05
"""Of the slowed scorer whose capacity is known: 20 batches a second."""


def measure_latency(*, seconds: float) -> dict[str, Any]:
    """From picture to verdict by the time in its pixels, at several frame rates.

    The camera sends at its own pace whatever becomes of what it sent: a late verdict makes the next ones
    no rarer, and none is left out of the figures (no coordinated omission).
    """
    rows = []
    for rate_hz in RATES_HZ:
        seen = watch(make_settings(sources=(f"selftest:{rate_hz}",)), seconds=seconds)
        rows.append(
            {
                "rate_hz": rate_hz,
                "scores": len(seen.true_ms),
                "true_ms": percentiles(seen.true_ms),
                "whole_ms": percentiles(seen.whole_ms),
            }
        )
    return {"seconds": seconds, "rows": rows}


def latency_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| frames/s | scores | picture made to verdict, ms p50 / p95 / p99 | packet to verdict, likewise |",
        "|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['rate_hz']} | {row['scores']} | {_three(row['true_ms'])} | {_three(row['whole_ms'])} |"
        for row in result["rows"]
    ]
    return "\n".join(lines) + (
        f"\n\n640x360, one face, 5 scores/s, {result['seconds']:g} s each; the former has the encoder in it."
    )


def measure_sweep(*, seconds: float, streams: int, score_hz: float) -> dict[str, Any]:
    """Every size and patience of the micro-batch, on the same live streams."""
    rows = []
    with cameras(streams, width_px=WIDTH_PX, height_px=HEIGHT_PX, rate_hz=15) as urls:
        for batch, wait_ms in SWEEP:
            settings = make_settings(
                sources=tuple(urls), score_hz=score_hz, max_batch=batch, max_wait_ms=wait_ms
            )
            # Slowed by nothing, but asked for batches also where one crop at a time is as fast.
            seen = watch(settings, seconds=seconds, batch_s=0.0)
            rows.append(
                {
                    "max_batch": batch,
                    "max_wait_ms": wait_ms,
                    "scores_per_s": sum(seen.scores.values()) / seen.seconds,
                    "age_ms": percentiles(seen.ages_ms),
                    "cpu_s_per_s": seen.cpu_s / seen.seconds,
                }
            )
    return {"streams": streams, "score_hz": score_hz, "seconds": seconds, "rows": rows, "knee": _knee(rows)}


def _knee(rows: list[dict[str, Any]]) -> int:
    """The row after which more patience buys nothing: the least age p95 among those with the most scores."""
    most = max(row["scores_per_s"] for row in rows)
    enough = [at for at, row in enumerate(rows) if row["scores_per_s"] >= 0.98 * most]
    return min(enough, key=lambda at: rows[at]["age_ms"]["p95"])


def sweep_table(result: dict[str, Any]) -> str:
    """The figures as Markdown, the knee marked."""
    lines = [
        "| largest batch | longest wait, ms | scores/s | age, ms p50 / p95 / p99 | CPU s per s | |",
        "|--:|--:|--:|--:|--:|---|",
    ]
    for at, row in enumerate(result["rows"]):
        mark = "the knee" if at == result["knee"] else ""
        lines.append(
            f"| {row['max_batch']} | {row['max_wait_ms']:g} | {row['scores_per_s']:.1f} "
            f"| {_three(row['age_ms'])} | {row['cpu_s_per_s']:.2f} | {mark} |"
        )
    return "\n".join(lines) + (
        f"\n\n{result['streams']} live streams of {WIDTH_PX}x{HEIGHT_PX}, {result['score_hz']:g} scores/s "
        f"each, {result['seconds']:g} s each."
    )


def measure_capacity(
    *, seconds: float, most: int, score_hz: float, rate_hz: int, deadline_ms: float
) -> dict[str, Any]:
    """The largest number of live streams whose verdicts stay young, by bisection.

    A number is carried where all streams are scored evenly (Jain index), at nine tenths of the rate asked
    for at least, and the age of their verdicts stays under the deadline for 95 in 100.

    Args:
        most: no more streams are tried.
    """
    tried: dict[int, dict[str, Any]] = {}

    def carried(streams: int) -> bool:
        with cameras(streams, width_px=WIDTH_PX, height_px=HEIGHT_PX, rate_hz=rate_hz) as urls:
            try:
                seen = watch(make_settings(sources=tuple(urls), score_hz=score_hz), seconds=seconds)
            except RuntimeError as error:  # one of them brought no score at all
                tried[streams] = {"streams": streams, "carried": False, "why": str(error)}
                return False
        tried[streams] = _fared(seen, streams, score_hz, deadline_ms)
        return bool(tried[streams]["carried"])

    found = largest(carried, most)
    return {
        "streams": found,
        "most": most,
        "score_hz": score_hz,
        "rate_hz": rate_hz,
        "deadline_ms": deadline_ms,
        "seconds": seconds,
        "tried": [tried[streams] for streams in sorted(tried)],
    }


def largest(carried: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` that is `carried`, where more are harder; 0 where not even one is."""
    low, high = 0, 1
    while high <= most and carried(high):
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if carried(middle) else (low, middle)
    return low


def _fared(seen: Watched, streams: int, score_hz: float, deadline_ms: float) -> dict[str, Any]:
    rates_hz = [seen.scores[stream] / seen.seconds for stream in range(streams)]
    age_ms, even, lowest_hz = percentiles(seen.ages_ms), jain(rates_hz), min(rates_hz)
    young = age_ms["p95"] <= deadline_ms
    return {
        "streams": streams,
        "carried": young and even >= _FAIR and lowest_hz >= _RATE_KEPT * score_hz,
        "age_ms": age_ms,
        "jain": even,
        "rate_hz_lowest": lowest_hz,
        "cpu_s_per_s": seen.cpu_s / seen.seconds,
        "rss_mb": max((mb for _, mb in seen.rss_mb), default=None),
    }


def capacity_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| streams | carried | age, ms p50 / p95 / p99 | Jain | least scores/s | CPU s per s | memory, MB |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    for row in result["tried"]:
        if "why" in row:
            lines.append(f"| {row['streams']} | no: {row['why']} | | | | | |")
            continue
        lines.append(
            f"| {row['streams']} | {'yes' if row['carried'] else 'no'} | {_three(row['age_ms'])} "
            f"| {row['jain']:.3f} | {row['rate_hz_lowest']:.2f} | {row['cpu_s_per_s']:.2f} "
            f"| {row['rss_mb']:.0f} |"
        )
    limit = " (no more were tried)" if result["streams"] == result["most"] else ""
    return "\n".join(lines) + (
        f"\n\n**{result['streams']} live streams**{limit} of {WIDTH_PX}x{HEIGHT_PX} at "
        f"{result['rate_hz']}/s, one face each, {result['score_hz']:g} scores/s, age p95 within "
        f"{result['deadline_ms']:g} ms; {result['seconds']:g} s each, the cameras on the same machine."
    )


def measure_overload_curve(*, seconds: float, streams: int, rate_hz: int) -> dict[str, Any]:
    """Age and drops as more is asked of a scorer than it can do, from half to five times."""
    rows = []
    with cameras(streams, width_px=WIDTH_PX, height_px=HEIGHT_PX, rate_hz=rate_hz) as urls:
        for offered in OFFERED:
            # One face per stream and one batch for all of them: rate_hz batches a second are wanted.
            settings = make_settings(
                sources=tuple(urls), score_hz=min(rate_hz, offered / _BATCH_S), max_batch=streams
            )
            batch_s = max(_BATCH_S, offered / rate_hz)
            seen = watch(settings, seconds=seconds, batch_s=batch_s)
            wanted = settings.score_hz * streams * seen.seconds
            rows.append(
                {
                    "offered": settings.score_hz * batch_s,
                    "age_ms": percentiles(seen.ages_ms),
                    "batch_ms": float(np.percentile(seen.batch_ms, 50)),
                    "scored": sum(seen.scores.values()) / wanted,
                    "jain": jain([seen.scores[stream] / seen.seconds for stream in range(streams)]),
                    "dropped": {
                        stage: sum(s.dropped[stage] for s in seen.streams)
                        for stage in ("decode", "find", "score")
                    },
                }
            )
    return {"streams": streams, "rate_hz": rate_hz, "seconds": seconds, "rows": rows}


def overload_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| offered / capacity | scored | age, ms p50 / p95 / p99 | of it one batch, ms | Jain | given up |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['offered']:.1f} | {row['scored']:.0%} | {_three(row['age_ms'])} | {row['batch_ms']:.0f} "
        f"| {row['jain']:.3f} | {row['dropped']['find']} frames, {row['dropped']['score']} crops |"
        for row in result["rows"]
    ]
    return "\n".join(lines) + (
        f"\n\n{result['streams']} live streams at {result['rate_hz']}/s and a scorer slowed to a known "
        f"capacity, {result['seconds']:g} s each."
    )


def _three(ms: dict[str, float]) -> str:
    return f"{ms['p50']:.0f} / {ms['p95']:.0f} / {ms['p99']:.0f}"
