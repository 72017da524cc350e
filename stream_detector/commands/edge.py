"""The edge of the program: where errors become sentences, exit codes and nothing secret."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from io import TextIOBase
from typing import TextIO

from stream_detector.errors import OutputClosed, OutputError, StreamDetectorError, UsageError
from stream_detector.sources.address import redact


class Redacted(TextIOBase):
    """A text stream that takes passwords and query strings out of every line before it writes it.

    For stderr: the parser of the command line repeats what was typed, exceptions quote addresses.
    """

    def __init__(self, stream: TextIO) -> None:
        """Writes to `stream`, which stays open."""
        self._stream = stream
        self._begun = ""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Holds back what has no line end yet: a secret may come in pieces."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._stream.write(redact(line) + "\n")
        self._stream.flush()
        return len(text)

    def finish(self) -> None:
        """Writes what has no line end."""
        if self._begun:
            self.write("\n")


def run_program(name: str, app: Callable[[], object]) -> int:
    """Run a typer app as a program; returns the exit code. Never raises, never prints a secret.

    Args:
        name: stands before every sentence.
    """
    if sys.stdout is None:
        if sys.stderr is not None:
            sys.stderr.write(f"{name}: stdout is closed, so nothing can be printed; open it\n")
        return UsageError.exit_code
    # What a terminal cannot show becomes a question mark, not the end of the run.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    stderr = Redacted(sys.stderr or open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with redirect_stderr(stderr):
        try:
            return _exit_code(name, app)
        finally:
            stderr.finish()
            logging.shutdown()


def end_program(code: int) -> int:
    """The last thing a program calls; returns `code`, or ends the process with it and does not return.

    A thread that waits in native code for a host, or for a device, does so while the interpreter is taken
    down around it, and takes the process down with a signal where it wakes up in the middle of that. Where
    one is left, what is buffered is written and the process ends without taking anything down.
    """
    if not any(thread.daemon for thread in threading.enumerate()):
        return code
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
                stream.flush()
    os._exit(code)


def _exit_code(name: str, app: Callable[[], object]) -> int:
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except OutputClosed:
        _forget_stdout()
    except OutputError as error:
        _forget_stdout()
        sys.stderr.write(f"{name}: {error}\n")
        return error.exit_code
    except StreamDetectorError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return error.exit_code
    return 0


def _forget_stdout() -> None:
    """Python flushes stdout once more at exit, and must find somewhere to flush it to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
