"""Whether the alarm keeps the rate it states, and how soon it finds fakes: by simulation, seeded."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_detector.alarm import CLEAR_AFTER_S, CLEAR_LEVEL, MOST_PER_SCORE
from stream_detector.alarm_design import DETECT_WITHIN_S, design_alarm
from stream_detector.model_spec import AlarmFacts
from stream_detector.records import AlarmDesign

DAY_S = 86400.0
_BEFORE_S = 30.0
"""So long a face is real before the swap begins."""
_WINDOWS_S = (2.0, 5.0, 10.0, 30.0)
_CYCLE_S = 20.0
"""Bursts come once in so long."""
COMPARED_PER_DAY = 24.0
"""False alarms a day at which ways are compared: enough of them in hours to count."""
_CLOSE = 2.0
"""Real faces further below the most fake-looking one, in standard deviations, are simulated for a short
time only: they hardly ever raise an alarm."""

Floats = npt.NDArray[np.float64]


def stand_in_facts(
    *,
    real: float = -2.0,
    fake: float = 1.5,
    spread: float = 0.9,
    sigma: float = 1.0,
    correlation_s: float = 0.8,
) -> AlarmFacts:
    """Facts of a model that nobody measured: 200 real and 200 fake faces, normally spread."""
    places = [(place + 0.5) / 200 for place in range(200)]
    return AlarmFacts(
        real_means=tuple(NormalDist(real, spread).inv_cdf(p) for p in places),
        fake_means=tuple(NormalDist(fake, 1.5 * spread).inv_cdf(p) for p in places),
        sigma=sigma,
        correlation_s=correlation_s,
        source="made up, normally spread",
    )


@dataclass(frozen=True, slots=True)
class Spacing:
    """How scores lie in time."""

    score_hz: float
    dropped: float = 0.0
    """Share of them that never comes, at random."""

    def __str__(self) -> str:
        drops = f", {self.dropped:.0%} dropped" if self.dropped else ""
        return f"{self.score_hz:g} scores/s{drops}"


class Noise:
    """Autoregressive noise of many faces, standard deviation 1, by media time."""

    def __init__(self, faces: int, correlation_s: float, rng: np.random.Generator) -> None:
        self._rng = rng
        self._correlation_s = correlation_s
        self.value = rng.standard_normal(faces)

    def after(self, elapsed_s: Floats | float) -> Floats:
        """Each face's noise `elapsed_s` later."""
        phi = np.exp(-np.asarray(elapsed_s) / max(self._correlation_s, 1e-9))
        fresh = self._rng.standard_normal(len(self.value))
        self.value = phi * self.value + np.sqrt(1 - phi**2) * fresh
        return self.value


class Alarms:
    """Many `FaceAlarm`s at once: the same rule on arrays. A test holds the two against each other."""

    def __init__(self, design: AlarmDesign, faces: int) -> None:
        self._design = design
        self.evidence = np.zeros(faces)
        self.raised = np.zeros(faces, bool)
        self._low_since_s = np.full(faces, np.inf)

    def score(
        self, now_s: float, elapsed_s: Floats | float, log_odds: Floats, scored: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Score the faces in `scored`; returns whose alarm was raised by it. No gap may be long."""
        design = self._design
        most = design.threshold * MOST_PER_SCORE
        excess = np.clip(log_odds - design.reference, -design.most, design.most)
        step = np.clip(np.tanh(np.asarray(elapsed_s) / (2 * design.correlation_s)) * excess, -most, most)
        moved = np.clip(self.evidence + step, 0.0, design.threshold)
        self.evidence = np.where(scored, moved, self.evidence)
        new = ~self.raised & (self.evidence >= design.threshold)
        low = self.raised & (self.evidence / design.threshold < CLEAR_LEVEL) & scored
        self._low_since_s = np.where(
            low, np.minimum(self._low_since_s, now_s), np.where(scored, np.inf, self._low_since_s)
        )
        cleared = low & (now_s - self._low_since_s >= CLEAR_AFTER_S)
        self.evidence[cleared] = 0.0
        self._low_since_s[cleared] = np.inf
        self.raised = (self.raised & ~cleared) | new
        return new


def false_alarms(
    facts: AlarmFacts,
    design: AlarmDesign,
    spacing: Spacing,
    *,
    alarms: int,
    seed: int,
    each_s: float = 3600.0,
) -> dict[str, float]:
    """Simulate real faces, each of those measured for as long as every other, until about so many alarms.

    Time in which an alarm holds does not count: it cannot be raised again then.

    Returns:
        Alarms, face-days, the rate per day and its 95 % Poisson interval.
    """
    rng = np.random.default_rng(seed)
    means = np.array(facts.real_means)
    close = means[means > means.max() - _CLOSE * facts.sigma]
    copies = max(1, round(alarms / design.false_alarms_per_day * DAY_S / len(means) / each_s))
    faces = np.repeat(close, copies)
    noise = Noise(len(faces), facts.correlation_s, rng)
    watched = Alarms(design, len(faces))
    gap_s = 1.0 / spacing.score_hz
    steps = round(each_s * spacing.score_hz)
    waited_s = np.zeros(len(faces))
    raised, held = np.zeros(len(faces), int), np.zeros(len(faces), int)
    for number in range(1, steps + 1):
        waited_s += gap_s
        log_odds = faces + facts.sigma * noise.after(gap_s)
        scored = rng.random(len(faces)) >= spacing.dropped
        raised += watched.score(number * gap_s, waited_s, log_odds, scored)
        held += watched.raised
        waited_s[scored] = 0.0
    armed_days = ((steps - held) * gap_s / DAY_S).reshape(len(close), copies).sum(1)
    rate = float((raised.reshape(len(close), copies).sum(1) / armed_days).sum() / len(means))
    count = int(raised.sum())
    low, high = poisson_interval(count)
    return {
        "alarms": count,
        "days": len(means) * copies * each_s / DAY_S,
        "rate": rate,
        "low": rate * low / count if count else 0.0,
        "high": rate * high / count if count else high / (len(means) * copies * each_s / DAY_S),
    }


def hardest(facts: AlarmFacts) -> AlarmFacts:
    """The same with nobody but the real face that looks most like a fake: the stated rate is its rate."""
    return facts.model_copy(update={"real_means": (max(facts.real_means),) * 20})


def poisson_interval(count: int) -> tuple[float, float]:
    """The 95 % interval of a Poisson mean (Byar's approximation, within 1 % from 10 on)."""

    def byar(n: float, sign: float) -> float:
        return n * (1 - 1 / (9 * n) + sign * 1.96 / (3 * math.sqrt(n))) ** 3

    return (byar(count, -1.0) if count else 0.0), byar(count + 1, 1.0)


def scores_of(
    means: Floats,
    facts: AlarmFacts,
    score_hz: float,
    seconds: float,
    rng: np.random.Generator,
    swapped_to: Floats | None = None,
    duty: float = 1.0,
) -> Floats:
    """(steps, n) log-odds of real faces; from `_BEFORE_S` on swapped, in each cycle for `duty` of it."""
    noise = Noise(len(means), facts.correlation_s, rng)
    rows = []
    for number in range(round(seconds * score_hz)):
        at_s = number / score_hz - _BEFORE_S
        on = swapped_to is not None and at_s >= 0 and (at_s % _CYCLE_S) < duty * _CYCLE_S
        centre = swapped_to if on and swapped_to is not None else means
        rows.append(centre + facts.sigma * noise.after(1 / score_hz))
    return np.array(rows)


def cusum_alarms(scores: Floats, design: AlarmDesign, score_hz: float) -> npt.NDArray[np.bool_]:
    """Where in (steps, n) scores the alarm is raised."""
    watched = Alarms(design, scores.shape[1])
    everyone = np.ones(scores.shape[1], bool)
    gap_s = 1 / score_hz
    return np.array(
        [
            watched.score(number * gap_s, gap_s if number else 0.0, row, everyone)
            for number, row in enumerate(scores)
        ]
    )


def average_alarms(
    scores: Floats, window_s: float, threshold: float, score_hz: float
) -> npt.NDArray[np.bool_]:
    """Where the mean over the last `window_s` passes `threshold`, not having done so for `CLEAR_AFTER_S`."""
    return _risen(moving_average(scores, window_s, score_hz) > threshold, score_hz)


def moving_average(scores: Floats, window_s: float, score_hz: float) -> Floats:
    """(steps, n) means over the last `window_s`; -inf until that much is there."""
    wide = max(1, round(window_s * score_hz))
    sums = np.cumsum(scores, axis=0)
    mean = np.full(scores.shape, -np.inf)
    mean[wide - 1] = sums[wide - 1] / wide
    mean[wide:] = (sums[wide:] - sums[:-wide]) / wide
    return mean


def _risen(above: npt.NDArray[np.bool_], score_hz: float) -> npt.NDArray[np.bool_]:
    """The first of each row of steps that are `above`, less than `CLEAR_AFTER_S` apart."""
    back = max(1, round(CLEAR_AFTER_S * score_hz))
    counted = np.cumsum(above, axis=0, dtype=np.int32)
    before = np.zeros_like(counted)
    before[1:] = counted[:-1]
    recent = before.copy()
    recent[back + 1 :] -= counted[: -back - 1]
    return np.asarray(above & (recent == 0))


def matched_threshold(mean: Floats, alarms: int, score_hz: float) -> float:
    """The threshold of a moving average that is passed `alarms` times in all."""
    low, high = float(np.quantile(mean[np.isfinite(mean)], 0.5)), float(mean.max())
    for _ in range(24):
        middle = (low + high) / 2
        if int(_risen(mean > middle, score_hz).sum()) > alarms:
            low = middle
        else:
            high = middle
    return high


def delays_s(raised: npt.NDArray[np.bool_], score_hz: float) -> Floats:
    """(n,) from the swap to the first alarm after it; infinite where none came."""
    after = raised[round(_BEFORE_S * score_hz) :]
    first = np.argmax(after, axis=0) / score_hz
    return np.where(after.any(axis=0), first, np.inf)


def told(delays: Floats) -> dict[str, float | None]:
    """What a row of the table says of delays."""
    median = float(np.median(delays))
    return {
        "mean_s": float(np.minimum(delays, DETECT_WITHIN_S).mean()),
        "median_s": median if math.isfinite(median) else None,
        "within": float((delays <= DETECT_WITHIN_S).mean()),
    }


def compare(
    facts: AlarmFacts, design: AlarmDesign, *, score_hz: float, copies: int, hours: float, seed: int
) -> list[dict[str, Any]]:
    """The alarm and moving averages with as many false alarms of the hardest real face, on the same fakes.

    A face is real for `_BEFORE_S`, then swapped.
    """
    rng = np.random.default_rng(seed)
    reals, fakes = np.array(facts.real_means), np.array(facts.fake_means)
    close = np.array(hardest(facts).real_means)
    quiet = scores_of(np.repeat(close, copies), facts, score_hz, hours * 3600, rng)
    count = int(cusum_alarms(quiet, design, score_hz).sum())
    before = rng.choice(reals, len(fakes))
    seconds = _BEFORE_S + 2 * DETECT_WITHIN_S
    swapped = scores_of(before, facts, score_hz, seconds, rng, swapped_to=fakes)
    rows: list[dict[str, Any]] = [
        {"way": "alarm", "false_alarms": count}
        | told(delays_s(cusum_alarms(swapped, design, score_hz), score_hz))
    ]
    for window_s in _WINDOWS_S:
        mean = moving_average(quiet, window_s, score_hz)
        threshold = matched_threshold(mean, count, score_hz)
        raised = average_alarms(swapped, window_s, threshold, score_hz)
        rows.append(
            {
                "way": f"mean of the last {window_s:g} s",
                "false_alarms": int(_risen(mean > threshold, score_hz).sum()),
            }
            | told(delays_s(raised, score_hz))
        )
    return rows


def bursts(
    facts: AlarmFacts, design: AlarmDesign, duties: Sequence[float], *, score_hz: float, seed: int
) -> list[dict[str, Any]]:
    """How soon a swap is found that is there for a part of each `_CYCLE_S` only."""
    rng = np.random.default_rng(seed)
    fakes = np.array(facts.fake_means)
    rows = []
    for duty in duties:
        before = rng.choice(np.array(facts.real_means), len(fakes))
        seconds = _BEFORE_S + 5 * DETECT_WITHIN_S
        scores = scores_of(before, facts, score_hz, seconds, rng, swapped_to=fakes, duty=duty)
        delays = delays_s(cusum_alarms(scores, design, score_hz), score_hz)
        detectable = delays[fakes > np.quantile(fakes, 0.5)]
        rows.append(
            {"duty": duty}
            | told(delays)
            | {
                "within_300_s": float(np.isfinite(delays).mean()),
                "clear_fakes_within_300_s": float(np.isfinite(detectable).mean()),
            }
        )
    return rows


def measure_alarm(facts: AlarmFacts, *, alarms: int = 400, seed: int = 1) -> dict[str, Any]:
    """Everything the README's table says."""
    rates = []
    for per_day in (1.0, COMPARED_PER_DAY):
        design = design_alarm(facts, per_day)
        for spacing in (Spacing(10), Spacing(5), Spacing(5, 0.5), Spacing(2), Spacing(1)):
            found = false_alarms(hardest(facts), design, spacing, alarms=alarms, seed=seed)
            rates.append({"stated": per_day, "spacing": str(spacing)} | found)
    design = design_alarm(facts, 1.0)
    return {
        "facts": {
            "source": facts.source,
            "real_faces": len(facts.real_means),
            "fake_faces": len(facts.fake_means),
            "sigma": facts.sigma,
            "correlation_s": facts.correlation_s,
        },
        "design": asdict(design),
        "rates": rates,
        "ways": compare(
            facts, design_alarm(facts, COMPARED_PER_DAY), score_hz=5, copies=4, hours=2.0, seed=seed
        ),
        "bursts": bursts(facts, design, (0.1, 0.2, 0.3, 0.5, 1.0), score_hz=5, seed=seed),
    }


def alarm_table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "| false alarms per day of the hardest real face | stated, at most | simulated | 95 % interval |",
        "|---|--:|--:|--:|",
    ]
    lines += [
        f"| {row['spacing']} | {row['stated']:g} | {row['rate']:.3g} | {row['low']:.3g}–{row['high']:.3g} |"
        for row in result["rates"]
    ]
    lines += [
        "",
        f"| with as many false alarms of that face, {COMPARED_PER_DAY:g} a day | mean delay, 60 s at most "
        "| median | found within 60 s |",
        "|---|--:|--:|--:|",
    ]
    lines += [
        f"| {row['way']} | {row['mean_s']:.1f} s | {_seconds(row['median_s'])} | {row['within']:.0%} |"
        for row in result["ways"]
    ]
    lines += [
        "",
        f"| a swap that is there for … of each {_CYCLE_S:g} s | median delay | found within 60 s "
        "| within 300 s | of the clearer half of fakes |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['duty']:.0%} | {_seconds(row['median_s'])} | {row['within']:.0%} "
        f"| {row['within_300_s']:.0%} | {row['clear_fakes_within_300_s']:.0%} |"
        for row in result["bursts"]
    ]
    facts = result["facts"]
    lines += [
        "",
        f"Facts: {facts['source']}; {facts['real_faces']} real and {facts['fake_faces']} fake faces, "
        f"standard deviation {facts['sigma']:.2f} about a face's mean, correlation time "
        f"{facts['correlation_s']:.2f} s.",
    ]
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"
