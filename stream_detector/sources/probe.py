"""A short look at a source before it is watched: what it is, and what about it will hurt."""

import time
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from stream_detector.errors import SourceError
from stream_detector.sources.address import SourceAddress
from stream_detector.sources.reader import Reader, SourceFacts

_RATE_TOLERANCE = 0.10
_UNEVEN_SPREAD = 0.5
"""Intervals whose widest and narrowest differ by more than this share of the median are a variable rate."""
_FEWEST_INTERVALS = 5
"""Below it nothing is said about rates."""
_LARGE_PIXELS = 3840 * 2160
_SMALL_SIDE_PX = 240
_LONG_KEY_FRAME_INTERVAL_S = 4.0


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a short look at a source found."""

    shown: str
    """The address, without secrets."""
    facts: SourceFacts
    frames: int
    """Frames read."""
    measured_rate_hz: float | None
    """Intervals per second of media time; None with fewer than two frames."""
    uneven: bool
    """The intervals vary too much for a constant frame rate."""
    key_frame_interval_s: float | None
    """The longest seen; None where fewer than two key frames were."""
    damaged_packets: int
    first_frame_after_s: float
    """From the first step of opening to the first decoded picture."""

    @property
    def advices(self) -> tuple[str, ...]:
        """One sentence for each thing that will hurt."""
        facts, said = self.facts, list[str]()
        size, aspect = f"{facts.width_px}x{facts.height_px}", facts.pixel_aspect
        if self.uneven:
            said.append(
                "The frame rate varies: scores follow the stream's own time stamps, not a frame count."
            )
        elif self.measured_rate_hz is not None and facts.average_rate_hz is not None:
            stated_hz = float(facts.average_rate_hz)
            if abs(self.measured_rate_hz - stated_hz) > _RATE_TOLERANCE * stated_hz:
                said.append(f"It states {stated_hz:.2f} frames/s and delivers {self.measured_rate_hz:.2f}.")
        if facts.rotation_deg:
            said.append(
                f"The pictures lie on their side or head: each is turned by {facts.rotation_deg}° clockwise."
            )
        if aspect != 1:
            said.append(
                f"Its pixels are not square ({aspect.numerator}:{aspect.denominator}): "
                f"faces are scored as squeezed as they are stored."
            )
        if facts.width_px * facts.height_px > _LARGE_PIXELS:
            said.append(
                f"The pictures are very large ({size}): decoding alone may take more time "
                f"than there is; use a smaller stream of the same source if it has one."
            )
        if min(facts.width_px, facts.height_px) < _SMALL_SIDE_PX:
            said.append(
                f"The pictures are very small ({size}): faces in them may have too few pixels to be scored."
            )
        if self.damaged_packets:
            said.append(
                f"Left out {self.damaged_packets} damaged packets: the recording or the network loses data."
            )
        if facts.live and (self.key_frame_interval_s or 0.0) > _LONG_KEY_FRAME_INTERVAL_S:
            said.append(
                f"Key frames are {self.key_frame_interval_s:.1f} s apart: joining the stream, and "
                f"recovering from lost data, takes as long."
            )
        return tuple(said)


def probe(address: SourceAddress, *, seconds: float = 3.0) -> SourceReport:
    """Read the first `seconds` of a source (of media time or of waiting, whichever ends first).

    Opens and closes the source in the calling thread.

    Raises:
        SourceError: as `Reader.frames`; or not one frame came.
        ValueError: the address is `demo:`.
    """
    reader = Reader(address)
    began_s = time.monotonic()
    pts_s: list[float] = []
    first_frame_at_s = began_s
    with closing(reader.frames()) as frames:
        for frame in frames:
            if not pts_s:
                first_frame_at_s = frame.captured_at_s
            pts_s.append(frame.pts_s)
            if max(frame.pts_s, time.monotonic() - first_frame_at_s) >= seconds:
                break
    if reader.facts is None:
        raise SourceError(f"no frame came from {address.shown}")
    span_s = pts_s[-1] - pts_s[0]
    return SourceReport(
        shown=address.shown,
        facts=reader.facts,
        frames=len(pts_s),
        measured_rate_hz=(len(pts_s) - 1) / span_s if span_s > 0 else None,
        uneven=_uneven(pts_s),
        key_frame_interval_s=reader.key_frame_interval_s,
        damaged_packets=reader.damaged_packets,
        first_frame_after_s=first_frame_at_s - began_s,
    )


def _uneven(pts_s: list[float]) -> bool:
    intervals_s = [later - earlier for earlier, later in pairwise(pts_s)]
    if len(intervals_s) < _FEWEST_INTERVALS:
        return False
    return max(intervals_s) - min(intervals_s) > _UNEVEN_SPREAD * median(intervals_s)
