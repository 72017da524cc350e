"""Fakes without fakes: a face blended into a slightly altered copy of itself.

    face --+-- altered --- moved ---+
           |                        +-- blended under a soft mask of the face --> fake
           +-- or unaltered --------+

Shiohara & Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022, section 3.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from engine_build.warp import Warp
from stream_detector.records import Image

_Points = npt.NDArray[np.float32]
_Plane = npt.NDArray[np.float32]

# Indices into MediaPipe's 478-point face mesh.
_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
_NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327, 48, 278, 64, 294, 129, 358)
_MOUTH = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409)
_BROWS_AND_EYES = (
    70,
    63,
    105,
    66,
    107,
    55,
    46,
    300,
    293,
    334,
    296,
    336,
    285,
    276,
    33,
    133,
    362,
    263,
    145,
    374,
)
_REGIONS = (_OVAL, _BROWS_AND_EYES + _NOSE + _MOUTH, _JAW + _NOSE, _MOUTH, _BROWS_AND_EYES + _NOSE)


@dataclass(frozen=True, slots=True)
class Blending:
    """Which parts of a face are blended, and what is done to them first."""

    region_odds: tuple[float, ...]
    """Of each of _REGIONS: the whole face, its inner part, jaw and nose, the mouth, eyes and nose."""
    bent_share: float
    """Of the blends, how many show the part in another shape, as another expression would."""


PLAIN = Blending(region_odds=(0.52, 0.2, 0.12, 0.08, 0.08), bent_share=0.0)
"""What validation and calibration blend; changing it would make new results incomparable with old ones."""
TRAINING = Blending(region_odds=(0.42, 0.18, 0.16, 0.16, 0.08), bent_share=0.3)
"""More mouths and more lower faces: what reenactment changes, and what checkpoint 0 finds worst."""


class SelfBlend(NamedTuple):
    """A pair, and where it differs."""

    real: Image
    """(side, side, 3) uint8 RGB."""
    fake: Image
    """(side, side, 3) uint8 RGB."""
    mask: _Plane
    """(side, side) float32, 0 to 1: where the fake is blended, however opaque."""


def self_blend(picture: Image, landmarks: _Points, rng: np.random.Generator) -> Image:
    """A fake made from one real face, by PLAIN."""
    return self_blended(picture, landmarks, rng).fake


def self_blended(
    picture: Image, landmarks: _Points, rng: np.random.Generator, blending: Blending = PLAIN
) -> SelfBlend:
    """A real face, and the fake made from it: they differ inside the mask only.

    Training shows both. Were the unaltered picture shown as the real one, altered colours would give
    half of the fakes away.

    Args:
        picture: (side, side, 3) uint8 RGB around the face.
        landmarks: (478, 2) x, y in pixels of `picture`.
        rng: decides; the same state gives the same result.

    Returns:
        The real one is `picture`, or its altered copy.
    """
    side = picture.shape[0]
    region = _region(landmarks, side, rng, blending.region_odds)
    rim = Warp.drawn(side, rng, cells=int(rng.integers(4, 9)), reach=rng.uniform(0.01, 0.045))
    mask = rim.applied(region)  # so that its rim follows no landmark exactly
    altered = _altered(picture, rng)
    source, target = (altered, picture) if rng.random() < 0.5 else (picture, altered)
    move = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-2, 2), rng.uniform(0.95, 1.05))
    move[:, 2] += rng.uniform(-0.02, 0.02, 2) * side
    moved = cv2.warpAffine(source, move, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    soft, share = _softened(_floats(cv2.warpAffine(mask, move, (side, side))), rng)
    if blending.bent_share and rng.random() < blending.bent_share:
        shape = Warp.drawn(side, rng, cells=4, reach=rng.uniform(0.003, 0.012))
        moved = shape.applied_mirroring(moved)
    fake = (moved * share + target * (1 - share) + 0.5).clip(0, 255).astype(np.uint8)
    return SelfBlend(target, fake, soft)


def _region(landmarks: _Points, side: int, rng: np.random.Generator, odds: tuple[float, ...]) -> _Plane:
    """The hull of a part of the face: 1 inside, 0 outside."""
    points = landmarks[list(_REGIONS[rng.choice(len(_REGIONS), p=odds)])]
    centre = points.mean(0)
    points = centre + (points - centre) * rng.uniform(0.85, 1.06)
    hull = cv2.convexHull(points.astype(np.float32)).astype(np.int32)
    mask = np.zeros((side, side), np.float32)
    cv2.fillConvexPoly(mask, hull, 1.0)
    return mask


def _altered(picture: Image, rng: np.random.Generator) -> Image:
    """The picture in other colours and another sharpness, as another camera or a generator gives it."""
    side = picture.shape[0]
    x = _floats(picture + rng.uniform(-18, 18, 3) * (rng.random() < 0.5))
    if rng.random() < 0.5:
        mean = x.mean()
        x = _floats((x - mean) * rng.uniform(0.88, 1.12) + mean + rng.uniform(-14, 14))
    kind = rng.random()
    if kind < 0.45:
        small = max(24, int(side * rng.uniform(0.25, 0.85)))
        x = _floats(cv2.resize(x, (small, small), interpolation=cv2.INTER_AREA))
        x = _floats(cv2.resize(x, (side, side), interpolation=cv2.INTER_LINEAR))
    elif kind < 0.75:
        x = _floats(x + rng.uniform(0.3, 1.2) * (x - cv2.GaussianBlur(x, (0, 0), rng.uniform(0.8, 2))))
    elif kind < 0.9:
        x = _floats(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.5, 1.6)))
    return x.clip(0, 255).astype(np.uint8)


def _softened(mask: _Plane, rng: np.random.Generator) -> tuple[_Plane, _Plane]:
    """The mask with a soft rim, (side, side), and how much of the blend it lets through, (side, side, 1)."""
    side = mask.shape[0]
    soft = cv2.GaussianBlur(mask, (0, 0), float(np.exp(rng.uniform(np.log(0.004), np.log(0.04)))) * side)
    peak = float(soft.max())
    opacity = rng.choice([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])
    share = np.asarray(soft * (opacity / peak if peak > 0 else 0.0), np.float32)
    return np.asarray(soft / max(peak, 1e-6), np.float32), share[:, :, None]


def _floats(picture: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.asarray(picture, np.float32)
