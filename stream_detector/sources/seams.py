"""The sessions of a source that reconnects, joined to one stream of frames."""

import dataclasses

from stream_detector.records import Frame


class Seams:
    """Makes index, segment and media time run on where a new session begins. Pure: no clock.

    Media time goes on by the wall time that passed without a picture, so that evidence ages by it.
    The segment rises: nobody after a gap inherits what was said of somebody before it.

        session   1     1     1     (4.9 s lost)    2     2
        its pts   0.00  0.04  0.08                  0.00  0.04
        pts_s     0.00  0.04  0.08                  4.98  5.02
        segment   0     0     0                     1     1
    """

    def __init__(self) -> None:
        """No session has begun."""
        self._index = 0
        self._segment = 0
        self._offset_s = 0.0
        self._begun = False
        self._last: Frame | None = None

    @property
    def now_s(self) -> float | None:
        """Media time of the last frame; None before the first."""
        return None if self._last is None else self._last.pts_s

    def begin(self) -> None:
        """A new session: the next frame is its first."""
        self._index = 0 if self._last is None else self._last.index + 1
        self._segment = 0 if self._last is None else self._last.segment + 1
        self._begun = False

    def join(self, frame: Frame) -> Frame:
        """`frame` with its place in the whole stream; sessions count from 0 each."""
        if not self._begun:
            self._begun = True
            if self._last is not None:
                gap_s = max(0.0, frame.captured_at_s - self._last.captured_at_s)
                self._offset_s = self._last.pts_s + gap_s
        self._last = dataclasses.replace(
            frame,
            index=self._index + frame.index,
            segment=self._segment + frame.segment,
            pts_s=self._offset_s + frame.pts_s,
        )
        return self._last
