"""Import heavy or optional packages late, and say what is missing when one does not load."""

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from stream_detector.errors import MissingDependency

_DEBIAN_PACKAGE = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libxcb.so.1": "libxcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libgomp.so.1": "libgomp1",
}

_NOT_FOR_FACES = ("matplotlib", "matplotlib.pyplot", "sounddevice")
"""What MediaPipe imports to draw and to record sound: a fifth of this program's start, and sounddevice
opens the sound system."""
_standing_in = threading.Lock()


def require(module: str, *, why: str, extra: str | None = None) -> ModuleType:
    """Import `module`, or say what to install.

    Args:
        module: dotted name.
        why: what needs it; the sentence starts with it ("finding faces").
        extra: the extra of this package that brings it; None where the base install does.

    Raises:
        MissingDependency: not installed, or installed but does not load.
    """
    if module == "openvino":
        _silence_openvino_telemetry()
    if module == "onnxruntime":
        _silence_onnxruntime_telemetry()
    target = "stream-detector" if extra is None else f"stream-detector[{extra}]"
    try:
        if module == "mediapipe":
            with stand_ins(*_NOT_FOR_FACES):
                return import_module(module)
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name != module.partition(".")[0]:
            raise MissingDependency(
                f"{module} is installed, but lacks {error.name!r}; "
                f"reinstall it with: pip install --force-reinstall '{target}'"
            ) from error
        raise MissingDependency(
            f"{why} needs {module}, which is not installed; install it with: pip install '{target}'"
        ) from error
    except (ImportError, OSError) as error:  # found, but a shared library is not
        raise MissingDependency(load_failure(module, why, str(error))) from error


def installed_version(package: str) -> str | None:
    """Of an installed distribution; None where there is none of that name."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def load_failure(module: str, why: str, text: str) -> str:
    """The sentence for a package whose shared library does not load."""
    library = re.search(r"(lib[\w.+-]+\.so(?:\.\d+)*)", text)
    package = _DEBIAN_PACKAGE.get(library.group(1)) if library else None
    if library and package:
        return (
            f"{why} needs {module}, which needs the system library {library.group(1)}; "
            f"on Debian and Ubuntu install it with: apt-get install {package}"
        )
    return f"{why} needs {module}, which is installed but does not load: {text}"


def load_media_libraries() -> None:
    """Load PyAV and OpenCV, in this order, before anything else imports either.

    Both wheels bring X11 libraries of the same names. With OpenCV's loaded first, FFmpeg's screen
    capture calls into the wrong ones and the process dies of a segmentation fault.

    Raises:
        MissingDependency: one of them does not load; the sentence names the system library.
    """
    require("av", why="reading pictures")
    require("cv2", why="scaling pictures")


@contextmanager
def stand_ins(*names: str) -> Iterator[None]:
    """Import nothing for `import NAME` inside, until somebody asks the module that it gives for anything.

    Whatever it is asked for, the real module answers; outside, `import NAME` is as ever. A module that is
    loaded already is left alone.

    Args:
        names: dotted; a parent before its children.
    """
    with _standing_in:
        placed = {name: _StandIn(name) for name in names if name not in sys.modules}
        sys.modules.update(placed)
        for name, module in placed.items():
            parent, _, child = name.rpartition(".")
            if parent in placed:
                vars(placed[parent])[child] = module
        try:
            yield
        finally:
            for module in placed.values():
                module.step_aside()


class _StandIn(ModuleType):
    def step_aside(self) -> None:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]

    def __getattr__(self, name: str) -> object:
        parent = sys.modules.get(self.__name__.rpartition(".")[0])
        if isinstance(parent, _StandIn):
            parent.step_aside()
        self.step_aside()
        return getattr(import_module(self.__name__), name)


def _silence_openvino_telemetry() -> None:
    """Keep `import openvino` from reporting its use to a server.

    OpenVINO imports the package openvino_telemetry, which sends usage data unless the user opted
    out. This program watches private calls, so it may connect to nothing but the source. A None in
    sys.modules makes that import fail, and OpenVINO then uses its own silent stub.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def _silence_onnxruntime_telemetry() -> None:
    """Keep ONNX Runtime from reporting its use to its maker, as it does on every system from 1.29 on.

    It reads these once, when its first session is made; its own disable_telemetry_events() comes too
    late for the first report. The second name is that of an interim version.
    """
    for name in ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"):
        os.environ[name] = "1"
