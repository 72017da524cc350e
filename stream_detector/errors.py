"""Every exception this package raises on purpose.

StreamDetectorError          exit code 1
├── UsageError          2    an option or setting has a value that makes no sense
├── SourceError         3    the stream could not be opened, or broke while being read
├── ModelError          4    the model file is missing, damaged, or made for another contract
├── BackendError        4    the back-end that was asked for cannot run here
├── MissingDependency   4    a package or system library is not installed, or does not load
├── OutputClosed        0    whoever read the output has had enough
├── OutputError         1    what was found out could not be written
└── ShutdownError       1    a thread did not stop in time

A message is one sentence that names the thing, what was found, what was expected, and what to do next.
"""


class StreamDetectorError(Exception):
    """The root: whatever this package raises on purpose."""

    exit_code = 1
    """What the command line answers with when this error ends the run."""


class UsageError(StreamDetectorError):
    """An option or setting has a value that makes no sense."""

    exit_code = 2


class SourceError(StreamDetectorError):
    """The stream could not be opened, or broke while being read. Its text holds no password."""

    exit_code = 3

    def __init__(self, message: str, reason: str | None = None) -> None:
        """`reason`: one of `records.Reason`; None where the address alone was wrong."""
        super().__init__(message)
        self.reason = reason


class ModelError(StreamDetectorError):
    """The model file is missing, damaged, or made for another contract."""

    exit_code = 4


class BackendError(StreamDetectorError):
    """The back-end that was asked for cannot run here."""

    exit_code = 4


class MissingDependency(StreamDetectorError):
    """A package or system library is not installed, or does not load."""

    exit_code = 4


class OutputClosed(StreamDetectorError):
    """Whoever read the output, say `head`, has had enough: an end, not a failure."""

    exit_code = 0


class OutputError(StreamDetectorError):
    """What was found out could not be written."""


class ShutdownError(StreamDetectorError):
    """A thread did not stop in time."""
