"""An RTSP server on the loopback that does what a script tells it, good and bad alike."""

import base64
import itertools
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import av

from tests import media, servers

CLOCK_HZ = 90_000
"""Of the RTP time stamps of video."""
_LONGEST_PAYLOAD = 1400


@dataclass(frozen=True)
class Picture:
    """One coded picture."""

    units: tuple[bytes, ...] = field(repr=False)
    """Its H.264 NAL units, parameter sets included, without start codes."""
    key: bool


def coded(
    count: int,
    *,
    width_px: int = 64,
    height_px: int = 48,
    rate_hz: int = 25,
    key_every: int = 5,
    paint: media.Painter = media.grey,
) -> list[Picture]:
    """`count` pictures as a camera codes them: no B-frames, no delay."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width_px, height_px, "yuv420p"
    context.time_base = Fraction(1, rate_hz)
    context.framerate = Fraction(rate_hz)
    context.options = {
        "tune": "zerolatency",
        "preset": "ultrafast",
        "x264-params": f"keyint={key_every}:scenecut=0:repeat-headers=1:threads=1",
    }
    pictures = []
    for index in range(count):
        image = av.VideoFrame.from_ndarray(paint(index, width_px, height_px)).reformat(format="yuv420p")
        image.pts = index
        (packet,) = context.encode(image)
        units = tuple(unit for unit in re.split(rb"\x00\x00\x00?\x01", bytes(packet)) if unit)
        pictures.append(Picture(units, packet.is_keyframe))
    return pictures


class Wire:
    """What a script plays on: one connection, after PLAY was answered."""

    def __init__(self, connection: socket.socket, ended: threading.Event) -> None:
        self.connection = connection
        self.ended = ended
        self._sequence = itertools.count()

    def send(self, picture: Picture, timestamp: int) -> None:
        """One picture as interleaved RTP (RFC 2326, section 10.12)."""
        payloads = [payload for unit in picture.units for payload in _payloads(unit)]
        for place, payload in enumerate(payloads, start=1):
            marker = 0x80 if place == len(payloads) else 0
            header = struct.pack(
                ">BBHII", 0x80, 96 | marker, next(self._sequence) & 0xFFFF, timestamp & 0xFFFFFFFF, 1
            )
            packet = header + payload
            self.connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)

    def stream(self, pictures: Iterable[Picture], *, rate_hz: int = 25, start: int = CLOCK_HZ) -> int:
        """Pictures at their own speed; returns the time stamp after the last. Ends early with the test."""
        timestamp = start
        for picture in pictures:
            self.send(picture, timestamp)
            timestamp += CLOCK_HZ // rate_hz
            if self.ended.wait(1 / rate_hz):
                break
        return timestamp

    def silence(self) -> None:
        """Nothing more, until the test ends."""
        self.ended.wait(60)


def _payloads(unit: bytes) -> list[bytes]:
    """A NAL unit as it is, or in fragments where it is long (FU-A, RFC 6184, section 5.8)."""
    if len(unit) <= _LONGEST_PAYLOAD:
        return [unit]
    indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 0x1F
    parts = [unit[at : at + _LONGEST_PAYLOAD] for at in range(1, len(unit), _LONGEST_PAYLOAD)]
    first, last = 0, len(parts) - 1
    return [
        bytes([indicator, kind | (0x80 if at == first else 0) | (0x40 if at == last else 0)]) + part
        for at, part in enumerate(parts)
    ]


Script = Callable[[Wire], None]
"""Plays one connection; when it returns the server hangs up."""


def playing(script: Script, *, password: str | None = None, sprop: Picture | None = None) -> servers.Handler:
    """A handler for `servers.serving`: the RTSP handshake over TCP, then `script`.

    Args:
        password: wanted from the user "watcher" (Basic); None lets everybody in.
        sprop: a key picture whose parameter sets the description states; None states none.
    """
    wanted = None
    if password is not None:
        wanted = b"Basic " + base64.b64encode(f"watcher:{password}".encode())

    def handler(connection: socket.socket, ended: threading.Event) -> None:
        while request := servers.request_of(connection, ended):
            method = request.split(b" ", 1)[0]
            sequence = re.search(rb"(?i)^cseq:\s*(\d+)", request, re.MULTILINE)
            number = sequence.group(1) if sequence else b"0"

            def answer(
                *lines: bytes, status: bytes = b"200 OK", body: bytes = b"", number: bytes = number
            ) -> None:
                head = [b"RTSP/1.0 " + status, b"CSeq: " + number, b"Session: 1;timeout=60", *lines]
                head.append(b"Content-Length: %d" % len(body))
                connection.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)

            given = re.search(rb"(?i)^authorization:\s*(.*?)\r?$", request, re.MULTILINE)
            if wanted is not None and (given is None or given.group(1) != wanted):
                answer(b'WWW-Authenticate: Basic realm="camera"', status=b"401 Unauthorized")
            elif method == b"DESCRIBE":
                answer(b"Content-Type: application/sdp", body=_description(sprop))
            elif method == b"SETUP":
                answer(b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
            elif method == b"PLAY":
                answer()
                connection.settimeout(10)
                script(Wire(connection, ended))
                return
            else:
                answer(b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")

    return handler


def _description(sprop: Picture | None) -> bytes:
    sets = ""
    if sprop is not None:
        parameter_sets = [unit for unit in sprop.units if unit[0] & 31 in (7, 8)]
        sets = ";sprop-parameter-sets=" + ",".join(base64.b64encode(unit).decode() for unit in parameter_sets)
    return (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
        f"c=IN IP4 127.0.0.1\r\na=rtpmap:96 H264/{CLOCK_HZ}\r\na=fmtp:96 packetization-mode=1{sets}\r\n"
        "a=control:track0\r\n"
    ).encode()


def camera(seconds: float = 60.0, *, rate_hz: int = 25) -> Script:
    """A well-behaved camera."""
    loop = coded(30, rate_hz=rate_hz)

    def script(wire: Wire) -> None:
        wire.stream(itertools.islice(itertools.cycle(loop), int(seconds * rate_hz)), rate_hz=rate_hz)

    return script
