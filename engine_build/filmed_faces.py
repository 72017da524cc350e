"""Held-out faces as a stream shows them: short clips with motion, few pixels, and H.264 with P-frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine_build.degrade import Motion, coded_h264
from engine_build.face_crops import STORED_MARGIN, StoredFace, cut_stored
from engine_build.self_blend import self_blend
from stream_detector.records import Image

FACES_PX = (48, 200)
"""Smallest and largest face drawn, log-uniform between."""
CRF = (20, 40)
"""Best and worst quality of x264 drawn: from what a good link carries to what a bad one leaves."""
_FRAMES = 16
_SCORED = (5, 10, 15)
"""P-frames, a fifth of a second apart at 25 frames a second."""


@dataclass(frozen=True, slots=True, eq=False)
class FilmedFace:
    """One clip of one face."""

    identity: str
    """Clips of one identity are never parted between fitting and testing."""
    label: int
    """0 real, 1 self-blend."""
    stream: int
    """Which degradation: every face is filmed once, real and blended, under each."""
    face_px: int
    crops: Image
    """(3, S, S, 3) uint8 RGB, as the detector cuts them."""


def filmed_faces(
    faces: Sequence[StoredFace], *, streams: int, margin: float, size_px: int
) -> Iterator[FilmedFace]:
    """Every face, real and blended into itself, under each of `streams` degradations; always the same.

    A face and its blend share motion, size and compression, so that none of them tells the two apart.
    """
    for number, face in enumerate(faces):
        picture = face.picture()
        for stream in range(streams):
            rng = np.random.default_rng([29, number, stream])
            low, high = np.log(FACES_PX)
            face_px = round(float(np.exp(rng.uniform(low, high))))
            crf = int(rng.integers(CRF[0], CRF[1] + 1))
            motion = int(rng.integers(2**31))
            for label in (0, 1):
                shown = self_blend(picture, face.landmarks, rng) if label else picture
                filmed = film(shown, face_px=face_px, crf=crf, rng=np.random.default_rng(motion))
                crops = np.stack([cut_stored(filmed[i], margin=margin, size_px=size_px) for i in _SCORED])
                yield FilmedFace(face.identity or face.clip, label, stream, face_px, crops)


def film(picture: Image, *, face_px: int, crf: int, rng: np.random.Generator) -> list[Image]:
    """A stored crop as 16 decoded frames of a stream at 25 frames a second; the first is a key frame.

    Args:
        picture: (side, side, 3) uint8 RGB, from `StoredFace.picture`.
        face_px: of the face in the clip.
        crf: quality of x264, 0 (best) to 51.
        rng: decides the motion: a slow drift of up to 2 % of the face, 1.5 degrees and 2 % of its size.
    """
    pictures = before_the_camera(picture, face_px=face_px, motion=Motion.drawn(rng), count=_FRAMES)
    return coded_h264(pictures, {"crf": str(crf), "g": "250"})


def before_the_camera(picture: Image, *, face_px: int, motion: Motion, count: int) -> list[Image]:
    """A stored crop as `count` pictures of a face that moves, 25 a second, before they are coded.

    Args:
        picture: (side, side, 3) uint8 RGB, from `StoredFace.picture`.
        face_px: of the face in the pictures.
        motion: drifts by up to 2 % of the face.

    Returns:
        (k, k, 3) uint8 RGB each, k even.
    """
    side = max(32, round(face_px * STORED_MARGIN) // 2 * 2)
    method = cv2.INTER_AREA if side < picture.shape[0] else cv2.INTER_LINEAR
    drift_px = 0.02 * picture.shape[0] / STORED_MARGIN
    moved = [motion.moved(picture, number, drift_px=drift_px) for number in range(count)]
    return [np.asarray(cv2.resize(each, (side, side), interpolation=method), np.uint8) for each in moved]


Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ClipScores:
    """What one way of running a model says of n filmed faces."""

    identity: npt.NDArray[np.str_]
    """(n,)"""
    label: npt.NDArray[np.int64]
    """(n,)"""
    stream: npt.NDArray[np.int64]
    """(n,)"""
    face_px: npt.NDArray[np.int64]
    """(n,)"""
    logit: Floats
    """(n, 3), of each scored frame."""
