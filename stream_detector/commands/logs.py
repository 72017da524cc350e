"""Words on stderr: set up once by the command line."""

import logging
from enum import StrEnum


class LogLevel(StrEnum):
    """How much to say."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


def log_to_stderr(level: LogLevel) -> None:
    """Send this package's log to stderr from `level` on.

    Only the command line calls it: there stderr is an `edge.Redacted`, which takes every secret out.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("stream_detector")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
