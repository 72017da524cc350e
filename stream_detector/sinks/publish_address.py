"""What --publish names: a broker, an account, and the prefix of every topic."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from stream_detector.errors import UsageError

DEFAULT_PREFIX = "stream-detector"
_EXPECTED = "expected mqtt://[USER:PASSWORD@]HOST[:PORT]/PREFIX, or mqtts:// for TLS"
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:/\[\]\s]+)(?::(?P<port>\d{1,5}))?(?:/(?P<prefix>.*))?")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """An MQTT broker, parsed but not yet connected to."""

    host: str
    port: int
    tls: bool
    prefix: str
    """Every topic begins with it; no slash at either end."""
    user: str | None
    password: str | None = field(repr=False)

    @property
    def shown(self) -> str:
        """For people and logs: no password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_broker(text: str) -> BrokerAddress:
    """Understand what the user typed. Nothing is looked up or connected to.

    Raises:
        UsageError: it is no such address. The sentence does not repeat it: it may hold a password.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator or scheme.lower() not in _PORTS:
        raise UsageError(f"--publish makes no sense: {_EXPECTED}")
    scheme = scheme.lower()
    # A pasted password may hold / ? # or @; a prefix that holds @ is not worth the doubt.
    account, _, place = rest.rpartition("@")
    found = _HOST.fullmatch(place)
    if found is None:
        raise UsageError(f"--publish makes no sense: no host and port after the account; {_EXPECTED}")
    port = int(found["port"] or _PORTS[scheme])
    if not 1 <= port <= 65535:
        raise UsageError(f"--publish makes no sense: port {port}, expected 1 to 65535")
    prefix = unquote(found["prefix"] or "").strip("/") or DEFAULT_PREFIX
    if any(sign in prefix for sign in "+#\0") or prefix.startswith("$"):
        raise UsageError("--publish makes no sense: a prefix may not hold + or #, nor begin with $")
    if len(prefix.encode()) > 1000:
        raise UsageError("--publish makes no sense: the prefix is longer than 1000 bytes")
    user, colon, password = account.partition(":")
    return BrokerAddress(
        host=found["host"].strip("[]"),
        port=port,
        tls=scheme == "mqtts",
        prefix=prefix,
        user=unquote(user) or None,
        password=unquote(password) if colon else None,
    )
