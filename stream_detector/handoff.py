"""How two threads meet: a bounded, closable queue that carries the producer's error."""

import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """Nothing more will come, or nobody takes any more."""


class Handoff(Generic[T]):
    """A bounded queue for one producer and one consumer.

    When full, `put` throws away the oldest item (live streams: fresh beats complete) or, with
    lossless=True, waits (files: complete beats fresh).
    """

    def __init__(self, capacity: int = 1, *, lossless: bool = False) -> None:
        """An empty, open hand-off.

        Args:
            capacity: the most items held, >= 1. Every item waiting is latency.
            lossless: wait when full instead of dropping.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self._capacity = capacity
        self._lossless = lossless
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many items were thrown away for fresher ones."""
        with self._changed:
            return self._dropped

    def set_lossless(self, lossless: bool) -> None:
        """Change what a full hand-off does; for a source that turns out live only when it is open."""
        with self._changed:
            self._lossless = lossless
            self._changed.notify_all()

    def put(self, item: T) -> None:
        """Hand over `item`.

        Raises:
            Closed: the other side has gone; the producer should stop.
        """
        with self._changed:
            while self._lossless and len(self._items) == self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Closed
            if len(self._items) == self._capacity:
                self._items.popleft()
                self._dropped += 1
            self._items.append(item)
            self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> T:
        """Wait for the oldest item still held, and return it.

        Raises:
            Closed: the end; everything put before `close` has been taken.
            TimeoutError: nothing came within `timeout_s` seconds.
            BaseException: whatever the producer passed to `close`.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._items:
                if self._error is not None:
                    raise self._error
                if self._closed:
                    raise Closed
                left_s = None if deadline_s is None else deadline_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise TimeoutError
                self._changed.wait(left_s)
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self, error: BaseException | None = None) -> None:
        """Say that nothing more will come, and why. Safe from either side, twice too.

        The first error stays; what was put before can still be taken.
        """
        with self._changed:
            if self._error is None:
                self._error = error
            self._closed = True
            self._changed.notify_all()
