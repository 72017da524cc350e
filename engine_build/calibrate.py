"""What logits are worth, fitted on filmed faces and measured on faces that were not fitted on."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from engine_build.alarm_facts import Series
from engine_build.evaluation import Estimate
from engine_build.filmed_faces import ClipScores, Floats
from stream_detector.calibration import log_odds
from stream_detector.errors import ModelError
from stream_detector.model_spec import Calibration, Interval, LogitMap, UncertainBand
from stream_detector.optional import require
from stream_detector.smoothing import UNKNOWN, RollingScore

Method = Literal["temperature", "platt", "isotonic"]
FACE_SIZES_PX = (80, 128)
"""Where bins of the face's size begin."""
_LEAST_IN_BIN = 60
"""Identities that a bin needs to be fitted on its own."""
_LEAST_IDENTITIES = 20
_FOLDS = 10
_BINS = 15
_TINY = 1e-6
_KNOTS = (-8.0, 8.0)


def fit_maps(
    scores: ClipScores, chosen: npt.NDArray[np.bool_], method: Method, *, by_size: bool
) -> tuple[LogitMap, tuple[tuple[int, LogitMap], ...]]:
    """A map for all the chosen clips and, `by_size`, one for each bin that holds enough identities."""
    bins = []
    for low, high in zip(FACE_SIZES_PX, (*FACE_SIZES_PX[1:], math.inf), strict=True) if by_size else ():
        inside = chosen & (scores.face_px >= low) & (scores.face_px < high)
        if len(set(scores.identity[inside])) >= _LEAST_IN_BIN:
            bins.append((low, _fit(scores, inside, method)))
    if by_size and bins:
        small = chosen & (scores.face_px < bins[0][0])
        if len(set(scores.identity[small])) >= _LEAST_IN_BIN:
            bins.insert(0, (1, _fit(scores, small, method)))
    return _fit(scores, chosen, method), tuple(bins)


def _fit(scores: ClipScores, chosen: npt.NDArray[np.bool_], method: Method) -> LogitMap:
    """One map from frames to log-odds; reals and fakes weigh the same, so it is a likelihood ratio."""
    logit = scores.logit[chosen].ravel()
    label = np.repeat(scores.label[chosen], scores.logit.shape[1])
    if method == "isotonic":
        isotonic = require("sklearn.isotonic", why="calibrating", extra="build").IsotonicRegression(
            y_min=1 / (len(logit) + 2), y_max=1 - 1 / (len(logit) + 2)
        )
        isotonic.fit(logit, label)
        x, first = np.unique(isotonic.X_thresholds_, return_index=True)
        p = isotonic.y_thresholds_[first]
        # Flat ends: beyond what was seen nothing is known, and the last step would go on for ever.
        x = np.concatenate([[x[0] - 1], x, [x[-1] + 1]])
        odds = np.log(p / (1 - p))
        odds = np.concatenate([[odds[0]], odds, [odds[-1]]])
        return LogitMap(logit=tuple(x.tolist()), log_odds=tuple(np.maximum.accumulate(odds).tolist()))
    linear = require("sklearn.linear_model", why="calibrating", extra="build").LogisticRegression(
        C=np.inf, fit_intercept=method == "platt"
    )
    linear.fit(logit[:, None], label)
    slope = float(linear.coef_[0, 0])
    offset = float(linear.intercept_[0]) if method == "platt" else 0.0
    if slope <= 0:
        raise ModelError(
            f"cannot calibrate: the score of fakes is no higher than that of real faces (slope {slope:.3f}); "
            "train the checkpoint further, or check the labels of --faces"
        )
    return LogitMap(logit=_KNOTS, log_odds=tuple(round(slope * x + offset, 6) for x in _KNOTS))


def apply(
    maps: tuple[LogitMap, tuple[tuple[int, LogitMap], ...]], scores: ClipScores, chosen: npt.NDArray[np.bool_]
) -> Floats:
    """(n, frames) log-odds of the chosen clips, as the runtime computes them."""
    calibration = as_calibration(maps)
    rows = zip(scores.logit[chosen], scores.face_px[chosen], strict=True)
    return np.array([[log_odds(calibration, float(x), int(px)) for x in row] for row, px in rows])


def as_calibration(
    maps: tuple[LogitMap, tuple[tuple[int, LogitMap], ...]],
    *,
    method: Method = "platt",
    coverage: tuple[float, float] = (0.5, 0.5),
    figures: "tuple[Estimate, Estimate, Estimate] | None" = None,
    source: str = "",
) -> Calibration:
    """The record of a sidecar."""
    none = Interval(value=0.0, low=0.0, high=0.0)
    ece, brier, log_loss = (
        (none,) * 3 if figures is None else (Interval(**each.model_dump()) for each in figures)
    )
    return Calibration(
        method=method,
        everywhere=maps[0],
        by_face_px=maps[1],
        coverage_real=coverage[0],
        coverage_fake=coverage[1],
        ece=ece,
        brier=brier,
        log_loss=log_loss,
        source=source,
    )


def cross_fitted(scores: ClipScores, method: Method, *, by_size: bool) -> Floats:
    """(n, frames) log-odds of every clip by maps that saw no clip of its identity.

    Raises:
        ModelError: too few people.
    """
    people = sorted(set(scores.identity.tolist()))
    if len(people) < _LEAST_IDENTITIES:
        raise ModelError(
            f"cannot calibrate on {len(people)} held-out people: expected at least {_LEAST_IDENTITIES}; give "
            "a larger --faces"
        )
    order = np.random.default_rng(0).permutation(len(people))
    fold_of = {people[i]: n % _FOLDS for n, i in enumerate(order)}
    folds = np.array([fold_of[name] for name in scores.identity])
    found = np.empty_like(scores.logit)
    for fold in range(_FOLDS):
        held_out = folds == fold
        found[held_out] = apply(fit_maps(scores, ~held_out, method, by_size=by_size), scores, held_out)
    return found


def figures(scores: ClipScores, odds: Floats, *, draws: int) -> tuple[Estimate, Estimate, Estimate]:
    """ECE, Brier score and log-loss over frames, with 95 % intervals over identities drawn again."""
    return (
        over_identities(scores, odds, calibration_error, draws=draws),
        over_identities(scores, odds, brier_score, draws=draws),
        over_identities(scores, odds, log_loss, draws=draws),
    )


def over_identities(
    scores: ClipScores,
    odds: Floats,
    figure: Callable[[npt.NDArray[np.int64], Floats], float],
    *,
    draws: int,
) -> Estimate:
    """A figure of (labels, values), and the middle 95 % of it over identities drawn again."""
    people = sorted(set(scores.identity.tolist()))
    rows = [np.flatnonzero(scores.identity == name) for name in people]
    rng = np.random.default_rng(0)

    def at(chosen: Sequence[int] | npt.NDArray[np.int64]) -> float:
        clips = np.concatenate([rows[i] for i in chosen])
        return figure(np.repeat(scores.label[clips], odds.shape[1]), odds[clips].ravel())

    drawn = [at(rng.integers(len(people), size=len(people))) for _ in range(draws)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value=at(range(len(people))), low=float(low), high=float(high))


def calibration_error(labels: npt.NDArray[np.int64], odds: Floats) -> float:
    """Expected calibration error in 15 bins of equal mass (Nguyen & O'Connor, EMNLP 2015)."""
    p = probabilities(odds)
    parts = np.array_split(np.argsort(p, kind="stable"), _BINS)
    gaps = [len(part) * abs(float(p[part].mean() - labels[part].mean())) for part in parts if len(part)]
    return sum(gaps) / len(p)


def brier_score(labels: npt.NDArray[np.int64], odds: Floats) -> float:
    """Mean squared distance of the probability from the label (Brier, 1950)."""
    return float(np.mean((probabilities(odds) - labels) ** 2))


def log_loss(labels: npt.NDArray[np.int64], odds: Floats) -> float:
    """Mean negative log-likelihood, in nats."""
    return float(np.mean(np.logaddexp(0, np.where(labels == 1, -odds, odds))))


def probabilities(odds: Floats) -> Floats:
    """Log-odds to (0, 1)."""
    return np.asarray(0.5 * (1 + np.tanh(odds / 2)), np.float64)


def conformal_high(scores: Floats, coverage: float) -> float:
    """The score that at least `coverage` of new scores do not exceed.

    Split conformal prediction (Vovk et al., 2005; Angelopoulos & Bates, 2023, section 1): of n scores that
    are exchangeable with the new one, the ceil((n + 1) * coverage)-th smallest.

    Raises:
        ModelError: n is so small that no score is high enough.
    """
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    if rank > len(scores):
        raise ModelError(
            f"{len(scores)} faces cannot promise a coverage of {coverage:g}: expected at least "
            f"{math.ceil(coverage / (1 - coverage))}; give more faces, or lower the coverage"
        )
    return float(np.sort(scores)[rank - 1])


class Bounds(NamedTuple):
    """The ends of the uncertain band, in [0, 1]."""

    low: float
    high: float
    """Of a rolling score."""
    mean_high: float
    """Of a clip's mean score."""


def conformal_bounds(scores: ClipScores, odds: Floats, *, real: float, fake: float) -> Bounds:
    """What the mean scores of real faces and of fakes keep to with the probabilities given.

    Each degradation holds every face once, so that its scores are exchangeable; of the degradations the
    most careful bound counts.

    Raises:
        ModelError: too few faces for the coverage.
    """
    mean_p = probabilities(odds).mean(axis=1)
    lows, highs = [], []
    for stream in sorted(set(scores.stream.tolist())):
        highs.append(conformal_high(mean_p[_of(scores, stream, 0)], real))
        lows.append(-conformal_high(-mean_p[_of(scores, stream, 1)], fake))
    return Bounds(min(lows), max(highs), max(highs))


def most_careful(bounds: Sequence[Bounds]) -> Bounds:
    """The widest band that any of `bounds` asks for."""
    lows, highs, mean_highs = zip(*bounds, strict=True)
    return Bounds(min(lows), max(highs), max(mean_highs))


def uncertain_band(bounds: Bounds, *, source: str) -> UncertainBand:
    """The band of a sidecar: in hundredths, rounded outwards.

    Raises:
        ModelError: no score is left above it.
    """
    low, mean_high = math.floor(bounds.low * 100) / 100, math.ceil(bounds.mean_high * 100) / 100
    # A short clip's rolling score, drawn to one half, may stay below its mean.
    high = max(math.ceil(bounds.high * 100) / 100, mean_high)
    if not 0 < high < 1:
        raise ModelError(
            f"real faces score up to {high:g}: no score is left that says fake; train the checkpoint "
            "further, or lower --coverage-real"
        )
    # A model that tells well leaves no doubt between the two: the careful bound towards fake stands.
    return UncertainBand(low=min(low, mean_high - 0.01), high=high, mean_high=mean_high, source=source)


def bounds_of_video(series: Sequence[Series], *, half_life_s: float, share: float) -> Bounds:
    """What real faces in real video keep to; they say nothing of `low`, which is 1.

    `high` is the lowest p that each face's rolling score stays at or below for `share` of its scored
    instants, `mean_high` the highest mean score of a face; neither is below one half.

    Args:
        series: calibrated log-odds of real faces in real video.
        half_life_s: of the rolling score.
        share: in (0, 1].
    """
    high = mean_high = UNKNOWN
    for each in series:
        p = probabilities(each.log_odds)
        rolling, shown = RollingScore(half_life_s), []
        for at_s, score in zip(each.pts_s.tolist(), p.tolist(), strict=True):
            rolling.add(at_s, score)
            shown.append(rolling.at(at_s).p_fake)
        high = max(high, float(np.quantile(shown, share, method="higher")))
        mean_high = max(mean_high, float(p.mean()))
    return Bounds(1.0, high, mean_high)


def _of(scores: ClipScores, stream: int, label: int) -> npt.NDArray[np.bool_]:
    """One clip of each identity under one degradation: the first."""
    chosen = (scores.stream == stream) & (scores.label == label)
    first = np.zeros(len(chosen), np.bool_)
    _, index = np.unique(scores.identity[chosen], return_index=True)
    first[np.flatnonzero(chosen)[index]] = True
    return first
