"""Publishing to a real MQTT broker: what is kept there, what goes away, and what a broken line does."""

import dataclasses
import json
import subprocess
import time
from pathlib import Path

import pytest

from stream_detector.errors import UsageError
from stream_detector.records import EventKind, StreamEvent
from stream_detector.sinks.outbox import Message, Outbox
from stream_detector.sinks.publish import Publisher, topic_level
from stream_detector.sinks.publish_address import parse_broker
from tests import servers
from tests.brokers import Listener, broker, certificate, retained, until
from tests.conftest import REPOSITORY
from tests.test_alarm import design
from tests.test_cli import PROGRAM
from tests.test_json_lines import HEADER as NAMED
from tests.test_json_lines import SCORE, SUMMARY

HEADER = dataclasses.replace(NAMED, names=())
STARTED = StreamEvent(0, 0.0, EventKind.STREAM_STARTED)
LOST = StreamEvent(0, 2.0, EventKind.FACE_LOST, 1)


def publisher(port: int, prefix: str = "home/door", account: str = "") -> Publisher:
    return Publisher(parse_broker(f"mqtt://{account}127.0.0.1:{port}/{prefix}"))


def test_states_are_kept_by_the_broker_and_events_are_not(tmp_path: Path) -> None:
    with broker(tmp_path) as running, Listener(running.port, "home/door") as listener:
        with publisher(running.port) as publishing:
            publishing.begin(HEADER)
            publishing.take(STARTED)
            publishing.take(SCORE)
            until(lambda: listener.of("0/face/1") != [], "no state came")
            kept = retained(running.port, "home/door")
            assert kept["availability"] == "online"
            assert kept["0/availability"] == "online"
            assert json.loads(kept["0/face/1"])["state"] == "warming_up"
            assert "0/event" not in kept
            publishing.end(SUMMARY)
        assert [json.loads(event)["event"] for event in listener.of("0/event")] == ["stream_started"]
        assert retained(running.port, "home/door") == {"availability": "offline", "0/availability": "offline"}


def test_the_alarm_of_any_face_is_its_streams_and_is_kept_by_the_broker(tmp_path: Path) -> None:
    raised = dataclasses.replace(SCORE, alarm_level=1.0, alarmed=True)
    with (
        broker(tmp_path) as running,
        Listener(running.port, "home/door") as listener,
        publisher(running.port) as publishing,
    ):
        publishing.begin(dataclasses.replace(HEADER, alarm=design()))
        until(lambda: listener.of("0/alarm") == ["off"], "nothing was said of alarms")
        publishing.take(raised)
        publishing.take(dataclasses.replace(raised, face_id=2))
        publishing.take(LOST)  # face 2's alarm still holds
        until(lambda: "" in listener.of("0/face/1"), "face 1 was not cleared")
        assert retained(running.port, "home/door")["0/alarm"] == "on"
        publishing.take(StreamEvent(0, 3.0, EventKind.SCENE_CUT))
        until(lambda: listener.of("0/alarm") == ["off", "on", "off"], "the alarm did not end")


def test_topics_carry_the_names_of_streams_also_of_those_added_on_the_way(tmp_path: Path) -> None:
    with broker(tmp_path) as running, Listener(running.port, "home/door") as listener:
        with publisher(running.port) as publishing:
            publishing.begin(dataclasses.replace(HEADER, names=("front door",)))
            publishing.take(SCORE)
            publishing.take(StreamEvent(1, None, EventKind.STREAM_ADDED, detail="a/b: x", name="a/b"))
            publishing.take(dataclasses.replace(SCORE, stream=1))
            until(lambda: listener.of("a_b/face/1") != [], "no state of the second stream came")
        assert json.loads(listener.of("front door/face/1")[0])["name"] == "front door"


def test_a_face_that_leaves_is_cleared_from_the_broker(tmp_path: Path) -> None:
    with (
        broker(tmp_path) as running,
        Listener(running.port, "home/door") as listener,
        publisher(running.port) as publishing,
    ):
        publishing.begin(HEADER)
        publishing.take(SCORE)
        publishing.take(dataclasses.replace(SCORE, face_id=2))
        publishing.take(LOST)
        until(lambda: "" in listener.of("0/face/1"), "face 1 was not cleared")
        kept = retained(running.port, "home/door")
        assert "0/face/1" not in kept
        assert "0/face/2" in kept


def test_what_a_killed_run_left_behind_is_cleared_by_the_next(tmp_path: Path) -> None:
    with broker(tmp_path) as running, Listener(running.port, "home/door") as listener:
        listener.say("0/face/77", "left behind")
        listener.say("0/other", "of somebody else")
        with publisher(running.port):
            until(lambda: "" in listener.of("0/face/77"), "face 77 was not cleared")
        kept = retained(running.port, "home/door")
        assert "0/face/77" not in kept
        assert kept["0/other"] == "of somebody else"


def test_a_stream_that_fails_goes_offline_alone(tmp_path: Path) -> None:
    with broker(tmp_path) as running, Listener(running.port, "home/door") as listener:
        with publisher(running.port) as publishing:
            publishing.begin(dataclasses.replace(HEADER, sources=("a", "b")))
            publishing.take(STARTED)
            publishing.take(dataclasses.replace(STARTED, stream=1))
            publishing.take(StreamEvent(1, 1.0, EventKind.STREAM_FAILED, detail="it broke"))
            until(lambda: listener.of("1/availability")[-1:] == ["offline"], "stream 1 stays online")
            until(lambda: listener.of("0/availability")[-1:] == ["online"], "stream 0 is not online")
        assert json.loads(listener.of("1/event")[-1])["detail"] == "it broke"


def test_the_last_will_says_offline_when_the_detector_is_killed(tmp_path: Path) -> None:
    with broker(tmp_path) as running, Listener(running.port, "home/door") as listener:
        watching = subprocess.Popen(
            [
                *(*PROGRAM, "watch", "lavfi:testsrc2=size=320x240:rate=25", "--realtime", "--json"),
                *("--publish", f"mqtt://127.0.0.1:{running.port}/home/door"),
            ],
            stdout=subprocess.DEVNULL,
            cwd=REPOSITORY,
        )
        try:
            until(lambda: "online" in listener.of("0/availability"), "the stream never came online")
        finally:
            watching.kill()
            watching.wait()
        until(lambda: listener.of("availability")[-1] == "offline", "the last will was not published")


def test_it_connects_again_when_the_broker_comes_back_and_says_so_once_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with broker(tmp_path) as running:
        with publisher(running.port) as publishing:
            publishing.begin(HEADER)
            publishing.take(STARTED)
            publishing.take(SCORE)
            until(lambda: publishing.pending == 0, "nothing was published")
            running.stop()
            until(lambda: publishing.failing, "the loss of the broker was not noticed")
            publishing.take(dataclasses.replace(SCORE, face_id=2))
            running.start()  # with nothing of what it kept before
            until(lambda: not publishing.failing, "it did not connect again")
            until(lambda: "0/face/2" in retained(running.port, "home/door"), "face 2 is missing")
            kept = retained(running.port, "home/door")
            assert kept.keys() == {"availability", "0/availability", "0/face/1", "0/face/2"}
            assert kept["0/availability"] == "online"
        said = [record.getMessage() for record in caplog.records]
        assert len([line for line in said if "no connection to" in line]) == 1
        assert len([line for line in said if "again; 0 messages were dropped meanwhile" in line]) == 1


def test_a_broker_that_refuses_the_account_is_named_and_the_password_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with broker(tmp_path, account=("door", "right")) as running:
        with publisher(running.port, account="door:sesame@") as publishing:
            until(lambda: publishing.failing, "the refusal was not noticed")
        assert "refuses the user name or password" in caplog.text
        assert f"mqtt://127.0.0.1:{running.port}" in caplog.text
        assert "sesame" not in caplog.text
        with publisher(running.port, account="door:right@") as publishing:
            publishing.begin(HEADER)
            until(lambda: publishing.pending == 0, "the right password does not work")


# paho-mqtt 2.2 leaves the socket of a failed handshake to the garbage collector, which closes it, and warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_is_reached_over_tls_only_with_a_certificate_that_is_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = certificate(tmp_path)
    with broker(tmp_path, tls=pair) as running:
        url = f"mqtts://127.0.0.1:{running.port}/home/door"
        with Publisher(parse_broker(url)) as publishing:
            until(lambda: publishing.failing, "an unknown certificate was trusted")
        assert "certificate is not trusted (self-signed certificate)" in caplog.text
        monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
        with Publisher(parse_broker(url)) as publishing:
            publishing.begin(HEADER)
            for face in range(200):
                publishing.take(dataclasses.replace(SCORE, face_id=face))
            until(lambda: publishing.pending == 0, "nothing was published over TLS")


@pytest.mark.parametrize("silent", [True, False])
def test_a_broker_that_is_away_or_silent_holds_nobody_up_and_the_oldest_gives_way(
    silent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with servers.serving(servers.silent) as server:
        publishing = publisher(server.port if silent else servers.closed_port())
        with publishing:
            publishing.begin(HEADER)
            began_s = time.monotonic()
            for number in range(3000):
                publishing.take(StreamEvent(0, float(number), EventKind.NO_FACE))
                publishing.take(SCORE)
            assert time.monotonic() - began_s < 5
            assert publishing.pending == 1000
            assert publishing.dropped > 1990
            publishing.end(SUMMARY)
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 8
    assert "1000 messages never reached the broker" in caplog.text


def test_of_a_state_only_the_newest_waits_and_events_keep_their_place() -> None:
    outbox = Outbox(3, lambda: None)
    outbox.put(Message("a", "1", retain=True))
    outbox.put(Message("event", "1", retain=False))
    outbox.put(Message("a", "2", retain=True))
    outbox.put(Message("event", "2", retain=False))
    taken = []
    while (message := outbox.take()) is not None:
        taken.append((message.topic, message.payload))
    assert taken == [("event", "1"), ("a", "2"), ("event", "2")]
    assert outbox.dropped == 0
    outbox.put(Message("a", "", retain=True))
    outbox.put(Message("b", "1", retain=True))
    while outbox.take() is not None:
        pass
    outbox.refill()
    assert outbox.take() == Message("b", "1", retain=True)
    assert outbox.take() is None


def test_an_address_is_understood_with_and_without_its_parts() -> None:
    bare = parse_broker("mqtt://broker")
    assert (bare.host, bare.port, bare.tls, bare.prefix, bare.user) == (
        *("broker", 1883, False, "stream-detector", None),
    )
    whole = parse_broker("mqtts://me:p%40ss/w@rd@[::1]:9000/a/b/")
    assert (whole.host, whole.port, whole.tls, whole.prefix) == ("::1", 9000, True, "a/b")
    assert (whole.user, whole.password) == ("me", "p@ss/w@rd")
    assert "p@ss" not in repr(whole)
    assert whole.shown == "mqtts://[::1]:9000"


@pytest.mark.parametrize(
    "text",
    [
        *("http://me:sesame@h/p", "mqtt://", "mqtt://me:sesame@", "mqtt://me:sesame@h:99999/p"),
        *("mqtt://me:sesame@h/a+b", "mqtt://me:sesame@h/a#", "mqtt://me:sesame@h/$SYS"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(UsageError, match="--publish makes no sense") as caught:
        parse_broker(text)
    assert "sesame" not in str(caught.value)


def test_a_name_becomes_one_level_of_a_topic() -> None:
    assert topic_level("front/door #1+") == "front_door _1_"
