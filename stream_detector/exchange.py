"""Where the face threads of all streams meet the one thread that scores."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from stream_detector.batching import FaceBatcher
from stream_detector.handoff import Closed
from stream_detector.records import EventKind, FaceCrop, StreamEvent, UnscoredFace

Notice = UnscoredFace | StreamEvent
"""What needs no scoring, but must stay in its place in the stream."""

_ENDS = (EventKind.STREAM_ENDED, EventKind.STREAM_FAILED)
_NOTICES_HELD = 256
"""Notices of one stream that may wait: far more than any scorer lets come together, so they only pile
up where nobody reads the records."""


@dataclass(frozen=True, slots=True)
class Work:
    """One turn of the scorer: a batch, and the notices that may go out with it.

    `order` values of both rise along each stream, so sorting by them restores the stream.
    """

    crops: list[tuple[int, FaceCrop]]
    notices: list[tuple[int, Notice]]


class CropExchange:
    """Many producers, one consumer. Any thread may call anything.

    A notice waits until every earlier crop of its stream has been taken, so the records of a file leave
    in the order of its frames, and those of one face always do; on an overloaded live stream the record
    of another face may come a batch late. A file that is ahead of the scorer is made to wait; a live
    stream never is: its older crops and notices give way, and are counted.
    """

    def __init__(self, batcher: FaceBatcher, *, capacity: int, stays: bool = False) -> None:
        """An open exchange without streams.

        Args:
            batcher: decides; guarded by this exchange from now on.
            capacity: the most crops of one lossless stream that may wait.
            stays: do not end when every stream has, because others may begin; see `finish`.
        """
        self._batcher = batcher
        self._capacity = capacity
        self._stays = stays
        self._changed = threading.Condition()
        self._lossless: dict[int, bool] = {}
        self._notices: dict[int, deque[tuple[int, Notice]]] = {}
        self._dropped: dict[int, int] = {}
        self._open: set[int] = set()
        self._order = 0
        self._closed = False
        self._error: BaseException | None = None

    @property
    def dropped(self) -> int:
        """Crops and notices given up for newer ones, of all streams."""
        with self._changed:
            return sum(self._dropped.values())

    def dropped_of(self, stream: int) -> int:
        """The same of one stream."""
        with self._changed:
            return self._dropped[stream]

    def limit_batch(self, max_batch: int) -> None:
        """From now on no turn holds more than `max_batch` crops either, >= 1."""
        with self._changed:
            self._batcher.limit(max_batch)
            self._changed.notify_all()

    def begin(self, stream: int) -> None:
        """Say that `stream` will bring something; it counts as lossless until said otherwise.

        Raises:
            Closed: nobody scores any more, or every stream has ended.
        """
        with self._changed:
            if self._closed:
                raise Closed
            self._lossless[stream] = True
            self._dropped[stream] = 0
            self._open.add(stream)

    def finish(self) -> None:
        """End when every stream has, also where `stays` was asked for."""
        with self._changed:
            self._stays = False
            self._changed.notify_all()

    def set_lossless(self, stream: int, lossless: bool) -> None:
        """Whether every crop of `stream` counts (files), or only the newest of a face (live)."""
        with self._changed:
            self._lossless[stream] = lossless
            self._changed.notify_all()

    def put(self, stream: int, items: Sequence[FaceCrop | Notice]) -> None:
        """Hand over what one frame of `stream` gave, in order.

        Raises:
            Closed: nobody scores any more.
        """
        with self._changed:
            while self._lossless[stream] and self._is_full(stream) and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Closed
            now_s = time.monotonic()
            ending = any(isinstance(item, StreamEvent) and item.event in _ENDS for item in items)
            for item in items:
                self._order += 1
                if not isinstance(item, FaceCrop):
                    self._add_notice(stream, item)
                    # Overtaken by a cut: faces nobody sees any more must not wait before those in view.
                    lost = isinstance(item, StreamEvent) and item.event is EventKind.FACE_LOST
                    if lost and not ending and item.face_id is not None:
                        self._dropped[stream] += self._batcher.drop_face(stream, item.face_id)
                elif self._batcher.add(item, order=self._order, now_s=now_s, lossless=self._lossless[stream]):
                    self._dropped[stream] += 1
            self._changed.notify_all()

    def end(self, stream: int) -> None:
        """Say that `stream` will bring nothing more. Twice is fine."""
        with self._changed:
            self._open.discard(stream)
            self._batcher.forget(stream)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Work:
        """Wait for a batch that is due, or notices; at most `timeout_s` seconds.

        Raises:
            Closed: every stream has ended and everything was taken, or `close` was called.
            TimeoutError: nothing was due in time.
            BaseException: whatever was given to `close`.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                if self._error is not None:
                    raise self._error
                if self._closed:
                    raise Closed
                now_s = time.monotonic()
                due_in_s = self._batcher.due_in_s(now_s)
                over = not self._open and not self._stays
                if due_in_s is not None and (due_in_s <= 0 or over):
                    crops = self._batcher.take()
                    self._changed.notify_all()
                    return Work(crops, self._ripe_notices())
                notices = self._ripe_notices()
                if notices:
                    self._changed.notify_all()
                    return Work([], notices)
                if due_in_s is None and over:
                    self._closed = True  # from here on no stream can begin: nobody would take what it brings
                    raise Closed
                if now_s >= deadline_s:
                    raise TimeoutError
                wait_s = deadline_s - now_s
                self._changed.wait(wait_s if due_in_s is None else min(wait_s, due_in_s))

    def close(self, error: BaseException | None = None) -> None:
        """End at once: what waits is thrown away. The first error stays."""
        with self._changed:
            if self._error is None:
                self._error = error
            self._closed = True
            self._changed.notify_all()

    def _is_full(self, stream: int) -> bool:
        waiting = self._batcher.waiting_of(stream)
        return waiting >= self._capacity or waiting + len(self._notices_of(stream)) >= _NOTICES_HELD

    def _add_notice(self, stream: int, notice: Notice) -> None:
        """Put `notice` last; on a live stream make room for it."""
        notices = self._notices_of(stream)
        if not self._lossless[stream]:
            if isinstance(notice, UnscoredFace):
                for numbered in notices:
                    old = numbered[1]
                    if isinstance(old, UnscoredFace) and old.face_id == notice.face_id:
                        notices.remove(numbered)
                        self._dropped[stream] += 1
                        break
            if len(notices) >= _NOTICES_HELD:
                notices.popleft()
                self._dropped[stream] += 1
        notices.append((self._order, notice))

    def _notices_of(self, stream: int) -> deque[tuple[int, Notice]]:
        return self._notices.setdefault(stream, deque())

    def _ripe_notices(self) -> list[tuple[int, Notice]]:
        """Notices no earlier crop of their stream is still waiting before; sorted by order."""
        ripe: list[tuple[int, Notice]] = []
        # A run of months must not look through all the streams it ever had.
        over = [n for n, notices in self._notices.items() if not notices and n not in self._open]
        for stream in over:
            del self._notices[stream]
        for stream, notices in self._notices.items():
            oldest = self._batcher.oldest_order_of(stream)
            while notices and (oldest is None or notices[0][0] < oldest):
                ripe.append(notices.popleft())
        return sorted(ripe, key=lambda numbered: numbered[0])
