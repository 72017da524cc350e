"""Where the time of a training run goes, and when its state is due to be written."""

import time


class RunClock:
    """Counts steps and waiting between validations. Used by one thread."""

    def __init__(self, save_every_s: float) -> None:
        self._save_every_s = save_every_s
        self.begin()

    def begin(self) -> None:
        """Start counting anew; the state was just written."""
        self._began_s = self._saved_s = time.monotonic()
        self._loading_s, self._steps, self._stepped_s = 0.0, 0, self._began_s

    def loading(self) -> "_Waiting":
        """Count the time inside as waiting for data."""
        return _Waiting(self)

    def waited(self, seconds: float) -> None:
        self._loading_s += seconds

    def stepped(self) -> None:
        self._steps += 1
        self._stepped_s = time.monotonic()

    def due(self) -> bool:
        """Whether the state should be written; starts the next interval if so."""
        if time.monotonic() - self._saved_s < self._save_every_s:
            return False
        self._saved_s = time.monotonic()
        return True

    @property
    def batches_per_s(self) -> float:
        return self._steps / max(1e-9, self._stepped_s - self._began_s)

    @property
    def loading_share(self) -> float:
        return self._loading_s / max(1e-9, self._stepped_s - self._began_s)


class _Waiting:
    def __init__(self, clock: RunClock) -> None:
        self._clock = clock

    def __enter__(self) -> None:
        self._began_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._clock.waited(time.monotonic() - self._began_s)
