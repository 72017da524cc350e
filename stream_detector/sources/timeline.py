"""A stream's own timestamps made into media time: from 0, never falling."""

from fractions import Fraction

_JITTER_S = Fraction(1, 2)
"""A timestamp that falls by no more than this is a muxer's or a camera's untidiness, not a new beginning."""
_GAP_S = Fraction(10)
_GAP_INTERVALS = 20
_DEFAULT_INTERVAL_S = Fraction(1, 25)


class Timeline:
    """Places frames in media time. Pure: no clock, no thread.

    The first frame is at 0. A timestamp that falls by up to half a second is held at the last
    place. One that falls further, or rises by more than 10 seconds and 20 frame intervals, is a
    jump: the frame is placed one interval after the last, and time runs on from there.

        stream   3600.00  3600.04  3600.08   12.00   12.04      —    12.12
        media       0.00     0.04     0.08    0.12    0.16   0.20     0.24
        follows      yes      yes      yes      no     yes    yes      yes
    """

    def __init__(self, rate_hz: Fraction | None) -> None:
        """`rate_hz`: the stated frame rate, which fills missing timestamps; None where none is stated."""
        self._stated_s = 1 / rate_hz if rate_hz else None
        self._seen_s: Fraction | None = None
        self._offset_s: Fraction | None = None
        self._last_s: Fraction | None = None

    @property
    def now_s(self) -> float:
        """Where the last frame was placed; 0 before the first."""
        return float(self._last_s or 0)

    def place(self, pts_s: Fraction | None) -> tuple[Fraction, bool]:
        """Media time of the next frame, and whether it continues the one before.

        Args:
            pts_s: the stream's own timestamp in seconds; None where it has none.
        """
        interval_s = self._stated_s or self._seen_s or _DEFAULT_INTERVAL_S
        if self._last_s is None:
            placed_s, follows = Fraction(0), True
        elif pts_s is None or self._offset_s is None:
            placed_s, follows = self._last_s + interval_s, True
        else:
            placed_s, follows = pts_s + self._offset_s, True
            step_s = placed_s - self._last_s
            if step_s < -_JITTER_S or step_s > max(_GAP_S, _GAP_INTERVALS * interval_s):
                placed_s, follows = self._last_s + interval_s, False
            elif step_s < 0:
                placed_s = self._last_s
            elif step_s > 0:
                self._seen_s = step_s
        if pts_s is not None and (self._offset_s is None or not follows):
            self._offset_s = placed_s - pts_s
        self._last_s = placed_s
        return placed_s, follows
