"""Say what a source delivers, and what about it will hurt."""

import dataclasses
import json
import sys

from rich.console import Console
from rich.table import Table

from stream_detector.errors import SourceError
from stream_detector.optional import load_media_libraries
from stream_detector.sources.address import SourceKind, parse_address


def run(source: str, *, seconds: float, as_json: bool) -> None:
    """Read `source` for some seconds and print the report.

    Raises:
        SourceError: it cannot be read.
    """
    load_media_libraries()
    from stream_detector.sources.probe import probe
    from stream_detector.sources.reader import quiet_ffmpeg

    quiet_ffmpeg()
    address = parse_address(source)
    if address.kind is SourceKind.DEMO:
        raise SourceError(
            "demo: is drawn by this program, there is nothing to probe; expected a file, a camera or a URL"
        )
    report = probe(address, seconds=seconds)
    facts = {name: _plain(value) for name, value in dataclasses.asdict(report.facts).items()}
    measured = {
        field.name: _plain(getattr(report, field.name))
        for field in dataclasses.fields(report)
        if field.name not in ("shown", "facts")
    }
    if as_json:
        content = {"source": report.shown, **facts, **measured, "advices": list(report.advices)}
        sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
        return
    console = Console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in {**facts, **measured}.items():
        table.add_row(name, "–" if value is None else str(value))
    console.print(report.shown, markup=False, highlight=False)
    console.print(table)
    for advice in report.advices:
        console.print(f"! {advice}", markup=False, highlight=False)


def _plain(value: object) -> object:
    """A value as JSON can hold it: rates and aspects as numbers."""
    if value is None or isinstance(value, bool | int | str):
        return value
    return round(float(value), 4)  # type: ignore[arg-type]  # float and Fraction
