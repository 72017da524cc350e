"""Servers on the loopback that stay silent, refuse, talk nonsense, or really serve."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping

Handler = Callable[[socket.socket, threading.Event], None]
"""Serves one connection until it returns; the event is set when the test has ended."""


class Server:
    """A listening socket; its port, and how many connections it saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0


@contextlib.contextmanager
def serving(handler: Handler, port: int = 0) -> Iterator[Server]:
    """A server whose connections are each handled on a thread; all of them are joined at the end.

    Args:
        port: where to listen, so that a server can come back where it was; 0: anywhere.
    """
    ended = threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0.05)
        server = Server(listener.getsockname()[1])

        def handle(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(0.05)
                handler(connection, ended)

        def accept() -> None:
            while not ended.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                server.connections += 1
                threads.append(threading.Thread(target=handle, args=(connection,), name="connection"))
                threads[-1].start()

        acceptor = threading.Thread(target=accept, name="server")
        acceptor.start()
        try:
            yield server
        finally:
            ended.set()
            acceptor.join(5)
            for thread in threads:
                thread.join(5)


def closed_port() -> int:
    """A port of the loopback on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def silent(connection: socket.socket, ended: threading.Event) -> None:
    """Accepts, and never says a word."""
    ended.wait(60)


def unauthorized(connection: socket.socket, ended: threading.Event) -> None:
    """Answers 401 to every request, in HTTP or RTSP."""
    while request := request_of(connection, ended):
        status = b"RTSP/1.0" if b"RTSP/1.0" in request else b"HTTP/1.1"
        sequence = b"".join(
            line + b"\r\n" for line in request.split(b"\r\n") if line.lower().startswith(b"cseq")
        )
        connection.sendall(
            status + b" 401 Unauthorized\r\n" + sequence + b'WWW-Authenticate: Basic realm="camera"\r\n'
            b"Content-Length: 0\r\n\r\n"
        )


def garbage(connection: socket.socket, ended: threading.Event) -> None:
    """Answers with bytes that mean nothing, and hangs up."""
    if request_of(connection, ended):
        connection.sendall(b"\x00\xffnonsense\r\n" * 500)


def files(contents: Mapping[str, bytes]) -> Handler:
    """Serves `contents` (path -> body) over HTTP, without ranges; 404 for all else."""

    def handler(connection: socket.socket, ended: threading.Event) -> None:
        request = request_of(connection, ended)
        path = request.split(b" ")[1].decode().partition("?")[0] if request else ""
        body = contents.get(path)
        if body is None:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            connection.settimeout(10)
            connection.sendall(
                f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
            )

    return handler


def pictures(parts: Iterator[bytes], *, every_s: float, then_silent: bool) -> Handler:
    """Serves pictures as a camera does (multipart/x-mixed-replace), then hangs up or falls silent."""

    def handler(connection: socket.socket, ended: threading.Event) -> None:
        request_of(connection, ended)
        connection.settimeout(10)
        connection.sendall(
            b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n--frame\r\n"
        )
        for part in parts:
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(part)}\r\n\r\n".encode()
            connection.sendall(head + part + b"\r\n--frame\r\n")
            if ended.wait(every_s):
                return
        if then_silent:
            ended.wait(60)

    return handler


def request_of(connection: socket.socket, ended: threading.Event) -> bytes:
    """The next request up to its empty line; nothing when the other side has hung up."""
    request = b""
    while b"\r\n\r\n" not in request and not ended.is_set():
        with contextlib.suppress(TimeoutError):
            received = connection.recv(4096)
            if not received:
                return b""
            request += received
    return request
