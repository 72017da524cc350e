"""What the scores of faces do in time: the facts that an alarm's rate of false alarms rests on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine_build.filmed_faces import ClipScores, Floats
from stream_detector.errors import ModelError
from stream_detector.model_spec import AlarmFacts
from stream_detector.optional import require

LEAST_SCORES = 5
"""Shorter series say too little of how scores vary in time."""
_LONGEST_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The calibrated log-odds of one real face in one clip."""

    clip: str
    pts_s: Floats
    """(n,), rising."""
    log_odds: Floats
    """(n,)"""


def alarm_facts(scores: ClipScores, odds: Floats, series: Sequence[Series], source: str) -> AlarmFacts:
    """From filmed faces, cross-fitted, how faces differ; from real video how one face's scores vary.

    Raises:
        ModelError: too few faces, or no real video to measure on.
    """
    sigma, correlation_s = within_face(series)
    return AlarmFacts(
        real_means=_means(scores, odds, 0),
        fake_means=_means(scores, odds, 1),
        sigma=round(sigma, 4),
        correlation_s=round(correlation_s, 3),
        source=source,
    )


def _means(scores: ClipScores, odds: Floats, label: int) -> tuple[float, ...]:
    """One per person, rising: the mean over one clip, chosen by turns among the degradations."""
    chosen = scores.label == label
    people = sorted(set(scores.identity[chosen].tolist()))
    means = []
    for number, name in enumerate(people):
        mine = np.flatnonzero(chosen & (scores.identity == name))
        means.append(round(float(odds[mine[number % len(mine)]].mean()), 4))
    return tuple(sorted(means))


def within_face(series: Sequence[Series]) -> tuple[float, float]:
    """(sigma, correlation_s) of scores about their face's mean, pooled over clips.

    The autocorrelation is exp(-t / correlation_s). By restricted maximum likelihood (Patterson & Thompson,
    Biometrika 1971): it takes out each clip's unknown mean, which in short clips would otherwise take most
    of the slow variation with it, and bias both towards 0.

    Raises:
        ModelError: fewer than three clips with enough scores.
    """
    optimize = require("scipy.optimize", why="measuring the correlation of scores", extra="build")
    long = [each for each in series if len(each.log_odds) >= LEAST_SCORES]
    if len(long) < 3:
        raise ModelError(
            f"cannot measure how scores vary in time on {len(long)} real clips: expected at least 3 of "
            f"{LEAST_SCORES} scores and more; give longer --clips"
        )
    freedom = sum(len(each.log_odds) - 1 for each in long)

    def profile(log_s: float) -> tuple[float, float]:
        """(-2 x restricted log-likelihood, variance) at this correlation time."""
        squares = determinants = 0.0
        for each in long:
            gaps = np.abs(each.pts_s[:, None] - each.pts_s[None, :])
            shape = np.exp(-gaps / np.exp(log_s)) + 1e-9 * np.eye(len(gaps))
            inverse = np.linalg.inv(shape)
            weight = float(inverse.sum())
            left = each.log_odds - float((inverse @ each.log_odds).sum()) / weight
            squares += float(left @ inverse @ left)
            determinants += float(np.linalg.slogdet(shape)[1]) + np.log(weight)
        variance = squares / freedom
        return freedom * float(np.log(variance)) + determinants, variance

    found = optimize.minimize_scalar(
        lambda log_s: profile(log_s)[0], bounds=(np.log(0.01), np.log(_LONGEST_S)), method="bounded"
    )
    return float(np.sqrt(profile(found.x)[1])), float(np.exp(found.x))
