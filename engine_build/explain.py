"""The deletion test: undoing what the evidence map points at should lower the score more than other parts."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from engine_build.evaluation import Estimate
from engine_build.steps import SILENT, Steps
from stream_detector.errors import ModelError
from stream_detector.records import Image
from stream_detector.stages import Scorer

HIDDEN_SHARE = 0.1
"""Of the cells of the map that are hidden."""
_RANDOM_DRAWS = 3
"""Other sets of as many cells, against which the hottest are held."""
_BLUR = 0.08
"""Sigma of a blurred crop, as a part of its side: it keeps light and colour, and takes all detail."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Deletion(_Frozen):
    """What putting something else in place of cells does to the logit."""

    hottest: Estimate
    """Mean change of the logit where the hottest cells are replaced; negative: the score falls."""
    random: Estimate
    """The same for as many cells at random."""
    difference: Estimate
    """Of the two, paired by face."""
    larger: Estimate
    """Share of faces in which replacing the hottest cells lowers the logit more."""


class Explanation(_Frozen):
    """What the deletion test found."""

    model: str
    weights_sha256: str
    precision: str
    data: str
    faces: int
    cells: int
    """Replaced in each face, of evidence_cells squared."""
    restored: Deletion
    """The cells as they were before blending: the evidence is gone, and nothing else. A difference below 0
    says that the map points at what the score rests on."""
    blurred: Deletion
    """The cells blurred. A blurred part in a sharp face is itself a trace of blending."""
    draws: int
    measured_on: str


def hidden_cells(scorer: Scorer) -> int:
    """How many cells of a map are hidden."""
    return max(1, round(HIDDEN_SHARE * scorer.spec.contract.evidence_cells**2))


def blurred(crops: Image) -> Image:
    """(n, S, S, 3) uint8 RGB without any detail."""
    sigma = _BLUR * crops.shape[1]
    return np.stack([np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8) for crop in crops])


def deletion_changes(
    scorer: Scorer, crops: Image, fills: Image, *, steps: Steps = SILENT
) -> npt.NDArray[np.float64]:
    """How the logit changes where cells of each crop are replaced.

    Args:
        crops: (n, S, S, 3) uint8 RGB.
        fills: likewise; what stands in a cell that is replaced.

    Returns:
        (n, 2): with the hottest cells replaced, and with as many at random, the mean of some draws.
    """
    cells, count = scorer.spec.contract.evidence_cells, hidden_cells(scorer)
    steps.begin("hiding evidence", len(crops))
    changes = []
    for number, (crop, fill) in enumerate(zip(crops, fills, strict=True)):
        rng = np.random.default_rng([41, number])
        whole = scorer.score(crop[None])
        hottest = np.argsort(-whole.evidence[0].ravel(), kind="stable")[:count]
        sets = [hottest, *(rng.choice(cells * cells, count, replace=False) for _ in range(_RANDOM_DRAWS))]
        hidden = np.stack([_hidden(crop, fill, each, cells) for each in sets])
        parts = [hidden[i : i + scorer.max_batch] for i in range(0, len(hidden), scorer.max_batch)]
        logit = np.concatenate([scorer.score(part).logit for part in parts]).astype(np.float64)
        change = logit - float(whole.logit[0])
        changes.append((change[0], change[1:].mean()))
        steps.advance()
    return np.array(changes)


def summarised(changes: npt.NDArray[np.float64], groups: Sequence[str], draws: int) -> Deletion:
    """The figures, with 95 % intervals over groups (people, clips) drawn again.

    Args:
        changes: (n, 2), from `deletion_changes`.
        groups: (n,), which group each face belongs to.
    """
    names = sorted(set(groups))
    rows = [np.flatnonzero(np.array(groups) == name) for name in names]
    rng = np.random.default_rng(0)

    def at(chosen: Sequence[int] | npt.NDArray[np.int64]) -> tuple[float, float, float, float]:
        some = changes[np.concatenate([rows[i] for i in chosen])]
        hot, other = some[:, 0], some[:, 1]
        return (
            float(hot.mean()),
            float(other.mean()),
            float((hot - other).mean()),
            float((hot < other).mean()),
        )

    value = at(range(len(names)))
    drawn = np.array([at(rng.integers(len(names), size=len(names))) for _ in range(draws)])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    hottest, other, difference, larger = (
        Estimate(value=value[i], low=float(low[i]), high=float(high[i])) for i in range(4)
    )
    return Deletion(hottest=hottest, random=other, difference=difference, larger=larger)


def explained(found: Explanation) -> str:
    """Markdown: what was found, in a paragraph."""
    gone, dull = found.restored, found.blurred
    return (
        f"In {found.faces} faces ({found.data}), undoing the blend in the hottest {found.cells} cells of the "
        f"evidence map changes the logit by {gone.hottest}, in as many cells at random by {gone.random}; "
        f"paired by {gone.difference}; the hottest count more in {gone.larger} of the faces. Blurring these "
        f"cells instead changes it by {dull.hottest}, others by {dull.random}: a blurred part in a sharp "
        f"face looks blended itself. {found.precision}; in brackets 95 % bootstrap intervals over people. "
        f"Measured by `python -m engine_build evaluate --explain` on {found.measured_on}."
    )


def read_explanation(path: Path) -> Explanation:
    """Read what `engine_build evaluate --explain` wrote.

    Raises:
        ModelError: it is missing, or something else.
    """
    try:
        return Explanation.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(
            f"cannot read {path}: {first}; make it with engine_build evaluate --explain"
        ) from error


def _hidden(crop: Image, fill: Image, cells: npt.NDArray[np.int64], side: int) -> Image:
    """`crop` with some cells of a side x side grid taken from `fill`, their rims soft."""
    size = crop.shape[0]
    mask = np.zeros(side * side, np.float32)
    mask[cells] = 1.0
    whole = cv2.resize(mask.reshape(side, side), (size, size), interpolation=cv2.INTER_NEAREST)
    # A hard rim would be an edge of its own, which this kind of model looks for.
    soft = cv2.GaussianBlur(whole, (0, 0), size / side / 6)[:, :, None]
    return np.asarray(np.rint(crop * (1 - soft) + fill * soft), np.uint8)
