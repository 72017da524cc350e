"""Which face is scored when, and which crops share a batch. Pure: told the time, knows no thread."""

import math
from dataclasses import dataclass

from stream_detector.records import FaceCrop


class Clock:
    """Says which instants of media time are due at a fixed rate.

    Instants lie on the grid k / rate_hz; the first frame at or after one is due. It looks at media
    time only, so the same file gives the same instants whatever the computer is doing.
    """

    def __init__(self, rate_hz: float) -> None:
        """Nothing was due yet. `rate_hz` > 0."""
        if rate_hz <= 0:
            raise ValueError(f"rate_hz must be above 0, got {rate_hz}")
        self._rate_hz = rate_hz
        self._next_tick = -math.inf

    def due(self, pts_s: float) -> bool:
        """True once per instant. `pts_s` in seconds, never falling."""
        # Half a millisecond of grace: 0.1 s as a multiple of 1/90000 s may fall just short of a tick.
        tick = math.floor((pts_s + 5e-4) * self._rate_hz)
        if tick < self._next_tick:
            return False
        self._next_tick = tick + 1
        return True


@dataclass(slots=True)
class _Waiting:
    crop: FaceCrop
    order: int
    since_s: float


class FaceBatcher:
    """Crops that wait to be scored, of all faces of all streams.

    On live streams only the newest crop of a face waits; it keeps the place in the line of the one
    it replaces, so a face that is seen often waits no longer than one seen seldom. On files every
    crop waits. A batch takes those who have waited longest.
    """

    def __init__(self, *, max_batch: int, max_wait_s: float) -> None:
        """Nobody waits yet.

        Args:
            max_batch: the most crops in a batch, >= 1.
            max_wait_s: the longest a crop waits for others to share its batch.
        """
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._waiting: dict[tuple[int, int, int], _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, crop: FaceCrop, *, order: int, now_s: float, lossless: bool) -> FaceCrop | None:
        """Put `crop` in the line.

        Args:
            order: rises with every call; tells where in its stream the crop belongs.
            now_s: a monotonic clock.
            lossless: keep the crops that already wait for this face.

        Returns:
            The crop it replaced, if any.
        """
        key = (crop.stream, crop.face_id, crop.frame_index if lossless else -1)
        replaced = self._waiting.get(key)
        since_s = now_s if replaced is None else replaced.since_s
        self._waiting[key] = _Waiting(crop, order, since_s)  # a dict keeps the place of a key
        return None if replaced is None else replaced.crop

    def waiting_of(self, stream: int) -> int:
        """How many crops of `stream` wait."""
        return sum(1 for of_stream, _, _ in self._waiting if of_stream == stream)

    def oldest_order_of(self, stream: int) -> int | None:
        """The lowest `order` among the crops of `stream` that wait; None if none does."""
        return min((w.order for w in self._waiting.values() if w.crop.stream == stream), default=None)

    def due_in_s(self, now_s: float) -> float | None:
        """How long until a batch should go: 0 at once, None when nobody waits."""
        if not self._waiting:
            return None
        if len(self._waiting) >= self._max_batch:
            return 0.0
        first = next(iter(self._waiting.values()))
        return max(0.0, first.since_s + self._max_wait_s - now_s)

    def take(self) -> list[tuple[int, FaceCrop]]:
        """The next batch, as (order, crop), longest waiting first; at most max_batch."""
        keys = list(self._waiting)[: self._max_batch]
        batch = [self._waiting.pop(key) for key in keys]
        return [(w.order, w.crop) for w in batch]
