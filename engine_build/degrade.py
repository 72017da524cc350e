"""What a stream does to a face: fewer pixels, blur, noise, compression."""

from fractions import Fraction

import av
import cv2
import numpy as np

from stream_detector.errors import ModelError
from stream_detector.records import Image

SMALLEST_PX = 96
"""Side of the smallest crop that degrading leaves, before the model's own resize."""


def degrade(picture: Image, rng: np.random.Generator) -> Image:
    """A square picture as a stream would have delivered it, in fewer pixels.

    Args:
        picture: (side, side, 3) uint8 RGB, side >= SMALLEST_PX.
        rng: decides; the same state gives the same result.

    Returns:
        (k, k, 3) uint8 RGB, k even, SMALLEST_PX <= k <= side: log-uniform from a third of the side up.
        In 25 % blurred, in 20 % noisy; 60 % then go through H.264 (QP 22-40), 30 % through JPEG
        (quality 30-95).
    """
    side = picture.shape[0]
    smaller = int(np.clip(np.exp(rng.uniform(np.log(side / 3), np.log(side))), SMALLEST_PX, side)) // 2 * 2
    out = cv2.resize(picture, (smaller, smaller), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.25:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(1, 7), out.shape)
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    kind = rng.random()
    image = np.asarray(out, dtype=np.uint8)
    if kind < 0.6:
        return through_h264(image, qp=int(rng.integers(22, 41)))
    if kind < 0.9:
        return through_jpeg(image, quality=int(rng.integers(30, 96)))
    return image


def through_jpeg(picture: Image, *, quality: int) -> Image:
    """To JPEG and back; (height, width, 3) uint8 RGB."""
    _, coded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    if decoded is None:
        raise ModelError("cannot read back a JPEG just written; reinstall opencv-contrib-python")
    return np.ascontiguousarray(decoded[:, :, ::-1]).astype(np.uint8, copy=False)


def through_h264(picture: Image, *, qp: int) -> Image:
    """One intra frame to H.264 and back; a stream's artefacts are not JPEG's.

    Args:
        picture: (height, width, 3) uint8 RGB, both even.
        qp: quantizer, 0 (finest) to 51.
    """
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"preset": "superfast", "tune": "zerolatency", "qp": str(qp)}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.pts = 0
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = []
    for packet in [*encoder.encode(frame), *encoder.encode(None)]:
        frames += decoder.decode(packet)
    frames += decoder.decode(None)
    return np.asarray(frames[0].to_ndarray(format="rgb24"), dtype=np.uint8)
