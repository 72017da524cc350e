"""Say what a source delivers, and what about it will hurt."""

import dataclasses
import math
import sys
from contextlib import suppress

from rich.console import Console
from rich.table import Table

from stream_detector.commands.signals import INTERRUPTED, Signals
from stream_detector.errors import SourceError, UsageError
from stream_detector.handoff import Handoff
from stream_detector.optional import load_media_libraries
from stream_detector.sinks.json_lines import write_json_line
from stream_detector.sources.address import SourceKind, parse_address
from stream_detector.worker import Worker

_LOOK_AROUND_S = 0.2
"""How often to look for Ctrl-C while a source does not answer."""


def run(source: str, *, seconds: float, as_json: bool) -> int:
    """Read `source` for some seconds and print the report; returns the exit code.

    Raises:
        UsageError: the time is not positive and finite.
        SourceError: it cannot be read.
    """
    if not 0 < seconds < math.inf:
        raise UsageError(f"--seconds {seconds:g} makes no sense: expected a positive number; choose one")
    load_media_libraries()
    from stream_detector.sources.probe import SourceReport, probe
    from stream_detector.sources.reader import quiet_ffmpeg

    quiet_ffmpeg()
    address = parse_address(source)
    if address.kind in (SourceKind.DEMO, SourceKind.SELFTEST):
        raise SourceError(
            f"{address.shown} is drawn by this program, there is nothing to probe; expected a file, "
            f"a camera or a URL"
        )
    answer: Handoff[SourceReport] = Handoff(1)
    worker = Worker("probe", lambda: answer.put(probe(address, seconds=seconds)), answer)
    with Signals() as signals:
        worker.start()
        while True:
            with suppress(TimeoutError):
                report = answer.take(_LOOK_AROUND_S)
                break
            if signals.interrupted or signals.terminated:
                return INTERRUPTED if signals.interrupted else 0
    facts = {name: _plain(value) for name, value in dataclasses.asdict(report.facts).items()}
    measured = {
        field.name: _plain(getattr(report, field.name))
        for field in dataclasses.fields(report)
        if field.name not in ("shown", "facts")
    }
    if as_json:
        content = {"source": report.shown, **facts, **measured, "advices": list(report.advices)}
        write_json_line(sys.stdout, content)
        return 0
    console = Console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in {**facts, **measured}.items():
        table.add_row(name, "–" if value is None else str(value))
    console.print(report.shown, markup=False, highlight=False)
    console.print(table)
    for advice in report.advices:
        console.print(f"! {advice}", markup=False, highlight=False)
    return 0


def _plain(value: object) -> object:
    """A value as JSON can hold it: rates and aspects as numbers."""
    if value is None or isinstance(value, bool | int | str):
        return value
    return round(float(value), 4)  # type: ignore[arg-type]  # float and Fraction
