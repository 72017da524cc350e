"""The table of a scan, for a person at a terminal."""

import os
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from stream_detector.scanning.results import FileResult, FileVerdict, MeanScore, Segment

LOOK = {
    FileVerdict.LIKELY_FAKE: ("▲", "LIKELY FAKE", "bold red"),
    FileVerdict.UNCERTAIN: ("?", "uncertain", "yellow"),
    FileVerdict.LIKELY_REAL: ("✓", "likely real", "green"),
    FileVerdict.TOO_LITTLE: ("·", "too little seen", "dim"),
    FileVerdict.NO_FACE: ("·", "no face", "dim"),
    FileVerdict.UNREADABLE: ("✕", "cannot be read", "magenta"),
}
"""Verdict -> sign, word, colour: whoever sees no colour reads the word."""
_SEGMENTS_SHOWN = 3


def scan_table(files: Sequence[FileResult]) -> Table:
    """One row per file, those first that a person should look at first."""
    folder = common_folder(files)
    table = Table(box=None, pad_edge=False, title=printable(folder) or None, title_justify="left")
    table.add_column("file", overflow="fold", ratio=2)
    for name in ("verdict", "mean score", "seen"):
        table.add_column(name, no_wrap=True, justify="right" if name == "seen" else "left")
    table.add_column("likely fake at", overflow="fold", ratio=2)
    for result in by_urgency(files):
        sign, word, colour = LOOK[result.verdict]
        table.add_row(
            Text(printable(result.path.removeprefix(folder))),
            Text(f"{sign} {word}", style=colour),
            shown_mean(result.mean),
            f"{result.evidence_share:.0%}",
            Text(result.problem or shown_segments(result.segments)),
        )
    return table


def common_folder(files: Sequence[FileResult]) -> str:
    """The folder that all of several files lie in, with its last separator; empty where there is none."""
    if len(files) < 2:
        return ""
    try:
        folder = os.path.commonpath([os.path.dirname(file.path) for file in files])  # noqa: PTH120
    except ValueError:  # some are absolute, or on another drive
        return ""
    return os.path.join(folder, "") if folder else ""  # noqa: PTH118


def by_urgency(files: Sequence[FileResult]) -> list[FileResult]:
    """Likely fakes first, the highest mean first; files that could not be read last."""
    order = list(FileVerdict)
    return sorted(files, key=lambda f: (order.index(f.verdict), -(f.mean.value if f.mean else 0.0), f.path))


def shown_mean(mean: MeanScore | None) -> str:
    """ "0.71 [0.55, 0.88]", or a dash."""
    return "–" if mean is None else f"{mean.value:.2f} [{mean.low:.2f}, {mean.high:.2f}]"


def shown_segments(segments: Sequence[tuple[int, Segment]]) -> str:
    """The first of them; how many more there are."""
    said = [
        f"{shown_time(segment.start_s)}–{shown_time(segment.end_s)} (face {face})"
        for face, segment in segments[:_SEGMENTS_SHOWN]
    ]
    more = len(segments) - _SEGMENTS_SHOWN
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


def shown_time(time_s: float) -> str:
    """ "0:04.5", or with hours."""
    tenths = round(time_s * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def printable(name: str) -> str:
    """A file name without what would steer a terminal or turn a line round; such signs are spelled out."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "replace").decode() for sign in name
    )
