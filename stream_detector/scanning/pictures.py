"""Thumbnails of a face and of where the model looked, for a page that a person reads."""

import base64

import cv2
import numpy as np
import numpy.typing as npt

from stream_detector.records import Image

SIZE_PX = 144
_JPEG_QUALITY = 82
_RED = np.array([230.0, 40.0, 30.0])
_STRONGEST = 0.65
"""How much of the picture the hottest cell may cover."""


def thumbnail(pixels: Image) -> str:
    """A crop as a base64 JPEG."""
    return _jpeg(_scaled(pixels))


def overlaid(pixels: Image, evidence: npt.NDArray[np.float32]) -> str:
    """The same with the cells that speak for a fake in red, the strongest of this crop the reddest.

    Args:
        evidence: (h, w) in logit units, row 0 at the top of the crop.
    """
    heat = np.clip(evidence, 0.0, None)
    heat = heat / max(float(heat.max()), 1e-6)
    large = cv2.resize(heat, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
    share = np.clip(large, 0.0, 1.0)[:, :, None] * _STRONGEST
    return _jpeg(np.asarray(_scaled(pixels) * (1 - share) + _RED * share, np.uint8))


def _scaled(pixels: Image) -> Image:
    return np.asarray(cv2.resize(pixels, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(image: Image) -> str:
    _, coded = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    return base64.b64encode(coded.tobytes()).decode("ascii")
