"""What a model is measured on: clips and stored crops, each with its label and what else is known of it."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine_build.face_crops import read_faces
from stream_detector.errors import ModelError, UsageError

_VIDEOS = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"}
_STILLS = {".jpg", ".jpeg", ".png"}
_LABELS = {"real": 0, "fake": 1, "0": 0, "1": 1}
_COMPRESSION = re.compile(r"(?:^|_)(raw|c0|c23|c40)(?:_|$)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One file to score."""

    path: Path
    label: int
    """0 real, 1 fake."""
    kind: Literal["video", "still"]
    """A still is a stored face crop (margin 1.8), not a whole picture."""
    clip: str
    """Samples of one clip are averaged, and drawn together."""
    method: str
    """How a fake was made, or where a real one is from."""
    compression: str = ""
    identity: str = ""
    group: str = ""
    """Which group of people it shows, where the list says so."""


def find_samples(
    where: Path, *, reals: Sequence[str] = (), fakes: Sequence[str] = (), split: str = ""
) -> list[Sample]:
    """Everything to score under `where`.

    A folder is read as a tree: what lies below a folder named real or fake, or with that word in its
    name as in set_fake, has that label; the folder below it names the method. A .csv file lists path
    (relative to itself), label (0, 1, real or fake) and, where known, method, compression, identity,
    group and clip; or it is a table made by `engine_build index`.

    Args:
        reals, fakes: further names of folders that hold real or fake faces.
        split: of a .csv file with a column split, only the clips of this one.

    Raises:
        UsageError: a folder whose label nobody states.
        ModelError: nothing there, or a list that makes no sense.
    """
    if where.is_file() and where.suffix == ".csv":
        found = _listed(where, split)
    elif where.is_dir():
        found = _tree(where, {**dict.fromkeys(reals, 0), **dict.fromkeys(fakes, 1)})
    else:
        raise ModelError(f"cannot find {where}: expected a folder of clips or a .csv list; check the path")
    if not found:
        of_split = f" of the split {split!r}" if split else ""
        raise ModelError(
            f"{where} holds nothing{of_split} to score: expected {', '.join(sorted(_VIDEOS | _STILLS))}; "
            "check the path"
        )
    return found


def crop_samples(folder: Path, split: str) -> list[Sample]:
    """The stored crops of one split of a crops folder.

    Raises:
        ModelError: no index, or no face of that split.
    """
    found = [
        Sample(
            path=face.path,
            label=face.label,
            kind="still",
            clip=face.clip,
            method=face.method or ("fake" if face.label else "real"),
            compression=face.compression,
            identity=face.identity,
        )
        for face in read_faces(folder)
        if face.split == split
    ]
    if not found:
        raise ModelError(f"{folder} lists no face of the split {split!r}; choose another with --split")
    return found


def _tree(root: Path, named: Mapping[str, int]) -> list[Sample]:
    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in _VIDEOS | _STILLS or not path.is_file():
            continue
        folders = path.relative_to(root).parts[:-1]
        labelled = [
            (i, label) for i, name in enumerate(folders) if (label := _label(name, named)) is not None
        ]
        if not labelled:
            where = "/".join(folders) or "the folder itself"
            raise UsageError(
                f"nothing says whether {where} in {root} is real or fake: expected a folder real or fake "
                "around it; name it with --real or --fake"
            )
        at, label = labelled[-1]
        compression = _COMPRESSION.search("_".join(folders))
        found.append(
            Sample(
                path=path,
                label=label,
                kind="video" if path.suffix.lower() in _VIDEOS else "still",
                clip=str(path.relative_to(root)),
                method=folders[min(at + 1, len(folders) - 1)],
                compression=compression.group(1) if compression else "",
                identity=path.stem.split("_")[0],
            )
        )
    return found


def _label(name: str, named: Mapping[str, int]) -> int | None:
    if name in named:
        return named[name]
    words = set(re.split(r"[_\W]+", name.lower()))
    said = [_LABELS[word] for word in ("real", "fake") if word in words]
    return said[0] if len(said) == 1 else None


def _listed(path: Path, split: str) -> list[Sample]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        reader = csv.DictReader(lines)
        columns = set(reader.fieldnames or ())
        of_index = "filepath" in columns  # a table made by engine_build index
        missing = sorted({"filepath" if of_index else "path", "label"} - columns)
        if missing:
            raise ModelError(
                f"{path.name} has no column {', '.join(missing)}: expected path and label; add it"
            )
        return [
            _sample(_as_listed(row) if of_index else row, path, f"{path.name}, line {reader.line_num}")
            for row in reader
            if (not split or "split" not in columns or row["split"] == split) and row.get("readable") != "0"
        ]


def _as_listed(row: Mapping[str, str]) -> dict[str, str]:
    """A row of an index table under the names of a list of clips."""
    return {**row, "path": row["filepath"], "identity": row.get("identities") or ""}


def _sample(row: Mapping[str, str], listing: Path, where: str) -> Sample:
    label = _LABELS.get((row["label"] or "").lower())
    if label is None:
        raise ModelError(f"{where}: the label is {row['label']!r}, expected 0, 1, real or fake; correct it")
    file = listing.parent / row["path"]
    if file.suffix.lower() not in _VIDEOS | _STILLS:
        raise ModelError(
            f"{where}: {row['path']} is neither a clip nor a picture; expected one of "
            f"{', '.join(sorted(_VIDEOS | _STILLS))}"
        )
    return Sample(
        path=file,
        label=label,
        kind="video" if file.suffix.lower() in _VIDEOS else "still",
        clip=row.get("clip") or row["path"],
        method=row.get("method") or ("fake" if label else "real"),
        compression=row.get("compression") or "",
        identity=row.get("identity") or "",
        group=row.get("group") or "",
    )
