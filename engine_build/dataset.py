"""Which videos a data set holds, and what their places and names say of them.

    FaceForensics++   original_sequences/{youtube,actors}/{raw,c23,c40}/videos/183.mp4
                      manipulated_sequences/{Deepfakes,…}/{raw,c23,c40}/videos/183_253.mp4
    a folder tree     real/[SOURCE/]…/NAME.mp4, fake/[METHOD/]…/NAME.mp4
    a CSV             filepath,label[,method,compression,identity]

Rössler et al., "FaceForensics++: Learning to Detect Manipulated Facial Images", ICCV 2019.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine_build.video_table import SEPARATOR
from stream_detector.errors import SourceError

_VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".ogv"}
)
_LABELS = {"0": 0, "1": 1, "real": 0, "fake": 1}
_FACEFORENSICS = {"original_sequences": 0, "manipulated_sequences": 1}
_COMPRESSIONS = ("raw", "c23", "c40")
_YOUTUBE = re.compile(r"(\d{3})(?:_(\d{3}))?", re.ASCII)
_ACTORS = re.compile(r"(\d{2})(?:_(\d{2}))?__.+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One video of a data set, not yet opened."""

    path: Path
    label: int
    """0 = real, 1 = fake."""
    method: str
    """How a fake was made; for a real one where it is from."""
    compression: str
    """ "raw", "c23" or "c40"; empty where nothing is stated."""
    identities: tuple[str, ...]
    """Everybody in the clip."""


def find_videos(dataset: Path) -> list[Entry]:
    """The videos of a data set in one of the three layouts, in the order of their paths.

    Raises:
        SourceError: it is missing, of no known layout, or holds no video; a line of the CSV makes no sense.
    """
    if dataset.is_file() and dataset.suffix.lower() == ".csv":
        entries = _listed(dataset)
    elif not dataset.is_dir():
        found = "a file that is no CSV" if dataset.exists() else "nothing"
        raise SourceError(
            f"cannot index {dataset}: found {found}, expected the folder of a data set or a CSV; "
            "check the path"
        )
    elif any((dataset / folder).is_dir() for folder in _FACEFORENSICS):
        entries = list(_faceforensics(dataset))
    elif any((dataset / folder).is_dir() for folder in ("real", "fake")):
        entries = list(_tree(dataset))
    else:
        raise SourceError(
            f"cannot index {dataset}: expected folders original_sequences and manipulated_sequences "
            "(FaceForensics++), or real and fake, or a CSV with filepath and label; check the path"
        )
    if not entries:
        raise SourceError(
            f"cannot index {dataset}: its folders hold no video; expected files such as .mp4, .mkv, .avi"
        )
    return sorted(entries, key=lambda entry: entry.path)


def identities_of(stem: str) -> tuple[str, ...]:
    """Who is in a video, going by its file name without suffix.

    FaceForensics++ names its videos by people: `183` and `183_253` (YouTube), `01__kitchen_pan` and
    `01_02__kitchen_pan__YVGY8LOK` (actors). Any other name stands for one person of that name, so that
    a fake called like its original stays with it.
    """
    if found := _YOUTUBE.fullmatch(stem):
        return tuple(dict.fromkeys(number for number in found.groups() if number))
    if found := _ACTORS.fullmatch(stem):
        return tuple(dict.fromkeys(f"actor-{number}" for number in found.groups() if number))
    return (stem,)


def _faceforensics(root: Path) -> Iterator[Entry]:
    for folder, label in _FACEFORENSICS.items():
        for compression in _COMPRESSIONS:
            for videos in sorted((root / folder).glob(f"*/{compression}/videos")):
                method = videos.parent.parent.name
                for path in _videos_in(videos):
                    yield Entry(path, label, method, compression, identities_of(path.stem))


def _tree(root: Path) -> Iterator[Entry]:
    for folder in ("real", "fake"):
        for path in _videos_in(root / folder):
            inner = path.relative_to(root / folder).parts[:-1]
            method = inner[0] if inner else ""
            compression = next((part for part in inner if part in _COMPRESSIONS), "")
            yield Entry(path, _LABELS[folder], method, compression, identities_of(path.stem))


def _videos_in(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.suffix.lower() in _VIDEO_SUFFIXES and not path.name.startswith(".") and not path.is_dir():
            yield path


def _listed(table: Path) -> list[Entry]:
    """The videos a CSV lists; whether they exist shows when they are read."""
    entries: dict[Path, Entry] = {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            if not {"filepath", "label"} <= set(lines.fieldnames or ()):
                raise SourceError(
                    f"{table} has the columns {', '.join(lines.fieldnames or ()) or 'of an empty file'}; "
                    "expected filepath, label and perhaps method, compression, identity"
                )
            for line in lines:
                entry = _listed_entry(line, table, lines.line_num)
                if entry.path in entries:
                    raise SourceError(
                        f"{table}, line {lines.line_num}: {entry.path} is listed twice; remove one"
                    )
                entries[entry.path] = entry
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SourceError(f"cannot read {table}: {reason}; expected a CSV in UTF-8") from error
    return list(entries.values())


def _listed_entry(line: dict[str, str], table: Path, number: int) -> Entry:
    name, label = (line["filepath"] or "").strip(), (line["label"] or "").strip().lower()
    if not name or "\0" in name or label not in _LABELS:
        raise SourceError(
            f"{table}, line {number}: found the path {name!r} and the label {label!r}; expected a path, and "
            "0 or real, or 1 or fake"
        )
    path = table.absolute().parent / name
    stated = line.get("identities") or line.get("identity") or ""
    identities = tuple(dict.fromkeys(i.strip() for i in stated.split(SEPARATOR) if i.strip()))
    return Entry(
        path=path,
        label=_LABELS[label],
        method=line.get("method") or "",
        compression=line.get("compression") or "",
        identities=identities or identities_of(path.stem),
    )
