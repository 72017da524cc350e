"""A real X display in memory, its mouse and keyboard, and pictures of it."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gui.qt_libraries import DEBIAN_PACKAGES, missing_library

_PHOTOGRAPHER = """
import select, sys, av, cv2
with av.open(sys.argv[1], format="x11grab", options={"draw_mouse": "0", "framerate": "10"}) as container:
    for frame in container.decode(video=0):
        if select.select([sys.stdin], [], [], 0)[0]:
            path = sys.stdin.readline().strip()
            if not path:
                break
            cv2.imwrite(path, frame.to_ndarray(format="bgr24"), [cv2.IMWRITE_PNG_COMPRESSION, 2])
            print("done", flush=True)
"""


class Display:
    """An X server without a window manager, and a process that takes pictures of it.

    That process is one of its own: beside Qt's X11 libraries, FFmpeg's would call into the wrong ones.
    """

    def __init__(self, name: str, photographer: "subprocess.Popen[str]") -> None:
        self.name = name
        self._photographer = photographer

    def do(self, *words: str) -> str:
        """Let xdotool do something."""
        done = subprocess.run(
            ["xdotool", *words],
            env={**os.environ, "DISPLAY": self.name},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout.strip()

    def photograph(self, path: Path) -> None:
        """Write the whole screen as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        asked, answered = self._photographer.stdin, self._photographer.stdout
        assert asked is not None
        assert answered is not None
        asked.write(f"{path}\n")
        asked.flush()
        assert answered.readline() == "done\n"


@contextlib.contextmanager
def display(width_px: int, height_px: int) -> Iterator[Display]:
    """An empty display of this size; skips where Xvfb or xdotool is absent."""
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian: apt-get install xvfb xdotool)")
    missing = missing_library()
    if missing is not None:
        pytest.skip(f"needs {missing} (Debian: apt-get install {DEBIAN_PACKAGES})")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(writing),
            "-screen",
            "0",
            f"{width_px}x{height_px}x24",
            "-nolisten",
            "tcp",
        ],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as numbers:
            name = ":" + numbers.readline().strip()
        with subprocess.Popen(
            [sys.executable, "-c", _PHOTOGRAPHER, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as photographer:
            try:
                yield Display(name, photographer)
            finally:
                photographer.kill()
    finally:
        server.terminate()
        server.wait(10)
