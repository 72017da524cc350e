"""A run with several outputs, as a process: what it connects to, what it survives, what it tells systemd."""

import contextlib
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.clips import encode_demo
from stream_detector.model_spec import read_sidecar
from stream_detector.pipeline import Pipeline
from stream_detector.records import Image, Scores
from stream_detector.scorers.choice import packaged_models
from stream_detector.settings import make_settings
from tests import media, servers
from tests.brokers import PATIENCE_S, Listener, broker, until
from tests.conftest import REPOSITORY
from tests.test_cli import HANG_S, PROGRAM, program, records, shell
from tests.test_webhook import Receiver, answer


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("clip") / "demo.mp4"
    encode_demo(path, seconds=3, rate_hz=10)
    return str(path)


@contextlib.contextmanager
def watching(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*PROGRAM, "watch", *arguments, "--json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def health(port: int) -> tuple[int, str]:
    """Status and body of /healthz; (0, "") while nobody listens yet."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            return response.status, response.read().decode()
        except ConnectionError:
            return 0, ""


@pytest.mark.skipif(sys.platform != "linux", reason="strace is a Linux tool")
def test_a_run_with_every_output_connects_to_the_hosts_it_was_given_and_to_no_other(
    clip: str, tmp_path: Path
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace (Debian: apt-get install strace)")
    log, receiver = tmp_path / "calls", Receiver(answer(200))
    with broker(tmp_path) as running, servers.serving(receiver) as server:
        calls = "trace=connect,sendto,sendmsg,sendmmsg,socket"
        done = subprocess.run(
            [
                *(strace, "-f", "-qq", "-e", calls, "-o", str(log)),
                *(*PROGRAM, "watch", clip, "--json", "--realtime"),
                *("--publish", f"mqtt://127.0.0.1:{running.port}/home"),
                *("--webhook", f"http://127.0.0.1:{server.port}/hook"),
                *("--webhook-queue", str(tmp_path / "queue"), "--metrics-port", str(servers.closed_port())),
            ],
            capture_output=True,
            text=True,
            timeout=HANG_S,
            cwd=REPOSITORY,
        )
        assert done.returncode == 0, done.stderr
        assert records(done)[-1]["scores"] > 0
        assert receiver.requests != []
        ports = {
            int(port)
            for line in log.read_text().splitlines()
            if "AF_INET" in line and not re.search(r" socket\(", line)
            for port in re.findall(r"htons\((\d+)\)", line)
        }
        assert ports == {running.port, server.port}
        assert "AF_INET6, sin6_port" not in log.read_text()


def test_a_reader_of_stdout_that_goes_away_does_not_end_what_others_still_read(
    clip: str, tmp_path: Path
) -> None:
    with broker(tmp_path) as running, Listener(running.port, "home") as listener:
        command = f"{sys.executable} -m stream_detector watch {clip} --json --realtime"
        done = shell(f"set -o pipefail; {command} --publish mqtt://127.0.0.1:{running.port}/home | head -n 1")
        assert done.returncode == 0, done.stderr
        assert "the other outputs go on without it" in done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        until(lambda: "stream_ended" in "".join(listener.of("0/event")), "the run ended with its reader")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_stdout_that_cannot_be_written_fails_the_run_only_at_its_end(clip: str, tmp_path: Path) -> None:
    with broker(tmp_path) as running, Listener(running.port, "home") as listener:
        command = f"{sys.executable} -m stream_detector watch {clip} --json"
        done = shell(f"{command} --publish mqtt://127.0.0.1:{running.port}/home >/dev/full")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("stream-detector: cannot write the output: No space")
        assert len(done.stderr.splitlines()) == 2
        until(lambda: "stream_ended" in "".join(listener.of("0/event")), "the run ended with its stdout")


def test_healthz_fails_with_the_reason_while_a_camera_is_silent() -> None:
    jpegs = itertools.islice((media.jpeg(i % 30, 320, 240) for i in itertools.count()), 60)
    camera = servers.pictures(jpegs, every_s=0.04, then_silent=True)
    with servers.serving(camera) as server:
        port = servers.closed_port()
        url = f"http://me:sesame@127.0.0.1:{server.port}/cam?token=hunter2"
        with watching(url, "--metrics-port", str(port)):
            until(lambda: health(port)[0] == 200, "it never became healthy")
            until(lambda: health(port)[0] == 503, "it stayed healthy without a frame")
            _, body = health(port)
    assert re.search(r"the newest frame of stream 0 \(.*\) is \d+\.\d s old", body)
    assert "sesame" not in body
    assert "hunter2" not in body


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--metrics-port", "70000"], "--metrics-port 70000 on 127.0.0.1 makes no sense"),
        (["--metrics-port", "0", "--max-frame-age", "0"], "--max-frame-age 0 makes no sense"),
        (["--publish", "http://me:sesame@host"], "--publish makes no sense"),
        (["--webhook", "host/sesame"], "--webhook makes no sense"),
        (["--webhook", "http://host", "--webhook-queue", "README.md"], "cannot use the webhook queue"),
    ],
)
def test_an_output_that_makes_no_sense_is_refused_before_anything_is_watched(
    options: list[str], says: str
) -> None:
    done = program("watch", "demo:", "--json", *options)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "sesame" not in done.stderr
    assert done.stdout == ""


def test_a_metrics_port_that_is_taken_is_exit_code_two() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = program("watch", "demo:", "--metrics-port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "is taken by another program" in done.stderr


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_systemd_hears_ready_watchdog_status_and_stopping_of_a_real_run(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(PATIENCE_S)
        with watching(
            *("lavfi:testsrc2=size=320x240:rate=25", "--realtime"),
            NOTIFY_SOCKET=str(tmp_path / "notify"),
            WATCHDOG_USEC="400000",
        ) as process:
            heard = [told.recv(4096).decode()]
            while heard.count("WATCHDOG=1") < 3:
                heard.append(told.recv(4096).decode())
            process.send_signal(signal.SIGTERM)
            while "STOPPING=1" not in heard:
                heard.append(told.recv(4096).decode())
            assert process.wait(PATIENCE_S) == 0
    assert heard[0] == "READY=1"
    assert "STATUS=watching 1 stream; all is well" in heard
    assert heard.count("STOPPING=1") == 1


def test_a_scorer_that_is_stuck_stops_the_turns_that_feed_the_watchdog(
    clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, released = threading.Event(), threading.Event()

    class Stuck:
        backend, precision, max_batch, best_batch = "stuck", "fp32", 8, 8

        def __init__(self) -> None:
            self.spec = read_sidecar(packaged_models()[0])

        def score(self, faces: Image) -> Scores:
            entered.set()
            released.wait(PATIENCE_S)
            raise RuntimeError("released")

        def close(self) -> None:
            released.set()

    monkeypatch.setattr("stream_detector.pipeline.choose_scorer", lambda **_: Stuck())
    with contextlib.suppress(RuntimeError), Pipeline(make_settings(sources=(clip,))) as pipeline:
        assert entered.wait(PATIENCE_S)
        stuck = pipeline.status()
        until(lambda: (pipeline.status().turned_ago_s or 0) > 0.6, "time stands still")
        assert pipeline.status().turns == stuck.turns
        released.set()
        for _ in pipeline.records():
            pass


def test_an_idle_scorer_still_comes_round() -> None:
    with Pipeline(make_settings(sources=("lavfi:color=size=320x240:rate=5",), realtime=True)) as pipeline:
        turns = pipeline.status().turns
        until(lambda: pipeline.status().turns > turns + 2, "the score thread does not come round")


def test_an_output_that_needs_a_package_says_which_extra_brings_it() -> None:
    code = """if True:
        import sys
        class NotInstalled:
            def find_spec(self, name, path=None, target=None):
                if name in ("paho", "prometheus_client"):
                    raise ModuleNotFoundError(name, name=name)
        sys.meta_path.insert(0, NotInstalled())
        from stream_detector.commands.app import main
        sys.exit(main())
    """
    for option, value, extra in (
        ("--publish", "mqtt://127.0.0.1:9/x", "stream-detector[publish]"),
        ("--metrics-port", "0", "stream-detector[metrics]"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, "watch", "demo:", "--json", option, value],
            capture_output=True,
            text=True,
            timeout=HANG_S,
            cwd=REPOSITORY,
        )
        assert done.returncode == 4, done.stderr
        assert f"pip install '{extra}'" in done.stderr


def test_every_alert_and_metric_of_a_run_tells_the_same(clip: str, tmp_path: Path) -> None:
    """The same run through stdout, the broker and the webhook."""
    receiver = Receiver(answer(200))
    with (
        broker(tmp_path) as running,
        Listener(running.port, "home") as listener,
        servers.serving(receiver) as server,
    ):
        done = program(
            *("watch", clip, "--json", "--score-hz", "5"),
            *("--publish", f"mqtt://127.0.0.1:{running.port}/home"),
            *("--webhook", f"http://127.0.0.1:{server.port}/hook", "--webhook-queue", str(tmp_path / "q")),
        )
        assert done.returncode == 0, done.stderr
        lines = records(done)
        until(lambda: "offline" in listener.of("availability"), "no farewell came")
    events = [line for line in lines if line["type"] == "event"]
    assert [json.loads(event) for event in listener.of("0/event")] == events
    streams = [line["event"] for line in events if line["event"].startswith("stream_")]
    assert [m["event"] for m in receiver.messages if m["type"] == "event"] == streams
    states = [json.loads(state) for state in listener.of("0/face/1") if state]
    scores = [line for line in lines if line["type"] == "score"]
    assert all(state in scores for state in states)
    assert states
