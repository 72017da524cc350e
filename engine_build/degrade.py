"""What a stream does to a face: fewer pixels, blur, noise, compression."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import av
import cv2
import numpy as np
import numpy.typing as npt

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
    return coded_h264([picture], {"qp": str(qp)})[0]


def coded_h264(pictures: Sequence[Image], quality: Mapping[str, str]) -> list[Image]:
    """A stream of 25 pictures a second to H.264 and back: a key frame, then P-frames.

    Args:
        pictures: (height, width, 3) uint8 RGB each, all of one size, both even; at least one.
        quality: x264's options besides preset and tune, as FFmpeg names them.

    Returns:
        As many pictures, as they were decoded.

    Raises:
        ModelError: as many did not come back.
    """
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"preset": "superfast", "tune": "zerolatency", **quality}
    decoded: list[av.VideoFrame] = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = number
        for packet in encoder.encode(frame):
            decoded += decoder.decode(packet)
    for packet in encoder.encode(None):
        decoded += decoder.decode(packet)
    decoded += decoder.decode(None)
    if len(decoded) != len(pictures):
        raise ModelError(f"x264 gave back {len(decoded)} of {len(pictures)} pictures; reinstall av")
    return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoded]


@dataclass(frozen=True, slots=True)
class Motion:
    """A slow drift, as of a head before a camera: the same for every picture it is given."""

    reach: npt.NDArray[np.float64]
    """(4,) x, y, turn and zoom, in [-1, 1]; 1 is `drift_px`, 1.5 degrees and 2 %."""
    phase: npt.NDArray[np.float64]
    """(4,) where in its swing each of them begins, in radians."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Self:
        """A random one."""
        return cls(rng.normal(0, 0.5, 4).clip(-1, 1), rng.uniform(0, 2 * np.pi, 4))

    def moved(self, picture: Image, number: int, *, drift_px: float) -> Image:
        """The picture at frame `number`, 25 a second; a swing takes 40 frames."""
        side = picture.shape[0]
        x, y, turn, zoom = self.reach * np.sin(2 * np.pi * number / 40 + self.phase)
        turned = cv2.getRotationMatrix2D((side / 2, side / 2), float(turn * 1.5), float(1 + zoom * 0.02))
        move = turned + np.array([[0, 0, x], [0, 0, y]]) * drift_px
        return np.asarray(
            cv2.warpAffine(picture, move, picture.shape[:2], borderMode=cv2.BORDER_REFLECT_101), np.uint8
        )
