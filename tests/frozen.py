"""A live source that stops delivering while its connection stays open."""

import threading
from collections.abc import Generator
from contextlib import closing

from stream_detector.records import Frame
from stream_detector.stages import Source


class FrozenAfter:
    """Passes on the frames of `source`, and falls silent after `media_s` seconds until stopped."""

    live = True
    damaged_packets = 0

    def __init__(self, source: Source, *, media_s: float) -> None:
        self._source = source
        self._media_s = media_s
        self._stopped = threading.Event()

    def frames(self) -> Generator[Frame]:
        with closing(self._source.frames()) as frames:
            for frame in frames:
                if frame.pts_s >= self._media_s:
                    break
                # As a camera would: too fast, and newest-wins would drop nearly everything.
                if self._stopped.wait(0.04):
                    return
                yield frame
            self._stopped.wait(60)

    def stop(self) -> None:
        self._stopped.set()
