"""When the evidence that a face is fake is enough to call somebody: a sequential test per face."""

import math

from stream_detector.records import AlarmDesign

MOST_PER_SCORE = 0.2
"""One score moves the level by no more than this, up or down: no odd frame, nor four, raise an alarm."""
GAP_S = 2.0
"""Media time without a usable score that leaves the evidence as it is: a turn of the head."""
HALF_LIFE_S = 30.0
"""Beyond that the evidence halves with every so much media time: what was long ago says little of now."""
CLEAR_LEVEL = 0.5
CLEAR_AFTER_S = 5.0
"""An alarm is cleared once its level has stayed below `CLEAR_LEVEL` for so much media time, and begins
anew at 0: a level that plays about the threshold is one alarm, not many."""


class FaceAlarm:
    """The alarm of one face: a one-sided CUSUM (Page, Biometrika 41, 1954) over log-likelihood ratios.

    With x the calibrated log-likelihood ratio of a score and d the media time since the score before,

        S <- max(0, S + w(d) * clip(x - reference, -most, most)),   w(d) = tanh(d / (2 * correlation_s))

    and the alarm is raised where S reaches the threshold. w(d) is how many independent scores one of
    a row with this spacing is worth, where scores t apart correlate as exp(-t / correlation_s): ten
    scores a second weigh as much as two where they repeat each other, so that dropped or denser scores
    do not change the rate of false alarms. A first score weighs nothing: there is no time it speaks for.

    Pure: no clock, no thread; only media time counts. The same calls give the same numbers, bit for bit.
    """

    def __init__(self, design: AlarmDesign) -> None:
        """No evidence yet."""
        self.design = design
        self._most = design.threshold * MOST_PER_SCORE
        self._evidence = 0.0
        self._scored_s: float | None = None
        self._aged_to_s = 0.0
        self._low_since_s: float | None = None
        self.since_s = 0.0
        """Media time from which the evidence has been more than none: where the fake is thought to begin."""
        self.raised_at_s: float | None = None
        """Media time when the alarm was raised that holds now; None where none does."""

    @property
    def level(self) -> float:
        """The evidence over the threshold, in [0, 1]."""
        return self._evidence / self.design.threshold

    @property
    def raised(self) -> bool:
        """Whether the alarm has been raised and not been cleared since."""
        return self.raised_at_s is not None

    def score(self, pts_s: float, log_odds: float) -> bool:
        """Take the next usable score of the face; returns whether `raised` changed.

        Args:
            pts_s: media time; one before the newest counts as the newest.
            log_odds: calibrated log-likelihood ratio of fake against real; infinite is allowed.

        Raises:
            ValueError: `log_odds` is no number.
        """
        if math.isnan(log_odds):
            raise ValueError("log_odds must be a number, got nan")
        before_s = pts_s if self._scored_s is None else self._scored_s
        pts_s = max(pts_s, before_s)
        self._age(pts_s)
        self._scored_s = self._aged_to_s = pts_s
        design = self.design
        excess = min(max(log_odds - design.reference, -design.most), design.most)
        step = math.tanh((pts_s - before_s) / (2.0 * design.correlation_s)) * excess
        if self._evidence == 0.0:
            self.since_s = before_s
        raised_to = self._evidence + min(max(step, -self._most), self._most)
        self._evidence = min(max(raised_to, 0.0), design.threshold)
        return self._decide(pts_s)

    def no_score(self, pts_s: float) -> bool:
        """The face is in view at `pts_s`, but no score of it counts; returns whether `raised` changed."""
        self._age(pts_s)
        return self._decide(pts_s)

    def _age(self, pts_s: float) -> None:
        if self._scored_s is None:
            return
        begin_s = max(self._aged_to_s, self._scored_s + GAP_S)
        if pts_s > begin_s:
            self._evidence *= 0.5 ** ((pts_s - begin_s) / HALF_LIFE_S)
            self._aged_to_s = pts_s

    def _decide(self, pts_s: float) -> bool:
        if self.raised_at_s is None:
            if self._evidence < self.design.threshold:
                return False
            self.raised_at_s, self._low_since_s = pts_s, None
            return True
        if self.level >= CLEAR_LEVEL:
            self._low_since_s = None
            return False
        if self._low_since_s is None:
            self._low_since_s = pts_s
        if pts_s - self._low_since_s < CLEAR_AFTER_S:
            return False
        self._evidence, self.raised_at_s = 0.0, None
        return True
