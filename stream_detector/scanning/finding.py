"""Which files a scan is about."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stream_detector.errors import UsageError

VIDEO_SUFFIXES = frozenset(
    (
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".divx",
        ".dv",
        ".f4v",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogm",
        ".ogv",
        ".rm",
        ".rmvb",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".y4m",
    )
)
"""What is taken from folders. Files that are named are taken whatever they are called."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file to scan, as it was when it was found."""

    path: str
    """For the system: where its bytes are no text, Python's surrogates stand for them."""
    size_bytes: int | None
    """None where it cannot be looked at."""
    modified_ns: int | None
    problem: str | None = None
    """Why it cannot be scanned; None: nothing known against it yet."""

    @property
    def shown(self) -> str:
        """The path as text that any file can hold; bytes that are no text are spelled out."""
        return self.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def find_files(paths: Iterable[Path]) -> list[FoundFile]:
    """The files that `paths` name, and the videos in folders among them at any depth.

    In the order of the paths, inside a folder in the order of names. What is reached twice counts once.
    In folders hidden names are left out, and links to folders not followed: they may lead in a circle.
    What cannot be looked into has a row that says so.

    Raises:
        UsageError: a path does not exist.
    """
    found: list[FoundFile] = []
    seen: set[str] = set()
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"cannot find {path}: no such file or folder; check the path")
        for each in _files_in(path) if path.is_dir() else (_looked_at(str(path)),):
            real = os.path.realpath(each.path)
            if real not in seen:
                seen.add(real)
                found.append(each)
    return found


def _files_in(folder: Path) -> Iterable[FoundFile]:
    refused: list[OSError] = []
    for root, folders, names in os.walk(folder, onerror=refused.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield _looked_at(os.path.join(root, name))  # noqa: PTH118  (any bytes a name may hold)
    for error in refused:
        why = f"cannot look into the folder: {error.strerror}; check who may read it"
        yield FoundFile(str(error.filename), None, None, why)


def _looked_at(path: str) -> FoundFile:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError as error:
        return FoundFile(path, None, None, f"cannot look at the file: {error.strerror}; check where it leads")
    return FoundFile(path, found.st_size, found.st_mtime_ns)
