"""Face box to model input: the only pixels the model ever sees, in training and in use."""

import cv2
import numpy as np

from stream_detector.records import Box, Image


def cut_face(image: Image, box: Box, *, margin: float, size_px: int) -> Image:
    """Cut a square around a face and scale it once.

    The square is centred on the box, its side `margin` times the box's larger side; what lies
    outside the picture is filled by reflection. Shrinking averages areas, enlarging is bilinear.

    Args:
        image: (height, width, 3) uint8 RGB.
        box: the face, in pixels of `image`; it may reach outside.
        margin: side of the square / larger side of the box; `Contract.margins` of the face model.
        size_px: side of the result.

    Returns:
        (size_px, size_px, 3) uint8 RGB, a fresh contiguous array.

    Raises:
        ValueError: the square does not touch the picture at all.
    """
    height, width = image.shape[:2]
    side = max(2, round(box.side_px * margin))
    left = round((box.x0 + box.x1 - side) / 2)
    top = round((box.y0 + box.y1 - side) / 2)
    x0, x1 = max(left, 0), min(left + side, width)
    y0, y1 = max(top, 0), min(top + side, height)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"{box} lies outside the {width}x{height} picture")
    square = image[y0:y1, x0:x1]
    if square.shape[:2] != (side, side):
        rows = _reflected(np.arange(top, top + side), height)
        columns = _reflected(np.arange(left, left + side), width)
        square = image[rows[:, None], columns]
    if side == size_px:
        return np.array(square, order="C")
    method = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
    return cv2.resize(square, (size_px, size_px), interpolation=method)  # type: ignore[return-value]


def _reflected(
    index: "np.ndarray[tuple[int], np.dtype[np.int_]]", length: int
) -> "np.ndarray[tuple[int], np.dtype[np.int_]]":
    """Indices folded back into [0, length) without repeating the border: -1 -> 1, length -> length - 2."""
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    folded = np.abs(index) % period
    return np.where(folded < length, folded, period - folded)
