"""How much later a live stream's pictures come than they once did. Pure: told the time, knows no thread."""

_DRIFT = 2e-4
"""Two crystals may run apart by so many seconds a second; a baseline that did not follow would call the
drift of a good camera a lag of seconds after a day."""


class Lag:
    """Compares a stream's own clock with ours.

    A picture's delay is its arrival minus its media time, up to a constant nobody knows. The smallest
    delay seen counts as no lag, and what a later picture is behind it is lag: pictures that pile up in a
    socket, in the network or in the camera arrive late, however fast they are then decoded.

    The baseline rises by 0.2 ms a second, so that two clocks that run apart are no lag; a lag that
    builds up more slowly than that (0.7 s an hour) is not seen.
    """

    def __init__(self) -> None:
        """No picture was seen."""
        self._best_s: float | None = None
        self._seen_at_s = 0.0
        self._segment = 0
        self.now_s: float | None = None
        """Of the newest picture; None before the first."""
        self.peak_s: float | None = None
        """The most it ever was."""

    def add(self, pts_s: float, arrived_at_s: float, segment: int) -> None:
        """Count one picture.

        Args:
            pts_s: its media time.
            arrived_at_s: time.monotonic() when it was decoded; never falling.
            segment: `Frame.segment`; where it rises media time was joined anew, and says nothing of before.
        """
        delay_s = arrived_at_s - pts_s
        if self._best_s is None or segment != self._segment:
            self._best_s, self._segment = delay_s, segment
        else:
            crept_s = self._best_s + _DRIFT * (arrived_at_s - self._seen_at_s)
            self._best_s = min(delay_s, crept_s)
        self._seen_at_s = arrived_at_s
        self.now_s = delay_s - self._best_s
        self.peak_s = max(self.peak_s or 0.0, self.now_s)
