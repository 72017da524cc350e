"""Words on stderr: set up once by the command line, with every secret taken out."""

import logging
from enum import StrEnum

from stream_detector.sources.address import redact


class LogLevel(StrEnum):
    """How much to say."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def log_to_stderr(level: LogLevel) -> None:
    """Send this package's log to stderr from `level` on. Only the command line calls it."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacting("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("stream_detector")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
