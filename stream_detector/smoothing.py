"""A rolling score by media time: recent evidence counts more, and no evidence fades to "unknown"."""

import math
from dataclasses import dataclass

UNKNOWN = 0.5
"""Where a score without evidence lies: neither real nor fake."""
PRIOR_WEIGHT = 0.5
"""How many fresh scores the absence of knowledge weighs; it draws thin evidence towards UNKNOWN."""
SLOW = 10.0
"""The slow scale's half-life over the fast one's."""
FADED_WEIGHT = 0.25
"""Evidence worth less than this many fresh scores is forgotten: after such a gap a face warms up anew,
so that no verdict ever rests on a single look."""


@dataclass(frozen=True, slots=True)
class Rolling:
    """A rolling score as it stands at one instant."""

    p_fake: float
    """In [0, 1]; UNKNOWN without evidence."""
    weight: float
    """How many fresh scores the evidence is worth now."""
    count: int
    """How many scores it was made from, those not counted that had faded when the next one came."""
    span_s: float
    """Media time from the first of them to the newest."""


class RollingScore:
    """The evidence on one face, each score halved in weight every `half_life_s` of media time.

    Only media time counts, so the frame rate, a stall or a faster computer change nothing. With
    weights w_i = 2^(-(t - t_i) / half_life) the value is

        (PRIOR_WEIGHT * UNKNOWN + sum w_i p_i) / (PRIOR_WEIGHT + sum w_i)

    so a face that can no longer be scored drifts to UNKNOWN, and never to "real".
    Pure: no clock, no thread.
    """

    def __init__(self, half_life_s: float) -> None:
        """No evidence yet. `half_life_s` > 0."""
        if half_life_s <= 0:
            raise ValueError(f"half_life_s must be above 0, got {half_life_s}")
        self.half_life_s = half_life_s
        """May be changed; it holds from the next call on."""
        self._weight = 0.0
        self._weighted_p = 0.0
        self._count = 0
        self._first_s = 0.0
        self._newest_s = 0.0

    def add(self, pts_s: float, p_fake: float) -> None:
        """Count one score. `pts_s` never falls; `p_fake` in [0, 1]."""
        fade = self._fade(pts_s) if self._count else 0.0
        if self._weight * fade < FADED_WEIGHT:
            self._count = 0
        self._weight = self._weight * fade + 1.0
        self._weighted_p = self._weighted_p * fade + p_fake
        if self._count == 0:
            self._first_s = pts_s
        self._count += 1
        self._newest_s = pts_s

    def at(self, pts_s: float) -> Rolling:
        """The value at media time `pts_s`, at or after the newest score."""
        fade = self._fade(pts_s)
        weight = self._weight * fade
        p_fake = (PRIOR_WEIGHT * UNKNOWN + self._weighted_p * fade) / (PRIOR_WEIGHT + weight)
        return Rolling(p_fake, weight, self._count, self._newest_s - self._first_s)

    def _fade(self, pts_s: float) -> float:
        if self._count == 0:
            return 1.0
        return math.pow(2.0, -max(0.0, pts_s - self._newest_s) / self.half_life_s)
