"""The connection to an MQTT broker, kept up by a thread of its own."""

import logging
import random
import select
import socket
import ssl
import threading
import time
import uuid
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from stream_detector.errors import ShutdownError
from stream_detector.optional import require
from stream_detector.sinks.outbox import Message, Outbox
from stream_detector.sinks.publish_address import BrokerAddress
from stream_detector.sinks.trouble import Trouble
from stream_detector.worker import Worker

if TYPE_CHECKING:
    from paho.mqtt.client import Client

WAITING = 1000
"""The most messages that wait for the broker."""
_IN_FLIGHT = 16
"""Messages sent but not yet acknowledged: enough to fill the line, few enough that states stay fresh."""
_QOS = 1
_CONNECT_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 10.0
"""A host that accepts a connection and then does not speak MQTT is given up after this."""
_KEEP_ALIVE_S = 15
"""A broker that says nothing for one and a half times as long is gone; so are we, for the broker."""
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 30.0
_FAREWELL_S = 2.0
"""How long the end of a run waits for the broker to acknowledge what is left."""
_CLEAN_FOR_S = 2.0
"""How long to listen for what an earlier run left behind."""

_log = logging.getLogger("stream_detector.sinks")


class MqttLink:
    """Publishes what is put into `outbox` while it is entered, and reconnects by itself."""

    def __init__(self, broker: BrokerAddress, *, clean: str) -> None:
        """Connects to nothing yet.

        Args:
            clean: a topic filter; retained messages that match it and that this run did not publish
                were left behind by one that was killed, and are cleared.

        Raises:
            MissingDependency: paho-mqtt is not installed.
        """
        require("paho.mqtt.client", why="--publish", extra="publish")
        self._broker = broker
        self._clean = clean
        self._availability = f"{broker.prefix}/availability"
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self.outbox = Outbox(WAITING, self._wake)
        self._trouble = Trouble("publish")
        self._leaving = threading.Event()
        self._connected = self._refused = False
        self._in_flight = self._dropped_before = 0
        self._cleaning_until_s: float | None = None
        self._worker = Worker("publish", self._work, self.outbox)

    @property
    def dropped(self) -> int:
        """Messages given up because the broker was away or slow for too long."""
        return self.outbox.dropped

    @property
    def pending(self) -> int:
        """Messages that wait."""
        return len(self.outbox)

    @property
    def failing(self) -> bool:
        """Whether there is no connection although there should be one."""
        return self._trouble.failing

    def __enter__(self) -> Self:
        self._worker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leaving.set()
        self._wake()
        with suppress(ShutdownError):
            # Connecting to a host that does not answer cannot be cut short. The thread that does is a
            # daemon, and nothing it holds outlives the process.
            self._worker.join(_FAREWELL_S + 1.0)
            self._woken.close()
            self._waker.close()
        left = len(self.outbox)
        if left or self.dropped:
            _log.warning(
                "publish: %d messages were dropped, %d messages never reached the broker", self.dropped, left
            )

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except OSError:
            return  # full: it is awake already; closed: it has ended

    # The rest runs in the worker's thread.

    def _work(self) -> None:
        delay_s = _FIRST_DELAY_S
        client = self._make_client()
        while not self._leaving.is_set():
            try:
                client.connect(self._broker.host, self._broker.port, keepalive=_KEEP_ALIVE_S)
                if self._serve(client):
                    delay_s = _FIRST_DELAY_S
                reason = "the broker has gone"
            except (OSError, UnicodeError) as error:  # a host name that cannot be encoded is a UnicodeError
                reason = _reason(error)
            if self._leaving.is_set():
                return
            if self._refused:
                delay_s = _LONGEST_DELAY_S  # a wrong password does not get better by hammering
            else:
                self._trouble.failed(f"no connection to {self._broker.shown}: {reason}; it is tried again")
            self._leaving.wait(delay_s * random.uniform(0.5, 1.0))
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)

    def _make_client(self) -> "Client":
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, client_id=f"stream-detector-{uuid.uuid4().hex[:8]}")
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)  # `_in_flight` does this, and keeps the rest in the outbox
        client.will_set(self._availability, "offline", qos=_QOS, retain=True)
        if self._broker.user is not None or self._broker.password is not None:
            client.username_pw_set(self._broker.user or "", self._broker.password)
        if self._broker.tls:
            client.tls_set_context(ssl.create_default_context())
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _serve(self, client: "Client") -> bool:
        """Until the connection ends; returns whether there was one with MQTT on it."""
        self._connected = self._refused = False
        answered = False
        began_s = time.monotonic()
        leave_by_s: float | None = None
        while (line := client.socket()) is not None:
            pending = getattr(line, "pending", lambda: 0)() > 0  # TLS may hold bytes that select does not see
            readable, writable, _ = select.select(
                [line, self._woken], [line] if client.want_write() else [], [], 0 if pending else 0.5
            )
            if self._woken in readable:
                self._woken.recv(4096)
            if line in readable or pending:
                client.loop_read()
            if line in writable:
                client.loop_write()
            if client.loop_misc() != 0:
                break
            now_s = time.monotonic()
            answered = answered or self._connected
            if not answered and now_s - began_s > _ANSWER_TIMEOUT_S:
                client.disconnect()
                break
            if self._connected:
                self._send(client, now_s)
            if self._leaving.is_set():
                leave_by_s = leave_by_s or now_s + _FAREWELL_S
                done = len(self.outbox) == 0 and self._in_flight == 0
                if done or now_s > leave_by_s:
                    self._take_leave(client)
                    break
        self._connected = False
        return answered

    def _send(self, client: "Client", now_s: float) -> None:
        if self._cleaning_until_s is not None and now_s > self._cleaning_until_s:
            client.unsubscribe(self._clean)
            self._cleaning_until_s = None
        while self._in_flight < _IN_FLIGHT and (message := self.outbox.take()) is not None:
            # What is not acknowledged when the connection breaks, the client sends again on the next one.
            client.publish(message.topic, message.payload, qos=_QOS, retain=message.retain)
            self._in_flight += 1

    def _take_leave(self, client: "Client") -> None:
        """Say goodbye; a broker that gets a proper goodbye does not publish the last will."""
        if self._connected:
            client.publish(self._availability, "offline", qos=_QOS, retain=True)
        client.disconnect()

    def _on_connect(self, client: "Client", _userdata: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._refused = True
            account = code.getName() in ("Not authorized", "Bad user name or password")
            why = "the user name or password" if account else "the connection"
            self._trouble.failed(
                f"the broker {self._broker.shown} refuses {why} ({code.getName()}); check --publish"
            )
            return
        self._connected, self._refused = True, False
        lost = self.dropped - self._dropped_before
        self._dropped_before = self.dropped
        self._trouble.works(
            f"connected to {self._broker.shown} again; {lost} messages were dropped meanwhile"
        )
        client.publish(self._availability, "online", qos=_QOS, retain=True)
        self._in_flight += 1
        self.outbox.refill()
        client.subscribe(self._clean, qos=0)
        self._cleaning_until_s = time.monotonic() + _CLEAN_FOR_S

    def _on_publish(self, _client: Any, _userdata: Any, _mid: int, _code: Any, _properties: Any) -> None:
        self._in_flight -= 1

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        if message.retain and message.payload and not self.outbox.keeps(message.topic):
            self.outbox.put(Message(message.topic, "", retain=True))


def _reason(error: OSError | UnicodeError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case TimeoutError():
            return f"no answer for {_CONNECT_TIMEOUT_S:g} s"
        case socket.gaierror():
            return "its name is not known"
        case OSError():
            return (error.strerror or type(error).__name__).lower()
    return "its name is not a host's"
