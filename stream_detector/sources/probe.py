"""A short look at a source before it is watched: what it is, and how it behaves."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from stream_detector.errors import SourceError
from stream_detector.settings import OPEN_TIMEOUT_S, READ_TIMEOUT_S
from stream_detector.sources.address import SourceAddress, SourceKind
from stream_detector.sources.opening import openings
from stream_detector.sources.reader import Reader, SourceFacts
from stream_detector.sources.timeline import Timeline

_UNEVEN_SPREAD = 0.5
"""Intervals whose widest and narrowest differ by more than this share of the median are a variable rate."""
_FEWEST_INTERVALS = 5
"""Below it nothing is said about rates."""
_ENCRYPTED = ("rtsps", "https", "rtmps")


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a short look at a source found."""

    shown: str
    """The address, without secrets."""
    facts: SourceFacts
    transport: str
    """What the data come over: tcp, udp, srt, tls, or the kind of source where there is no network."""
    frames: int
    """Frames read."""
    measured_rate_hz: float | None
    """Intervals per second of media time; None with fewer than two frames."""
    arrival_rate_hz: float | None
    """Frames per second of waiting, in the newer half of the look; None where the source is not live, or
    with too few frames."""
    uneven: bool
    """The intervals vary too much for a constant frame rate."""
    jumps: int
    """How often time or size did not continue."""
    key_frames: int
    key_frame_interval_s: float | None
    """The longest seen; None where fewer than two key frames were."""
    b_frames: bool
    """Pictures are sent in another order than they are shown, so some are held back."""
    interlaced: bool
    damaged_packets: int
    first_frame_after_s: float
    """From the first step of opening to the first decoded picture."""
    packets_before_first_frame: int
    """Packets the decoder had taken in, the first picture's own included, when it gave the first one."""
    frames_held: int
    """The most packets whose pictures had not come out yet when another one did."""
    media_s: float
    """Media time the look covered."""
    broke_off: str
    """Why it ended early, in a sentence; empty where it did not."""


def probe(address: SourceAddress, *, seconds: float = 5.0) -> SourceReport:
    """Read the first `seconds` of a source (of media time or of waiting, whichever ends first).

    Opens and closes the source in the calling thread. What comes before a failure is reported.

    Raises:
        SourceError: as `Reader.frames`; or not one frame came.
        ValueError: the address is `demo:`.
    """
    reader = _Watched(address)
    began_s = time.monotonic()
    pts_s: list[float] = []
    came_at_s: list[float] = []
    held = segment = 0
    broke_off = ""
    try:
        with closing(reader.frames()) as frames:
            for frame in frames:
                pts_s.append(frame.pts_s)
                came_at_s.append(frame.captured_at_s)
                held, segment = max(held, reader.held), frame.segment
                if max(frame.pts_s, time.monotonic() - came_at_s[0]) >= seconds:
                    break
    except SourceError as error:
        if reader.facts is None:
            raise
        broke_off = str(error)
    if reader.facts is None:
        raise SourceError(f"no frame came from {address.shown}; try to play it in another program")
    return SourceReport(
        shown=address.shown,
        facts=reader.facts,
        transport=_transport(address),
        frames=len(pts_s),
        measured_rate_hz=_rate_hz(pts_s),
        # The newer half: what FFmpeg read ahead while it opened the source comes all at once.
        arrival_rate_hz=_rate_hz(came_at_s[len(came_at_s) // 2 :]) if reader.live else None,
        uneven=_uneven(pts_s),
        jumps=segment,
        key_frames=reader.key_frames,
        key_frame_interval_s=reader.key_frame_interval_s,
        b_frames=reader.b_frames,
        interlaced=reader.interlaced,
        damaged_packets=reader.damaged_packets,
        first_frame_after_s=came_at_s[0] - began_s,
        packets_before_first_frame=reader.packets_before_first_frame,
        frames_held=held,
        media_s=pts_s[-1] - pts_s[0],
        broke_off=broke_off,
    )


class _Watched(Reader):
    """The reader that `watch` uses, observed where packets go in and pictures come out."""

    def __init__(self, address: SourceAddress) -> None:
        super().__init__(address, open_timeout_s=OPEN_TIMEOUT_S, read_timeout_s=READ_TIMEOUT_S)
        self.packets_before_first_frame = 0
        self.key_frames = 0
        self.b_frames = False
        self.interlaced = False
        self._packets_in = self._frames_out = 0
        self._newest_pts: int | None = None

    @property
    def held(self) -> int:
        """Pictures that went in and did not come out yet."""
        return max(0, self._packets_in - self._frames_out - self.damaged_packets)

    def _packets(
        self, container: InputContainer, video: VideoStream, timeline: Timeline
    ) -> Iterator["av.Packet[VideoStream]"]:
        for packet in super()._packets(container, video, timeline):
            if packet.size:  # the empty one at the end only says so
                self._packets_in += 1
                if packet.pts is not None:
                    self.b_frames |= self._newest_pts is not None and packet.pts < self._newest_pts
                    self._newest_pts = max(packet.pts, self._newest_pts or packet.pts)
            yield packet

    def _decoded(
        self, container: InputContainer, video: VideoStream, timeline: Timeline
    ) -> Generator[av.VideoFrame]:
        with closing(super()._decoded(container, video, timeline)) as decoded:
            for frame in decoded:
                self._frames_out += 1
                self.packets_before_first_frame = self.packets_before_first_frame or self._packets_in
                self.key_frames += frame.key_frame
                self.interlaced |= frame.interlaced_frame
                yield frame


def _transport(address: SourceAddress) -> str:
    if address.kind is not SourceKind.NETWORK:
        return address.kind.value
    scheme = address.text.partition("://")[0].lower()
    if scheme in ("udp", "srt"):
        return scheme
    if scheme in _ENCRYPTED:
        return "tls"
    way = openings(address, open_timeout_s=OPEN_TIMEOUT_S, read_timeout_s=READ_TIMEOUT_S)[0]
    return way.options.get("rtsp_transport", "tcp")


def _rate_hz(times_s: list[float]) -> float | None:
    span_s = times_s[-1] - times_s[0]
    return (len(times_s) - 1) / span_s if span_s > 0 else None


def _uneven(pts_s: list[float]) -> bool:
    intervals_s = [later - earlier for earlier, later in pairwise(pts_s)]
    if len(intervals_s) < _FEWEST_INTERVALS:
        return False
    return max(intervals_s) - min(intervals_s) > _UNEVEN_SPREAD * median(intervals_s)
