"""Play at its own speed what comes faster: files as if they were live, live segments as they were taken."""

import dataclasses
import threading
import time
from collections.abc import Generator
from contextlib import closing

from stream_detector.records import Frame, StreamEvent
from stream_detector.stages import Source

_LATE_S = 0.5
"""Behind by more than this, a stream starts anew instead of hurrying after its own time."""
_EARLY_S = 30.0
"""No segments are longer; a stream that is ahead by more has jumped."""


class SegmentPace:
    """When the pictures of a live stream that comes in segments are due. Pure: time is passed in."""

    def __init__(self) -> None:
        """No picture has come."""
        self._start_s: float | None = None

    def wait_s(self, pts_s: float, now_s: float) -> float:
        """How long the picture at `pts_s` must wait, when it is `now_s` by time.monotonic()."""
        ahead_s = None if self._start_s is None else self._start_s + pts_s - now_s
        if ahead_s is None or not -_LATE_S <= ahead_s <= _EARLY_S:
            self._start_s, ahead_s = now_s - pts_s, 0.0
        return max(0.0, ahead_s)


class Paced:
    """A source whose frames come when they are due; who is too slow for them loses some."""

    def __init__(self, source: Source) -> None:
        """Wraps `source`, which must not be used otherwise."""
        self._source = source
        self._stopped = threading.Event()
        self.live = True

    @property
    def damaged_packets(self) -> int:
        """Of the wrapped source."""
        return self._source.damaged_packets

    def frames(self) -> Generator[Frame | StreamEvent]:
        """What the wrapped source yields, each frame no earlier than its time.

        Raises:
            SourceError: as the wrapped source does.
        """
        started_s: float | None = None
        with closing(self._source.frames()) as frames:
            for frame in frames:
                if isinstance(frame, StreamEvent):
                    yield frame
                    continue
                now_s = time.monotonic()
                if started_s is None:
                    started_s = now_s - frame.pts_s
                if self._stopped.wait(max(0.0, started_s + frame.pts_s - now_s)):
                    return
                # The packet was read ahead of its time: that wait is no delay.
                yield dataclasses.replace(frame, captured_at_s=time.monotonic(), packet_at_s=None)

    def stop(self) -> None:
        """Make `frames` end at once."""
        self._stopped.set()
        self._source.stop()
