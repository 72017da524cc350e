"""Scan files and folders: which to read, how far it has come, and the reports at the end."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stream_detector import __version__
from stream_detector.commands.signals import INTERRUPTED, Signals
from stream_detector.errors import SourceError, UsageError
from stream_detector.optional import load_media_libraries
from stream_detector.scanning.finding import VIDEO_SUFFIXES, FoundFile, find_files
from stream_detector.scanning.report_files import as_csv, as_json, check_writable, write_whole
from stream_detector.scanning.report_table import printable, scan_table
from stream_detector.scanning.results import FileResult, ScanReport
from stream_detector.settings import Settings

if TYPE_CHECKING:
    from stream_detector.scanning.scan import Reached


@dataclass(frozen=True, slots=True)
class ScanOutputs:
    """Where the results go besides the table, and where they are kept."""

    csv: Path | None = None
    json: Path | None = None
    html: Path | None = None
    resume: Path | None = None
    """Where finished results are kept, and taken from."""


def run(paths: Sequence[Path], settings: Settings, *, jobs: int | None, outputs: ScanOutputs) -> int:
    """Scan everything and report it; returns the exit code.

    Args:
        jobs: files read side by side; None: as many as there are processors, at most 4.

    Raises:
        StreamDetectorError: nothing could be scanned, or a report could not be written.
    """
    files = find_files(paths)
    if not files:
        raise UsageError(
            f"there is nothing to scan in {', '.join(map(str, paths))}: found no file that ends in "
            f"{', '.join(sorted(VIDEO_SUFFIXES)[:4])} or another video suffix; name a file, or another folder"
        )
    named = {"--csv": outputs.csv, "--json": outputs.json, "--html": outputs.html, "--resume": outputs.resume}
    for option, path in named.items():
        if path is not None:
            check_writable(option, path)
    load_media_libraries()
    from stream_detector.scanning.journal import Journal, settings_key
    from stream_detector.scanning.scan import rule_of, scan
    from stream_detector.scorers.choice import read_spec
    from stream_detector.sources.reader import quiet_ffmpeg

    quiet_ffmpeg()
    spec = read_spec(settings.model, backend=settings.backend, precision=settings.precision)
    pictures = outputs.html is not None
    results: dict[str, FileResult] = {}
    began_s = monotonic()
    with ExitStack() as stack:
        signals = stack.enter_context(Signals())
        journal: Journal | None = None
        left = files
        if outputs.resume is not None:
            key = settings_key(
                {
                    "program": __version__,
                    "spec": spec.sha256,
                    "pictures": pictures,
                    "settings": settings.model_dump(mode="json", exclude={"model"}),
                }
            )
            journal = stack.enter_context(Journal(outputs.resume, key))
            known = {file.shown: journal.known(file) for file in files}
            results = {
                path: result.model_copy(update={"path": path}) for path, result in known.items() if result
            }
            left = [file for file in files if file.shown not in results]
            if results:
                sys.stderr.write(
                    f"stream-detector: {len(results)} of {len(files)} results taken from {outputs.resume}\n"
                )
        rule = rule_of(spec)
        progress = stack.enter_context(_shown_progress(left))
        scanning = scan(
            left,
            settings,
            rule=rule,
            jobs=jobs or min(4, os.cpu_count() or 1),
            pictures=pictures,
        )
        with closing(scanning):
            for now in scanning:
                if now.finished is not None:
                    results[now.finished.path] = now.finished
                    progress.finished(now.finished)
                    if journal is not None:
                        journal.add(now.finished)
                progress.reading(now.reading)
                if signals.interrupted or signals.terminated:
                    break
    ordered = tuple(results[file.shown] for file in files if file.shown in results)
    report = ScanReport(
        program=f"stream-detector {__version__}",
        model=spec.name,
        model_sha256=spec.model_sha256,
        spec_sha256=spec.sha256,
        band=(spec.band.low, spec.band.high),
        mean_high=rule.high,
        score_hz=settings.score_hz,
        half_life_s=settings.half_life_s,
        files=ordered,
    )
    _write(report, outputs)
    console = Console()
    console.print(scan_table(ordered))
    console.print(
        _last_line(report, files, monotonic() - began_s, scanned=left), highlight=False, markup=False
    )
    if signals.interrupted:
        return INTERRUPTED
    return SourceError.exit_code if any(result.problem for result in ordered) else 0


def _write(report: ScanReport, outputs: ScanOutputs) -> None:
    if outputs.csv is not None:
        write_whole(outputs.csv, as_csv(report))
    if outputs.json is not None:
        write_whole(outputs.json, as_json(report))
    if outputs.html is not None:
        from stream_detector.scanning.report_html import as_html

        write_whole(outputs.html, as_html(report, made_at=datetime.now()))


def _last_line(
    report: ScanReport, files: Sequence[FoundFile], wall_s: float, *, scanned: Sequence[FoundFile]
) -> str:
    fresh = {file.shown for file in scanned}
    media_s = sum(result.media_s for result in report.files if result.path in fresh)
    bad = sum(result.problem is not None for result in report.files)
    said = f"{len(report.files)} of {len(files)} files"
    if media_s:
        said += f", {media_s:.0f} s of video in {wall_s:.1f} s ({media_s / wall_s:.1f} times real time)"
    if bad:
        said += f"; {bad} could not be read to the end"
    low, high = report.band[0], report.mean_high
    return f"{said}. A hint, not proof: mean scores from {low:.2f} to {high:.2f} say nothing."


class _ShownProgress:
    """By bytes, which are known beforehand; of a file being read, as much as of its video time."""

    def __init__(self, progress: Progress, files: Sequence[FoundFile]) -> None:
        self._progress = progress
        self._sizes = {file.shown: max(1, file.size_bytes or 0) for file in files}
        self._count = self._bytes = 0
        self._task = progress.add_task("", total=sum(self._sizes.values()), files=f"0/{len(files)}")

    def finished(self, result: FileResult) -> None:
        self._bytes += self._sizes[result.path]
        self._count += 1
        counted = f"{self._count}/{len(self._sizes)}"
        self._progress.update(self._task, completed=self._bytes, files=counted)

    def reading(self, files: Mapping[str, "Reached"]) -> None:
        said = ", ".join(
            f"{printable(Path(path).name)[:30]} {at.media_s:.0f} s" for path, at in files.items()
        )
        begun = sum(self._sizes[path] * at.share for path, at in files.items())
        self._progress.update(self._task, completed=self._bytes + begun, description=said)


@contextmanager
def _shown_progress(files: Sequence[FoundFile]) -> Iterator[_ShownProgress]:
    console = Console(stderr=True)
    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.fields[files]} files", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", style="dim", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _ShownProgress(progress, files)
