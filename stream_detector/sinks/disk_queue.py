"""A queue of small messages in a folder: bounded, in order, and still there after a crash."""

import errno
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from stream_detector.errors import UsageError

MAX_BYTES = 16 * 2**20
"""Tens of thousands of alerts: months of a receiver that is away."""
_REJECTED_KEPT = 100
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Kept:
    """One message that waits."""

    path: Path
    content: bytes


class DiskQueue:
    """One file per message, named by its number; any thread may call anything.

    A message is on the disk when `append` returns, and leaves with `remove` or `reject`. Whoever is
    killed in between finds it again. Files are for this account only: they say who was watched.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        """Takes the folder over, with what an earlier run left in it.

        Raises:
            UsageError: it cannot be made or written, or another run uses it.
        """
        self._folder = folder
        self._rejected = folder / "rejected"
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self.dropped = 0
        """Messages that gave way to newer ones, or that the disk could not take."""
        self.rejected = 0
        """Messages put aside in this run."""
        try:
            self._rejected.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(folder / "lock")
            self._waiting = {path: path.stat().st_size for path in sorted(folder.glob("*.json"))}
            for half in folder.glob("*.tmp"):
                half.unlink()
        except BlockingIOError as error:
            raise UsageError(
                f"the webhook queue {folder} is used by another run; give each its own with --webhook-queue"
            ) from error
        except OSError as error:
            raise UsageError(
                f"cannot use the webhook queue {folder}: {error.strerror}; "
                f"choose a folder that can be written with --webhook-queue"
            ) from error
        self._number = max((int(p.stem) for p in self._waiting if p.stem.isdecimal()), default=0)

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting)

    def append(self, content: bytes) -> None:
        """Put `content` last, for good; the oldest give way where it does not fit.

        Raises:
            OSError: the disk does not take it, whatever gives way; it is lost, and counted.
        """
        with self._changed:
            while self._waiting and sum(self._waiting.values()) + len(content) > self._max_bytes:
                self._drop_oldest()
            self._number += 1
            path = self._folder / f"{self._number:0{_DIGITS}d}.json"
            while True:
                try:
                    _write(path, content)
                    break
                except OSError as error:
                    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                    if not (full and self._waiting):
                        self.dropped += 1
                        raise
                    self._drop_oldest()
            self._waiting[path] = len(content)
            self._changed.notify_all()

    def head(self) -> Kept | None:
        """The message that waited longest; None where none waits. One that cannot be read is put aside."""
        with self._changed:
            while self._waiting:
                path = next(iter(self._waiting))
                try:
                    return Kept(path, path.read_bytes())
                except OSError:
                    del self._waiting[path]
                    self.dropped += 1
            return None

    def remove(self, kept: Kept) -> None:
        """It has been delivered."""
        with self._changed:
            self._waiting.pop(kept.path, None)
            kept.path.unlink(missing_ok=True)

    def reject(self, kept: Kept) -> None:
        """The receiver does not want it: put it aside, where the newest hundred stay."""
        with self._changed:
            if self._waiting.pop(kept.path, None) is None:
                return
            self.rejected += 1
            kept.path.replace(self._rejected / kept.path.name)
            for old in sorted(self._rejected.glob("*.json"))[:-_REJECTED_KEPT]:
                old.unlink(missing_ok=True)

    def wait(self, timeout_s: float) -> None:
        """Wait until something may have changed, at most `timeout_s` seconds."""
        with self._changed:
            self._changed.wait(timeout_s)

    def wake(self) -> None:
        """End every `wait`."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Let another run have the folder. What waits stays in it."""
        os.close(self._lock)

    def _drop_oldest(self) -> None:
        path = next(iter(self._waiting))
        del self._waiting[path]
        path.unlink(missing_ok=True)
        self.dropped += 1


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, whenever the process or the machine dies."""
    half = path.with_suffix(".tmp")
    try:
        with open(half, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise


def _lock(path: Path) -> int:
    """Hold `path` until the descriptor is closed, by whatever death.

    Raises:
        BlockingIOError: another process holds it.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            try:
                msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
            except OSError as error:
                raise BlockingIOError(str(error)) from error
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(lock)
        raise
    return lock
