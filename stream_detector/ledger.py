"""Where frames and time go: counts per stream, and how long a verdict took in each stage."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from stream_detector.lag import Lag
from stream_detector.records import STAGES, Frame, Stamps, StreamSnapshot, StreamState
from stream_detector.settings import STALE_AFTER_S

_PERCENTS = {"p50": 50, "p95": 95, "p99": 99}


class Percentiles:
    """Percentiles of durations in little memory, however long the run.

    Durations are counted in bins 1 % wide, so a percentile is right to 1 %. One thread at a time.
    """

    _SHORTEST_S = 1e-6
    _BINS = 2400  # 1.01 ** 2400 is 2e10: from a microsecond to hours

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, duration_s: float) -> None:
        """Count one duration; anything below a microsecond counts as one."""
        place = math.log(max(duration_s, self._SHORTEST_S) / self._SHORTEST_S) / math.log(1.01)
        self._counts[min(int(place), self._BINS - 1)] += 1

    def at(self, *percents: float) -> list[float] | None:
        """The duration, in seconds, that `percent` % of all stay within; None if none was counted."""
        total = self._counts.total()
        if total == 0:
            return None
        found: list[float] = []
        for percent in percents:
            wanted, counted = math.ceil(total * percent / 100), 0
            for place, count in sorted(self._counts.items()):
                counted += count
                if counted >= wanted:
                    found.append(self._SHORTEST_S * 1.01 ** (place + 0.5))
                    break
        return found

    def table_ms(self) -> dict[str, float] | None:
        """p50, p95 and p99 in milliseconds; None if nothing was counted."""
        values = self.at(*_PERCENTS.values())
        if values is None:
            return None
        return {name: value * 1000 for name, value in zip(_PERCENTS, values, strict=True)}


@dataclass(slots=True)
class _Account:
    """What is known of one stream."""

    name: str | None
    source: str
    drops: Mapping[str, Callable[[], int]]
    live: bool = False
    end: StreamState | None = None
    frames: int = 0
    scores: int = 0
    media_s: float = 0.0
    newest_at_s: float | None = None
    alarmed: int = 0
    alarms: int = 0
    lag: Lag = field(default_factory=Lag)
    age: Percentiles = field(default_factory=Percentiles)


class Ledger:
    """Counts kept by every thread of a run; any thread may call anything.

    `snapshot` is for whoever wants to show how a run fares: a window, a metrics page, the summary.
    """

    def __init__(self) -> None:
        """Knows no stream."""
        self._lock = threading.Lock()
        self._started_s = time.monotonic()
        self._accounts: dict[int, _Account] = {}
        self._age = Percentiles()
        self._stages = {stage: Percentiles() for stage in (*STAGES, "whole", "true")}

    def begin(
        self, stream: int, *, name: str | None, source: str, drops: Mapping[str, Callable[[], int]]
    ) -> None:
        """Open the account of a stream.

        Args:
            name: what the user calls it.
            source: its address, redacted.
            drops: stage -> how to ask it what it has dropped of this stream so far; any thread.
        """
        with self._lock:
            self._accounts[stream] = _Account(name, source, drops)

    def opened(self, stream: int, *, live: bool) -> None:
        """The first frame of `stream` is there."""
        with self._lock:
            self._accounts[stream].live = live

    def decoded(self, frame: Frame) -> None:
        """A frame left the decoder."""
        now_s = time.monotonic()
        with self._lock:
            account = self._accounts[frame.stream]
            account.frames += 1
            account.media_s = max(account.media_s, frame.pts_s)
            account.newest_at_s = now_s
            if account.live:
                account.lag.add(frame.pts_s, frame.captured_at_s, frame.segment)

    def ended(self, stream: int, state: StreamState) -> None:
        """Nothing more comes of `stream`: it is ENDED or FAILED."""
        account = self._accounts[stream]
        counts = {stage: count() for stage, count in account.drops.items()}
        with self._lock:
            account.end = state
            # Counts in place of counters: those would keep the stream's source and last frame for ever.
            account.drops = {stage: partial(int, count) for stage, count in counts.items()}

    def silent_for_s(self, stream: int) -> float | None:
        """Seconds since the newest frame of `stream`; None before the first."""
        with self._lock:
            newest_at_s = self._accounts[stream].newest_at_s
        return None if newest_at_s is None else time.monotonic() - newest_at_s

    def scored(self, stream: int, stamps: Stamps) -> None:
        """A face of `stream` was scored."""
        age_s = stamps.verdict_at_s - stamps.decoded_at_s
        with self._lock:
            account = self._accounts[stream]
            account.scores += 1
            account.age.add(age_s)
            self._age.add(age_s)
            for stage, spent_s in stamps.stages_s().items():
                self._stages[stage].add(spent_s)
            self._stages["whole"].add(stamps.whole_s)
            if stamps.painted_at_s is not None:
                self._stages["true"].add(stamps.verdict_at_s - stamps.painted_at_s)

    def alarmed(self, stream: int, faces: int, *, raised: int = 0) -> None:
        """So many faces of `stream` have an alarm that holds, of which `raised` have just been raised."""
        with self._lock:
            account = self._accounts[stream]
            account.alarmed = faces
            account.alarms += raised

    @property
    def wall_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started_s

    def latency_ms(self) -> dict[str, float] | None:
        """p50, p95 and p99 from the end of decoding to the verdict; None if nothing was scored."""
        with self._lock:
            return self._age.table_ms()

    def stages_ms(self) -> dict[str, dict[str, float]] | None:
        """See `RunSummary.stages_ms`."""
        with self._lock:
            tables = {stage: spent.table_ms() for stage, spent in self._stages.items()}
        return {stage: table for stage, table in tables.items() if table is not None} or None

    def snapshot(self) -> tuple[StreamSnapshot, ...]:
        """Every stream there ever was, in order of number."""
        with self._lock:
            accounts = dict(self._accounts)
        # Outside the lock: a stage that is asked what it dropped has a lock of its own.
        dropped = {
            stream: {stage: count() for stage, count in account.drops.items()}
            for stream, account in accounts.items()
        }
        now_s = time.monotonic()
        with self._lock:
            return tuple(
                StreamSnapshot(
                    stream=stream,
                    name=account.name,
                    source=account.source,
                    state=_state(account, now_s),
                    frames=account.frames,
                    scores=account.scores,
                    dropped=dropped[stream],
                    media_s=account.media_s,
                    frame_age_s=None if account.newest_at_s is None else now_s - account.newest_at_s,
                    lag_ms=_ms(account.lag.now_s),
                    lag_ms_peak=_ms(account.lag.peak_s),
                    age_ms=account.age.table_ms(),
                    alarmed=account.alarmed,
                    alarms=account.alarms,
                )
                for stream, account in sorted(accounts.items())
            )


def _state(account: _Account, now_s: float) -> StreamState:
    if account.end is not None:
        return account.end
    if account.newest_at_s is None:
        return StreamState.OPENING
    if account.live and now_s - account.newest_at_s > STALE_AFTER_S:
        return StreamState.STALLED
    return StreamState.RUNNING


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
