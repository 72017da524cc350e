"""The HTTP server behind --metrics-port: /metrics for Prometheus, /healthz for whoever restarts things."""

import errno
import json
import logging
from collections.abc import Callable, Iterable
from socket import AF_INET6
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from stream_detector.errors import UsageError
from stream_detector.health import RunStatus, problems, stream_problem
from stream_detector.worker import Worker

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_CLIENT_TIMEOUT_S = 3.0
"""A client that says nothing for so long is hung up on; its thread ends within that time."""
_POLL_S = 0.1
"""How often the server looks whether it should stop."""

_log = logging.getLogger("stream_detector.sinks")

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class MetricsServer:
    """Serves while it is entered. Every request has a thread of its own, so that a slow one hides none."""

    def __init__(
        self,
        registry: "CollectorRegistry",
        status: Callable[[], RunStatus],
        *,
        address: str,
        port: int,
        max_frame_age_s: float,
    ) -> None:
        """Binds the port; serves nothing yet.

        Args:
            registry: what /metrics answers with.
            status: what /healthz judges.
            address: to listen on; 0.0.0.0 for every network.
            port: 0 takes a free one; see `port`.
            max_frame_age_s: a live stream whose newest frame is older makes /healthz fail.

        Raises:
            UsageError: the port is taken, privileged or out of range, or the address is not of this machine.
        """
        from prometheus_client import make_wsgi_app

        self._metrics = make_wsgi_app(registry)
        self._status = status
        self._max_frame_age_s = max_frame_age_s
        server = _ServerOverIPv6 if ":" in address else _Server
        try:
            self._server = make_server(address, port, self._answer, server, _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(_why_not(error, address, port)) from error
        self.port: int = self._server.server_port
        """The one it listens on."""
        self._worker = Worker("metrics", lambda: self._server.serve_forever(_POLL_S), _Complaint())

    def __enter__(self) -> Self:
        self._worker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._worker.join(timeout_s=5.0)

    def _answer(self, request: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        method = request.get("REQUEST_METHOD")
        if method not in ("GET", "HEAD"):
            return _reply(start, "405 Method Not Allowed", "text/plain", b"only GET is answered\n")
        body = self._page(request.get("PATH_INFO", ""), request, start)
        return [] if method == "HEAD" else body

    def _page(self, path: str, request: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        if path == "/metrics":
            return self._metrics(request, start)  # type: ignore[no-any-return]
        if path == "/healthz":
            healthy, body = self._health()
            status = "200 OK" if healthy else "503 Service Unavailable"
            return _reply(start, status, "application/json", body)
        return _reply(start, "404 Not Found", "text/plain", b"try /metrics or /healthz\n")

    def _health(self) -> tuple[bool, bytes]:
        status = self._status()
        found = problems(status, max_frame_age_s=self._max_frame_age_s)
        streams = [
            {
                "stream": stream.name,
                "source": stream.shown,
                "live": stream.live,
                "ended": stream.ended,
                "frame_age_s": None if stream.frame_age_s is None else round(stream.frame_age_s, 3),
                "problem": stream_problem(stream, max_frame_age_s=self._max_frame_age_s),
            }
            for stream in status.streams
        ]
        content = {"healthy": not found, "problems": found, "streams": streams}
        return not found, json.dumps(content).encode() + b"\n"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer would look up the name of the address, which may ask a name server.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        _log.debug("a client of the metrics port went away", exc_info=True)


class _ServerOverIPv6(_Server):
    address_family = AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_TIMEOUT_S

    def log_message(self, format: str, *arguments: object) -> None:
        _log.debug("metrics port: %s", format % arguments)


class _Complaint:
    """What the server's thread closes when it ends: there is nobody to wake, but an error to tell."""

    def close(self, error: BaseException | None = None) -> None:
        if error is not None:
            _log.error("the metrics port is not served any more: %s", error)


def _reply(start: StartResponse, status: str, kind: str, body: bytes) -> Iterable[bytes]:
    start(status, [("Content-Type", f"{kind}; charset=utf-8"), ("Cache-Control", "no-store")])
    return [body]


def _why_not(error: OSError | OverflowError, address: str, port: int) -> str:
    where = f"--metrics-port {port} on {address}"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"{where} is taken by another program; choose a free port"
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"{where} may not be used by this account: ports below 1024 are privileged; choose a higher one"
        )
    if isinstance(error, OverflowError):
        return f"{where} makes no sense: expected a port from 0 to 65535"
    return f"{where} cannot be listened on: {error.strerror}; expected an address of this machine"
