"""A source at work on a thread, as the capture thread of a run works it, and what came of it."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from types import TracebackType
from typing import Self

from stream_detector.errors import SourceError
from stream_detector.records import EventKind, Frame, StreamEvent
from stream_detector.stages import Source


class Watching:
    """Reads `source` on a thread while it is entered, and keeps what it yields, with the time it came."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.failure: SourceError | None = None
        self.ended_at_s: float | None = None
        self._items: list[tuple[float, Frame | StreamEvent]] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="watching")

    def __enter__(self) -> Self:
        self.began_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.source.stop()
        self._thread.join(10)
        assert not self._thread.is_alive(), "the source did not stop"

    @property
    def frames(self) -> list[Frame]:
        with self._changed:
            return [item for _, item in self._items if isinstance(item, Frame)]

    @property
    def events(self) -> list[StreamEvent]:
        with self._changed:
            return [item for _, item in self._items if isinstance(item, StreamEvent)]

    @property
    def kinds(self) -> list[EventKind]:
        return [event.event for event in self.events]

    def came_at_s(self, wanted: Callable[[Frame | StreamEvent], bool], *, within_s: float) -> float:
        """time.monotonic() when the first such item came; waits for it.

        Raises:
            AssertionError: none came within `within_s` seconds from now.
        """
        deadline_s = time.monotonic() + within_s
        with self._changed:
            while True:
                for at_s, item in self._items:
                    if wanted(item):
                        return at_s
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, f"not within {within_s} s; came: {self.kinds}, failure: {self.failure}"
                self._changed.wait(left_s)

    def event(self, kind: EventKind, *, within_s: float) -> StreamEvent:
        """The first event of this kind; waits for it."""
        self.came_at_s(lambda item: isinstance(item, StreamEvent) and item.event is kind, within_s=within_s)
        return next(event for event in self.events if event.event is kind)

    def end(self, *, within_s: float) -> float:
        """Wait until the source ends by itself; seconds since it began."""
        self._thread.join(within_s)
        assert self.ended_at_s is not None, f"not ended within {within_s} s; came: {self.kinds}"
        return self.ended_at_s - self.began_s

    def _run(self) -> None:
        try:
            with closing(self.source.frames()) as items:
                for item in items:
                    with self._changed:
                        self._items.append((time.monotonic(), item))
                        self._changed.notify_all()
        except SourceError as error:
            self.failure = error
        self.ended_at_s = time.monotonic()
