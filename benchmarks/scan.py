"""What the verdict on whole files is worth: how often it is wrong, and how long it takes."""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from statistics import NormalDist
from typing import Any

from stream_detector.errors import UsageError
from stream_detector.scanning.finding import find_files
from stream_detector.scanning.results import FileResult, FileVerdict
from stream_detector.scanning.scan import rule_of, scan
from stream_detector.scorers.choice import read_spec
from stream_detector.settings import make_settings
from stream_detector.sources.reader import quiet_ffmpeg

_COLUMNS = (FileVerdict.LIKELY_FAKE, FileVerdict.UNCERTAIN, FileVerdict.LIKELY_REAL)


def measure_scan(folder: Path, *, jobs: int, score_hz: float) -> dict[str, object]:
    """Scan `folder`, which holds real/ and fake/, each with a folder per kind.

    Raises:
        UsageError: it holds no video in one of the two.
    """
    quiet_ffmpeg()
    settings = make_settings(stay=True, score_hz=score_hz)
    spec = read_spec(settings.model, backend=settings.backend, precision=settings.precision)
    rule = rule_of(spec)
    files = find_files([folder / "real", folder / "fake"])
    kind_of = {file.shown: _kind(Path(file.path), folder) for file in files}
    if {kind.partition("/")[0] for kind in kind_of.values()} != {"real", "fake"}:
        raise UsageError(f"cannot measure with {folder}: expected videos in both real/ and fake/")
    began_s = time.monotonic()
    results: list[FileResult] = []
    with closing(scan(files, settings, rule=rule, jobs=jobs, pictures=False)) as scanning:
        results += [now.finished for now in scanning if now.finished is not None]
    wall_s = time.monotonic() - began_s
    rows = []
    for kind in sorted(set(kind_of.values()), reverse=True):
        rows.append(_row(kind, [result for result in results if kind_of[result.path] == kind]))
    for whole in ("real", "fake"):
        rows.append(_row(f"all {whole}", [r for r in results if kind_of[r.path].partition("/")[0] == whole]))
    return {
        "data": folder.name,
        "rows": rows,
        "band": [rule.low, rule.high],
        "spec_sha256": spec.sha256,
        "score_hz": score_hz,
        "jobs": jobs,
        "files": len(results),
        "media_s": sum(result.media_s for result in results),
        "wall_s": wall_s,
        "problems": sum(result.problem is not None for result in results),
    }


def scan_table(result: Mapping[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [
        "| files | likely fake | uncertain | likely real | too little, no face | called fake |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in result["rows"]:
        low, high = row["called_fake"]["low"], row["called_fake"]["high"]
        counted = " | ".join(str(row["verdicts"].get(verdict, 0)) for verdict in _COLUMNS)
        other = row["files"] - sum(row["verdicts"].get(verdict, 0) for verdict in _COLUMNS)
        lines.append(
            f"| {row['kind']} ({row['files']}) | {counted} | {other} | "
            f"{row['called_fake']['value']:.0%} [{low:.0%}, {high:.0%}] |"
        )
    return (
        "\n".join(lines) + f"\n\n{result['data']}: {result['files']} files, {result['media_s']:.0f} s of "
        f"video, {result['media_s'] / result['wall_s']:.1f} times real time with --jobs {result['jobs']} at "
        f"{result['score_hz']:g} scores a second; band for means {result['band'][0]:.2f} to "
        f"{result['band'][1]:.2f}. In brackets Wilson's 95 % intervals over files."
    )


def wilson(hits: int, count: int) -> dict[str, float]:
    """A share with its 95 % interval (Wilson 1927)."""
    if count == 0:
        return {"value": 0.0, "low": 0.0, "high": 1.0}
    z = NormalDist().inv_cdf(0.975)
    share = hits / count
    middle = share + z * z / (2 * count)
    reach = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    whole = 1 + z * z / count
    return {
        "value": share,
        "low": max(0.0, (middle - reach) / whole),
        "high": min(1.0, (middle + reach) / whole),
    }


def _row(kind: str, results: list[FileResult]) -> dict[str, object]:
    verdicts = Counter(str(result.verdict) for result in results)
    return {
        "kind": kind,
        "files": len(results),
        "verdicts": dict(verdicts),
        "with_segments": sum(bool(result.segments) for result in results),
        "called_fake": wilson(verdicts[FileVerdict.LIKELY_FAKE], len(results)),
    }


def _kind(path: Path, folder: Path) -> str:
    return "/".join(path.relative_to(folder).parts[:2])
