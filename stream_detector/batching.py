"""Which face is scored when, and which crops share a batch. Pure: told the time, knows no thread."""

import math
from collections import deque
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


_Place = tuple[int, int | None]
"""Who waits: a face of a live stream, or a whole file (None)."""


class FaceBatcher:
    """Crops that wait to be scored, of all faces of all streams.

    On live streams only the newest crop of a face waits, on files every crop. A batch takes those first
    who were scored longest ago, one crop each, whenever their crop came; who was never scored queues
    behind those who already wait, so that a stream of ever new faces wins nothing.

    So the fair share is a face's, not a stream's: when the scorer cannot keep up, every live face gets
    the same rate (or all it asks for, where that is less), whatever else its stream shows. A verdict is
    about a face, and a person in a gallery of eight must not be judged on an eighth of the evidence, or
    never leave `warming_up`, because seven others are in the picture; `max_faces` bounds what one stream
    can ask for. A file counts as one face: it has time, and must not crowd out what is live.
    """

    def __init__(self, *, max_batch: int, max_wait_s: float) -> None:
        """Nobody waits yet.

        Args:
            max_batch: the most crops in a batch, >= 1.
            max_wait_s: the longest a crop waits for others to share its batch.
        """
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._line: dict[_Place, deque[_Waiting]] = {}
        self._turn_of: dict[_Place, int] = {}
        """When everybody was scored last, in crops taken; for who was not, when he came."""
        self._turn = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def limit(self, max_batch: int) -> None:
        """From now on no batch holds more than `max_batch` crops either, >= 1."""
        self._max_batch = min(self._max_batch, max_batch)

    def add(self, crop: FaceCrop, *, order: int, now_s: float, lossless: bool) -> FaceCrop | None:
        """Let `crop` wait.

        Args:
            order: rises with every call; tells where in its stream the crop belongs.
            now_s: a monotonic clock.
            lossless: keep the crops that already wait for this stream.

        Returns:
            The crop it replaced, if any.
        """
        place = (crop.stream, None if lossless else crop.face_id)
        self._turn_of.setdefault(place, self._turn)
        crops = self._line.setdefault(place, deque())
        if crops and not lossless:
            replaced = crops[0].crop
            crops[0] = _Waiting(crop, order, crops[0].since_s)
            return replaced
        crops.append(_Waiting(crop, order, now_s))
        self._count += 1
        return None

    def drop_face(self, stream: int, face_id: int) -> bool:
        """Forget a face of a live stream that is gone; returns whether a crop of it waited."""
        self._turn_of.pop((stream, face_id), None)
        dropped = self._line.pop((stream, face_id), None)
        self._count -= dropped is not None
        return dropped is not None

    def forget(self, stream: int) -> None:
        """No more crops of `stream` will be added; those that wait stay."""
        for place in [place for place in self._turn_of if place[0] == stream]:
            del self._turn_of[place]

    def waiting_of(self, stream: int) -> int:
        """How many crops of `stream` wait."""
        return sum(len(crops) for (of_stream, _), crops in self._line.items() if of_stream == stream)

    def oldest_order_of(self, stream: int) -> int | None:
        """The lowest `order` among the crops of `stream` that wait; None if none does."""
        orders = (crops[0].order for (of_stream, _), crops in self._line.items() if of_stream == stream)
        return min(orders, default=None)

    def due_in_s(self, now_s: float) -> float | None:
        """How long until a batch should go: 0 at once, None when nobody waits."""
        if not self._line:
            return None
        if self._count >= self._max_batch:
            return 0.0
        first_s = min(crops[0].since_s for crops in self._line.values())
        return max(0.0, first_s + self._max_wait_s - now_s)

    def take(self) -> list[tuple[int, FaceCrop]]:
        """The next batch, as (order, crop); at most max_batch."""
        batch: list[tuple[int, FaceCrop]] = []
        while self._line and len(batch) < self._max_batch:
            for place in sorted(self._line, key=lambda place: self._turn_of.get(place, self._turn)):
                if len(batch) == self._max_batch:
                    break
                crops = self._line[place]
                first = crops.popleft()
                batch.append((first.order, first.crop))
                self._turn += 1
                if place in self._turn_of:
                    self._turn_of[place] = self._turn
                if not crops:
                    del self._line[place]
        self._count -= len(batch)
        return batch
