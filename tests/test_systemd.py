"""What systemd is told, over a real datagram socket."""

import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_detector.commands.systemd import Systemd

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")


@pytest.fixture(params=["path", "abstract"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """NOTIFY_SOCKET and the socket behind it."""
    abstract = request.param == "abstract"
    name = f"\0stream-detector-{uuid.uuid4()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name)
        listening.settimeout(0.3)
        yield name.replace("\0", "@"), listening


def messages(listening: socket.socket) -> list[str]:
    found = []
    try:
        while True:
            found.append(listening.recv(4096).decode())
    except TimeoutError:
        return found


def test_systemd_is_told_ready_status_and_stopping(told: tuple[str, socket.socket]) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": told[0]})
    assert systemd.asks
    systemd.ready()
    systemd.alive(1, "watching")
    systemd.alive(2, "watching")
    systemd.stopping()
    assert messages(told[1]) == ["READY=1", "STATUS=watching", "STOPPING=1"]


def test_the_watchdog_is_fed_at_half_its_limit_and_only_while_the_scorer_comes_round(
    told: tuple[str, socket.socket],
) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": told[0], "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())})

    def fed() -> int:
        return messages(told[1]).count("WATCHDOG=1")

    systemd.alive(1, "")
    systemd.alive(2, "")
    assert fed() == 1
    time.sleep(0.11)
    systemd.alive(3, "")
    assert fed() == 1
    for _ in range(3):  # the score thread is stuck: its count of turns stands still
        time.sleep(0.11)
        systemd.alive(3, "")
    assert fed() == 0
    systemd.alive(4, "")
    assert fed() == 1


def test_a_watchdog_of_another_process_is_not_fed(told: tuple[str, socket.socket]) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": told[0], "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
    systemd.alive(1, "")
    assert messages(told[1]) == []


def test_without_systemd_nothing_is_sent() -> None:
    systemd = Systemd({})
    assert not systemd.asks
    systemd.ready()
    systemd.alive(1, "x")
    systemd.stopping()


def test_a_systemd_that_does_not_listen_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    Systemd({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready()
    assert "systemd cannot be told READY" in caplog.text
