"""The evidence map of a face laid over it, for people to look at."""

import cv2
import numpy as np
import numpy.typing as npt

from stream_detector.records import Image

_RED = np.array([230.0, 40.0, 30.0])
_STRONGEST = 0.65
"""How much of the picture the hottest cell may cover."""


def with_evidence_map(pixels: Image, evidence: npt.NDArray[np.float32]) -> Image:
    """A crop with the cells that speak for a fake in red, the strongest of this crop the reddest.

    Args:
        pixels: (S, S, 3) uint8 RGB, any S.
        evidence: (h, w) in logit units, row 0 at the top of the crop.

    Returns:
        A fresh (S, S, 3) uint8 RGB.
    """
    heat = np.clip(evidence, 0.0, None)
    heat = heat / max(float(heat.max()), 1e-6)
    large = cv2.resize(heat, (pixels.shape[1], pixels.shape[0]), interpolation=cv2.INTER_CUBIC)
    share = np.clip(large, 0.0, 1.0)[:, :, None] * _STRONGEST
    return np.asarray(pixels * (1 - share) + _RED * share, np.uint8)
