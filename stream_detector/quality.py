"""How well a face is seen, and whether that is enough to score it: large, whole, sharp, facing the camera."""

from collections.abc import Sequence

import cv2
import numpy as np

from stream_detector.records import Box, Image, State

_CUT_OFF = 0.25
"""Largest part of a face box that may lie outside the picture."""
_FLAT = 4.0
"""Contrast in grey levels below which there is nothing to be sharp."""

_MOST_TURN = 10.0


def judge(box: Box, frame_width_px: int, frame_height_px: int, *, min_face_px: int) -> State | None:
    """Why a face cannot be scored, going by its box alone; None where it can.

    Args:
        box: the face, in pixels of the frame; it may reach outside.
        min_face_px: smallest larger side of a box that is scored.

    Returns:
        TOO_SMALL, CUT_OFF where more than a quarter of the box lies outside the frame, or None.
    """
    if box.side_px < min_face_px:
        return State.TOO_SMALL
    width = min(box.x1, frame_width_px) - max(box.x0, 0)
    height = min(box.y1, frame_height_px) - max(box.y0, 0)
    inside = max(0, width) * max(0, height)
    if inside < (1 - _CUT_OFF) * box.width_px * box.height_px:
        return State.CUT_OFF
    return None


def sharpness(crop: Image) -> float:
    """How much fine detail a face crop holds, whatever its light and contrast.

    The standard deviation of the Laplacian of luma (Pech-Pacheco et al., ICPR 2000, section 3.2) over
    that of luma itself.

    Args:
        crop: (S, S, 3) uint8 RGB, from `crops.cut_face`.

    Returns:
        0 for a flat picture; grows with detail.
    """
    luma = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    contrast = float(np.std(luma))
    if contrast < _FLAT:
        return 0.0
    return float(np.std(cv2.Laplacian(luma, cv2.CV_32F, ksize=3))) / contrast


def turn(key_points: Sequence[tuple[float, float]]) -> float | None:
    """How far a head is turned to one side, from where the nose lies between the ears.

    Args:
        key_points: as in `FoundFace`; any picture's pixels.

    Returns:
        0 where the nose lies half way between the ears, 1 where it lies over one of them, more beyond, at
        most 10; None without the six key points.
    """
    if len(key_points) != 6:
        return None
    nose, right, left = (np.array(key_points[i], np.float64) for i in (2, 4, 5))
    across = left - right
    width = float(across @ across)
    if width < 1.0:  # one ear behind the other
        return _MOST_TURN
    along = float((nose - right) @ across) / width
    return min(_MOST_TURN, abs(2 * along - 1))


def blurred(crop: Image, *, min_sharpness: float) -> bool:
    """Whether a face crop has lost the detail a model needs."""
    return sharpness(crop) < min_sharpness
