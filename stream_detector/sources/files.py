"""What is wrong with a file that cannot be read as video."""

import os
import stat
from pathlib import Path

from stream_detector.errors import SourceError
from stream_detector.records import Reason

_SNIFFED_BYTES = 4096
_TEXT_BYTES = frozenset(range(32, 127)) | {9, 10, 13} | frozenset(range(128, 256))


def check_file(path: str, shown: str) -> None:
    """Refuse what is no readable file before FFmpeg touches it: opening a named pipe may block for ever.

    Raises:
        SourceError: missing, a folder, a device, a pipe, empty, or not ours to read.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  # Path.stat would do; os takes odd names as they are
        if stat.S_ISDIR(found.st_mode):
            raise SourceError(
                f"cannot read {shown}: it is a folder; expected a video file", Reason.UNSUPPORTED
            )
        if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            raise SourceError(
                f"cannot read {shown}: it is a device; for a camera write webcam:{shown}", Reason.UNSUPPORTED
            )
        if not stat.S_ISREG(found.st_mode):
            raise SourceError(
                f"cannot read {shown}: it is a pipe or a socket; expected a video file", Reason.UNSUPPORTED
            )
        if found.st_size == 0:
            raise SourceError(
                f"cannot read {shown}: the file is empty; expected a video file", Reason.DAMAGED
            )
        with Path(path).open("rb"):
            pass
    except FileNotFoundError as error:
        raise SourceError(f"cannot find {shown}: no such file; check the path", Reason.NOT_FOUND) from error
    except PermissionError as error:
        raise SourceError(
            f"cannot read {shown}: permission denied; check who may read it", Reason.REFUSED
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise SourceError(
            f"cannot read {shown}: {reason}; expected a video file", Reason.UNREACHABLE
        ) from error


def looks_like(path: str) -> str:
    """Why FFmpeg may not have understood the file, as the end of a sentence; reads a few kilobytes."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(_SNIFFED_BYTES)
            if start[4:8] == b"ftyp" and not _has_box(path, b"moov"):
                return (
                    "it is an MP4 without its index (the moov box), as a recording that was cut off leaves "
                    "it; repair it, or record to Matroska or fragmented MP4"
                )
    except OSError:
        start = b""
    if start and not set(start) - _TEXT_BYTES and b"\0" not in start:
        return "it is a text file; expected a video file"
    return "it is no video FFmpeg knows, or too damaged to open; try to play it in another program"


def _has_box(path: str, wanted: bytes) -> bool:
    """Whether an MP4 has this box at its top level (ISO/IEC 14496-12, section 4.2)."""
    with Path(path).open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        at = 0
        while at + 8 <= end:
            file.seek(at)
            header = file.read(16)
            if header[4:8] == wanted:
                return True
            size = int.from_bytes(header[:4], "big")
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            if size < 8:
                return False
            at += size
    return False
