"""One POST to a webhook: where to, and what its answer means."""

import base64
import email.utils
import hashlib
import http.client
import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import quote, unquote, urljoin, urlsplit

from stream_detector import __version__
from stream_detector.errors import UsageError

SILENCE_S = 10.0
"""The longest a receiver may stay silent."""
TOTAL_S = 20.0
"""The longest one attempt may take, however busily the receiver drips."""
_REDIRECTS = 3
_RETRIED = frozenset({408, 425, 429})
"""Of the answers that blame the request, these say: later."""
_LONGEST_RETRY_AFTER_S = 300.0


@dataclass(frozen=True, slots=True)
class HookAddress:
    """Where to POST. Path, query and account are secrets: services put their tokens there."""

    tls: bool
    host: str
    port: int
    path: str = field(repr=False)
    """With the query, percent-encoded."""
    authorization: str | None = field(repr=False)

    @property
    def shown(self) -> str:
        """For people and logs: scheme, host and port only."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    @property
    def key(self) -> str:
        """A folder name: the same for the same receiver, also with another password or query."""
        receiver = f"{self.shown}{self.path.partition('?')[0]}"
        readable = re.sub(r"[^A-Za-z0-9.-]", "_", self.host)[:60]
        return f"{readable}-{hashlib.sha256(receiver.encode()).hexdigest()[:12]}"


def parse_hook(url: str) -> HookAddress:
    """Understand what the user typed. Nothing is looked up or connected to.

    Raises:
        UsageError: it is no http:// or https:// address. The sentence does not repeat it.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise UsageError("--webhook makes no sense: expected http(s)://HOST[:PORT]/PATH") from error
    tls = parts.scheme == "https"
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\0]", parts.hostname):
        raise UsageError("--webhook makes no sense: expected http(s)://HOST[:PORT]/PATH")
    authorization = None
    if parts.username is not None:
        account = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(account.encode()).decode()
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=?~-._')}" if parts.query else ""
    return HookAddress(tls, parts.hostname, port or (443 if tls else 80), path + query, authorization)


class Answer(Enum):
    """What became of one attempt."""

    DELIVERED = "delivered"
    LATER = "later"
    """It may work another time."""
    REJECTED = "rejected"
    """It will not work with this message, however often."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one POST."""

    answer: Answer
    reason: str = ""
    """A clause for people; holds no secret."""
    retry_after_s: float | None = None
    """What the receiver asked for."""


class Poster:
    """POSTs to one receiver. `post` belongs to one thread, `abort` to any."""

    def __init__(
        self, address: HookAddress, *, silence_s: float = SILENCE_S, total_s: float = TOTAL_S
    ) -> None:
        """Connects to nothing yet."""
        self._address = address
        self._silence_s = silence_s
        self._total_s = total_s
        self._connection: http.client.HTTPConnection | None = None
        self._aborted = False

    def post(self, body: bytes) -> Attempt:
        """One attempt; ends within `total_s` once the host's name is known. Failures are answers, too."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._hang_up()

        deadline = threading.Timer(self._total_s, give_up)
        deadline.daemon = True
        deadline.start()
        try:
            attempt = self._follow(body)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            attempt = Attempt(Answer.LATER, _reason(error, self._silence_s))
        finally:
            deadline.cancel()
            deadline.join()
        if late.is_set():  # cut off: what came until then means nothing
            return Attempt(Answer.LATER, f"no complete answer within {self._total_s:g} s")
        return attempt

    def abort(self) -> None:
        """End the attempt that runs, and every later one. Any thread."""
        self._aborted = True
        self._hang_up()

    def _follow(self, body: bytes) -> Attempt:
        address = self._address
        for _ in range(_REDIRECTS + 1):
            status, headers = self._exchange(address, body)
            if status in (307, 308):
                target = _redirected(address, headers.get("Location", ""))
                if target is None:
                    return Attempt(
                        Answer.LATER,
                        f"it redirects ({status}) to another host, which is not followed; name that one",
                    )
                address = target
                continue
            if 200 <= status < 300:
                return Attempt(Answer.DELIVERED)
            words = f"it answers {status} {http.client.responses.get(status, '')}".rstrip()
            if 400 <= status < 500 and status not in _RETRIED:
                return Attempt(Answer.REJECTED, words)
            return Attempt(Answer.LATER, words, _retry_after_s(headers.get("Retry-After")))
        return Attempt(Answer.LATER, f"it redirects more than {_REDIRECTS} times")

    def _exchange(self, address: HookAddress, body: bytes) -> tuple[int, http.client.HTTPMessage]:
        connection: http.client.HTTPConnection
        if address.tls:
            connection = http.client.HTTPSConnection(
                address.host, address.port, timeout=self._silence_s, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(address.host, address.port, timeout=self._silence_s)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"stream-detector/{__version__}",
            "Connection": "close",
        }
        if address.authorization is not None:
            headers["Authorization"] = address.authorization
        self._connection = connection
        try:
            if self._aborted:
                raise ConnectionAbortedError("the run ends")
            connection.request("POST", address.path, body, headers)
            response = connection.getresponse()
            # The status is the receipt: what else the receiver says is not waited for.
            return response.status, response.headers
        finally:
            self._connection = None
            connection.close()

    def _hang_up(self) -> None:
        connection = self._connection
        line = None if connection is None else connection.sock
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


def _redirected(address: HookAddress, location: str) -> HookAddress | None:
    """Where a redirect leads; None where that is another host, or no longer encrypted."""
    try:
        target = parse_hook(urljoin(f"{address.shown}{address.path}", location))
    except UsageError:
        return None
    if target.host != address.host or (address.tls and not target.tls):
        return None
    if target.tls == address.tls and target.port != address.port:
        return None
    return HookAddress(target.tls, target.host, target.port, target.path, address.authorization)


def _retry_after_s(text: str | None) -> float | None:
    """Retry-After as seconds (RFC 9110, section 10.2.3), within reason; None where it says nothing."""
    if text is None:
        return None
    if text.strip().isdecimal():
        wanted_s = float(text)
    else:
        try:
            wanted_s = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(wanted_s, 0.0), _LONGEST_RETRY_AFTER_S)


def _reason(error: Exception, silence_s: float) -> str:
    """Why, without what the exception quotes: it may hold the address."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case TimeoutError():
            return f"no answer for {silence_s:g} s"
        case socket.gaierror():
            return "its name is not known"
        case http.client.RemoteDisconnected():
            return "it hung up without an answer"
        case http.client.HTTPException():
            return f"its answer is no HTTP ({type(error).__name__})"
        case OSError():
            return (error.strerror or type(error).__name__).lower()
    return type(error).__name__
