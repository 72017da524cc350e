"""The cameras of this computer, by name; opens none of them."""

import sys
from dataclasses import dataclass
from pathlib import Path

import av

_INPUT_FORMAT = {"darwin": "avfoundation", "win32": "dshow"}
_VIDEO4LINUX = Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera."""

    name: str
    """As its maker calls it."""
    source: str
    """What `stream-detector watch` takes."""


def list_cameras(platform: str = sys.platform) -> list[Camera]:
    """Every camera the system tells of, in its order; empty where it tells of none."""
    if platform == "linux":
        return _linux_cameras(_VIDEO4LINUX)
    try:
        devices = av.enumerate_input_devices(_INPUT_FORMAT[platform])
    except (KeyError, av.FFmpegError, ValueError):
        return []
    return [Camera(device.description or device.name, f"webcam:{device.name}") for device in devices]


def _linux_cameras(folder: Path) -> list[Camera]:
    """From the system's own files: a device that is busy or may not be opened is listed too.

    A camera has several nodes; only that with index 0 delivers pictures.
    """
    cameras = []
    for node in sorted(folder.glob("video*"), key=lambda path: int(path.name.removeprefix("video") or 0)):
        try:
            if (node / "index").read_text().strip() == "0":
                cameras.append(Camera((node / "name").read_text().strip(), f"webcam:/dev/{node.name}"))
        except OSError:
            continue
    return cameras
