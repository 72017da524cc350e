"""Words on stderr: set up once by the command line."""

import logging
import sys
from enum import StrEnum
from typing import TextIO

from stream_detector.sources.address import redact


class LogLevel(StrEnum):
    """How much to say."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


def log_to_stderr(level: LogLevel) -> None:
    """Send this package's log to stderr from `level` on.

    Only the command line calls it. Secrets are taken out of every line.
    """
    handler = _Stderr()
    handler.setFormatter(_Redacting("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("stream_detector")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at that moment: the live view puts something in its place, so that
    lines scroll by above it instead of through it."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _stream: TextIO) -> None:
        """The base class sets it once; it is never kept."""


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
