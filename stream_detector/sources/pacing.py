"""Play a file at its own speed, as if it were live."""

import dataclasses
import threading
import time
from collections.abc import Generator
from contextlib import closing

from stream_detector.records import Frame, StreamEvent
from stream_detector.stages import Source


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
                yield dataclasses.replace(frame, captured_at_s=time.monotonic())

    def stop(self) -> None:
        """Make `frames` end at once."""
        self._stopped.set()
        self._source.stop()
