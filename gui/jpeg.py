"""Pictures packed for memory: JPEG, RGB on both sides."""

import cv2
import numpy as np

from stream_detector.records import Image


def packed(image: Image, quality: int = 92) -> bytes:
    """`image`, (height, width, 3) uint8 RGB, as a JPEG file."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def unpacked(jpeg: bytes) -> Image:
    """The picture that was `packed`."""
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]
