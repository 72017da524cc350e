"""The program as people and scripts meet it: a process, its two outputs and its exit code."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.clips import encode_demo
from stream_detector.commands.watch import ALARMED
from tests.conftest import REPOSITORY

PROGRAM = [sys.executable, "-m", "stream_detector"]
HANG_S = 120
"""Far more than anything here needs; a test that reaches it has found a hang."""


def program(*arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=HANG_S, cwd=REPOSITORY, **more
    )


def shell(command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=HANG_S, cwd=REPOSITORY
    )


def records(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def demo() -> "subprocess.CompletedProcess[str]":
    return program("demo", "--json")


def test_the_demo_starts_with_a_header_and_ends_with_a_summary(
    demo: "subprocess.CompletedProcess[str]",
) -> None:
    assert demo.returncode == 0, demo.stderr
    lines = records(demo)
    assert lines[0]["type"] == "header"
    assert lines[-1]["type"] == "summary"
    assert lines[0]["sources"] == ["demo:"]
    assert re.fullmatch(r"[0-9a-f]{64}", lines[0]["model_sha256"])
    assert {line["type"] for line in lines[1:-1]} == {"score", "event"}


def test_nothing_but_the_records_is_printed(demo: "subprocess.CompletedProcess[str]") -> None:
    assert demo.stderr == ""


def test_the_rolling_score_of_the_demo_rises_in_its_second_half(
    demo: "subprocess.CompletedProcess[str]",
) -> None:
    lines = records(demo)
    scores = [line for line in lines if line["type"] == "score" and line["p_fake"] is not None]
    half_s = lines[-1]["media_s"] / 2
    untouched = [line for line in scores if 2 < line["pts_s"] < half_s]
    tampered = [line for line in scores if line["pts_s"] > half_s + 4]
    assert len(untouched) > 10
    assert len(tampered) >= 8
    assert {line["state"] for line in untouched} <= {"likely_real", "uncertain"}
    assert {line["state"] for line in tampered} == {"likely_fake"}
    low = max(line["p_fake_rolling"] for line in untouched)
    high = min(line["p_fake_rolling"] for line in tampered)
    assert high > low + 0.3
    assert len({line["face"] for line in scores}) == 1


def test_two_runs_print_the_same_scores(demo: "subprocess.CompletedProcess[str]") -> None:
    def verdicts(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
        return [
            {key: value for key, value in line.items() if key != "age_ms"}
            for line in records(done)
            if line["type"] in ("score", "event")
        ]

    assert verdicts(program("demo", "--json", "--fast")) == verdicts(demo)


def test_a_run_can_be_cut_short_by_time_and_by_frames() -> None:
    by_time = records(program("watch", "demo:", "--json", "--duration", "1"))[-1]
    assert by_time["media_s"] < 1
    by_frames = records(program("watch", "demo:", "--json", "--max-frames", "10"))[-1]
    assert by_frames["frames"] == 10


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["watch"], 2, "there is nothing to watch: name a source"),
        (["watch", "demo:", "--watch-config"], 2, "--watch-config makes no sense without --config"),
        (["watch", "--config", "no-such.toml"], 2, "cannot read no-such.toml"),
        (["watch", "--config", "README.md", "--score-hz", "0"], 2, "--score-hz 0.0 makes no sense"),
        (["watch", "a.mp4", "--no-such-option"], 2, "No such option"),
        (["watch", "a.mp4", "--score-hz", "0"], 2, "--score-hz 0.0 makes no sense"),
        (["watch", "a.mp4", "--backend", "magic"], 2, "magic"),
        (["watch", "no-such-file.mp4"], 3, "no-such-file.mp4"),
        (["watch", "ftpx://host/film"], 3, "ftpx"),
        (["watch", "demo:", "--model", "no-such-model.onnx"], 4, "no-such-model.onnx"),
        (["watch", "demo:", "--model", "README.md"], 4, "README.md"),
        (["probe", "no-such-file.mp4"], 3, "no-such-file.mp4"),
        (["probe", "a.mp4", "--seconds", "nan"], 2, "--seconds nan makes no sense"),
        (["watch", "demo:", "--model", "x" * 300 + ".onnx"], 4, "cannot find the model"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence_and_its_exit_code(
    arguments: list[str], code: int, says: str
) -> None:
    done = program(*arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_source_that_fails_still_gets_its_header_event_and_summary() -> None:
    done = program("watch", "no-such-file.mp4", "--json")
    lines = records(done)
    assert [line["type"] for line in lines] == ["header", "event", "summary"]
    assert lines[1]["event"] == "stream_failed"
    assert lines[2]["failures"] == [lines[1]["detail"]]
    assert done.stderr == f"stream-detector: {lines[1]['detail']}\n"


def test_one_streams_failure_does_not_stop_the_other() -> None:
    done = program("watch", "no-such-file.mp4", "demo:", "--json", "--duration", "2")
    lines = records(done)
    assert done.returncode == 3
    scored = [line for line in lines if line["type"] == "score"]
    assert len(scored) >= 9
    assert {line["stream"] for line in scored} == {1}
    assert [line["event"] for line in lines if line["type"] == "event" and line["stream"] == 0] == [
        "stream_failed"
    ]


def test_passwords_and_query_strings_appear_in_no_output() -> None:
    done = program(
        "watch",
        "rtsp://watcher:sesame@127.0.0.1:9/door?token=hunter2",
        "--json",
        "--log-level",
        "debug",
        "--give-up-after",
        "0",
    )
    assert done.returncode == 3
    for output in (done.stdout, done.stderr):
        assert "sesame" not in output
        assert "hunter2" not in output
    assert "127.0.0.1" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["{url}"],
        ["demo", "{url}"],
        ["probe", "a", "{url}"],
        ["watch", "--log-level", "{url}", "a"],
        ["watch", "--model", "{url}", "demo:"],
    ],
)
def test_what_was_typed_in_the_wrong_place_is_repeated_without_its_secrets(arguments: list[str]) -> None:
    url = "rtsp://watcher:sesame@camera/door?token=hunter2"
    done = program(*(argument.format(url=url) for argument in arguments))
    assert done.returncode in (2, 4)
    assert done.stderr
    for secret in ("sesame", "hunter2"):
        assert secret not in done.stdout + done.stderr


def test_every_source_that_fails_is_named() -> None:
    done = program("watch", "none-1.mp4", "none-2.mp4", "--json")
    assert done.returncode == 3
    assert [name for name in ("none-1", "none-2") if name in done.stderr] == ["none-1", "none-2"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["demo --json --fast", "doctor --json"])
def test_output_that_cannot_be_written_is_said_in_one_sentence(command: str) -> None:
    done = shell(f"{sys.executable} -m stream_detector {command} >/dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("stream-detector: cannot write the output: No space left on device")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("set -o pipefail; {program} demo --json --fast | head -n 2", 0),
        ("set -o pipefail; {program} doctor --json | true", 0),
        ("{program} doctor --json >&-", 2),
        ("PYTHONIOENCODING=ascii {program} watch 'é 日本.mp4' --json", 3),
    ],
)
def test_whatever_stdout_is_the_program_ends_without_a_traceback(command: str, code: int) -> None:
    done = shell(command.format(program=f"{sys.executable} -m stream_detector"))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        ("watch", signal.SIGINT, 130),
        ("watch", signal.SIGTERM, 0),
        ("probe", signal.SIGINT, 130),
    ],
)
def test_a_signal_ends_a_run_that_waits_for_a_silent_host(command: str, number: int, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam"
        waiting = subprocess.Popen(
            [*PROGRAM, command, url, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        try:
            connection, _ = silent.accept()
            waiting.send_signal(number)
            began_s = time.monotonic()
            _, err = waiting.communicate(timeout=HANG_S)
            took_s = time.monotonic() - began_s
            connection.close()
        finally:
            waiting.kill()
            waiting.wait()
    assert waiting.returncode == code, err
    assert err == ""
    assert took_s < 15  # the host alone would keep it waiting for 20 s


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_an_endless_run_with_a_summary(number: int, code: int) -> None:
    watching = subprocess.Popen(
        [*PROGRAM, "watch", "lavfi:testsrc2=size=320x240:rate=25", "--json", "--realtime"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    try:
        assert watching.stdout is not None
        while json.loads(watching.stdout.readline()).get("event") != "stream_started":
            pass
        watching.send_signal(number)
        out, err = watching.communicate(timeout=HANG_S)
    finally:
        watching.kill()
        watching.wait()
    assert watching.returncode == code, err
    assert json.loads(out.splitlines()[-1])["type"] == "summary"
    assert err == ""


@pytest.mark.parametrize(("stuck", "ends"), [(True, "said\n"), (False, "said\ntaken down\n")])
def test_the_interpreter_is_not_taken_down_around_a_thread_in_native_code(stuck: bool, ends: str) -> None:
    # What wakes up in the middle of that may end the process by a signal, in one run of hundreds.
    script = f"""
import atexit, os, threading
from stream_detector.commands.edge import end_program
atexit.register(print, "taken down")
if {stuck}:
    threading.Thread(target=os.read, args=(os.pipe()[0], 1), daemon=True).start()
print("said")
raise SystemExit(end_program(7))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG_S, cwd=REPOSITORY
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, ends, "")


def test_the_doctor_names_versions_backends_and_model_hashes() -> None:
    done = program("doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["ready"] is True
    assert report["packages"]["av"]
    assert {backend["name"] for backend in report["backends"]} >= {"openvino", "onnx"}
    assert all(backend["detail"] for backend in report["backends"])
    assert {model["file"] for model in report["models"]} == {"xception-int8.xml", "xception-fp16.onnx"}
    assert all(re.fullmatch(r"[0-9a-f]{64}", model["sha256"]) for model in report["models"])
    for model in report["models"]:
        assert model["alarm_says"].startswith("no alarm: " if model["alarm"] is None else "alarm at ")


def test_the_readme_shows_the_options_the_program_has() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"--[a-z][a-z0-9-]+", readme.split("<!-- options -->")[1]))
    helped = set(re.findall(r"--[a-z][a-z0-9-]+", program("watch", "--help", env=_wide()).stdout)) - {
        "--help"
    }
    assert shown == helped


def test_the_readme_documents_the_exit_codes() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = readme.split("| exit code | meaning |")[1].split("\n\n")[0]
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE)}
    assert codes == {0, 1, 2, 3, 4, ALARMED, 130}


@pytest.mark.skipif(sys.platform != "linux", reason="strace is a Linux tool")
@pytest.mark.parametrize("backend", ["openvino", "onnx"])
def test_watching_a_file_connects_to_nothing(tmp_path: Path, backend: str) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace (Debian: apt-get install strace)")
    clip, log = tmp_path / "clip.mp4", tmp_path / "calls"
    encode_demo(clip, seconds=8, rate_hz=10)
    watched = ["watch", str(clip), "--json", "--backend", backend, "--realtime"]
    calls = "trace=connect,sendto,sendmsg,sendmmsg,socket"
    done = subprocess.run(
        [strace, "-f", "-qq", "-e", calls, "-o", str(log), *PROGRAM, *watched],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    assert records(done)[-1]["scores"] > 5
    assert [line for line in log.read_text().splitlines() if "AF_INET" in line] == []


def _wide() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
