"""Alerts to a real HTTP server that fails, hangs, answers slowly, or hangs up half-way."""

import contextlib
import errno
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_detector.errors import UsageError
from stream_detector.records import EventKind, StreamEvent
from stream_detector.sinks import disk_queue
from stream_detector.sinks.disk_queue import DiskQueue
from stream_detector.sinks.webhook import Webhook
from stream_detector.sinks.webhook_post import Answer, Poster, parse_hook
from tests import servers
from tests.brokers import certificate, until
from tests.conftest import REPOSITORY
from tests.test_cli import PROGRAM
from tests.test_json_lines import HEADER, SUMMARY

Reply = Callable[[socket.socket, threading.Event], None]


def answer(status: int, *headers: str) -> Reply:
    text = "\r\n".join([f"HTTP/1.1 {status} Said", "Content-Length: 2", *headers, "", "ok"])
    return lambda connection, ended: connection.sendall(text.encode())


def hang_up(connection: socket.socket, ended: threading.Event) -> None:
    """Takes the message and closes without a word."""


def hang_up_half_way(connection: socket.socket, ended: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 20")


def nonsense(connection: socket.socket, ended: threading.Event) -> None:
    connection.sendall(b"\x00\xffnonsense\r\n" * 5)


def drip(connection: socket.socket, ended: threading.Event) -> None:
    """One byte of an endless header at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not ended.wait(0.05):
        connection.sendall(b"x")


class Receiver:
    """Answers each POST with the next reply, then always with the last."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[tuple[str, bytes]] = []
        """(head, body) of every POST, repeats included."""

    def __call__(self, connection: socket.socket, ended: threading.Event) -> None:
        request = servers.request_of(connection, ended)
        if not request:
            return
        head, _, body = request.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        while len(body) < length and not ended.is_set():
            with contextlib.suppress(TimeoutError):
                body += connection.recv(65536)
        self.requests.append((head.decode(), body))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        reply(connection, ended)

    @property
    def messages(self) -> list[dict[str, object]]:
        return [json.loads(body) for _, body in self.requests]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the end of a run wait for the slow receivers of these tests."""
    monkeypatch.setattr("stream_detector.sinks.webhook._FAREWELL_S", 10.0)


def event(detail: str) -> StreamEvent:
    return StreamEvent(0, 1.0, EventKind.STREAM_FAILED, detail=detail)


def started(detail: str) -> StreamEvent:
    return StreamEvent(0, 1.0, EventKind.STREAM_STARTED, detail=detail)


def send(hook: Webhook, *details: str) -> None:
    for number, detail in enumerate(details):
        hook.take((event if number % 2 else started)(detail))


@contextlib.contextmanager
def hooked(server: servers.Server, folder: Path, path: str = "/hook", **options: float) -> Iterator[Webhook]:
    url = f"http://127.0.0.1:{server.port}{path}"
    with Webhook(url, folder, first_delay_s=0.05, **options) as hook:
        hook.begin(HEADER)
        yield hook
        hook.end(SUMMARY)


def test_messages_arrive_in_order_with_an_id_a_time_and_what_happened(tmp_path: Path) -> None:
    receiver = Receiver(answer(200))
    with servers.serving(receiver) as server, hooked(server, tmp_path) as hook:
        send(hook, "a", "b", "c")
        until(lambda: len(receiver.requests) == 3, "not all arrived")
    assert [message["detail"] for message in receiver.messages] == ["a", "b", "c"]
    assert len({message["id"] for message in receiver.messages}) == 3
    first = receiver.messages[0]
    assert (first["type"], first["source"], first["program"]) == ("event", "a.mp4", "stream-detector 1")
    assert str(first["time"]).endswith("+00:00")
    assert "POST /hook HTTP/1.1" in receiver.requests[0][0]
    assert hook.pending == hook.dropped == 0
    assert not hook.failing


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (answer(503), "it answers 503"),
        (answer(429, "Retry-After: 0"), "it answers 429"),
        (hang_up, "hung up without an answer"),
        (hang_up_half_way, "its answer is no HTTP"),
        (nonsense, "its answer is no HTTP"),
        (servers.silent, "no answer for 0.3 s"),
    ],
)
def test_a_receiver_in_trouble_is_tried_again_and_gets_each_message_at_least_once_in_order(
    trouble: Reply, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, patient: None
) -> None:
    receiver = Receiver(trouble, trouble, answer(204))
    with servers.serving(receiver) as server, hooked(server, tmp_path, silence_s=0.3) as hook:
        send(hook, "a", "b")
        until(lambda: hook.pending == 0 and len(receiver.requests) == 4, "not all arrived")
    assert [message["detail"] for message in receiver.messages] == ["a", "a", "a", "b"]
    assert len({message["id"] for message in receiver.messages}) == 2
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    assert said in warnings[0]
    assert "takes messages again" in warnings[1]


def test_a_message_the_receiver_rejects_is_put_aside_and_the_next_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(answer(400), answer(200))
    with servers.serving(receiver) as server, hooked(server, tmp_path) as hook:
        send(hook, "bad", "good")
        until(lambda: len(receiver.requests) == 2, "not all arrived")
    assert [message["detail"] for message in receiver.messages] == ["bad", "good"]
    (aside,) = (hook.folder / "rejected").iterdir()
    assert json.loads(aside.read_bytes())["detail"] == "bad"
    assert hook.dropped == 1
    assert "rejects a message (it answers 400" in caplog.text


def test_a_redirect_is_followed_on_the_same_host_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Receiver(answer(200))
    with servers.serving(other) as elsewhere:
        receiver = Receiver(
            answer(307, f"Location: http://localhost:{elsewhere.port}/stolen"),
            answer(308, "Location: /moved"),
            answer(200),
        )
        with servers.serving(receiver) as server, hooked(server, tmp_path) as hook:
            send(hook, "a")
            until(lambda: hook.pending == 0 and len(receiver.requests) == 3, "it did not arrive")
        assert elsewhere.connections == 0
    assert "redirects (307) to another host, which is not followed" in caplog.text
    assert "POST /moved" in receiver.requests[2][0]


def test_secrets_of_the_address_are_sent_and_never_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(answer(503), answer(404), answer(200))
    with servers.serving(receiver) as server:
        url = f"http://me:sesame@127.0.0.1:{server.port}/services/hunter2?token=xyzzy"
        with Webhook(url, tmp_path, first_delay_s=0.05) as hook:
            hook.begin(HEADER)
            send(hook, "a", "b")
            until(lambda: hook.pending == 0 and len(receiver.requests) == 3, "not all arrived")
    assert "POST /services/hunter2?token=xyzzy" in receiver.requests[0][0]
    assert "Authorization: Basic bWU6c2VzYW1l" in receiver.requests[0][0]
    for secret in ("sesame", "hunter2", "xyzzy"):
        assert secret not in caplog.text
        assert secret not in repr(hook.folder)
    assert "127.0.0.1" in caplog.text


def test_a_receiver_is_reached_over_tls_only_with_a_certificate_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    receiver = Receiver(answer(200))

    def encrypted(connection: socket.socket, ended: threading.Event) -> None:
        connection.settimeout(5)
        with context.wrap_socket(connection.dup(), server_side=True) as wrapped:
            receiver(wrapped, ended)

    with servers.serving(encrypted) as server:
        address = parse_hook(f"https://127.0.0.1:{server.port}/hook")
        attempt = Poster(address).post(b"{}")
        assert (attempt.answer, attempt.reason) == (
            Answer.LATER,
            "its certificate is not trusted (self-signed certificate)",
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        assert Poster(address).post(b"{}").answer is Answer.DELIVERED
    assert len(receiver.requests) == 1


def test_an_answer_that_drips_is_given_up_after_the_whole_time() -> None:
    with servers.serving(Receiver(drip)) as server:
        poster = Poster(parse_hook(f"http://127.0.0.1:{server.port}/"), silence_s=5, total_s=0.5)
        began_s = time.monotonic()
        attempt = poster.post(b"{}")
        assert time.monotonic() - began_s < 4
    assert (attempt.answer, attempt.reason) == (Answer.LATER, "no complete answer within 0.5 s")


def test_a_receiver_that_hangs_holds_up_neither_the_detector_nor_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_detector.sinks.webhook._FAREWELL_S", 0.5)
    with servers.serving(Receiver(servers.silent)) as server:
        began_s = time.monotonic()
        with hooked(server, tmp_path) as hook:
            send(hook, "a", "b")
        assert time.monotonic() - began_s < 5
    assert hook.pending == 2
    assert "2 wait in" in caplog.text


def test_what_a_killed_run_could_not_deliver_is_sent_by_the_next(tmp_path: Path) -> None:
    receiver = Receiver(answer(503))
    queue = tmp_path / "queue"

    def command(port: int) -> list[str]:
        url = f"http://127.0.0.1:{port}/hook"
        source = "lavfi:testsrc2=size=320x240:rate=25:duration=30"
        options = ["--realtime", "--json", "--webhook", url, "--webhook-queue", str(queue)]
        return [*PROGRAM, "watch", source, *options]

    with servers.serving(receiver) as server:
        watching = subprocess.Popen(command(server.port), stdout=subprocess.DEVNULL, cwd=REPOSITORY)
        try:
            until(lambda: receiver.requests != [], "nothing was sent")
        finally:
            watching.kill()
            watching.wait()
        undelivered = receiver.messages[0]
        assert undelivered["event"] == "stream_started"
        receiver.replies = [answer(200)]
        before = len(receiver.requests)
        watching = subprocess.Popen(command(server.port), stdout=subprocess.DEVNULL, cwd=REPOSITORY)
        try:
            until(lambda: len(receiver.requests) >= before + 2, "the next run sends nothing")
            watching.send_signal(signal.SIGTERM)
            assert watching.wait(60) == 0
        finally:
            watching.kill()
            watching.wait()
        assert receiver.messages[before]["id"] == undelivered["id"]
        events = [message["event"] for message in receiver.messages[before:]]
        assert events == ["stream_started", "stream_started", "stream_ended"]


def test_a_full_queue_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, max_bytes=25)
    for number in range(5):
        queue.append(b"message %d" % number)
    assert len(queue) == 2
    assert queue.dropped == 3
    kept = queue.head()
    assert kept is not None
    assert kept.content == b"message 3"
    queue.remove(kept)
    queue.close()
    again = DiskQueue(tmp_path)
    kept = again.head()
    assert kept is not None
    assert kept.content == b"message 4"
    assert kept.path.stat().st_mode & 0o077 == 0
    again.close()


def test_a_full_disk_drops_the_oldest_and_the_detector_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    room = 1
    write = disk_queue._write

    def full(path: Path, content: bytes) -> None:
        if len(list(path.parent.glob("*.json"))) >= room:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(disk_queue, "_write", full)
    with servers.serving(Receiver(answer(503))) as server, hooked(server, tmp_path) as hook:
        send(hook, "a", "b", "c")
        until(lambda: hook.dropped == 2, "the oldest were not dropped")
        assert hook.pending == 1
        room = 0
        hook.take(event("d"))
        until(lambda: hook.dropped == 4, "the message was not counted as lost")
        room = 1
    assert "the oldest are dropped" in caplog.text
    assert "cannot keep a message" in caplog.text


def test_two_runs_do_not_share_a_queue(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/hook"
    with Webhook(url, tmp_path), pytest.raises(UsageError, match="is used by another run"):
        Webhook(url, tmp_path)
    with Webhook(url, tmp_path), Webhook("http://127.0.0.1:9/other", tmp_path):
        pass


@pytest.mark.skipif(os.name == "nt", reason="needs a folder that cannot be made")
def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot use the webhook queue"):
        Webhook("http://127.0.0.1:9/hook", tmp_path / "file")


@pytest.mark.parametrize(
    "url", ["ftp://me:sesame@h/", "http://", "sesame", "http://h:sesame/", "http://[::1/"]
)
def test_an_address_that_makes_no_sense_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError, match="--webhook makes no sense") as caught:
        parse_hook(url)
    assert "sesame" not in str(caught.value)


def test_an_address_is_taken_as_typed() -> None:
    hook = parse_hook("https://me:p%40ss@[::1]/a b?c=d e")
    assert (hook.tls, hook.host, hook.port, hook.path) == (True, "::1", 443, "/a%20b?c=d%20e")
    assert hook.shown == "https://[::1]:443"
    assert parse_hook("http://h").path == "/"
    assert parse_hook("http://u:1@h/x?t=1").key == parse_hook("http://u:2@h/x?t=2").key
    assert parse_hook("http://h/x").key != parse_hook("http://h/y").key
