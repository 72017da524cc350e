"""A live source that stops delivering, or whose clock stops, while its connection stays open."""

import dataclasses
import threading
from collections.abc import Generator
from contextlib import closing

from stream_detector.records import Frame
from stream_detector.sources.demo import DemoSource


class FrozenAfter:
    """Passes on the frames of `source` for `media_s` seconds; then, until stopped, falls silent or
    keeps sending frames that all have the same time."""

    live = True
    damaged_packets = 0

    def __init__(self, source: DemoSource, *, media_s: float, keep_sending: bool = False) -> None:
        self._source = source
        self._keep_sending = keep_sending
        self._media_s = media_s
        self._stopped = threading.Event()

    def frames(self) -> Generator[Frame]:
        with closing(self._source.frames()) as frames:
            for frame in frames:
                if frame.pts_s >= self._media_s and not self._keep_sending:
                    break
                # As a camera would: too fast, and newest-wins would drop nearly everything.
                if self._stopped.wait(0.04):
                    return
                yield dataclasses.replace(frame, pts_s=min(frame.pts_s, self._media_s))
            self._stopped.wait(60)

    def stop(self) -> None:
        self._stopped.set()
