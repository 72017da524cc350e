"""Ed25519 signatures (RFC 8032) of the head of a chain: who wrote it, as far as the key is theirs alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_detector.errors import UsageError
from stream_detector.optional import require

_CONTEXT = b"stream-detector evidence chain head: "
"""Signed with the head, so that a signature made for something else is none of it."""


class Signer:
    """Signs with a private key, which goes nowhere else."""

    def __init__(self, key_file: Path) -> None:
        """Read the key.

        Raises:
            UsageError: the file holds no Ed25519 private key in PEM without a password.
            MissingDependency: `cryptography` is not installed.
        """
        serialization = _module("hazmat.primitives.serialization")
        ed25519 = _module("hazmat.primitives.asymmetric.ed25519")
        try:
            self._key: Any = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        except OSError as error:
            raise UsageError(f"cannot read the key {key_file}: {error.strerror}") from error
        except (ValueError, TypeError, _module("exceptions").UnsupportedAlgorithm):
            self._key = None
        if not isinstance(self._key, ed25519.Ed25519PrivateKey):
            raise UsageError(
                f"{key_file} holds no key to sign with: expected an Ed25519 private key in PEM without a "
                f"password; make one with: openssl genpkey -algorithm ed25519 -out {key_file}"
            )
        self.public_key: str = self._key.public_key().public_bytes_raw().hex()
        """64 hexadecimal digits."""

    def sign(self, head: str) -> dict[str, object]:
        """What a `signature` record holds. `head`: hash of the record before it."""
        return {"public_key": self.public_key, "signature": self._key.sign(_CONTEXT + head.encode()).hex()}


def signed_by(content: Mapping[str, object], head: str) -> str | None:
    """The public key that signed `head`, from a `signature` record; None where the signature is wrong.

    Raises:
        MissingDependency: `cryptography` is not installed.
    """
    ed25519 = _module("hazmat.primitives.asymmetric.ed25519")
    public_key, signature = content.get("public_key"), content.get("signature")
    if not isinstance(public_key, str) or not isinstance(signature, str):
        return None
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), _CONTEXT + head.encode())
    except (ValueError, _module("exceptions").InvalidSignature):
        return None
    return public_key.lower()


def read_public_key(key_file: Path) -> str:
    """A public key in PEM, as 64 hexadecimal digits.

    Raises:
        UsageError: the file holds none.
        MissingDependency: `cryptography` is not installed.
    """
    serialization = _module("hazmat.primitives.serialization")
    ed25519 = _module("hazmat.primitives.asymmetric.ed25519")
    try:
        key = serialization.load_pem_public_key(key_file.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read the key {key_file}: {error.strerror}") from error
    except (ValueError, _module("exceptions").UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise UsageError(
            f"{key_file} holds no key to verify with: expected an Ed25519 public key in PEM; make it from "
            f"the private one with: openssl pkey -in KEY -pubout -out {key_file}"
        )
    return str(key.public_bytes_raw().hex())


def _module(name: str) -> Any:
    return require(f"cryptography.{name}", why="signing records", extra="sign")
