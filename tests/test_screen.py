"""Watching a real X display, in a process of its own as the program does it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An empty X display of 1280x720."""
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("needs Xvfb (Debian: apt-get install xvfb)")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [xvfb, "-displayfd", str(writing), "-screen", "0", "1280x720x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as numbers:
            yield ":" + numbers.readline().strip()
    finally:
        server.terminate()
        server.wait(10)


@pytest.mark.parametrize(("source", "frames"), [("screen:", 20), ("screen:640x360+100+50", 20)])
def test_a_screen_is_watched_as_a_live_source(display: str, source: str, frames: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stream_detector", "watch", source, "--json", "--max-frames", str(frames)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPOSITORY,
        env={**os.environ, "DISPLAY": display},
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines[1:-1]] == [
        "connecting",
        "live",
        "stream_started",
        "no_face",
        "stream_ended",
    ]
    assert lines[-1]["frames"] == frames


def test_without_a_display_the_screen_is_refused_with_a_sentence() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    done = subprocess.run(
        [sys.executable, "-m", "stream_detector", "watch", "screen:", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPOSITORY,
        env=environment,
    )
    assert done.returncode == 3
    assert "DISPLAY is not set" in done.stderr
