"""Say what a source delivers, and what about it will hurt."""

import dataclasses
import math
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream_detector.commands.signals import INTERRUPTED, Signals
from stream_detector.errors import SourceError, UsageError
from stream_detector.handoff import Handoff
from stream_detector.optional import load_media_libraries
from stream_detector.settings import OPEN_TIMEOUT_S, READ_TIMEOUT_S
from stream_detector.sinks.json_lines import write_json_line
from stream_detector.sources.address import SourceKind, parse_address
from stream_detector.worker import Worker

if TYPE_CHECKING:
    from stream_detector.sources.probe import SourceReport

_LOOK_AROUND_S = 0.2
"""How often to look for Ctrl-C while a source does not answer."""
_PATIENCE_S = 2 * OPEN_TIMEOUT_S + 3 * READ_TIMEOUT_S + 5.0
"""A source that has given no report by then, beyond the time it was to be read, gives none: a host that
drips its answer byte by byte outwits every time-out of FFmpeg."""


def run(source: str, *, seconds: float, as_json: bool) -> int:
    """Read `source` for some seconds and print the report; returns the exit code.

    Raises:
        UsageError: the time is not positive and finite.
        SourceError: it cannot be read.
    """
    if not 0 < seconds < math.inf:
        raise UsageError(f"--seconds {seconds:g} makes no sense: expected a positive number; choose one")
    load_media_libraries()
    from stream_detector.sources.advice import advice
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
    give_up_at_s = time.monotonic() + seconds + _PATIENCE_S
    with Signals() as signals:
        worker.start()
        while True:
            with suppress(TimeoutError):
                report = answer.take(_LOOK_AROUND_S)
                break
            if signals.interrupted or signals.terminated:
                return INTERRUPTED if signals.interrupted else 0
            if time.monotonic() > give_up_at_s:
                raise SourceError(
                    f"time-out: {address.shown} gave no picture for {seconds + _PATIENCE_S:g} s, "
                    f"though it did not fall silent; check that it is streaming"
                )
    found = _plain_facts(report)
    advices = advice(report)
    if as_json:
        write_json_line(sys.stdout, {"source": report.shown, **found, "advices": advices})
    else:
        _draw(report.shown, found, advices, Console())
    return 0


def _plain_facts(report: "SourceReport") -> dict[str, object]:
    """Field name -> value as JSON can hold it, those of `facts` first."""
    facts = {name: _plain(value) for name, value in dataclasses.asdict(report.facts).items()}
    measured = {
        field.name: _plain(getattr(report, field.name))
        for field in dataclasses.fields(report)
        if field.name not in ("shown", "facts")
    }
    return {**facts, **measured}


def _draw(shown: str, found: dict[str, object], advices: list[str], console: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in found.items():
        table.add_row(name, Text("–" if value is None or value == "" else str(value)))
    console.print(shown, markup=False, highlight=False)
    console.print(table)
    for sentence in advices:
        console.print(f"! {sentence}", markup=False, highlight=False)
    if not advices:
        console.print("nothing here will hurt", style="green")


def _plain(value: object) -> object:
    """A value as JSON can hold it: rates and aspects as numbers."""
    if value is None or isinstance(value, bool | int | str):
        return value
    return round(float(value), 4)  # type: ignore[arg-type]  # float and Fraction
