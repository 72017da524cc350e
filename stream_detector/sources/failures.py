"""What went wrong with a source, as one sentence a person can act on and a reason programs can."""

import av

from stream_detector.errors import SourceError
from stream_detector.records import Reason
from stream_detector.sources.address import SourceAddress, SourceKind, redact
from stream_detector.sources.files import looks_like

_WAITED = 0.9
"""FFmpeg names its time-outs in three other ways; a failure that took this share of the limit is one."""


def open_failure(
    address: SourceAddress, error: Exception, *, elapsed_s: float, timeout_s: float
) -> SourceError:
    """Why the source could not be opened. The caller raises it `from None`: FFmpeg's text holds secrets."""
    shown = address.shown
    network = address.kind is SourceKind.NETWORK
    if network and _timed_out(error, elapsed_s, timeout_s):
        return open_time_out(address, timeout_s)
    match error:
        case av.HTTPUnauthorizedError():
            return SourceError(
                f"{shown} refuses the user name or password (401 Unauthorized); check them", Reason.AUTH
            )
        case av.HTTPForbiddenError():
            return SourceError(
                f"{shown} may not be read with this account (403 Forbidden); check the permissions",
                Reason.AUTH,
            )
        case av.HTTPNotFoundError():
            return SourceError(
                f"cannot find {shown}: the server has no such path (404); check the address",
                Reason.NOT_FOUND,
            )
        case av.HTTPClientError() | av.HTTPError():
            return SourceError(
                f"cannot read {shown}: the server refuses it ({_reason(error, address)}); "
                f"check the address, and the server's own log",
                Reason.REFUSED,
            )
        case av.ConnectionRefusedError():
            return SourceError(
                f"cannot connect to {shown}: connection refused; check host and port, "
                f"and that the server runs",
                Reason.REFUSED,
            )
        case av.ProtocolNotFoundError():
            return SourceError(
                f"cannot read {shown}: the FFmpeg inside this PyAV lacks a protocol it needs, or the stream "
                f"points somewhere it may not",
                Reason.UNSUPPORTED,
            )
        case av.PermissionError():
            return SourceError(
                f"cannot read {shown}: permission denied; check who may read it", Reason.REFUSED
            )
    if network:
        if isinstance(error, av.InvalidDataError):
            return SourceError(
                f"cannot read {shown}: the server hung up, or what it sends is no video FFmpeg knows; "
                f"check the address, port and path",
                Reason.DAMAGED,
            )
        if isinstance(error, av.EOFError | av.ConnectionResetError | av.BrokenPipeError):
            return SourceError(
                f"cannot read {shown}: the server hung up while it was being opened; check the address, and "
                f"the server's own log",
                Reason.ENDED,
            )
        return SourceError(
            f"cannot reach {shown}: {_reason(error, address)}; check the host name, the port and the network",
            Reason.UNREACHABLE,
        )
    if address.kind is SourceKind.FILE:
        if isinstance(error, av.InvalidDataError):
            return SourceError(f"cannot read {shown}: {looks_like(address.text)}", Reason.DAMAGED)
        return SourceError(
            f"cannot read {shown}: {_reason(error, address)}; try to play it in another program",
            Reason.DAMAGED,
        )
    if address.kind is SourceKind.LAVFI:
        return SourceError(
            f"cannot build the filter graph {shown}: {_reason(error, address)}; check its spelling",
            Reason.UNSUPPORTED,
        )
    return SourceError(
        f"cannot open {shown}: {_reason(error, address)}; check that it exists, "
        f"and that no other program uses it",
        Reason.UNREACHABLE,
    )


def open_time_out(address: SourceAddress, timeout_s: float) -> SourceError:
    """The source could not be opened in time, whoever noticed."""
    return SourceError(
        f"time-out while opening {address.shown}: it answered too little or nothing for {timeout_s:g} s; "
        f"check that it is streaming, and the network",
        Reason.TIMEOUT,
    )


def read_failure(
    address: SourceAddress, error: Exception, *, at_s: float, elapsed_s: float, timeout_s: float
) -> SourceError:
    """Why the source broke off `at_s` seconds into the stream; raised `from None`, like `open_failure`."""
    if _timed_out(error, elapsed_s, timeout_s):
        return read_time_out(address, at_s=at_s, timeout_s=timeout_s)
    return SourceError(
        f"{address.shown} broke off {at_s:.1f} s into the stream: {_reason(error, address)}; "
        f"check the source",
        Reason.DAMAGED if isinstance(error, av.InvalidDataError) else Reason.ENDED,
    )


def read_time_out(address: SourceAddress, *, at_s: float, timeout_s: float) -> SourceError:
    """An open source fell silent, whoever noticed."""
    return SourceError(
        f"time-out: no data from {address.shown} for {timeout_s:g} s, {at_s:.1f} s into the stream; "
        f"check that it is still streaming",
        Reason.TIMEOUT,
    )


def no_picture(address: SourceAddress, *, waited_s: float, damaged_packets: int) -> SourceError:
    """An open source sends, but nothing that becomes a picture."""
    return SourceError(
        f"{address.shown} sends data, but no picture could be decoded for {waited_s:g} s "
        f"({damaged_packets} damaged packets); check the source",
        Reason.NO_DATA,
    )


def ended(address: SourceAddress, *, at_s: float) -> SourceError:
    """A live source said that it is over: for a camera that is a failure, not an end."""
    return SourceError(
        f"{address.shown} ended {at_s:.1f} s into the stream, though it is live; check the source",
        Reason.ENDED,
    )


def _timed_out(error: Exception, elapsed_s: float, timeout_s: float) -> bool:
    return isinstance(error, av.ExitError | av.TimeoutError) or elapsed_s >= _WAITED * timeout_s


def _reason(error: Exception, address: SourceAddress) -> str:
    """FFmpeg's own words, without the address it likes to add."""
    words = error.strerror if isinstance(error, av.FFmpegError) else str(error)
    text = redact(words or type(error).__name__, address.secrets)
    return text.rstrip(".")
