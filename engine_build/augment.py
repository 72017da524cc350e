"""Training pictures as cameras and streams would have delivered them, the same way for real and fake."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine_build.degrade import Motion, coded_h264, through_h264, through_jpeg
from engine_build.face_crops import STORED_MARGIN
from engine_build.warp import Warp
from stream_detector.records import Image

MARGINS = (1.2, 1.5)
"""Side of a training crop / side of the face box: around what the detector cuts, because boxes shake."""
_SHIFT = 0.05
"""How far the face may lie off the middle, in sides of the face box."""
_P_FRAMES, _INTRA = 0.3, 0.25
"""Share of the pictures that go through H.264 as a P-frame, and as a key frame; to 0.85, JPEG."""
_QP = (22, 41)
_FILM = (2, 6)
_DRIFT = 0.02
"""How far a face drifts in a film, in sides of the picture."""
_WARPED, _COVERED = 0.4, 0.2
_SMALLEST_PX, _FEWEST = 56, 1 / 4.5
"""Side of the smallest crop, which shows a face of about 40 pixels, and the smallest share of a side."""
_PROCESSED, _TWICE = 0.5, 0.25
"""Share of the pictures that a camera has worked on, and that were JPEG before they were coded again."""
_Floats = npt.NDArray[np.float32]
_Change = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def framed(picture: Image, rng: np.random.Generator) -> tuple[Image, npt.NDArray[np.float32]]:
    """A stored crop cut as a face box that is never quite the same would cut it.

    Args:
        picture: (side, side, 3) uint8 RGB, a stored crop of STORED_MARGIN.
        rng: decides by three draws, whatever the picture.

    Returns:
        A square part of it, its side even, and x, y of its first pixel in `picture`, (2,).
    """
    side = picture.shape[0]
    box_px = side / STORED_MARGIN
    cut = int(rng.uniform(*MARGINS) * box_px) // 2 * 2
    shift = rng.uniform(-_SHIFT, _SHIFT, 2) * box_px
    left, top = (int(np.clip(round((side - cut) / 2 + s), 0, side - cut)) for s in shift)
    part = np.ascontiguousarray(picture[top : top + cut, left : left + cut])
    return part, np.array([left, top], np.float32)


def augment(
    pictures: Sequence[Image],
    rng: np.random.Generator,
    *,
    size_px: int,
    masks: Sequence[_Floats] = (),
) -> tuple[list[Image], list[_Floats]]:
    """One random change of scale, geometry, colour and quality, the same for every picture given.

    A real face and its fake go in together: whatever compression or colour does to one it does to the
    other, so that neither is a cue. In this order: fewer pixels (two ninths of the side up to all of it);
    in half rotated by up to 8° and scaled by up to 8 %; in 40 % warped smoothly into another face's shape;
    in half gains, contrast and gamma; in 30 % hue and saturation; in 25 % blur; in 20 % noise; in half what a
    webcam does (noise taken out, edges sharpened, colours in fewer pixels); in 25 % a first JPEG; then 55 %
    go through H.264 (QP 22-40; more than half of them are the last of a few P-frames of a face that
    drifts), 30 % through JPEG (quality 30-100); in 20 % a patch is covered; in half mirrored.

    Args:
        pictures: (side, side, 3) uint8 RGB each; sides may differ.
        rng: decides; the same state gives the same result.
        size_px: side of the results.
        masks: (side, side) float32 each, which follow the geometry alone; 0 where a patch is covered.

    Returns:
        (size_px, size_px, 3) uint8 RGB for each picture, (size_px, size_px) float32 for each mask.
    """
    side = min(picture.shape[0] for picture in pictures)
    fewer = side * np.exp(rng.uniform(np.log(_FEWEST), 0))
    fewer = int(np.clip(fewer, min(_SMALLEST_PX, side), side)) // 2 * 2
    looks: list[_Change] = []
    shapes: list[_Change] = [_resized(fewer)]
    if rng.random() < 0.5:
        shapes.append(_moved(fewer, rng))
    if rng.random() < _WARPED:
        shapes.append(Warp.drawn(fewer, rng, cells=4, reach=rng.uniform(0.005, 0.02)).applied_mirroring)
    if rng.random() < 0.5:
        looks.append(_toned(rng))
    if rng.random() < 0.3:
        looks.append(_tinted(rng))
    if rng.random() < 0.25:
        looks.append(_blurred(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.2:
        looks.append(_noisy(rng.normal(0, rng.uniform(1, 7), (fewer, fewer, 3)).astype(np.float32)))
    if rng.random() < _PROCESSED:
        looks.append(_processed(rng))
    if rng.random() < _TWICE:
        first = int(rng.integers(50, 96))
        looks.append(lambda picture: through_jpeg(picture, quality=first))
    codec = rng.random()
    if codec < _P_FRAMES:
        looks.append(_filmed(rng))
    elif codec < _P_FRAMES + _INTRA:
        qp = int(rng.integers(*_QP))
        looks.append(lambda picture: through_h264(picture, qp=qp))
    elif codec < 0.85:
        quality = int(rng.integers(30, 101))
        looks.append(lambda picture: through_jpeg(picture, quality=quality))
    last: list[_Change] = [_resized(size_px)]
    if rng.random() < _COVERED:
        last.append(_covered(size_px, rng))
    if rng.random() < 0.5:
        last.append(lambda picture: np.ascontiguousarray(picture[:, ::-1]))
    done = [_all([*shapes, *looks, *last], picture) for picture in pictures]
    return done, [_all([*shapes, *last], mask) for mask in masks]


def _all(changes: Sequence["_Change"], picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    for change in changes:
        picture = change(picture)
    return picture


def _filmed(rng: np.random.Generator) -> _Change:
    """A few pictures of a face that drifts by a pixel or so, and the last as a decoder shows it."""
    qp, count, motion = {"qp": str(rng.integers(*_QP))}, int(rng.integers(*_FILM)), Motion.drawn(rng)

    def change(picture: Image) -> Image:
        drift_px = _DRIFT * picture.shape[0]
        return coded_h264([motion.moved(picture, n, drift_px=drift_px) for n in range(count)], qp)[-1]

    return change


def _resized(side_px: int) -> _Change:
    def change(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        method = cv2.INTER_AREA if picture.shape[0] > side_px else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=method), picture.dtype)

    return change


def _moved(side: int, rng: np.random.Generator) -> _Change:
    move = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-8, 8), rng.uniform(0.92, 1.08))

    def change(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        moved = cv2.warpAffine(picture, move, (side, side), borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(moved, picture.dtype)

    return change


def _covered(side: int, rng: np.random.Generator) -> _Change:
    """A rectangle of one colour, as of a hand or a caption; of a mask, nothing (DeVries & Taylor, 2017)."""
    width, height = (rng.uniform(0.1, 0.35, 2) * side).astype(int)
    left, top = (int(rng.integers(0, side - length + 1)) for length in (width, height))
    colour = rng.integers(0, 256, 3)

    def change(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        covered = picture.copy()
        covered[top : top + height, left : left + width] = colour if picture.ndim == 3 else 0
        return covered

    return change


def _toned(rng: np.random.Generator) -> _Change:
    gains = rng.uniform(0.9, 1.1, 3) if rng.random() < 0.5 else np.ones(3)
    contrast, brightness, gamma = rng.uniform(0.6, 1.25), rng.uniform(-25, 25), rng.uniform(0.8, 1.25)
    curve = ((np.linspace(0, 1, 256) ** gamma * 255 - 128) * contrast + 128 + brightness)[:, None] * gains
    table = np.clip(curve, 0, 255).astype(np.uint8)[:, None, :]
    return lambda picture: np.asarray(cv2.LUT(picture, table), np.uint8)


def _tinted(rng: np.random.Generator) -> _Change:
    hue, saturation = rng.uniform(-8, 8), rng.uniform(0.4, 1.4)

    def change(picture: Image) -> Image:
        colours = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV), np.float32)
        colours[..., 0] = (colours[..., 0] + hue) % 180
        colours[..., 1] = np.clip(colours[..., 1] * saturation, 0, 255)
        return np.asarray(cv2.cvtColor(colours.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)

    return change


def _blurred(sigma_px: float) -> _Change:
    return lambda picture: np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma_px), np.uint8)


def _processed(rng: np.random.Generator) -> _Change:
    """What a webcam does to every frame: noise is taken out and edges are sharpened, colours blurred."""
    denoised, sharpened, washed = rng.random(3) < (0.6, 0.6, 0.7)
    tones, reach_px = rng.uniform(10, 60), rng.uniform(1, 3)
    halo_px, amount = rng.uniform(0.7, 1.8), rng.uniform(0.3, 1.2)
    share = rng.uniform(0.25, 0.6)

    def change(picture: Image) -> Image:
        luma, *chroma = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb))
        if denoised:
            luma = cv2.bilateralFilter(luma, 5, tones, reach_px)
        if sharpened:
            luma = cv2.addWeighted(luma, 1 + amount, cv2.GaussianBlur(luma, (0, 0), halo_px), -amount, 0)
        if washed:
            side = picture.shape[0]
            small_px = max(8, round(side * share))
            chroma = [
                cv2.resize(
                    cv2.resize(plane, (small_px, small_px), interpolation=cv2.INTER_AREA), (side, side)
                )
                for plane in chroma
            ]
        return np.asarray(cv2.cvtColor(cv2.merge([luma, *chroma]), cv2.COLOR_YCrCb2RGB), np.uint8)

    return change


def _noisy(noise: _Floats) -> _Change:
    return lambda picture: np.clip(picture + noise, 0, 255).astype(np.uint8)
