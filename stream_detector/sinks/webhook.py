"""Alerts sent to a webhook: at least once, in order, from a queue that survives the run."""

import json
import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_detector.errors import OutputError, ShutdownError
from stream_detector.handoff import Closed, Handoff
from stream_detector.records import Record, RunHeader, RunSummary
from stream_detector.sinks.alerts import Alerts
from stream_detector.sinks.disk_queue import DiskQueue
from stream_detector.sinks.trouble import Trouble
from stream_detector.sinks.webhook_post import Answer, Poster, parse_hook
from stream_detector.worker import Worker

_ON_THE_WAY = 256
"""Alerts on their way to the disk: more than come while a slow disk writes one."""
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 300.0
_FAREWELL_S = 3.0
"""How long the end of a run waits for what can still be delivered; the rest waits on the disk."""
_LOOK_AROUND_S = 1.0

_log = logging.getLogger("stream_detector.sinks")


class Webhook:
    """A sink that POSTs alerts while it is entered. `begin`, `take` and `end` never wait.

    thread          takes from        gives to
    caller          records           on the way: Handoff
    webhook-keep    on the way        the queue on disk
    webhook-send    the queue         the receiver; an alert leaves the queue only when it was received
    """

    def __init__(
        self,
        url: str,
        folder: Path | None = None,
        *,
        first_delay_s: float = _FIRST_DELAY_S,
        silence_s: float = 10.0,
    ) -> None:
        """Takes over the queue on disk; connects to nothing yet.

        Args:
            url: http(s)://…; path and query count as secret.
            folder: holds one queue per receiver; None: in the user's state directory.
            first_delay_s: before the first repetition; it doubles with each.
            silence_s: the longest the receiver may stay silent.

        Raises:
            UsageError: the address makes no sense, or the folder cannot be used.
        """
        self._address = parse_hook(url)
        self.folder = (folder or default_folder()) / self._address.key
        """Where its messages wait."""
        self._queue = DiskQueue(self.folder)
        self._poster = Poster(self._address, silence_s=silence_s)
        self._first_delay_s = first_delay_s
        self._sending_trouble, self._keeping_trouble = Trouble("webhook"), Trouble("webhook")
        self._on_the_way: Handoff[bytes] = Handoff(_ON_THE_WAY)
        self._sender_end: Handoff[None] = Handoff()
        self._leaving = threading.Event()
        self._leave_by_s = float("inf")
        self._program = ""
        self._alerts: Alerts | None = None
        self._keeper = Worker("webhook-keep", self._keep, self._on_the_way)
        self._sender = Worker("webhook-send", self._send, self._sender_end)

    @property
    def dropped(self) -> int:
        """Messages given up: the queue or the disk was full, or the receiver rejected them."""
        return self._on_the_way.dropped + self._queue.dropped + self._queue.rejected

    @property
    def pending(self) -> int:
        """Messages that wait on the disk."""
        return len(self._queue)

    @property
    def failing(self) -> bool:
        """Whether the receiver or the disk takes nothing at present."""
        return self._sending_trouble.failing or self._keeping_trouble.failing

    def __enter__(self) -> Self:
        self._keeper.start()
        self._sender.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._on_the_way.close()
        stuck = not _joined(self._keeper, _FAREWELL_S)
        self._leave_by_s = time.monotonic() + _FAREWELL_S
        self._leaving.set()
        self._queue.wake()
        if not _joined(self._sender, _FAREWELL_S):
            self._poster.abort()
            stuck = not _joined(self._sender, 1.0) or stuck
        left = len(self._queue)
        if left or self.dropped:
            last = Trouble("webhook")
            last.failed(
                f"{self.dropped} messages were dropped, {left} wait in {self.folder} for the next run"
            )
        if not stuck:
            self._queue.close()

    def begin(self, header: RunHeader) -> None:
        """Nothing has happened yet."""
        self._program = header.program
        self._alerts = Alerts(header)

    def take(self, record: Record) -> None:
        """Sends the alerts in `record` on their way.

        Raises:
            OutputError: the thread that keeps them has ended with an error.
        """
        if self._alerts is None:
            return
        for alert in self._alerts.take(record):
            try:
                self._on_the_way.put(_message(self._program, alert))
            except Closed as error:
                raise OutputError("alerts are not kept any more: the thread that did has ended") from error

    def end(self, summary: RunSummary) -> None:
        """Nothing is left to do: leaving the context sends what it can."""

    def _keep(self) -> None:
        dropped = 0
        while True:
            message = self._on_the_way.take()
            try:
                self._queue.append(message)
            except OSError as error:
                dropped = self._queue.dropped
                self._keeping_trouble.failed(
                    f"cannot keep a message in {self.folder}: {error.strerror}; it is lost, make room"
                )
                continue
            if self._queue.dropped == dropped:
                self._keeping_trouble.works("messages can be kept again")
            else:
                dropped = self._queue.dropped
                self._keeping_trouble.failed(
                    f"no room for more messages in {self.folder}: the oldest are dropped"
                )

    def _send(self) -> None:
        delay_s = self._first_delay_s
        while True:
            kept = self._queue.head()
            if kept is None:
                if self._leaving.is_set():
                    return
                self._queue.wait(_LOOK_AROUND_S)
                continue
            if time.monotonic() > self._leave_by_s:
                return
            attempt = self._poster.post(kept.content)
            match attempt.answer:
                case Answer.DELIVERED:
                    self._queue.remove(kept)
                    self._sending_trouble.works(f"{self._address.shown} takes messages again")
                    delay_s = self._first_delay_s
                case Answer.REJECTED:
                    self._queue.reject(kept)
                    self._sending_trouble.failed(
                        f"{self._address.shown} rejects a message ({attempt.reason}); "
                        f"such messages are put aside in {self.folder / 'rejected'}"
                    )
                    delay_s = self._first_delay_s
                case Answer.LATER:
                    if self._leaving.is_set():
                        return
                    self._sending_trouble.failed(
                        f"{self._address.shown} takes no message: {attempt.reason}; it is tried again"
                    )
                    wait_s = attempt.retry_after_s
                    self._leaving.wait(delay_s * random.uniform(0.5, 1.0) if wait_s is None else wait_s)
                    delay_s = min(2 * delay_s, _LONGEST_DELAY_S)


def default_folder() -> Path:
    """Where queues lie unless told otherwise: the user's state directory (XDG Base Directory)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return base / "stream-detector" / "webhook"


def _message(program: str, alert: Mapping[str, object]) -> bytes:
    stamped = {
        "id": str(uuid.uuid4()),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "program": program,
        **alert,
    }
    return json.dumps(stamped, allow_nan=False).encode()


def _joined(worker: Worker, timeout_s: float) -> bool:
    try:
        worker.join(timeout_s)
    except ShutdownError:
        return False
    return True
