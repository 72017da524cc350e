"""Records published to an MQTT broker: topics per stream and face."""

import json
import re
from collections.abc import Mapping

from stream_detector.records import FaceScore, Record, RunHeader, RunSummary
from stream_detector.sinks.in_view import FaceKey, FacesInView
from stream_detector.sinks.json_lines import event_fields, score_fields
from stream_detector.sinks.mqtt_link import MqttLink
from stream_detector.sinks.outbox import Message
from stream_detector.sinks.publish_address import BrokerAddress
from stream_detector.sinks.stream_names import StreamNames

_ONLINE = frozenset({"stream_started", "live", "resumed"})
"""Events after which a stream is seen."""
_OFFLINE = frozenset({"stalled", "reconnecting", "auth_failed", "gave_up", "stream_ended", "stream_failed"})
"""Events after which it is not."""


class Publisher(MqttLink):
    """A sink that publishes while it is entered. `begin`, `take` and `end` never wait for the broker.

        PREFIX/availability                   online, offline          retained; offline is the last will
        PREFIX/NAME/availability            online, offline          retained
        PREFIX/NAME/face/ID                 the newest score         retained; cleared when the face leaves
        PREFIX/NAME/alarm                   on, off                  retained; on while any face's alarm holds
        PREFIX/NAME/event                   what happened            not retained

    Everything goes out with QoS 1. The README documents it.
    """

    def __init__(self, broker: BrokerAddress) -> None:
        """Connects to nothing yet.

        Raises:
            MissingDependency: paho-mqtt is not installed.
        """
        super().__init__(broker, clean=f"{broker.prefix}/+/face/+")
        self._prefix = broker.prefix
        self._precision = ""
        self._names = StreamNames()
        self._streams: set[int] = set()
        self._alarms = False
        self._alarmed: dict[int, bool] = {}
        self._in_view = FacesInView()

    def begin(self, header: RunHeader) -> None:
        """No stream is seen yet."""
        self._precision = header.precision
        self._alarms = header.alarm is not None
        self._names.begin(header)
        for stream in range(len(header.sources)):
            self._say_available(stream, False)
            self._say_alarm(stream)

    def take(self, record: Record) -> None:
        """A state or an event; faces that left are cleared from the broker."""
        self._names.take(record)
        for key in self._in_view.take(record):
            self._put(self._face_topic(key), "", retain=True)
        self._say_alarm(record.stream)
        name = self._names.of(record.stream)
        if isinstance(record, FaceScore):
            topic = self._face_topic((record.stream, record.face_id))
            self._put(topic, _json(score_fields(record, name=name, precision=self._precision)), retain=True)
            return
        self._put(f"{self._stream_topic(record.stream)}/event", _json(event_fields(record, name=name)))
        if record.event.value in _ONLINE:
            self._say_available(record.stream, True)
        elif record.event.value in _OFFLINE:
            self._say_available(record.stream, False)

    def end(self, summary: RunSummary) -> None:  # noqa: ARG002
        """Nothing is seen any more."""
        for key in self._in_view.states:
            self._put(self._face_topic(key), "", retain=True)
        for stream in sorted(self._streams):
            self._say_available(stream, False)
        for stream in sorted(self._alarmed):
            self._put(f"{self._stream_topic(stream)}/alarm", "off", retain=True)

    def _say_available(self, stream: int, online: bool) -> None:
        self._streams.add(stream)
        topic = f"{self._stream_topic(stream)}/availability"
        self._put(topic, "online" if online else "offline", retain=True)

    def _say_alarm(self, stream: int) -> None:
        if not self._alarms:
            return
        on = any(of_stream == stream for of_stream, _ in self._in_view.alarmed)
        if self._alarmed.get(stream) is not on:
            self._alarmed[stream] = on
            self._put(f"{self._stream_topic(stream)}/alarm", "on" if on else "off", retain=True)

    def _stream_topic(self, stream: int) -> str:
        return f"{self._prefix}/{topic_level(self._names.of(stream) or str(stream))}"

    def _face_topic(self, key: FaceKey) -> str:
        return f"{self._stream_topic(key[0])}/face/{key[1]}"

    def _put(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self.outbox.put(Message(topic, payload, retain))


def topic_level(name: str) -> str:
    """`name` as one level of a topic: signs that have a meaning in topics become underscores."""
    return re.sub(r"[/+#\0]", "_", name) or "_"


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, allow_nan=False, separators=(",", ":"))
