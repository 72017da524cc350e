"""Notices when the picture changes at once, as at a cut from one shot to the next."""

from dataclasses import dataclass

import cv2
import numpy as np

from stream_detector.records import Image

_WIDTH, _HEIGHT = 64, 36
"""Cells the picture is shrunk to: a face worth scoring covers several of them."""
_SAMPLES_PX = 72
"""About so many rows of the picture are read: all of them would cost ten times as much."""
_MOTION = np.ones((5, 5), np.uint8)
"""What moved by up to two cells, a thirtieth of the picture's width, is no change."""
_CUT = 3.3
"""Grey levels by which the average cell must differ. Chosen on 20 clips of five people before one fixed
camera: no look 0.03 to 0.5 s after another reaches it within a clip, and 302 of the 310 joints of two
clips of different people do (the rest: dark clothes on the same spot)."""
_UNREST = 3.0
"""How many times the recent change a cut must exceed, so that a shaken camera is not a series of cuts."""
_MEMORY = 0.7
"""Of the recent change, what is kept at each look."""
_FLAT = 4.0
"""Contrast, in grey levels, below which a picture shows nothing: black, white, a covered lens."""
_GLARE = 0.3
"""Part of the picture that has newly gone white in a flash."""
_GLARE_LOOKS = 2
"""A picture gone white for longer is no flash, but a white picture."""
_CONTRAST = 45.0
"""Contrast that pictures are brought to before they are compared, in grey levels."""


@dataclass(frozen=True, slots=True, eq=False)
class _Thumbnail:
    """A small picture with the range of values around each cell."""

    cells: Image
    low: Image
    high: Image


class SceneCuts:
    """Compares each picture with the one before. One instance for one stream; any one thread.

    The change is how far cells lie outside the range that their neighbourhood had before, so that what
    moves a little costs nothing; pictures are compared as they are and with light and contrast made
    equal, and the smaller change counts, so that neither exposure nor a dark coat passing by is a cut.
    It is a cut when the change is large in itself and far larger than the recent ones.

    What shows nothing (a dip to black, a white flash) is left out: the picture after it is compared with
    the one before it. A picture washed out by a flash is left out up to two looks long, so a cut to a
    white page is told two looks late. A slow cross-fade is no cut.
    """

    def __init__(self) -> None:
        self._last: tuple[_Thumbnail, _Thumbnail] | None = None
        self._recent = 0.0
        self._glare_looks = 0

    def is_cut(self, image: Image) -> bool:
        """Whether `image` shows another scene than the picture before.

        Args:
            image: (height, width, 3) uint8 RGB, any size; the size may change. Not kept.
        """
        step = max(1, min(image.shape[:2]) // _SAMPLES_PX)
        cells = cv2.resize(image[::step, ::step], (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
        contrast = float(np.std(cells))
        if contrast < _FLAT:
            return False
        seen = _Thumbnail(cells, cv2.erode(cells, _MOTION), cv2.dilate(cells, _MOTION))  # type: ignore[arg-type]
        now = (seen, _levelled(seen, contrast))
        if self._last is None:
            self._last = now
            return False
        if self._is_glare(self._last[0].cells, now[0].cells):
            return False
        change = min(_change(before, after) for before, after in zip(self._last, now, strict=True))
        cut = change > max(_CUT, _UNREST * self._recent)
        self._last = now
        self._recent = 0.0 if cut else _MEMORY * self._recent + (1 - _MEMORY) * change
        return cut

    def _is_glare(self, before: Image, now: Image) -> bool:
        """Whether much of the picture has just gone white, and not for long."""
        newly_white = cv2.bitwise_and(_white(now), cv2.bitwise_not(_white(before)))
        glare = cv2.countNonZero(newly_white) > _GLARE * newly_white.size
        self._glare_looks = self._glare_looks + 1 if glare else 0
        return 0 < self._glare_looks <= _GLARE_LOOKS


def _white(cells: Image) -> cv2.typing.MatLike:
    """255 where a cell is white, 0 elsewhere."""
    return cv2.inRange(cells, (250, 250, 250), (255, 255, 255))


def _levelled(seen: _Thumbnail, contrast: float) -> _Thumbnail:
    """The same thumbnail, its mean made 128 and its contrast `_CONTRAST`."""
    values = (np.arange(256) - seen.cells.mean()) * (_CONTRAST / contrast) + 128
    table = values.clip(0, 255).astype(np.uint8)
    return _Thumbnail(table[seen.cells], table[seen.low], table[seen.high])


def _change(before: _Thumbnail, now: _Thumbnail) -> float:
    """Grey levels by which the average cell lies outside the range around it in the other picture."""
    forth = cv2.subtract(now.cells, before.high), cv2.subtract(before.low, now.cells)
    back = cv2.subtract(before.cells, now.high), cv2.subtract(now.low, before.cells)
    return max(sum(cv2.mean(above)[:3]) + sum(cv2.mean(below)[:3]) for above, below in (forth, back)) / 3
