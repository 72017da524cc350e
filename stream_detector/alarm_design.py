"""From what was measured of a model to an alarm with a stated rate of false alarms."""

from contextlib import suppress
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from stream_detector.model_spec import AlarmFacts
from stream_detector.records import AlarmDesign

DETECT_WITHIN_S = 60.0
"""A fake whose alarm is to be expected within so much of its time in view counts as detectable."""
HOPELESS_S = 3600.0
"""A delay that is longer is not stated: who is in view for so long?"""
_DAY_S = 86400.0
_MOST = 2.0
"""Winsorisation, in standard deviations about the reference: a frame the model was never trained for may
score anything, and a swap that drops out for a second must not wipe out what was seen before. With 4 nothing
is found sooner."""
_LEAST_CORRELATION_S = 0.1
"""Frames closer than this show the same, whatever was measured."""
_NODES, _REACH = 31, 4.0
"""The autoregressive noise takes so many values within so many standard deviations; with twice as many,
delays change by 1 %."""
_FACES_SOLVED = 8
"""Means at which run lengths are solved for; in between their logarithms are interpolated."""
_SPAN = 1.5
"""In standard deviations: faces so much further from the reference count as this far: what they add, or
whether they are ever found, makes no difference any more."""
_BOUNDARY = 1.46
"""Overshoot of integrated Ornstein-Uhlenbeck noise at both ends, in its standard deviation: twice Milne's
extrapolation length, |zeta(1/2)| / 2. Only to choose the reference by."""

_Floats = npt.NDArray[np.float64]


class RunLengths:
    """Mean time from no evidence to the threshold, as the threshold varies, for some faces at once.

    Scores that follow each other without a gap make the statistic a fluid queue: its inflow is a
    function of a Markov chain, the noise, which takes finitely many values. Its mean first passage
    solves a linear differential equation with as many unknowns, exactly, by the eigenvectors of a
    small matrix (Anick, Mitra and Sondhi, Bell Syst. Tech. J. 61, 1982): the Markov-chain method of
    Brook and Evans (Biometrika 59, 1972) with the statistic left continuous.

    Everything is in units of the noise: standard deviation 1, time in independent scores (2 * correlation_s).
    """

    def __init__(self, below: _Floats) -> None:
        """`below`: (n,), how far each face's mean lies below the reference."""
        noise = np.linspace(-_REACH, _REACH, _NODES)
        middle = (noise[:-1] + noise[1:]) / 2
        weight = np.exp(-(noise**2) / 2)
        step = noise[1] - noise[0]
        self._share = weight / weight.sum()
        flux = 2.0 * np.exp(-(middle**2) / 2) / weight.sum() / step**2
        generator = np.diag(flux / self._share[:-1], 1) + np.diag(flux / self._share[1:], -1)
        generator -= np.diag(generator.sum(1))
        inflow = np.clip(noise - below[:, None], -_MOST, _MOST)
        self._inflow = np.where(np.abs(inflow) < 1e-6, 1e-6, inflow)
        drift = self._inflow @ self._share
        drift = np.where(np.abs(drift) < 1e-6, 1e-6, drift)
        rates, modes = np.linalg.eig(-generator / self._inflow[:, :, None])
        self._rates, self._modes = rates.real, modes.real  # real: the chain is reversible
        constant = np.argmin(np.abs(self._rates), axis=1)
        self._rates[np.arange(len(below)), constant] = 0.0
        # A particular solution: falling by `slope` per unit of evidence, and an offset for each value.
        self._slope = -1.0 / drift
        right = -1.0 - self._slope[:, None] * self._inflow
        self._offset = right @ np.linalg.pinv(generator).T

    def to(self, threshold: float) -> _Floats:
        """(n,) mean times, the noise in its stationary state at first.

        `below` must rise: where a time is too long for the arithmetic, the one before stands in for it.
        """
        at_zero = np.exp(np.where(self._rates > 0, -self._rates * threshold, 0.0))[:, None, :]
        at_end = np.exp(np.where(self._rates > 0, 0.0, self._rates * threshold))[:, None, :]
        rising = (self._inflow > 0)[:, :, None]
        # Evidence that rises is over at the threshold; at 0 what would fall stays, so the slope there is 0.
        system = np.where(rising, self._modes * at_end, self._modes * self._rates[:, None, :] * at_zero)
        ends = np.where(
            rising[:, :, 0], -(self._slope[:, None] * threshold + self._offset), -self._slope[:, None]
        )
        parts = _solved(system, ends[:, :, None])
        begin = self._offset + ((self._modes * at_zero) @ parts)[:, :, 0]
        times = np.asarray(begin @ self._share, np.float64)
        return np.maximum.accumulate(np.where(np.isfinite(times), times, 0.0))


def _solved(system: _Floats, ends: _Floats) -> _Floats:
    """Each system solved; no number where one is singular, for a time too long for the arithmetic."""
    try:
        return np.asarray(np.linalg.solve(system, ends), np.float64)
    except np.linalg.LinAlgError:
        parts = np.full_like(ends, np.nan)
        for at in range(len(system)):
            with suppress(np.linalg.LinAlgError):
                parts[at] = np.linalg.solve(system[at], ends[at])
        return parts


@lru_cache(maxsize=64)
def design_alarm(facts: AlarmFacts, false_alarms_per_day: float) -> AlarmDesign:
    """The alarm whose false alarms are at most as many as stated, and which finds fakes soonest.

    Real faces differ, and a face keeps its difference: run lengths are worked out for each real face
    measured, and the stated rate holds for every one of them. A mean over them would keep it too, while
    the one who looks most like a fake was called one a hundred times a day. Of all references the one is
    chosen that makes the mean delay over the fakes measured, none counted as more than `DETECT_WITHIN_S`,
    the shortest.

    The rate holds for any spacing of scores, regular or not: what is solved for is scores without a
    gap, and an allowance covers those further apart (see `_allowance`).

    Takes some 30 ms; asked again for the same, nothing.

    Args:
        false_alarms_per_day: per day of one face in view, > 0.
    """
    if not false_alarms_per_day > 0:
        raise ValueError(f"false_alarms_per_day must be above 0, got {false_alarms_per_day}")
    correlation_s = max(facts.correlation_s, _LEAST_CORRELATION_S)
    unit_s = 2.0 * correlation_s
    reals = np.array(facts.real_means) / facts.sigma
    fakes = np.array(facts.fake_means) / facts.sigma
    wanted = false_alarms_per_day * unit_s / _DAY_S
    reference = _best_reference(reals, fakes, wanted, DETECT_WITHIN_S / unit_s)
    below = reference - reals
    nodes = np.linspace(below.min(), below.min() + _SPAN, _FACES_SOLVED)
    lengths = RunLengths(nodes)

    def rates(threshold: float, allowance: _Floats) -> _Floats:
        return np.exp(np.interp(below, nodes, np.log(allowance / lengths.to(threshold))))

    def rate(threshold: float) -> float:
        return float(rates(threshold, _allowance(nodes)).max())

    # Never less than one independent score could add: what lasts for no longer is an artefact as likely.
    low = high = _MOST
    while rate(high) > wanted:
        low, high = high, 2.0 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle) > wanted else (low, middle)
    dense = rates(high, np.ones(len(nodes))) * _DAY_S / unit_s
    delays_s = unit_s * _interpolated(reference - fakes, high)
    quartiles = unit_s * _interpolated(reference - np.quantile(fakes, [0.75, 0.5, 0.25]), high)
    upper, median, lower = (float(delay_s) if delay_s < HOPELESS_S else None for delay_s in quartiles)
    return AlarmDesign(
        false_alarms_per_day=false_alarms_per_day,
        reference=float(reference * facts.sigma),
        threshold=high * facts.sigma,
        most=_MOST * facts.sigma,
        correlation_s=correlation_s,
        expected_per_day=float(dense.mean()),
        worst_per_day=float(dense.max()),
        real_faces=len(reals),
        delays_s=(upper, median, lower),
        detectable=float((delays_s <= DETECT_WITHIN_S).mean()),
    )


def _interpolated(below: _Floats, threshold: float) -> _Floats:
    """Mean times to the threshold for many faces, solved for a few."""
    nodes = np.linspace(np.clip(below.min(), -_REACH, 0.0), _SPAN, 2 * _FACES_SOLVED)
    return np.exp(np.interp(below, nodes, np.log(RunLengths(nodes).to(threshold))))


def _best_reference(reals: _Floats, fakes: _Floats, wanted: float, patience: float) -> float:
    """The reference with the shortest mean delay, by the closed form; in standard deviations."""
    references = reals.max() + np.linspace(0.05, 2.0, 40)
    below_reals, below_fakes = (references[:, None] - means for means in (reals, fakes))
    low, high = np.full(len(references), 0.1), np.full(len(references), 200.0)
    for _ in range(30):
        middle = (low + high) / 2
        too_often = (_allowance(below_reals) / _passage(below_reals, middle)).max(1) > wanted
        low, high = np.where(too_often, middle, low), np.where(too_often, high, middle)
    delays = np.minimum(_passage(below_fakes, high), patience).mean(1)
    return float(references[np.argmin(delays)])


def _passage(below: _Floats, threshold: _Floats) -> _Floats:
    """Mean time of a Brownian CUSUM with its boundary corrected (Siegmund, Sequential Analysis, 1985)."""
    slope = np.clip(below, -_MOST, _MOST)
    slope = np.where(np.abs(slope) < 1e-3, 1e-3, slope)
    far = np.minimum(2.0 * slope * (threshold[:, None] + _BOUNDARY), 500.0)
    return (np.exp(far) - 1.0 - far) / (2.0 * slope**2)


def _allowance(below: _Floats) -> _Floats:
    """How many times as often, at most, a real face raises the alarm where its scores are apart.

    Simulated at spacings from a fifth of the correlation time to four times it: 1.05 for faces 0.5
    standard deviations below the reference, 1.19 for 0.75, 1.31 for 1. With half of the scores dropped at
    random, up to 1.25 times as often for the face that lies just below the reference.
    """
    return 1.25 * np.exp(0.3 * np.minimum(below, 1.5) ** 2)
