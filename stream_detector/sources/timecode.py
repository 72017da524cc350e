"""A time code in the pixels: when a picture was made, told by the picture itself."""

import dataclasses
import time
import zlib
from collections.abc import Generator
from contextlib import closing

import cv2
import numpy as np

from stream_detector.records import Frame, Image, StreamEvent
from stream_detector.stages import Source

_COLUMNS, _ROWS = 8, 5
"""Blocks, most significant bit first: four bytes of time, one of checksum."""
_BLOCKS_PER_HEIGHT = 45
"""8 px in a picture of 360 lines: as large as what H.264 transforms at once."""
_DARK, _BRIGHT = 40, 215
_CLEAR = 30
"""Grey levels a block must differ from the middle, or it is no time code."""
_TICK_S = 1e-4
_WRAP = 1 << 32
"""Ticks until the code repeats: five days."""


def paint(image: Image, made_at_s: float) -> None:
    """Write a time into the top left corner: 40 dark and bright blocks.

    They survive H.264 at every usual quality, and scaling of the whole picture where both heights are
    multiples of 45.

    Args:
        image: (height, width, 3) uint8 RGB, at least 45 high and 8 blocks wide; changed in place.
        made_at_s: time.monotonic(), to a tenth of a millisecond.
    """
    side = image.shape[0] // _BLOCKS_PER_HEIGHT
    time_bytes = (round(made_at_s / _TICK_S) % _WRAP).to_bytes(4, "big")
    bits = np.unpackbits(np.frombuffer(time_bytes + _checksum(time_bytes), np.uint8))
    blocks = np.where(bits, _BRIGHT, _DARK).astype(np.uint8).reshape(_ROWS, _COLUMNS)
    image[: _ROWS * side, : _COLUMNS * side] = blocks.repeat(side, 0).repeat(side, 1)[:, :, None]


def read(image: Image, now_s: float) -> float | None:
    """The time that `paint` wrote, None where there is none, or it cannot be read without doubt.

    Args:
        image: (height, width, 3) uint8 RGB, after any codec.
        now_s: time.monotonic(), no earlier than the time in the picture and less than five days later.
    """
    side = image.shape[0] // _BLOCKS_PER_HEIGHT
    corner = image[: _ROWS * side, : _COLUMNS * side]
    if side < 2 or corner.shape[:2] != (_ROWS * side, _COLUMNS * side):
        return None
    luma = cv2.cvtColor(corner, cv2.COLOR_RGB2GRAY).reshape(_ROWS, side, _COLUMNS, side)
    rim = side // 4  # the codec smears a block's edge over into the next
    levels = luma[:, rim : side - rim, :, rim : side - rim].mean(axis=(1, 3)) - (_DARK + _BRIGHT) / 2
    if np.abs(levels).min() < _CLEAR:
        return None
    code = np.packbits(levels.ravel() > 0).tobytes()
    time_bytes, checksum = code[:4], code[4:]
    if checksum != _checksum(time_bytes):
        return None
    ticks_ago = (round(now_s / _TICK_S) - int.from_bytes(time_bytes, "big")) % _WRAP
    return now_s - ticks_ago * _TICK_S


class TimeCoded:
    """A source whose frames say when they were made, as far as their pixels do."""

    def __init__(self, source: Source) -> None:
        """Wraps `source`, which must not be used otherwise."""
        self._source = source

    @property
    def live(self) -> bool:
        """Of the wrapped source."""
        return self._source.live

    @property
    def damaged_packets(self) -> int:
        """Of the wrapped source."""
        return self._source.damaged_packets

    def frames(self) -> Generator[Frame | StreamEvent]:
        """What the wrapped source gives, `painted_at_s` filled in where a time code can be read.

        Raises:
            SourceError: as the wrapped source does.
        """
        with closing(self._source.frames()) as delivered:
            for item in delivered:
                if isinstance(item, StreamEvent):
                    yield item
                    continue
                painted_at_s = read(item.picture.rgb(), time.monotonic())
                yield dataclasses.replace(item, painted_at_s=painted_at_s)

    def stop(self) -> None:
        """As the wrapped source does."""
        self._source.stop()


def _checksum(time_bytes: bytes) -> bytes:
    return bytes([zlib.crc32(time_bytes) & 0xFF])
