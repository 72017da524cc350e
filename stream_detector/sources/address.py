"""What the user typed as a source: its kind, and a form of it that is safe to show."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote, unquote_plus

from stream_detector.errors import SourceError


class SourceKind(StrEnum):
    """Where pictures can come from."""

    FILE = "file"
    NETWORK = "network"
    WEBCAM = "webcam"
    SCREEN = "screen"
    LAVFI = "lavfi"
    """A filter graph of FFmpeg that makes pictures; as lossless as a file."""
    DEMO = "demo"
    SELFTEST = "selftest"
    """The demo as a live stream of our own, with the time in its pixels."""


class Transport(StrEnum):
    """What carries the pictures of an RTSP source."""

    TCP = "tcp"
    """Nothing is lost; the default."""
    UDP = "udp"
    """For cameras that offer nothing else: lost packets are damaged pictures."""


NETWORK_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "tcp")
_MAYBE_RECORDED = ("http", "https")

_KNOWN = (
    "a path, file:, "
    + ", ".join(f"{scheme}://" for scheme in NETWORK_SCHEMES)
    + ", webcam:, screen:, lavfi:, demo:, selftest:"
)
_PREFIX = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?", re.ASCII)  # two letters at least: C: is a drive
_REGION = re.compile(r"[1-9]\d{0,4}x[1-9]\d{0,4}\+\d{1,5}\+\d{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """One source, parsed but not yet opened."""

    kind: SourceKind
    text: str = field(repr=False)
    """What the opener needs, secrets included: the path, the URL, the device, the region, the graph."""
    shown: str
    """For people and logs: no password, no query string, no control characters."""
    live: bool
    """Pictures come whether or not anybody reads. http(s) counts as a recording until it is open:
    only then is it known whether it ends (`SourceFacts.live`)."""
    transport: Transport = Transport.TCP
    """Of an RTSP source: ?transport=udp in its URL, which is not part of `text`."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password and the query strings of a URL, as typed and decoded; hand them to `redact`."""
        if self.kind is not SourceKind.NETWORK:
            return ()
        _, _, rest = self.text.partition("://")
        # A pasted password may hold any sign, and so may a query: every @ may be where the host begins.
        found: list[str] = []
        for at in [-1, *(place for place, sign in enumerate(rest) if sign == "@")]:
            found.append(rest[: max(at, 0)].partition(":")[2])
            for query in re.split(r"[?#]", rest[at + 1 :], maxsplit=1)[1:]:
                values = [part.partition("=")[2] for part in (query, *re.split(r"[&;]", query))]
                # channel=1 is no secret, and would blank half of any sentence.
                found += [query, *(value for value in values if len(value) > 3)]
        spelled = {spelling for text in found for spelling in (text, unquote(text), unquote_plus(text))}
        return tuple(sorted(spelled - {""}, key=len, reverse=True))


def parse_address(text: str) -> SourceAddress:
    """Understand what the user typed. Nothing is opened, looked up or touched.

    Args:
        text: a path; file:PATH or file:///PATH; a URL with one of `NETWORK_SCHEMES`, for RTSP with
            ?transport=udp where it must be; webcam:0 or webcam:/dev/video0; screen: or
            screen:WIDTHxHEIGHT+LEFT+TOP; lavfi:GRAPH; demo:; selftest: or
            selftest:HZ.

    Raises:
        SourceError: it is none of these.
    """
    if not text.strip() or "\0" in text:
        raise SourceError(f"the source {_shown(text)!r} is empty or holds a NUL; expected {_KNOWN}")
    prefix = _PREFIX.match(text)
    if prefix is None:
        return SourceAddress(SourceKind.FILE, text, _shown(text), live=False)
    scheme, slashes = prefix.group(1).lower(), prefix.group(2)
    rest = text[len(scheme) + 1 :]
    match scheme:
        case "file":
            path = _path_of_file_url(rest)
            return SourceAddress(SourceKind.FILE, path, _shown(path), live=False)
        case "webcam":
            device = rest or "0"
            return SourceAddress(SourceKind.WEBCAM, device, _shown(f"webcam:{device}"), live=True)
        case "screen":
            if rest and not _REGION.fullmatch(rest):
                raise SourceError(
                    f"cannot understand {_shown(text)}: expected screen: or "
                    f"screen:WIDTHxHEIGHT+LEFT+TOP, such as screen:1280x720+0+0"
                )
            return SourceAddress(SourceKind.SCREEN, rest, f"screen:{rest}", live=True)
        case "lavfi":
            if not rest.strip():
                raise SourceError("lavfi: needs a filter graph, such as lavfi:testsrc2=size=640x480:rate=25")
            return SourceAddress(SourceKind.LAVFI, rest, _shown(text), live=False)
        case "demo":
            if rest:
                raise SourceError(f"cannot understand {_shown(text)}: demo: takes nothing after the colon")
            return SourceAddress(SourceKind.DEMO, "", "demo:", live=False)
        case "selftest":
            if rest and not re.fullmatch(r"[1-9]\d?", rest, re.ASCII):
                raise SourceError(
                    f"cannot understand {_shown(text)}: selftest: takes nothing after the colon, or frames "
                    f"per second from 1 to 99"
                )
            return SourceAddress(SourceKind.SELFTEST, rest, f"selftest:{rest}", live=True)
    if scheme in NETWORK_SCHEMES:
        shown = _shown(text)
        # An authority without a host cannot be reached, and FFmpeg may take it for something else.
        if not slashes or not re.match(r"[^/?#]", _split_user_info(rest[2:])[2]):
            raise SourceError(f"cannot understand {shown}: expected {scheme}://HOST/…")
        url, transport = text.strip(), Transport.TCP
        if scheme in ("rtsp", "rtsps"):
            url, transport = _take_transport(url, shown)
        return SourceAddress(
            SourceKind.NETWORK, url, shown, live=scheme not in _MAYBE_RECORDED, transport=transport
        )
    if slashes:
        raise SourceError(f"cannot read {_shown(text)}: {scheme}:// is not known here; expected {_KNOWN}")
    return SourceAddress(SourceKind.FILE, text, _shown(text), live=False)


def _take_transport(url: str, shown: str) -> tuple[str, Transport]:
    """An RTSP URL without its `transport=`, which no server knows, and what that was."""
    scheme, separator, rest = url.partition("://")
    user, at, place = _split_user_info(rest)
    path, mark, query = place.partition("?")
    kept, transport = [], Transport.TCP
    for part in query.split("&") if mark else ():
        name, _, value = part.partition("=")
        if name != "transport":
            kept.append(part)
        elif value.lower() in set(Transport):
            transport = Transport(value.lower())
        else:
            raise SourceError(f"cannot understand the transport of {shown}: expected transport=tcp or udp")
    return f"{scheme}{separator}{user}{at}{path}{'?' if kept else ''}{'&'.join(kept)}", transport


_SECRET = re.compile(
    r"""
      (?P<url>(?:file:)?[A-Za-z][A-Za-z0-9+.-]*:\\*/\\*/\S*)    # scheme://…, also as lavfi escapes it
    | (?P<encoded>[A-Za-z][A-Za-z0-9+.-]*(?:%3A|:)(?:%2F|/){2}\S*)
    | (?P<bare>[^\s/:@'"]+:\S*@\S*)                            # user:password@… without a scheme
    | (?P<header>(?:Proxy-)?Authorization:)[^\r\n]*
    | (?P<key>[\w-]*(?:pass|pwd|token|secret|signature|api_?key|auth|credential)\w*=)\S+
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without passwords and query strings, wherever they stand in it.

    Hidden are the user information, query and fragment of every URL, `user:password@` without a
    scheme, Authorization headers, and the values of keys such as `passphrase=`. When in doubt it
    hides too much.

    Args:
        text: anything: an address, an error message, a log line.
        secrets: strings that must not survive either, such as `SourceAddress.secrets`.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _SECRET.sub(_hidden, text)


def _hidden(found: "re.Match[str]") -> str:
    """What stands in place of one match of `_SECRET`."""
    if found["url"] is not None:
        return _redact_url(found["url"])
    if found["encoded"] is not None:
        return re.split(r"%3A|:", found["encoded"], maxsplit=1, flags=re.IGNORECASE)[0] + "://***"
    if found["bare"] is not None:
        return _redact_host_on("***@", found["bare"].rpartition("@")[2])
    return f"{found['header'] or found['key']}***"


def _redact_url(url: str) -> str:
    """The same for a text that is one URL from its first to its last character, spaces included."""
    scheme, slashes, rest = re.split(r"(:\\*/\\*/)", url, maxsplit=1)
    _, at, rest = _split_user_info(rest)
    return _redact_host_on(f"{_shown(scheme)}{slashes}{'***@' if at else ''}", rest)


def _redact_host_on(before: str, rest: str) -> str:
    """`before`, then host and path without query and fragment; a URL in the path has its own secrets."""
    end = re.search(r"[?#]", rest)
    return before + (redact(rest) if end is None else f"{redact(rest[: end.start()])}{end[0]}***")


def _shown(typed: str) -> str:
    """What the user typed, made safe to show; unlike `redact` it knows that all of it is one address."""
    head, _, tail = typed.rpartition("@")
    if "://" in typed:
        safe = _redact_url(typed)
    elif ":" in head:
        safe = _redact_host_on("***@", tail)
    else:
        safe = redact(typed)
    return _printable(safe)


def _split_user_info(rest: str) -> tuple[str, str, str]:
    """What follows the scheme, as (user information, "@" or "", the rest from the host on).

    People paste passwords that hold / ? # or @ without encoding them. So everything up to the last
    @ counts as user information if it holds a colon, or no slash; only host/path@more is left alone.
    """
    head, at, tail = rest.rpartition("@")
    if at and (":" in head or "/" not in head):
        return head, at, tail
    return "", "", rest


def _path_of_file_url(rest: str) -> str:
    """The path in file:clip.mp4, file:///tmp/a%20clip.mp4, file://localhost/clip.mp4 or file:///C:/clip.mp4."""
    if not rest.startswith("//"):
        path = rest
    else:
        host, slash, local = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise SourceError(
                f"cannot read file://{_shown(host)}/…: only files of this machine; expected file:///PATH"
            )
        path = unquote(slash + local)
        if re.match(r"/[A-Za-z]:", path, re.ASCII):
            path = path[1:]
    if not path or "\0" in path:
        raise SourceError("file: needs a path, such as file:///home/me/clip.mp4")
    return path


def _printable(text: str) -> str:
    """One line that any terminal and any encoder takes: everything unprintable becomes a question mark."""
    return "".join(character if character.isprintable() else "?" for character in text)
