"""When to try a lost source again. Pure: time and chance are passed in."""

from collections.abc import Callable

EARLY_S = 60.0
"""So long a camera that restarts is expected back at any moment, and tried often: a refused connection
costs neither side anything."""
EARLY_INTERVAL_S = 0.4
"""The longest wait between two tries then: with the time to open, pictures within 1 s of the return."""
FIRST_INTERVAL_S = 1.0
LAST_INTERVAL_S = 30.0
"""After the early time the waits double from the first to the last of these."""


class Backoff:
    """Waits between tries, each shortened by chance to half at most, so that many watchers of one
    server do not come back all at once.

        lost for      0 … 60 s          from there on
        longest wait  0.4 s each time   1, 2, 4, 8, 16, 30, 30 … s
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        """Nothing was lost yet.

        Args:
            chance: gives numbers in [0, 1), such as random.random.
        """
        self._chance = chance
        self._late_tries = 0

    def wait_s(self, lost_for_s: float) -> float:
        """How long to wait before the next try.

        Args:
            lost_for_s: seconds since there were pictures; never falls before `reset`.
        """
        longest_s = EARLY_INTERVAL_S
        if lost_for_s >= EARLY_S:
            longest_s = min(LAST_INTERVAL_S, FIRST_INTERVAL_S * 2.0 ** min(self._late_tries, 10))
            self._late_tries += 1
        return longest_s * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        """The source has been there long enough: the next loss is a new one."""
        self._late_tries = 0
