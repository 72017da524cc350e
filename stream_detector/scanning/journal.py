"""The finished results of a scan on disk, one line each, so that a scan that was killed can go on."""

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pydantic import ValidationError

from stream_detector.errors import OutputError, UsageError
from stream_detector.scanning.finding import FoundFile
from stream_detector.scanning.results import SCHEMA, FileResult, FileVerdict

_HEADER = {"type": "stream-detector scan", "schema": SCHEMA}


def settings_key(values: dict[str, object]) -> str:
    """A hash of everything a result depends on besides its file."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


class Journal:
    """Appends results to a file, each on disk before `add` returns, and knows those of earlier runs.

    A result counts again where path, size, time of change and settings are the same, and the file could
    be read to its end. A line that a kill cut short is as if it had never been written.
    """

    def __init__(self, path: Path, key: str) -> None:
        """Read what is there.

        Args:
            path: made if it does not exist.
            key: of the settings; see `settings_key`.

        Raises:
            UsageError: it is another kind of file, or cannot be read or written.
        """
        self._path, self._key = path, key
        self._known: dict[tuple[str, int | None, int | None], FileResult] = {}
        self._file: IO[bytes]
        try:
            content = path.read_bytes() if path.exists() else b""
            self._check(content)
            whole = content.rfind(b"\n") + 1
            for line in content[:whole].splitlines()[1:]:
                self._learn(line)
            self._file = path.open("r+b" if content else "w+b", buffering=0)
            # What a kill cut short must not swallow the line that is written after it.
            self._file.truncate(whole)
            self._file.seek(0, os.SEEK_END)
            if not whole:
                self._write(_HEADER)
        except OSError as error:
            raise UsageError(
                f"cannot keep results in {path}: {error.strerror}; choose another file for --resume"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def known(self, file: FoundFile) -> FileResult | None:
        """The result of an earlier run, if it still holds."""
        return self._known.get((os.path.abspath(file.shown), file.size_bytes, file.modified_ns))  # noqa: PTH100

    def add(self, result: FileResult) -> None:
        """Keep `result`.

        Raises:
            OutputError: there is no room for it.
        """
        try:
            self._write(
                {
                    "settings": self._key,
                    "file": os.path.abspath(result.path),  # noqa: PTH100
                    "result": result.model_dump(mode="json"),
                }
            )
        except OSError as error:
            raise OutputError(
                f"cannot keep results in {self._path}: {error.strerror}; make room, and start again"
            ) from error

    def _write(self, content: dict[str, object]) -> None:
        line = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        self._file.write(line + b"\n")
        os.fsync(self._file.fileno())

    def _check(self, content: bytes) -> None:
        """Refuse what is no journal: it might be somebody's video."""
        first = content.partition(b"\n")[0]
        try:
            header = json.loads(first) if content else _HEADER
        except ValueError:
            header = None
        # A kill may even have cut the first line short.
        cut_short = b"\n" not in content and json.dumps(_HEADER, separators=(",", ":")).encode().startswith(
            content
        )
        if header != _HEADER and not cut_short:
            raise UsageError(
                f"{self._path} holds no results of a scan by this version; name the file of an earlier "
                f"--resume, or one that does not exist yet"
            )

    def _learn(self, line: bytes) -> None:
        try:
            content = json.loads(line)
            if content["settings"] != self._key:
                return
            result = FileResult.model_validate(content["result"])
            path = str(content["file"])
        except (ValueError, KeyError, TypeError, ValidationError):
            return
        if result.problem is None and result.verdict is not FileVerdict.UNREADABLE:
            self._known[path, result.size_bytes, result.modified_ns] = result
