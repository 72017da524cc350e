"""Thumbnails of a face and of where the model looked, for a page that a person reads."""

import base64

import cv2
import numpy as np
import numpy.typing as npt

from stream_detector.evidence_map import with_evidence_map
from stream_detector.records import Image

SIZE_PX = 144
_JPEG_QUALITY = 82


def thumbnail(pixels: Image) -> str:
    """A crop as a base64 JPEG."""
    return _jpeg(_scaled(pixels))


def overlaid(pixels: Image, evidence: npt.NDArray[np.float32]) -> str:
    """The same with the cells that speak for a fake in red, the strongest of this crop the reddest.

    Args:
        evidence: (h, w) in logit units, row 0 at the top of the crop.
    """
    return _jpeg(with_evidence_map(_scaled(pixels), evidence))


def _scaled(pixels: Image) -> Image:
    return np.asarray(cv2.resize(pixels, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(image: Image) -> str:
    _, coded = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    return base64.b64encode(coded.tobytes()).decode("ascii")
