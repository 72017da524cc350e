"""The folder that runs are recorded in: how much it may hold, for how long, and what lies where."""

import hashlib
import logging
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from stream_detector.errors import OutputError, UsageError

LOG_NAME = "log.jsonl"
_DAY_S = 86400.0

_log = logging.getLogger("stream_detector.evidence")


class RecordFolder:
    """Where runs are recorded, each in a folder of its own. Belongs to the thread that writes."""

    def __init__(self, root: Path, *, most_bytes: int | None, keep_days: float | None) -> None:
        """Nothing is made yet.

        Args:
            most_bytes: all runs together may take no more; None: as the disk has.
            keep_days: runs whose log was written to longer ago are removed; None: none is.
        """
        self.root = root
        self._most_bytes = most_bytes
        self._keep_days = keep_days
        self._used_bytes = 0

    def prepare(self) -> None:
        """Make the folder itself.

        Raises:
            UsageError: it cannot be made, or not be written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UsageError(
                f"cannot record in {self.root}: {error.strerror}; expected a folder that may be written to"
            ) from error

    def new_run(self) -> Path:
        """Make the folder of a run, after removing runs that are too old.

        Raises:
            OutputError: it cannot be made.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.forget_old()
            self._used_bytes = sum(f.stat().st_size for f in self.root.rglob("*") if f.is_file())
            name = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
                run = self.root / (name + suffix)
                try:
                    run.mkdir(mode=0o700)
                except FileExistsError:
                    continue
                return run
        except OSError as error:
            raise OutputError(
                f"cannot record in {self.root}: {error.strerror}; choose another folder"
            ) from error
        raise OutputError(f"cannot record in {self.root}: a thousand runs began there in this second")

    def forget_old(self) -> None:
        """Remove whole runs that are too old, and say so."""
        if self._keep_days is None:
            return
        for run in runs_in(self.root):
            old_s = time.time() - (run / LOG_NAME).stat().st_mtime
            if old_s > self._keep_days * _DAY_S:
                shutil.rmtree(run, ignore_errors=True)
                _log.warning("removed the record %s: it is older than %g days", run.name, self._keep_days)

    def grown(self, size_bytes: int) -> None:
        """Count what was written without `write`."""
        self._used_bytes += size_bytes

    def room_for(self, size_bytes: int) -> None:
        """Whether `size_bytes` more may be written.

        Raises:
            OutputError: there is no room for them under the limit.
        """
        if self._most_bytes is not None and self._used_bytes + size_bytes > self._most_bytes:
            raise OutputError(
                f"the records in {self.root} have reached --max-disk ({self._most_bytes / 1e6:.0f} MB); "
                f"raise it, or remove old ones"
            )

    def write(self, path: Path, content: bytes) -> dict[str, object]:
        """Write a file whole or not at all; returns its hash and size, as the log states them.

        Raises:
            OutputError: it cannot be written.
        """
        self.room_for(len(content))
        draft = path.with_name(path.name + ".part")
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise OutputError(f"cannot write {path.name}: {error.strerror}; make room") from error
        self.grown(len(content))
        return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def runs_in(root: Path) -> list[Path]:
    """The runs that were recorded in `root`, the oldest first."""
    return sorted(log.parent for log in root.glob(f"*/{LOG_NAME}") if log.is_file())
