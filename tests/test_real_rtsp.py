"""Against a real RTSP server: GStreamer's, from Debian, killed, stopped and started again."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stream_detector.records import EventKind, Frame, Reason
from stream_detector.sources.address import parse_address
from stream_detector.sources.reconnect import AUTH_TRIES, ReconnectingSource
from stream_detector.sources.session import Limits
from tests.conftest import REPOSITORY
from tests.servers import closed_port
from tests.watching import Watching

PROGRAM = [sys.executable, "-m", "stream_detector"]
PYTHON = "/usr/bin/python3"
BINDINGS = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
    "Gst.init(None); assert Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('rtph264pay')"
)
CAMERA = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 pt=96 )"
)
LIMITS = Limits(open_s=5.0, first_frame_s=5.0, between_frames_s=2.0)
HANG_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def _bindings() -> None:
    if not Path(PYTHON).exists() or subprocess.run([PYTHON, "-c", BINDINGS], capture_output=True).returncode:
        pytest.skip(
            "needs GStreamer's RTSP server (Debian: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi "
            "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly)"
        )


@contextmanager
def real_server(port: int, password: str = "") -> Iterator["subprocess.Popen[str]"]:
    """The server, once it listens; killed at the end if it still runs."""
    server = subprocess.Popen(
        [PYTHON, str(REPOSITORY / "tests" / "gst_rtsp_server.py"), str(port), CAMERA, password],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield server
    finally:
        server.kill()
        server.communicate()


def source(port: int, user: str = "", query: str = "", **options: object) -> ReconnectingSource:
    address = parse_address(f"rtsp://{user}127.0.0.1:{port}/cam{query}")
    return ReconnectingSource(address, limits=LIMITS, **options)  # type: ignore[arg-type]


class Program:
    """`stream-detector` as a process whose events can be waited for."""

    def __init__(self, *arguments: str) -> None:
        self.lines: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        self._thread = threading.Thread(target=self._read, name="reading the program")
        self._thread.start()

    def events(self) -> list[dict[str, Any]]:
        with self._changed:
            return [line for line in self.lines if line["type"] == "event"]

    def wait_for(self, event: str, *, times: int = 1) -> None:
        deadline_s = time.monotonic() + HANG_S
        while sum(line["event"] == event for line in self.events()) < times:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"no {event}: {self.events()}"
            with self._changed:
                self._changed.wait(min(left_s, 0.5))

    def end(self) -> str:
        """Ask it to end; what it said on stderr."""
        self.process.send_signal(signal.SIGTERM)
        self._thread.join(HANG_S)
        assert self.process.stderr is not None
        words = self.process.stderr.read()
        self.process.wait(HANG_S)
        return words

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join(HANG_S)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(json.loads(line))
                self._changed.notify_all()


def test_a_watch_survives_a_server_that_freezes_is_killed_and_comes_back() -> None:
    port = closed_port()
    program = Program(
        "watch", f"rtsp://watcher:sesame@127.0.0.1:{port}/cam", "--json", "--log-level", "debug"
    )
    try:
        program.wait_for("reconnecting")  # the camera is not there yet
        with real_server(port, "sesame") as server:
            program.wait_for("no_face")
            server.send_signal(signal.SIGSTOP)
            program.wait_for("stalled")
            server.send_signal(signal.SIGCONT)
            program.wait_for("resumed")
            server.kill()
            program.wait_for("reconnecting", times=2)
        with real_server(port, "sesame"):
            program.wait_for("resumed", times=2)
            program.wait_for("no_face", times=1)
            words = program.end()
        assert program.process.returncode == 0
    finally:
        program.kill()
    events = program.events()
    told = [
        (line["event"], line["reason"]) for line in events if line["event"] not in ("no_face", "scene_cut")
    ]
    once_lost = [pair for pair in told if pair != ("reconnecting", "refused")]
    assert once_lost[:5] == [
        ("connecting", None),
        ("live", None),
        ("stream_started", None),
        ("stalled", "timeout"),
        ("resumed", None),
    ]
    assert told[1] == ("reconnecting", "refused")
    assert ("reconnecting", "ended") in told or ("reconnecting", "timeout") in told
    assert once_lost[-2:] == [("resumed", None), ("stream_ended", None)]
    times_s = [line["pts_s"] for line in events if line["pts_s"] is not None]
    assert times_s == sorted(times_s)
    for text in (words, json.dumps(program.lines)):
        assert "sesame" not in text


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_killed_server_is_noticed_and_its_return_is_seen(transport: str) -> None:
    port = closed_port()
    with Watching(source(port, query=f"?transport={transport}")) as seen:
        with real_server(port):
            seen.event(EventKind.LIVE, within_s=HANG_S)
            seen.came_at_s(lambda item: isinstance(item, Frame) and item.index == 20, within_s=HANG_S)
        with real_server(port):
            seen.event(EventKind.RESUMED, within_s=HANG_S)
            seen.came_at_s(lambda item: isinstance(item, Frame) and item.segment == 1, within_s=HANG_S)
    times_s = [frame.pts_s for frame in seen.frames]
    assert times_s == sorted(times_s)


def test_a_real_server_that_refuses_the_password_is_named_and_the_password_is_not() -> None:
    port = closed_port()
    with (
        real_server(port, "sesame"),
        Watching(source(port, user="watcher:hunter2@", auth_interval_s=0.1)) as seen,
    ):
        seen.end(within_s=HANG_S)
    assert seen.kinds == [EventKind.CONNECTING, *[EventKind.AUTH_FAILED] * AUTH_TRIES, EventKind.GAVE_UP]
    assert seen.failure is not None
    assert seen.failure.reason == Reason.AUTH
    assert "hunter2" not in f"{seen.events} {seen.failure}"


def test_the_program_names_no_password_that_a_real_server_refuses_whatever_is_logged() -> None:
    port = closed_port()
    url = f"rtsp://watcher:hunter2@127.0.0.1:{port}/cam?token=hunter3"
    with real_server(port, "sesame"):
        done = subprocess.run(
            [*PROGRAM, "watch", url, "--json", "--give-up-after", "0", "--log-level", "debug"],
            capture_output=True,
            text=True,
            timeout=2 * HANG_S,
            cwd=REPOSITORY,
        )
    assert done.returncode == 3, done.stderr
    events = [line["event"] for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "event"]
    assert events == ["connecting", "auth_failed", "gave_up", "stream_failed"]
    assert "password" in done.stderr
    assert "hunter" not in done.stdout + done.stderr


def test_watching_a_real_server_connects_to_that_server_only(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace (Debian: apt-get install strace)")
    port, log = closed_port(), tmp_path / "calls"
    watched = ["watch", f"rtsp://127.0.0.1:{port}/cam", "--json", "--max-frames", "20"]
    with real_server(port):
        done = subprocess.run(
            [strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(log), *PROGRAM, *watched],
            capture_output=True,
            text=True,
            timeout=2 * HANG_S,
            cwd=REPOSITORY,
        )
    assert done.returncode == 0, done.stderr
    calls = [line for line in log.read_text().splitlines() if "sin_port" in line or "sin6_port" in line]
    assert calls
    assert [call for call in calls if f"htons({port})" not in call or '"127.0.0.1"' not in call] == []


def test_a_path_that_a_real_server_does_not_have_is_not_found() -> None:
    port = closed_port()
    address = parse_address(f"rtsp://127.0.0.1:{port}/none")
    with real_server(port), Watching(ReconnectingSource(address, limits=LIMITS, give_up_after_s=0)) as seen:
        seen.end(within_s=HANG_S)
    assert seen.events[-1].reason is Reason.NOT_FOUND
