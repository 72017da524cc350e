"""Real-time deepfake detection for live video: a rolling fake score per face.

What `__all__` names is the public surface: it keeps its meaning until the major version changes.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_detector.errors import (
        BackendError,
        MissingDependency,
        ModelError,
        ShutdownError,
        SourceError,
        StreamDetectorError,
        UsageError,
    )
    from stream_detector.library import Watch, watch
    from stream_detector.records import (
        Box,
        EventKind,
        FaceScore,
        FaceSummary,
        Record,
        RunHeader,
        RunSummary,
        State,
        StreamEvent,
        StreamSnapshot,
    )
    from stream_detector.settings import Settings, make_settings

try:
    __version__ = version("stream-detector")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0+not-installed"

__all__ = [
    "BackendError",
    "Box",
    "EventKind",
    "FaceScore",
    "FaceSummary",
    "MissingDependency",
    "ModelError",
    "Record",
    "RunHeader",
    "RunSummary",
    "Settings",
    "ShutdownError",
    "SourceError",
    "State",
    "StreamDetectorError",
    "StreamEvent",
    "StreamSnapshot",
    "UsageError",
    "Watch",
    "__version__",
    "make_settings",
    "watch",
]

_MODULES = ("library", "records", "settings", "errors")
"""Where the names of `__all__` come from."""


def __getattr__(name: str) -> object:
    """Load a public name when somebody asks for it: importing the package alone costs nothing."""
    if name in __all__:
        for module in _MODULES:
            found = getattr(import_module(f"stream_detector.{module}"), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module 'stream_detector' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
