"""What systemd wants to know of a service: ready, alive, stopping (sd_notify(3))."""

import logging
import os
import socket
import time
from collections.abc import Mapping

_log = logging.getLogger("stream_detector.systemd")


class Systemd:
    """Tells systemd, where systemd asked for it; elsewhere every method does nothing. One thread."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from `environment`; sends nothing."""
        path = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ lies in the abstract namespace; other families are not for us.
        self._address = "\0" + path[1:] if path.startswith("@") else path if path.startswith("/") else None
        self._feed_every_s = _watchdog_s(environment) / 2
        self._fed_at_s = float("-inf")
        self._fed_turns = -1
        self._status = ""

    @property
    def asks(self) -> bool:
        """Whether systemd wants to be told."""
        return self._address is not None

    def ready(self) -> None:
        """The model is loaded, and every source has been started."""
        self._tell("READY=1")

    def alive(self, turns: int, status: str) -> None:
        """Feeds the watchdog when it is time, if the detector has come round since it was last fed.

        Args:
            turns: how often the score thread came round; `RunStatus.turns`. While it stands still
                the watchdog gets nothing, and systemd restarts the service.
            status: one line for `systemctl status`.
        """
        now_s = time.monotonic()
        due = self._feed_every_s > 0 and now_s - self._fed_at_s >= self._feed_every_s
        if due and turns != self._fed_turns:
            self._tell("WATCHDOG=1")
            self._fed_at_s, self._fed_turns = now_s, turns
        if status != self._status:
            self._status = status
            self._tell(f"STATUS={status}")

    def stopping(self) -> None:
        """The run is about to end."""
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
                told.setblocking(False)  # a system that does not listen must not hold the detector up
                told.sendto(message.encode(), self._address)
        except OSError as error:
            _log.warning("systemd cannot be told %s: %s", message.partition("=")[0], error.strerror)


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """The watchdog's limit in seconds; 0 where none is set, or where it is set for another process."""
    limit_us, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not limit_us.isdecimal() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(limit_us) / 1e6
