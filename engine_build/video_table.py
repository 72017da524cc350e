"""The table of a data set's videos: one line each, as a CSV file."""

import csv
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stream_detector.errors import SourceError, StreamDetectorError

SEPARATOR = ";"
"""Between the identities of one video."""
_COLUMNS = (
    *("filepath", "label", "method", "compression", "identities", "split", "frames", "width", "height"),
    *("fps", "fps_exact", "duration", "readable", "problem", "size_bytes", "modified_ns"),
)


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What reading a video to its end has shown."""

    size_bytes: int
    modified_ns: int
    """Of the file: together with the size it tells whether the file is still the same."""
    frames: int = 0
    """Pictures that could be decoded."""
    width_px: int = 0
    """Upright."""
    height_px: int = 0
    rate_hz: Fraction | None = None
    """As stated; None where nothing believable is."""
    duration_s: float = 0.0
    """Of what could be decoded."""
    problem: str = ""
    """One sentence where something is wrong with the file."""

    @property
    def readable(self) -> bool:
        """Whether there is at least one picture."""
        return self.frames > 0


@dataclass(frozen=True, slots=True)
class Video:
    """One line of the table."""

    filepath: str
    """Relative to the folder of the table, with forward slashes."""
    label: int
    """0 = real, 1 = fake."""
    method: str
    """How a fake was made; for a real one where it is from."""
    compression: str
    """ "raw", "c23" or "c40"; empty where nothing is stated."""
    identities: tuple[str, ...]
    """Everybody in the clip: a fake of A with the face of B has both."""
    facts: VideoFacts
    split: str = ""
    """ "train", "val" or "test"; empty where it is left out."""


def relative_path(video: Path, table: Path) -> str:
    """How `table` names `video`."""
    try:
        found = os.path.relpath(video.absolute(), table.absolute().parent)
    except ValueError:  # another drive
        found = str(video.absolute())
    return Path(found).as_posix()


def write_table(videos: Sequence[Video], path: Path) -> None:
    """Write the table whole or not at all.

    Raises:
        StreamDetectorError: it cannot be written.
    """
    made = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with made.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(_COLUMNS)
            lines.writerows(_as_line(video) for video in videos)
        made.replace(path)
    except OSError as error:
        with suppress(OSError):
            made.unlink()
        raise StreamDetectorError(
            f"cannot write {path}: {error.strerror}; make room, or choose another place with --out"
        ) from error


def read_table(path: Path) -> list[Video]:
    """Read a table that `write_table` made, perhaps edited since.

    Raises:
        SourceError: no such file, or a line that makes no sense.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            lines = csv.DictReader(file)
            missing = set(_COLUMNS) - set(lines.fieldnames or ())
            if missing:
                raise SourceError(
                    f"{path} has no column {', '.join(sorted(missing))}: expected a table made by "
                    "engine_build index; make one"
                )
            return [_from_line(line, f"{path}, line {lines.line_num}") for line in lines]
    except OSError as error:
        raise SourceError(
            f"cannot read {path}: {error.strerror}; expected a table made by engine_build index"
        ) from error
    except csv.Error as error:
        raise SourceError(f"{path} is no CSV file: {error}; make it again with engine_build index") from error


def _as_line(video: Video) -> tuple[object, ...]:
    facts = video.facts
    return (
        *(video.filepath, video.label, video.method, video.compression, SEPARATOR.join(video.identities)),
        *(video.split, facts.frames, facts.width_px, facts.height_px),
        "" if facts.rate_hz is None else f"{float(facts.rate_hz):.3f}",
        "" if facts.rate_hz is None else str(facts.rate_hz),
        *(f"{facts.duration_s:.3f}", int(facts.readable), facts.problem),
        *(facts.size_bytes, facts.modified_ns),
    )


def _from_line(line: dict[str, str], where: str) -> Video:
    try:
        if line["label"] not in ("0", "1"):
            raise ValueError(f"label {line['label']!r}, expected 0 or 1")
        if line["split"] not in ("train", "val", "test", ""):
            raise ValueError(f"split {line['split']!r}, expected train, val, test or nothing")
        return Video(
            filepath=line["filepath"],
            label=int(line["label"]),
            method=line["method"],
            compression=line["compression"],
            identities=tuple(i for i in line["identities"].split(SEPARATOR) if i),
            split=line["split"],
            facts=VideoFacts(
                frames=int(line["frames"]),
                width_px=int(line["width"]),
                height_px=int(line["height"]),
                rate_hz=Fraction(line["fps_exact"]) if line["fps_exact"] else None,
                duration_s=float(line["duration"]),
                problem=line["problem"],
                size_bytes=int(line["size_bytes"]),
                modified_ns=int(line["modified_ns"]),
            ),
        )
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:  # None: a short line
        raise SourceError(f"{where} makes no sense: {error}; correct it, or make the table again") from error
