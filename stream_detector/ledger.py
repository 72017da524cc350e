"""Where frames and time go: counts per stream, and how old a verdict is when it is made."""

import math
import threading
import time

import numpy as np


class Percentiles:
    """Percentiles of durations in constant memory, however long the run.

    Durations are counted in bins 1 % wide, so a percentile is right to 1 %. One thread at a time.
    """

    _SHORTEST_S = 1e-6
    _BINS = 2400  # 1.01 ** 2400 is 2e10: from a microsecond to hours

    def __init__(self) -> None:
        self._counts = np.zeros(self._BINS, dtype=np.int64)

    def add(self, duration_s: float) -> None:
        """Count one duration; anything below a microsecond counts as one."""
        place = math.log(max(duration_s, self._SHORTEST_S) / self._SHORTEST_S) / math.log(1.01)
        self._counts[min(int(place), self._BINS - 1)] += 1

    def at(self, *percents: float) -> list[float] | None:
        """The duration, in seconds, that `percent` % of all stay within; None if none was counted."""
        total = int(self._counts.sum())
        if total == 0:
            return None
        cumulated = np.cumsum(self._counts)
        places = [int(np.searchsorted(cumulated, math.ceil(total * p / 100))) for p in percents]
        return [self._SHORTEST_S * 1.01 ** (place + 0.5) for place in places]


class Ledger:
    """Counts kept by every thread of a run; any thread may call anything."""

    def __init__(self, streams: int) -> None:
        """Nothing was seen of any of `streams` streams."""
        self._lock = threading.Lock()
        self._started_s = time.monotonic()
        self._frames = [0] * streams
        self._media_s = [0.0] * streams
        self._newest_s: list[float | None] = [None] * streams
        self._scores = 0
        self._latency = Percentiles()

    def decoded(self, stream: int, pts_s: float) -> None:
        """A frame of `stream` left the decoder."""
        with self._lock:
            self._frames[stream] += 1
            self._media_s[stream] = max(self._media_s[stream], pts_s)
            self._newest_s[stream] = time.monotonic()

    def silent_for_s(self, stream: int) -> float | None:
        """Seconds since the newest frame of `stream`; None before the first."""
        with self._lock:
            newest_s = self._newest_s[stream]
        return None if newest_s is None else time.monotonic() - newest_s

    def scored(self, age_s: float) -> None:
        """A face was scored, `age_s` seconds after its frame left the decoder."""
        with self._lock:
            self._scores += 1
            self._latency.add(age_s)

    def frames_of(self, stream: int) -> int:
        """Frames of `stream` decoded so far."""
        with self._lock:
            return self._frames[stream]

    @property
    def frames(self) -> int:
        """Frames decoded, over all streams."""
        with self._lock:
            return sum(self._frames)

    @property
    def scores(self) -> int:
        """Faces scored, over all streams."""
        with self._lock:
            return self._scores

    @property
    def media_s(self) -> float:
        """Media time covered, the longest stream's."""
        with self._lock:
            return max(self._media_s, default=0.0)

    @property
    def wall_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started_s

    def latency_ms(self) -> dict[str, float] | None:
        """p50, p95 and p99 from the end of decoding to the verdict; None if nothing was scored."""
        with self._lock:
            values = self._latency.at(50, 95, 99)
        if values is None:
            return None
        return {name: value * 1000 for name, value in zip(("p50", "p95", "p99"), values, strict=True)}
