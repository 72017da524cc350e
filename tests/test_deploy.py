"""The unit and the Dockerfile: what they name exists, and means what it should."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import REPOSITORY
from tests.test_cli import program

DEPLOY = REPOSITORY / "deploy"


def unit() -> dict[str, str]:
    """Key -> value of every setting."""
    lines = (DEPLOY / "stream-detector.service").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]\w+=", line))


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, arguments), continuation lines joined."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in dockerfile() if name == instruction]


@pytest.fixture(scope="module")
def options() -> set[str]:
    done = program("watch", "--help", env={**os.environ, "COLUMNS": "200", "TERM": "dumb"})
    return set(re.findall(r"--[a-z][a-z0-9-]+", done.stdout))


def test_the_options_that_both_give_exist(options: set[str]) -> None:
    given = [*shlex.split(unit()["ExecStart"]), *json.loads(arguments("ENTRYPOINT")[0])]
    assert {word for word in given if word.startswith("--")} <= options


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    for copied in arguments("COPY"):
        if copied.startswith("--from"):
            continue
        *paths, _ = copied.split()
        for path in paths:
            assert (REPOSITORY / path).exists(), path
            assert f"!{path}" in ignored, path


def test_the_image_holds_every_package_the_build_needs() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    copied = {path.split("/")[0] for line in arguments("COPY") for path in line.split()[:-1]}
    packages = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    assert packages <= copied
    assert {project["project"]["readme"], "LICENSE"} <= copied
    (extras,) = re.findall(r"/source\[([\w,]+)\]", " ".join(arguments("RUN")))
    assert set(extras.split(",")) <= project["project"]["optional-dependencies"].keys()


def test_the_image_has_the_system_libraries_the_readme_names_and_does_not_run_as_root() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"also need `apt-get install ([^`]+)`", readme)
    assert named in " ".join(arguments("RUN"))
    (user,) = arguments("USER")
    assert int(user) > 0
    assert f"--uid {user}" in " ".join(arguments("RUN"))


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_of_the_image_asks_healthz(status: int, healthy: bool) -> None:
    (check,) = arguments("HEALTHCHECK")
    python, *rest = json.loads(check.partition("CMD ")[2])
    assert python == "python"
    entry = json.loads(arguments("ENTRYPOINT")[0])
    port = entry[entry.index("--metrics-port") + 1]
    (exposed,) = arguments("EXPOSE")
    assert exposed == port

    def answer(connection: socket.socket, ended: threading.Event) -> None:
        request = servers.request_of(connection, ended)
        said = status if b"GET /healthz " in request else 404
        connection.sendall(f"HTTP/1.1 {said} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    with servers.serving(answer) as server:
        code = [word.replace(f":{port}/", f":{server.port}/") for word in rest]
        done = subprocess.run([sys.executable, *code], capture_output=True, timeout=30)
    assert (done.returncode == 0) is healthy


def test_the_unit_is_hardened_and_restarts_what_hangs() -> None:
    settings = unit()
    for setting in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome", "PrivateDevices"):
        assert settings[setting] == "yes", setting
    assert settings["ProtectSystem"] == "strict"
    assert settings["CapabilityBoundingSet"] == ""
    assert settings["Type"] == "notify"
    assert settings["Restart"] == "on-failure"
    assert int(settings["WatchdogSec"]) >= 10
    assert settings["StateDirectory"] == "stream-detector"


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze (Debian: apt-get install systemd)")
    text = (DEPLOY / "stream-detector.service").read_text(encoding="utf-8")
    copy = tmp_path / "stream-detector.service"
    copy.write_text(text.replace("/opt/stream-detector/bin/stream-detector", sys.executable))
    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    copy.write_text(copy.read_text() + "\n[Service]\nNoSuchSetting=1\n")
    assert (
        "NoSuchSetting"
        in subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=60).stderr
    )
