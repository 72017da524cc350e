"""Real-time deepfake detection for live video: a rolling fake score per face."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("stream-detector")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0+not-installed"

__all__ = ["__version__"]
