"""A real MQTT broker on the loopback, and somebody who listens to it."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.servers import closed_port

PATIENCE_S = 20.0
"""Far more than a broker on the loopback needs."""


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and 127.0.0.1, and its key."""
    public, private = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(private), "-out", str(public)),
        ],
        check=True,
        capture_output=True,
    )
    return public, private


class Broker:
    """Debian's mosquitto; `start` and `stop` as often as wanted, always on the same port."""

    def __init__(
        self, folder: Path, *, account: tuple[str, str] | None = None, tls: tuple[Path, Path] | None = None
    ) -> None:
        self.port = closed_port()
        self._config = folder / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"listener {self.port} 127.0.0.1", "persistence false"]
        # Started by root, it would read files as another user, who may not enter the test's folder.
        lines += ["user root"] if os.name == "posix" and os.getuid() == 0 else []
        if tls is not None:
            lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
        if account is None:
            lines.append("allow_anonymous true")
        else:
            passwords = folder / "passwords"
            user, password = account
            subprocess.run(
                [_program("mosquitto_passwd"), "-c", "-b", str(passwords), user, password], check=True
            )
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        self._config.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        self._process = subprocess.Popen(
            [_program("mosquitto"), "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: _listens(self.port), "the broker does not listen")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None


@contextlib.contextmanager
def broker(
    folder: Path, *, account: tuple[str, str] | None = None, tls: tuple[Path, Path] | None = None
) -> Iterator[Broker]:
    """A running broker; skips where there is none to run.

    Args:
        account: the only user name and password it takes.
        tls: its certificate and key.
    """
    started = Broker(folder, account=account, tls=tls)
    try:
        started.start()
        yield started
    finally:
        started.stop()


class Listener:
    """Hears everything under `prefix` while it is entered."""

    def __init__(self, port: int, prefix: str, *, account: tuple[str, str] | None = None) -> None:
        self.heard: list[tuple[str, str]] = []
        """(topic without the prefix, payload), in order; the retained ones first."""
        self._prefix = prefix
        self._listening = threading.Event()
        self._port = port
        self._client = Client(CallbackAPIVersion.VERSION2)
        if account is not None:
            self._client.username_pw_set(*account)
        self._client.on_message = self._hear
        self._client.on_subscribe = lambda *_: self._listening.set()

    def __enter__(self) -> "Listener":
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self._client.subscribe(f"{self._prefix}/#", qos=1)
        assert self._listening.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, topic: str, payload: str) -> None:
        self._client.publish(f"{self._prefix}/{topic}", payload, qos=1, retain=True).wait_for_publish(10)

    def of(self, topic: str) -> list[str]:
        return [payload for heard, payload in list(self.heard) if heard == topic]

    def _hear(self, _client: Any, _userdata: Any, message: Any) -> None:
        self.heard.append((message.topic.removeprefix(self._prefix + "/"), message.payload.decode()))


def retained(port: int, prefix: str) -> dict[str, str]:
    """What the broker keeps under `prefix` now."""
    with Listener(port, prefix) as listener:
        listener.say("probe/end", "x")  # retained messages come before it: the broker keeps the order
        until(lambda: listener.of("probe/end") != [], "the broker does not answer")
        listener.say("probe/end", "")
        return {topic: payload for topic, payload in listener.heard if payload and topic != "probe/end"}


def until(holds: Any, complaint: str) -> None:
    """Wait until `holds()`; fail after PATIENCE_S."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, complaint
        time.sleep(0.02)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"needs {name} (Debian: apt-get install mosquitto)")
    return found


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
