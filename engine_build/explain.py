"""The deletion test: does hiding what the evidence map points at move the score more than hiding the rest?"""

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
_FILL_SIGMA = 0.08
"""Blur of what is put in place of a cell, as a part of the crop's side: it keeps light and colour, and takes
the detail that blending leaves its traces in."""


class Explanation(BaseModel):
    """What the deletion test found."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    weights_sha256: str
    precision: str
    data: str
    faces: int
    cells: int
    """Hidden of each face, of evidence_cells squared."""
    hottest: Estimate
    """Mean change of the logit where the hottest cells are hidden; negative: the score falls."""
    random: Estimate
    """The same for as many cells at random."""
    difference: Estimate
    """Of the two, paired by face; below 0: the map points at what the score rests on."""
    larger: Estimate
    """Share of faces in which hiding the hottest cells lowers the logit more."""
    draws: int
    measured_on: str


def deletion_changes(
    scorer: Scorer, crops: Image, *, steps: Steps = SILENT
) -> tuple[npt.NDArray[np.float64], int]:
    """How the logit changes where cells of each crop are blurred away.

    Args:
        crops: (n, S, S, 3) uint8 RGB.

    Returns:
        (n, 2): with the hottest cells hidden, and with as many at random, the mean of some draws; and how
        many cells were hidden.
    """
    cells = scorer.spec.contract.evidence_cells
    count = max(1, round(HIDDEN_SHARE * cells * cells))
    steps.begin("hiding evidence", len(crops))
    changes = []
    for number, crop in enumerate(crops):
        rng = np.random.default_rng([41, number])
        whole = scorer.score(crop[None])
        hottest = np.argsort(-whole.evidence[0].ravel(), kind="stable")[:count]
        sets = [hottest, *(rng.choice(cells * cells, count, replace=False) for _ in range(_RANDOM_DRAWS))]
        hidden = np.stack([_hidden(crop, each, cells) for each in sets])
        parts = [hidden[i : i + scorer.max_batch] for i in range(0, len(hidden), scorer.max_batch)]
        logit = np.concatenate([scorer.score(part).logit for part in parts]).astype(np.float64)
        change = logit - float(whole.logit[0])
        changes.append((change[0], change[1:].mean()))
        steps.advance()
    return np.array(changes), count


def summarised(changes: npt.NDArray[np.float64], groups: Sequence[str], draws: int) -> dict[str, Estimate]:
    """The figures of an `Explanation`, with 95 % intervals over groups (people, clips) drawn again.

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
    return {
        name: Estimate(value=value[i], low=float(low[i]), high=float(high[i]))
        for i, name in enumerate(("hottest", "random", "difference", "larger"))
    }


def explained(found: Explanation) -> str:
    """Markdown: what was found, in two sentences."""
    return (
        f"Hiding the hottest {found.cells} cells of the evidence map changes the logit by {found.hottest} on "
        f"the average over {found.faces} faces, hiding as many at random by {found.random}; paired, by "
        f"{found.difference}. In {found.larger} of the faces the hottest cells count more. Hidden means "
        f"blurred away; {found.precision}; {found.data}; in brackets 95 % bootstrap intervals over people or "
        f"clips. Measured by `python -m engine_build evaluate --explain` on {found.measured_on}."
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


def _hidden(crop: Image, cells: npt.NDArray[np.int64], side: int) -> Image:
    """`crop` with some cells of a side x side grid blurred away, their rims soft."""
    size = crop.shape[0]
    mask = np.zeros(side * side, np.float32)
    mask[cells] = 1.0
    whole = cv2.resize(mask.reshape(side, side), (size, size), interpolation=cv2.INTER_NEAREST)
    # A hard rim would be an edge of its own, which this kind of model looks for.
    soft = cv2.GaussianBlur(whole, (0, 0), size / side / 6)[:, :, None]
    fill = cv2.GaussianBlur(crop, (0, 0), _FILL_SIGMA * size)
    return np.asarray(np.rint(crop * (1 - soft) + fill * soft), np.uint8)
