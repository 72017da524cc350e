"""The built-in demo: a portrait that moves before the camera, and is tampered with half-way."""

import math
import threading
import time
from collections.abc import Generator
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from stream_detector import assets
from stream_detector.errors import SourceError
from stream_detector.records import Frame, Image, RgbPicture

WIDTH_PX, HEIGHT_PX = 1280, 720
_ZOOM = 2.6
"""Frame pixels per portrait pixel."""
_ENLARGED = 3
"""Pixels per portrait pixel that are drawn beforehand; more than `_ZOOM`."""
_CENTRE = (235.0, 138.0)
"""What the camera looks at, in portrait pixels: below the chin, so that head and shoulders show."""
_NOISE = 6
"""Peak to peak of the sensor noise, in grey levels."""
_NOISE_ROOM = 64
"""Pixels by which the noise can be moved, so that no two frames in a row share it."""
_FACE_OUTLINE = (
    (226, 72), (239, 73), (249, 75), (259, 79), (265, 84), (268, 90), (270, 97), (270, 106),
    (270, 114), (269, 123), (268, 133), (265, 144), (261, 153), (256, 159), (250, 166), (244, 170),
    (238, 174), (231, 177), (221, 177), (212, 176), (205, 172), (200, 168), (195, 163), (189, 156),
    (185, 149), (183, 140), (181, 129), (181, 119), (181, 110), (181, 101), (182, 93), (184, 86),
    (188, 80), (194, 75), (203, 73), (214, 72),
)  # fmt: skip
"""The oval of the face, in portrait pixels: MediaPipe's face landmarker saw it there."""


class DemoSource:
    """A source without camera, network or file: NASA's portrait of the astronaut Eileen Collins.

    It sways, comes nearer and goes away, with sensor noise. The first half shows it untouched; in the
    second its face is a self-blend (Shiohara & Yamasaki, CVPR 2022). Every run draws the same frames.
    """

    live = False
    damaged_packets = 0

    def __init__(self, *, stream: int = 0, duration_s: float = 12.0, rate: Fraction = Fraction(25)) -> None:
        """Draws nothing yet.

        Args:
            stream: `Frame.stream` of every frame.
            duration_s: length; the tampering starts half-way.
            rate: frames per second.

        Raises:
            ValueError: a length or rate that is not positive.
        """
        if not duration_s > 0 or rate <= 0:
            raise ValueError(f"duration and rate must be positive, got {duration_s} s at {rate} Hz")
        self._stream = stream
        self._count = math.ceil(duration_s * rate)
        self._rate = rate
        self._stopped = threading.Event()

    def frames(self) -> Generator[Frame]:
        """Draw the frames, as fast as the caller takes them.

        Raises:
            SourceError: the packaged portrait is missing or damaged.
        """
        portrait = _read_portrait()
        noise = _sensor_noise()
        untouched, tampered = (_prepared(p) for p in (portrait, self_blend(portrait)))
        for index in range(self._count):
            if self._stopped.is_set():
                return
            pts_s = float(index / self._rate)
            view = untouched if 2 * index < self._count else tampered
            yield Frame(
                stream=self._stream,
                index=index,
                pts_s=pts_s,
                captured_at_s=time.monotonic(),
                picture=RgbPicture(_draw(view, noise, index, pts_s)),
            )

    def stop(self) -> None:
        """Make `frames` end at the next frame. Any thread may call it, twice too, before the start too."""
        self._stopped.set()


def self_blend(portrait: Image) -> Image:
    """The portrait with its face blended with a changed copy of itself.

    The copy has another colour and less resolution and lies slightly shifted, turned and enlarged, under
    a soft mask in the shape of the face: what a face swap leaves behind, without a second person
    (Shiohara & Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022, section 3.2).

    Args:
        portrait: (512, 512, 3) uint8 RGB, the packaged one.

    Returns:
        Likewise, a fresh array.
    """
    side = portrait.shape[0]
    centre = np.mean(_FACE_OUTLINE, axis=0)
    small = cv2.resize(portrait, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    tinted = coarse + np.array((8.0, -2.0, -8.0), np.float32)
    move = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), 1.5, 1.03)
    move[:, 2] += np.array((2.0, 1.0))
    copy = cv2.warpAffine(tinted, move, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    mask = cv2.fillConvexPoly(np.zeros((side, side), np.float32), np.array(_FACE_OUTLINE, np.int32), 1.0)
    share = cv2.GaussianBlur(mask, (0, 0), 2.5)[:, :, None]
    return (copy * share + portrait * (1 - share) + 0.5).clip(0, 255).astype(np.uint8)


def _read_portrait() -> Image:
    path = assets.portrait()
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise SourceError(
            f"cannot read the demo's portrait {path.name}: expected a picture in {path.parent}; "
            f"install the program again"
        )
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def _prepared(portrait: Image) -> Image:
    """Enlarged, and darker by the mean of the noise that will be added."""
    enlarged = cv2.resize(portrait, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
    return cv2.subtract(enlarged, np.full_like(enlarged, _NOISE // 2))  # type: ignore[return-value]


def _sensor_noise() -> Image:
    """Noise to cut frames from, 0 to `_NOISE`, its generator its own."""
    generator = np.random.default_rng(0)
    shape = (HEIGHT_PX + _NOISE_ROOM, WIDTH_PX + _NOISE_ROOM, 3)
    return generator.binomial(_NOISE, 0.5, shape).astype(np.uint8)


def _draw(portrait: Image, noise: Image, index: int, pts_s: float) -> Image:
    """One frame: the enlarged portrait as the camera sees it at `pts_s`."""
    view = _view(pts_s)
    view[:, :2] /= _ENLARGED
    # Picking the nearest pixel of an enlarged portrait costs a quarter of interpolating in each frame.
    frame = cv2.warpAffine(
        portrait, view, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
    )
    x, y = index * 37 % _NOISE_ROOM, index * 23 % _NOISE_ROOM
    cv2.add(frame, noise[y : y + HEIGHT_PX, x : x + WIDTH_PX], dst=frame)
    return frame  # type: ignore[return-value]


def _view(pts_s: float) -> npt.NDArray[np.float64]:
    """(2, 3) affine map from portrait to frame pixels: sway, slow zoom, slight rotation."""

    def wave(period_s: float, phase: float) -> float:
        return math.sin(2 * math.pi * (pts_s / period_s + phase))

    x, y = _CENTRE
    view = cv2.getRotationMatrix2D((x, y), 1.5 * wave(5.3, 0.2), _ZOOM * (1 + 0.04 * wave(7.1, 0.0)))
    view[0, 2] += WIDTH_PX / 2 - x + 22 * wave(3.7, 0.0) + 8 * wave(1.3, 0.4)
    view[1, 2] += HEIGHT_PX / 2 - y + 10 * wave(2.9, 0.7)
    return np.asarray(view, np.float64)
