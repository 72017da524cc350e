"""One opening of a source, read in a thread of its own and watched from another."""

import dataclasses
import threading
import time
from contextlib import closing, suppress

from stream_detector.errors import ShutdownError, SourceError
from stream_detector.handoff import Handoff
from stream_detector.records import Frame
from stream_detector.settings import FIRST_FRAME_TIMEOUT_S, OPEN_TIMEOUT_S, READ_TIMEOUT_S
from stream_detector.sources.address import SourceAddress
from stream_detector.sources.failures import ended, no_picture, open_time_out, read_time_out
from stream_detector.sources.pacing import SegmentPace
from stream_detector.sources.reader import Phase, Reader
from stream_detector.stages import PacketSink
from stream_detector.worker import Worker

_SEGMENTED = frozenset({"hls"})
"""Containers that bring seconds of video at once: shown so, they would be a burst and a silence."""
_LEAVING_S = 0.5
"""How long leaving waits for the reading thread, which at once notices when it gets to run at all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How long each phase of a session may take, in seconds."""

    open_s: float = OPEN_TIMEOUT_S
    first_frame_s: float = FIRST_FRAME_TIMEOUT_S
    between_frames_s: float = READ_TIMEOUT_S
    end_s: float = 1.0
    grace_s: float = 0.25
    """FFmpeg has limits of its own and more to say about what happened: it goes first by so much."""

    def of(self, phase: Phase) -> float:
        """When whoever watches gives up on a session in `phase`."""
        match phase:
            case Phase.OPEN:
                return self.open_s + self.grace_s
            case Phase.FIRST_FRAME:
                return self.first_frame_s
            case Phase.BETWEEN_FRAMES:
                return self.between_frames_s + self.grace_s
            case Phase.END:
                return self.end_s


class Session:
    """A `Reader` at work in a thread of its own, for one thread that takes its frames.

    FFmpeg's calls cannot be interrupted. So whoever takes frames never makes one: it waits, with a
    limit, and leaves a thread that does not come back behind. Such a thread keeps its container, and
    closes it when FFmpeg's own limits free it.
    """

    def __init__(
        self,
        address: SourceAddress,
        *,
        stream: int,
        limits: Limits,
        hwaccel: str,
        packet_sink: PacketSink | None = None,
    ) -> None:
        """Starts reading at once."""
        self._address = address
        self._limits = limits
        # Only the hand-off to the finder drops frames, and counts them; this one just carries them over.
        self._items: Handoff[Frame | Phase] = Handoff(1, lossless=True)
        self.reader = Reader(
            address,
            stream=stream,
            open_timeout_s=limits.open_s,
            read_timeout_s=limits.between_frames_s,
            hwaccel=hwaccel,
            on_phase=self._items.put,
            packet_sink=packet_sink,
        )
        self._left = threading.Event()
        self.phase = Phase.OPEN
        self._since_s = time.monotonic()
        self._at_s = 0.0
        self._damaged = 0
        self._thread = Worker(f"read-{stream}", self._read, self._items)
        self._thread.start()

    @property
    def waited_s(self) -> float:
        """Seconds since the last frame, or since the phase began."""
        return time.monotonic() - self._since_s

    def take(self, timeout_s: float) -> Frame:
        """Wait for the next frame.

        Raises:
            TimeoutError: none came for `timeout_s`, and the phase may last longer.
            Closed: the source has ended.
            SourceError: it could not be opened, broke, or the phase has lasted too long.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            overdue_s = self._since_s + self._limits.of(self.phase)
            now_s = time.monotonic()
            try:
                item = self._items.take(max(0.0, min(until_s, overdue_s) - now_s))
            except TimeoutError:
                if time.monotonic() >= overdue_s:
                    raise self._overdue() from None
                if time.monotonic() >= until_s:
                    raise
                continue
            self._since_s = time.monotonic()
            if isinstance(item, Phase):
                self.phase = item
                continue
            self.phase = Phase.BETWEEN_FRAMES
            self._at_s, self._damaged = item.pts_s, self.reader.damaged_packets
            return item

    def close(self) -> None:
        """Make `take` and the reading thread end soon. Any thread, twice too."""
        self._left.set()
        self.reader.stop()
        self._items.close()

    def leave(self) -> None:
        """Close, and wait a moment for the reading thread; `running` tells whether that was enough."""
        self.close()
        with suppress(ShutdownError):
            self._thread.join(_LEAVING_S)

    @property
    def running(self) -> bool:
        """Whether the reading thread has not come back."""
        return not self._thread.ended

    def _read(self) -> None:
        pace = SegmentPace()
        with closing(self.reader.frames()) as frames:
            for frame in frames:
                facts = self.reader.facts
                if facts is not None and facts.live and facts.container in _SEGMENTED:
                    if self._left.wait(pace.wait_s(frame.pts_s, time.monotonic())):
                        return
                    frame = dataclasses.replace(frame, captured_at_s=time.monotonic())
                self._items.put(frame)

    def _overdue(self) -> SourceError:
        address, limits, damaged = self._address, self._limits, self.reader.damaged_packets
        match self.phase:
            case Phase.OPEN:
                return open_time_out(address, limits.open_s)
            case Phase.FIRST_FRAME:
                return no_picture(address, waited_s=limits.first_frame_s, damaged_packets=damaged)
            case Phase.BETWEEN_FRAMES if damaged > self._damaged:
                return no_picture(address, waited_s=limits.between_frames_s, damaged_packets=damaged)
            case Phase.BETWEEN_FRAMES:
                return read_time_out(address, at_s=self._at_s, timeout_s=limits.between_frames_s)
            case Phase.END:
                return ended(address, at_s=self._at_s)
