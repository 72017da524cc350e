"""A log in which every record carries the hash of the one before."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from stream_detector.errors import OutputError, UsageError

SCHEMA = 1
"""Of the log; rises when a field changes its meaning or goes away."""
ZERO = "0" * 64
"""The hash before the first record."""
LONGEST_LINE = 1 << 20
"""No record is longer; a longer line is no record."""
_HASH = b',"hash":"'
_TAIL = len(_HASH) + 64 + len(b'"}')


class BrokenLog(UsageError):
    """A log is not what was written: its sentence says where it stops being so.

    Attributes:
        whole: how many records before that are whole.
        last_hash: of the last of them.
    """

    def __init__(self, sentence: str, *, whole: int, last_hash: str = ZERO) -> None:
        super().__init__(sentence)
        self.whole = whole
        self.last_hash = last_hash


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a log."""

    number: int
    """From 0 on."""
    kind: str
    content: Mapping[str, object]
    """Everything but its number, kind and hashes."""
    hash: str
    """Of its line up to the hash itself."""


class ChainWriter:
    """Appends records to a log. Belongs to one thread.

    Each record is one line, written by one call, so that a process that dies leaves whole records and at
    most one torn line; `sync` makes what was written survive a power cut as well.

        {"n":1,"prev":"<hash of record 0>","kind":"score",…,"hash":"<SHA-256 of the line up to here>"}
    """

    def __init__(self, path: Path) -> None:
        """Begin a new log at `path`, which must not exist.

        Raises:
            OutputError: it cannot be written.
        """
        self._path = path
        try:
            self._file: BinaryIO = path.open("xb", buffering=0)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; choose another folder") from error
        self._size = 0
        self.records = 0
        self.head = ZERO
        """Hash of the newest record."""

    @property
    def size_bytes(self) -> int:
        """Length of the log."""
        return self._size

    def append(self, kind: str, content: Mapping[str, object]) -> str:
        """Write one record; returns its hash.

        Raises:
            OutputError: there is no room; the log ends with the record before.
        """
        fields = {"n": self.records, "prev": self.head, "kind": kind, **content}
        body = json.dumps(fields, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()[:-1]
        digest = hashlib.sha256(body).hexdigest()
        line = body + _HASH + digest.encode() + b'"}\n'
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a record of {len(line)} bytes is too long")
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(28, os.strerror(28))  # the disk took a part of it
        except OSError as error:
            self._take_back()
            raise OutputError(f"cannot write {self._path}: {error.strerror}; make room") from error
        self._size += len(line)
        self.records += 1
        self.head = digest
        return digest

    def sync(self) -> None:
        """Make all of it survive a power cut.

        Raises:
            OutputError: the disk refuses.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}; check the disk") from error

    def close(self) -> None:
        """Close the file. Calling it twice is fine."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_back(self) -> None:
        """Leave no torn line behind."""
        try:
            os.ftruncate(self._file.fileno(), self._size)
            self._file.seek(self._size)
        except OSError:  # then the line stays torn, and `read_chain` says so
            pass


def read_chain(path: Path) -> Iterator[Entry]:
    """The records of a log, each checked before it is yielded.

    Raises:
        BrokenLog: the first record that is not as it was written.
        UsageError: the file cannot be read, or is no such log.
    """
    try:
        with path.open("rb") as file:
            yield from _read(path.name, file)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}; expected the log of a run recorded with --record"
        ) from error


def _read(name: str, file: BinaryIO) -> Iterator[Entry]:
    before = ZERO
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        entry = _parsed(name, line, number, before)
        if number == 0:
            _check_first(name, entry)
        yield entry
        before, number = entry.hash, number + 1
    if number == 0:
        raise UsageError(f"{name} is empty: expected the log of a run recorded with --record")


def _parsed(name: str, line: bytes, number: int, before: str) -> Entry:
    def broken(what: str) -> BrokenLog:
        whole = f"records 0 to {number - 1} before it are whole" if number else "nothing before it is whole"
        return BrokenLog(f"{name}: {what}; {whole}", whole=number, last_hash=before)

    if len(line) > LONGEST_LINE:
        raise broken(f"line {number + 1} is longer than any record")
    if not line.endswith(b"\n"):
        raise broken(f"the log is cut short within record {number}, after {len(line)} bytes of it")
    body, found, digest = line[: -_TAIL - 1], line[-_TAIL - 1 : -67], line[-67:-3]
    if found != _HASH or line[-3:] != b'"}\n' or hashlib.sha256(body).hexdigest().encode() != digest:
        raise broken(f"record {number} is not as it was written: its hash does not fit its bytes")
    try:
        fields = json.loads(body + b"}")
        stated, prev, kind = fields.pop("n"), fields.pop("prev"), fields.pop("kind")
    except (ValueError, KeyError, AttributeError, RecursionError):
        raise broken(f"line {number + 1} is no record of a log") from None
    if prev != before:
        place = stated if isinstance(stated, int) else "another"
        raise broken(
            f"record {number} is missing or not in its place: record {place} stands there, which does not "
            f"follow the one before"
        )
    if stated != number or not isinstance(kind, str):
        raise broken(f"line {number + 1} is no record of a log")
    return Entry(number, kind, fields, digest.decode())


def _check_first(name: str, entry: Entry) -> None:
    schema = entry.content.get("schema")
    if entry.kind != "header" or not isinstance(schema, int):
        raise UsageError(
            f"{name} begins with {entry.kind!r}: expected the header of a run recorded with --record"
        )
    if schema > SCHEMA:
        raise UsageError(
            f"{name} has schema {schema}, this program knows {SCHEMA}: read it with the version that wrote it"
        )
