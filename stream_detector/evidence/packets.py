"""The newest packets of one stream, as they came, and clips made of them without encoding anything."""

import io
import threading
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from stream_detector.errors import OutputError

_MOST_BYTES = 64 << 20
"""Of one stream: 50 s at 10 Mbit/s. Of more, the beginning goes."""


@dataclass(frozen=True, slots=True)
class KeptPacket:
    """One packet, free of the container that it came from."""

    data: bytes = field(repr=False)
    pts: int | None
    dts: int | None
    duration: int | None
    time_base: Fraction
    key: bool
    at_s: float
    """time.monotonic() when the demuxer delivered it."""

    @property
    def time_s(self) -> float:
        """When it is to be decoded, in the stream's own time."""
        stamp = self.dts if self.dts is not None else self.pts
        return float((stamp or 0) * self.time_base)


@dataclass(frozen=True, slots=True)
class Clip:
    """Packets from a key frame on, and what a muxer must know of them."""

    template: bytes = field(repr=False)
    packets: tuple[KeptPacket, ...] = field(repr=False)


class PacketRing:
    """The last seconds of a stream. Filled by its reading thread, looked at by any."""

    def __init__(self, reach_s: float | None = None, *, most_bytes: int = _MOST_BYTES) -> None:
        """Empty. `reach_s`: see `reach`."""
        self._reach_s = reach_s
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._packets: deque[KeptPacket] = deque()
        self._bytes = 0
        self._template: bytes | None = None

    def reach(self, reach_s: float | None) -> None:
        """Reach so many seconds back at least, to the key frame before that; None: keep nothing."""
        with self._lock:
            self._reach_s = reach_s
            if reach_s is None:
                self._empty()

    def take(self, packet: "av.Packet[VideoStream]", at_s: float) -> None:
        """Keep a copy of the next packet; one that ends the stream is none."""
        if self._reach_s is None:
            return
        data = bytes(packet)
        if not data or packet.time_base is None:
            return
        kept = KeptPacket(
            data, packet.pts, packet.dts, packet.duration, packet.time_base, packet.is_keyframe, at_s
        )
        with self._lock:
            if self._template is None:
                if not kept.key:
                    return  # nothing can be decoded before the first key frame
                self._template = _template(packet.stream, kept)
            self._packets.append(kept)
            self._bytes += len(data)
            self._forget()

    def begin(self) -> None:
        """The source was opened anew: what came before does not go with what comes."""
        with self._lock:
            self._empty()

    def newest_s(self) -> float | None:
        """Stream time of the newest packet; None while there is none."""
        with self._lock:
            return self._packets[-1].time_s if self._packets else None

    def time_at(self, at_s: float) -> float | None:
        """Stream time of the newest packet delivered by `at_s` (time.monotonic()); None where none was."""
        with self._lock:
            return next((p.time_s for p in reversed(self._packets) if p.at_s <= at_s), None)

    def clip(self, begin_s: float, end_s: float) -> Clip | None:
        """The packets from the last key frame at or before `begin_s` to `end_s`; None where none are left."""
        with self._lock:
            template, packets = self._template, list(self._packets)
        keys = [at for at, packet in enumerate(packets) if packet.key]
        if template is None or not keys:
            return None
        first = max((at for at in keys if packets[at].time_s <= begin_s), default=keys[0])
        wanted = tuple(packet for packet in packets[first:] if packet.time_s <= end_s)
        return Clip(template, wanted) if wanted else None

    def _empty(self) -> None:
        self._packets.clear()
        self._bytes, self._template = 0, None

    def _forget(self) -> None:
        """Drop whole groups of pictures from the front, once what follows them reaches back far enough."""
        oldest_s = self._packets[-1].time_s - (self._reach_s or 0.0)
        while len(self._packets) > 1:
            second = next((at for at, p in enumerate(self._packets) if at and p.key), None)
            enough = second is not None and self._packets[second].time_s <= oldest_s
            if not enough and self._bytes <= self._most_bytes:
                return
            # Too large with one key frame: begin at the next, or keep nothing that cannot be decoded.
            for _ in range(len(self._packets) if second is None else second):
                self._bytes -= len(self._packets.popleft().data)
            if not self._packets:
                return


def write_clip(path: Path, clip: Clip) -> None:
    """Mux `clip` as it is; the pictures begin at time 0.

    Raises:
        OutputError: it cannot be written, or this kind of video not be muxed.
    """
    try:
        with av.open(io.BytesIO(clip.template)) as known, av.open(str(path), "w", format="matroska") as out:
            stream = out.add_stream_from_template(known.streams.video[0])
            stamps = [s for p in clip.packets for s in (p.dts, p.pts) if s is not None]
            begin = min(stamps, default=0)
            for kept in clip.packets:
                packet = av.Packet(kept.data)
                packet.time_base = kept.time_base
                packet.pts = None if kept.pts is None else kept.pts - begin
                packet.dts = None if kept.dts is None else kept.dts - begin
                packet.duration = kept.duration or 0
                packet.is_keyframe = kept.key
                packet.stream = stream
                out.mux(packet)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot write {path.name}: {reason}; make room, or look at the log") from error


def _template(stream: VideoStream, first: KeptPacket) -> bytes:
    """What a muxer must know of the stream, outliving its container: a NUT file with its first packet."""
    held = io.BytesIO()
    with av.open(held, "w", format="nut") as out:
        packet = av.Packet(first.data)
        packet.time_base, packet.pts, packet.dts = first.time_base, 0, 0
        packet.is_keyframe = True
        packet.stream = out.add_stream_from_template(stream)
        out.mux(packet)
    return held.getvalue()
