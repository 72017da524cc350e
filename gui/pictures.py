"""From arrays to Qt's pictures, at the size they are drawn in."""

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
from PyQt6.QtCore import QRectF, QSizeF
from PyQt6.QtGui import QImage

from stream_detector.records import Box, Image

_HALF_EVIDENCE = 15.0
"""Logits at which the evidence map is half as strong as it can get. One scale for every face: a map
stretched to its own maximum would show something everywhere."""
_MOST_OPAQUE = 0.8
_VEIL_PX = 96
"""Seven by seven numbers need no more pixels; the rest is scaling."""
_FOR_FAKE, _FOR_REAL = (255, 122, 0), (30, 110, 255)


def to_qimage(image: Image) -> QImage:
    """A picture of its own: it does not share memory with `image`, (height, width, 3) uint8 RGB.

    In the format of the screen, so that drawing it is no more than a copy.
    """
    bgra = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGRA), np.uint8)
    return _copied(bgra, QImage.Format.Format_RGB32)


def to_array(image: QImage) -> Image:
    """The pixels of `image`, (height, width, 3) uint8 RGB, a fresh array."""
    converted = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = _bytes_of(converted).reshape(converted.height(), converted.bytesPerLine())
    return rows[:, : 3 * converted.width()].reshape(converted.height(), converted.width(), 3).copy()


def scaled(image: Image, width_px: int, height_px: int) -> Image:
    """`image` at another size: averaged when it shrinks, which keeps thin lines quiet."""
    height, width = image.shape[:2]
    if (width, height) == (width_px, height_px):
        return image
    method = cv2.INTER_AREA if 2 * width_px <= width else cv2.INTER_LINEAR
    return cv2.resize(image, (width_px, height_px), interpolation=method)  # type: ignore[return-value]


def letterboxed(picture: QSizeF, room: QRectF) -> QRectF:
    """The largest rectangle of the picture's shape in the middle of `room`, on whole pixels."""
    if picture.isEmpty() or room.isEmpty():
        return QRectF(room.topLeft(), QSizeF(0, 0))
    share = min(room.width() / picture.width(), room.height() / picture.height())
    width, height = max(1, round(picture.width() * share)), max(1, round(picture.height() * share))
    left = room.left() + (room.width() - width) // 2
    top = room.top() + (room.height() - height) // 2
    return QRectF(left, top, width, height)


def crop_square(box: Box, margin: float) -> QRectF:
    """Where the crop of a face lies, in frame pixels; see `crops.cut_face`."""
    side = max(2, round(box.side_px * margin))
    return QRectF(round((box.x0 + box.x1 - side) / 2), round((box.y0 + box.y1 - side) / 2), side, side)


def evidence_image(evidence: npt.NDArray[np.float32], side_px: int) -> QImage:
    """The evidence map as a veil to lay over the crop: orange speaks for a fake, blue against it.

    Args:
        evidence: (h, w) in logit units.
        side_px: side of the result.
    """
    smooth = cv2.resize(evidence, (_VEIL_PX, _VEIL_PX), interpolation=cv2.INTER_CUBIC)
    strength = np.abs(smooth) / (np.abs(smooth) + _HALF_EVIDENCE)
    alpha = _MOST_OPAQUE * strength[:, :, None]
    bgr = np.where((smooth > 0)[:, :, None], np.array(_FOR_FAKE[::-1]), np.array(_FOR_REAL[::-1]))
    # Premultiplied, as Qt blends fastest.
    small = np.dstack([bgr * alpha, 255 * alpha]).astype(np.uint8)
    veil = cv2.resize(small, (side_px, side_px), interpolation=cv2.INTER_LINEAR)
    return _copied(np.asarray(veil, np.uint8), QImage.Format.Format_ARGB32_Premultiplied)


class Veils:
    """Evidence maps as pictures, each made once: it is drawn many times before the next score."""

    _KEPT = 24

    def __init__(self) -> None:
        self._veils: dict[tuple[int, int], tuple[npt.NDArray[np.float32], QImage]] = {}

    def of(self, evidence: npt.NDArray[np.float32], side_px: int) -> QImage:
        """`evidence_image` of this very array, at this size."""
        key = (id(evidence), side_px)
        kept = self._veils.get(key)
        if kept is None:
            kept = self._veils[key] = (evidence, evidence_image(evidence, side_px))
            if len(self._veils) > self._KEPT:
                del self._veils[next(iter(self._veils))]
        return kept[1]


def with_evidence(image: Image, evidence: npt.NDArray[np.float32]) -> Image:
    """A square crop with its evidence map over it, a fresh array."""
    veil = evidence_image(evidence, image.shape[0])
    bgra = _bytes_of(veil).reshape(*image.shape[:2], 4)
    share = bgra[:, :, 3:].astype(np.float32) / 255
    mixed: Image = (image * (1 - share) + bgra[:, :, 2::-1] + 0.5).clip(0, 255).astype(np.uint8)
    return mixed


def _copied(pixels: npt.NDArray[np.uint8], kind: QImage.Format) -> QImage:
    """(height, width, 4) uint8 as a QImage that owns its pixels."""
    height, width = pixels.shape[:2]
    bytes_per_line = pixels.strides[0]  # Qt otherwise takes rows for padded
    data = cast(bytes, pixels.data)  # PyQt takes any buffer; its stubs know only bytes
    return QImage(data, width, height, bytes_per_line, kind).copy()  # a QImage does not own the array


def _bytes_of(image: QImage) -> npt.NDArray[np.uint8]:
    bits = image.constBits()
    assert bits is not None
    return np.frombuffer(bits.asstring(image.sizeInBytes()), np.uint8)
