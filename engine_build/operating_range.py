"""Where the model may speak: the band of scores that say nothing, and the faces that are fit to score."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine_build.face_crops import StoredFace
from engine_build.quantize import model_crops
from engine_build.steps import SILENT, Steps
from stream_detector.errors import ModelError
from stream_detector.model_spec import Quality, UncertainBand
from stream_detector.quality import sharpness
from stream_detector.records import Image
from stream_detector.stages import Scorer

FALSE_CALL_SHARE = 0.02
"""At most this share of held-out real clips may score above the band: calling a real person fake is
the error people fear most."""
MIN_FACE_PX = 40
"""Training shrank crops, 1.2 to 1.5 times as wide as their face, down to 57 px: faces of 38 to 48 px."""
_LEAST_DETAIL_PX = 40
"""A crop with less detail than one of this side is too blurred: well below what training shrank to, so
that a small or compressed face still passes."""
_STREAMS = 4
"""Degradations tried on every clip."""


@dataclass(frozen=True, slots=True)
class OperatingRange:
    """What the held-out faces say of a model."""

    band: UncertainBand
    quality: Quality
    histograms: dict[str, tuple[int, ...]]
    """Kind of face -> how many score in [0, .1), [.1, .2), … [.9, 1]."""


def measure_range(
    scorer: Scorer,
    faces: Sequence[StoredFace],
    *,
    margin: float,
    training: Sequence[StoredFace],
    steps: Steps = SILENT,
) -> OperatingRange:
    """Choose the band and the limits of quality from stored faces.

    Args:
        scorer: the model as it will run by default.
        faces: real people the model was not trained on.
        margin: of the crops.
        training: faces of the training split; only their sharpness is looked at.
        steps: told how many crops are made and scored.

    Raises:
        ModelError: too few faces to say anything, or scores that leave no room for a band.
    """
    if len(faces) < 50 or not training:
        raise ModelError(
            f"cannot choose a band from {len(faces)} held-out and {len(training)} training faces: "
            "expected at "
            f"least 50 and 1; give a larger --faces"
        )
    size = scorer.spec.contract.input_px
    passes = _STREAMS + 3  # each makes the crops, then scores them
    steps.begin("uncertain band and quality limits", 2 * passes * len(faces) + len(training))

    def scores(seed: int, *, degraded: bool, fake: bool = False) -> npt.NDArray[np.float64]:
        return p_fake(
            logits(
                scorer,
                model_crops(
                    faces,
                    margin=margin,
                    size_px=size,
                    seed=seed,
                    degraded=degraded,
                    fake=fake,
                    steps=steps,
                ),
                steps,
            )
        )

    clips: list[float] = []
    for stream in range(_STREAMS):
        by_clip = defaultdict(list)
        for face, p in zip(faces, scores(100 + stream, degraded=True), strict=True):
            by_clip[face.clip].append(float(p))
        clips += [float(np.mean(each)) for each in by_clip.values()]
    coarse = [
        sharpness(_with_detail_of(crop, _LEAST_DETAIL_PX))
        for crop in model_crops(training, margin=margin, size_px=size, seed=7, degraded=False, steps=steps)
    ]
    low = round(float(np.median(clips)), 2)
    high = math.ceil(float(np.quantile(clips, 1 - FALSE_CALL_SHARE)) * 100) / 100
    if not 0 < low < high < 1:
        raise ModelError(
            f"real clips score {low:.2f} in the middle and {high:.2f} at the top: no score is left that "
            "says fake; "
            f"train the checkpoint further"
        )
    return OperatingRange(
        band=UncertainBand(
            low=low,
            high=high,
            source=(
                f"mean score of {len(clips) // _STREAMS} held-out real clips and stills under {_STREAMS} "
                "video-like "
                f"degradations each: low is their median, high what {FALSE_CALL_SHARE:.0%} of them exceed"
            ),
        ),
        quality=Quality(
            min_face_px=MIN_FACE_PX,
            min_sharpness=math.floor(float(np.quantile(coarse, 0.01)) * 1000) / 1000,
            source=(
                f"min_face_px: training shrank faces to about as little; min_sharpness: 1st percentile of "
                f"{len(coarse)} training crops shrunk to {_LEAST_DETAIL_PX} px and enlarged again"
            ),
        ),
        histograms={
            "real, untouched": _histogram(scores(3, degraded=False)),
            "real, degraded, mean per clip": _histogram(np.array(clips)),
            "self-blend, untouched": _histogram(scores(5, degraded=False, fake=True)),
            "self-blend, degraded": _histogram(scores(6, degraded=True, fake=True)),
        },
    )


def logits(scorer: Scorer, crops: Image, steps: Steps = SILENT) -> npt.NDArray[np.float64]:
    """(n,) logits of (n, S, S, 3) crops, n as large as memory allows; `steps` is told of each crop."""
    found = []
    for start in range(0, len(crops), scorer.max_batch):
        part = crops[start : start + scorer.max_batch]
        found.append(scorer.score(part).logit.astype(np.float64))
        steps.advance(len(part))
    return np.concatenate(found)


def p_fake(logit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Logits to scores in (0, 1)."""
    return np.asarray(0.5 * (1 + np.tanh(logit / 2)), np.float64)


def _with_detail_of(crop: Image, side_px: int) -> Image:
    """`crop` shrunk to `side_px` and enlarged again."""
    size = crop.shape[:2]
    small = cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _histogram(p: npt.NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(int(n) for n in np.histogram(p, np.linspace(0, 1, 11))[0])
