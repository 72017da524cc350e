"""From scores to figures with intervals; the arithmetic is scikit-learn's and torchmetrics'."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine_build.evaluation import AtThreshold, Estimate, FactorRow, Level
from engine_build.evaluation_scores import Scored
from engine_build.steps import SILENT, Steps
from stream_detector.errors import ModelError
from stream_detector.optional import require

_TINY = 1e-7
_BINS = 15
_FACE_SIZES_PX = (64, 128, 256)
_Floats = npt.NDArray[np.float64]
_Figure = Callable[[npt.NDArray[np.int64], _Floats], float]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """The scores of one clip."""

    label: int
    kind: str
    p: _Floats
    """(frames,), at least one."""
    factors: Mapping[str, str]

    @property
    def mean_p(self) -> float:
        """The clip's own score."""
        return float(self.p.mean())


def clips_of(scores: Sequence[Scored]) -> list[Clip]:
    """Scored samples by clip; what could not be scored is left out."""
    groups: dict[tuple[str, int], list[Scored]] = {}
    for scored in scores:
        if scored.p:
            groups.setdefault((scored.sample.clip, scored.sample.label), []).append(scored)
    return [
        Clip(
            label=label,
            kind=parts[0].sample.kind,
            p=np.concatenate([np.array(part.p, np.float64) for part in parts]),
            factors=_factors(parts[0]),
        )
        for (_, label), parts in groups.items()
    ]


def comparable(clips: Sequence[Clip]) -> list[Clip]:
    """The clips of the kinds that have both labels.

    Fake stills beside real videos would measure the difference between stills and videos.

    Raises:
        ModelError: no kind has both.
    """
    kinds = {kind for kind in ("video", "still") if {c.label for c in clips if c.kind == kind} == {0, 1}}
    if not kinds:
        reals = sum(clip.label == 0 for clip in clips)
        raise ModelError(
            f"cannot tell real from fake on {reals} real and {len(clips) - reals} fake clips with a score: "
            "expected both labels among videos or among stills; add the missing ones"
        )
    return [clip for clip in clips if clip.kind in kinds]


def level(
    name: str,
    clips: Sequence[Clip],
    thresholds: Mapping[str, float],
    *,
    frames: bool,
    draws: int,
    steps: Steps = SILENT,
) -> Level:
    """Every figure over frames, or over clips by their mean score."""
    steps.begin(f"figures per {name}", 4 + 4 * len(thresholds))

    def estimate(figure: _Figure) -> Estimate:
        found = _bootstrap(clips, figure, frames=frames, draws=draws)
        steps.advance()
        return found

    counts = [sum(len(c.p) if frames else 1 for c in clips if c.label == label) for label in (0, 1)]
    metrics = require("sklearn.metrics", why="evaluating", extra="build")
    return Level(
        name=name,
        reals=counts[0],
        fakes=counts[1],
        auc=estimate(_auc),
        eer=estimate(equal_error_rate),
        log_loss=estimate(
            lambda y, p: float(metrics.log_loss(y, np.clip(p, _TINY, 1 - _TINY), labels=[0, 1]))
        ),
        ece=estimate(_calibration_error),
        at=tuple(
            AtThreshold(
                name=label,
                threshold=threshold,
                accuracy=estimate(_at(threshold, metrics.accuracy_score)),
                f1=estimate(_at(threshold, metrics.f1_score)),
                false_alarms=estimate(_at(threshold, _share_called(0, 1))),
                missed=estimate(_at(threshold, _share_called(1, 0))),
            )
            for label, threshold in thresholds.items()
        ),
    )


def factor_table(clips: Sequence[Clip], *, draws: int, steps: Steps = SILENT) -> list[FactorRow]:
    """A row for every value of every factor that says something."""
    rows = []
    factors = dict.fromkeys(name for clip in clips for name in clip.factors)
    values = {f: sorted({clip.factors[f] for clip in clips if clip.factors.get(f)}) for f in factors}
    steps.begin("figures by factor", sum(len(each) for each in values.values()))
    for factor, some in values.items():
        for value in some:
            mine = [clip for clip in clips if clip.factors.get(factor) == value]
            labels = {clip.label for clip in mine}
            others = [clip for clip in clips if clip.label not in labels] if len(labels) == 1 else []
            kinds = {clip.kind for clip in mine}
            compared = [*mine, *([clip for clip in others if clip.kind in kinds] or others)]
            rows.append(
                FactorRow(
                    factor=factor,
                    value=value,
                    reals=sum(clip.label == 0 for clip in mine),
                    fakes=sum(clip.label == 1 for clip in mine),
                    mean_p=_bootstrap(mine, lambda _, p: float(p.mean()), frames=False, draws=draws),
                    over=_bootstrap(mine, lambda _, p: float((p >= 0.5).mean()), frames=False, draws=draws),
                    auc=(
                        _bootstrap(compared, _auc, frames=False, draws=draws)
                        if {clip.label for clip in compared} == {0, 1}
                        else None
                    ),
                )
            )
            steps.advance()
    return rows


def best_threshold(labels: Sequence[int], p: Sequence[float]) -> float:
    """The score from which on calling a clip fake is right most often, both labels weighing the same.

    Youden's index (Cancer, 1950) at its largest, halfway to the next lower score.
    """
    metrics = require("sklearn.metrics", why="choosing a threshold", extra="build")
    false, true, at = metrics.roc_curve(labels, p, drop_intermediate=False)
    best = int(np.argmax(true - false))
    below = [value for value in p if value < at[best]]
    return float(np.clip((at[best] + max(below, default=at[best])) / 2, 0, 1))


def equal_error_rate(labels: npt.NDArray[np.int64], p: _Floats) -> float:
    """Where as many reals are called fake as fakes real, on the straight lines between ROC points."""
    metrics = require("sklearn.metrics", why="evaluating", extra="build")
    false, true, _ = metrics.roc_curve(labels, p)
    gap = false - (1 - true)
    after = int(np.argmax(gap >= 0))
    before = max(0, after - 1)
    step = gap[after] - gap[before]
    along = 0.0 if step == 0 else -gap[before] / step
    return float(false[before] + along * (false[after] - false[before]))


def _factors(scored: Scored) -> dict[str, str]:
    sample = scored.sample
    known = {
        "method": sample.method,
        "compression": sample.compression,
        "identity group": sample.group,
        "kind": sample.kind,
    }
    if scored.face_px is not None:
        bounds = [0, *_FACE_SIZES_PX]
        at = max(i for i, bound in enumerate(bounds) if scored.face_px >= bound)
        upper = f" to {bounds[at + 1]}" if at + 1 < len(bounds) else " and more"
        known["face size"] = f"{bounds[at]}{upper} px"
    return known


def _bootstrap(clips: Sequence[Clip], figure: _Figure, *, frames: bool, draws: int) -> Estimate:
    """The figure, and the middle 95 % of it over clips drawn again with replacement within each label."""
    values = [clip.p if frames else clip.p.mean(keepdims=True) for clip in clips]
    labels = np.array([clip.label for clip in clips])
    of_label = [np.flatnonzero(labels == label) for label in (0, 1)]

    def at(chosen: Sequence[int] | npt.NDArray[np.int64]) -> float:
        p = np.concatenate([values[i] for i in chosen])
        y = np.repeat(labels[chosen], [len(values[i]) for i in chosen]).astype(np.int64)
        return figure(y, p)

    rng = np.random.default_rng(0)
    drawn = [
        at(np.concatenate([rng.choice(some, len(some)) for some in of_label if len(some)]))
        for _ in range(draws)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value=at(np.arange(len(clips))), low=float(low), high=float(high))


def _auc(labels: npt.NDArray[np.int64], p: _Floats) -> float:
    metrics = require("sklearn.metrics", why="evaluating", extra="build")
    return float(metrics.roc_auc_score(labels, p))


def _at(threshold: float, figure: Callable[[Any, Any], Any]) -> _Figure:
    return lambda labels, p: float(figure(labels, (p >= threshold).astype(np.int64)))


def _share_called(label: int, called: int) -> Callable[[Any, Any], float]:
    return lambda labels, calls: float((calls[labels == label] == called).mean())


def _calibration_error(labels: npt.NDArray[np.int64], p: _Floats) -> float:
    torch = require("torch", why="measuring calibration", extra="build")
    metrics = require("torchmetrics.functional.classification", why="measuring calibration", extra="build")
    found = metrics.binary_calibration_error(
        torch.from_numpy(p.astype(np.float32)), torch.from_numpy(labels), n_bins=_BINS
    )
    return float(found)
