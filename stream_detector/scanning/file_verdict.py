"""The rule for a whole file: from the scores of its faces to what may be said. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist, fmean

from stream_detector.scanning.results import FileVerdict, MeanScore

LEVEL = 0.95
"""Of a file's intervals, all of them together."""
LEAST_SCORES = 6
"""No verdict on fewer scores than this."""
LEAST_S = 3.0
"""No verdict on less media time than this from the first score to the last."""
LEAST_WORTH = 2.5
"""No interval, and no verdict, on scores worth fewer independent ones than this: it would be a guess."""
LEAST_SHARE = 0.5
"""`likely_real` needs a face to be scored in this part of the media time: who is away is not real."""
ASSUMED_CORRELATION_S = 1.0
"""How long neighbouring scores repeat each other at least, where the model's sidecar does not say."""
INDEPENDENT_S = 4.0
"""Scores so far apart count as independent looks whatever their correlation, but no more than LOOKS of them:
enough for a verdict on what hardly changes, too few for a narrow interval on what does."""
LOOKS = 3.0

Scored = tuple[float, float]
"""(media time in seconds, calibrated p_fake), in order of time."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the decision rests on besides the scores; all of it from the model's sidecar."""

    low: float
    """Means below are real, if their whole interval is."""
    high: float
    """Means above are fake, if their whole interval is."""
    correlation_s: float = ASSUMED_CORRELATION_S


@dataclass(frozen=True, slots=True)
class FaceEvidence:
    """What is known of one face."""

    scores: Sequence[Scored]
    suspicious: bool
    """Whether it was likely fake for a while, or its alarm was raised."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on a file and on each of its faces."""

    verdict: FileVerdict
    mean: MeanScore | None
    faces: Mapping[int, tuple[FileVerdict, MeanScore | None]]


def judge_file(faces: Mapping[int, FaceEvidence], *, share: float, rule: Rule) -> Judged:
    """What may be said of a file.

    `likely_fake` needs the interval of the mean of one face, or of all faces together, to lie above the
    band as a whole. Each further mean is one more chance of a false alarm, so all intervals get wider
    (Bonferroni). `likely_real` needs the interval of all to lie below the band, every face with enough
    evidence below it too, none suspicious, and a face in view for half of the time.

    Args:
        faces: by number.
        share: part of the media time in which a face was scored.
    """
    scored = {number: face for number, face in faces.items() if face.scores}
    if not scored:
        return Judged(FileVerdict.NO_FACE, None, dict.fromkeys(faces, (FileVerdict.NO_FACE, None)))
    enough = {number for number, face in scored.items() if is_enough(face.scores)}
    together = _together([face.scores for face in scored.values()])
    # One face alone is asked about once: its mean is that of all.
    questions = max(1, len(enough) + (len(scored) > 1))
    level = 1 - (1 - LEVEL) / questions
    mean = mean_score(together, correlation_s=rule.correlation_s, level=level)
    verdicts: dict[int, tuple[FileVerdict, MeanScore | None]] = {}
    for number, face in faces.items():
        if not face.scores:
            verdicts[number] = FileVerdict.NO_FACE, None
            continue
        own = mean_score(face.scores, correlation_s=rule.correlation_s, level=level)
        said = _said(own, rule, face.suspicious) if number in enough else FileVerdict.TOO_LITTLE
        verdicts[number] = said, own
    said_of = {number: verdicts[number][0] for number in enough}
    # Scenes that are cut often give many faces with little of each: together they may be enough.
    if not enough and not is_enough(together):
        return Judged(FileVerdict.TOO_LITTLE, mean, verdicts)
    suspicious = any(face.suspicious for face in scored.values())
    whole = _said(mean, rule, suspicious)
    if FileVerdict.LIKELY_FAKE in said_of.values() or (
        whole is FileVerdict.LIKELY_FAKE and is_enough(together)
    ):
        return Judged(FileVerdict.LIKELY_FAKE, mean, verdicts)
    if whole is FileVerdict.TOO_LITTLE and set(said_of.values()) <= {FileVerdict.TOO_LITTLE}:
        return Judged(FileVerdict.TOO_LITTLE, mean, verdicts)
    none_above = all(own is None or own.value < rule.low for n, (_, own) in verdicts.items() if n in enough)
    if whole is FileVerdict.LIKELY_REAL and none_above and share >= LEAST_SHARE:
        return Judged(FileVerdict.LIKELY_REAL, mean, verdicts)
    return Judged(FileVerdict.UNCERTAIN, mean, verdicts)


def is_enough(scores: Sequence[Scored]) -> bool:
    """Whether so many scores over so much time may support a verdict at all."""
    return len(scores) >= LEAST_SCORES and scores[-1][0] - scores[0][0] >= LEAST_S


def mean_score(scores: Sequence[Scored], *, correlation_s: float, level: float = LEVEL) -> MeanScore:
    """The mean of scores that follow each other in time, with an interval that knows they do.

    The n scores count as n (1 - r) / (1 + r) independent ones, r the correlation of neighbours
    (Bayley & Hammersley 1946): as measured in these scores, corrected for their small number (Kendall
    1954), but at least exp(-distance / correlation_s). They count as no fewer than one for every
    INDEPENDENT_S, up to LOOKS. The interval is Student's, in [0, 1]. It is about the mean of more of the
    same video, and says nothing of how far a model may be wrong about a face. Scores that never differ
    are of a still picture, and worth one.

    Args:
        scores: at least one.
        correlation_s: over which time scores repeat each other at least.
        level: of the interval.
    """
    values = [p_fake for _, p_fake in scores]
    n, mean = len(values), fmean(values)
    differences = [value - mean for value in values]
    squares = sum(d * d for d in differences)
    worth = 1.0
    if len(set(values)) > 1 and squares > 0.0:
        r = sum(a * b for a, b in pairwise(differences)) / squares
        distance_s = (scores[-1][0] - scores[0][0]) / (n - 1)
        least = math.exp(-distance_s / correlation_s) if correlation_s > 0 else 0.0
        r = min(0.99, max(least, r + (1 + 3 * r) / n))
        spans = (scores[-1][0] - scores[0][0]) / INDEPENDENT_S
        worth = max(1.0, min(spans, n, LOOKS), n * (1 - r) / (1 + r))
    low, high = 0.0, 1.0
    if worth >= LEAST_WORTH:
        deviation = math.sqrt(squares / (n * (1 - 1 / worth)))
        reach = student(worth - 1, level) * deviation / math.sqrt(worth)
        low, high = max(0.0, mean - reach), min(1.0, mean + reach)
    return MeanScore(value=mean, low=low, high=high, level=level, scores=n, worth=worth)


def student(freedom: float, level: float) -> float:
    """The two-sided quantile of Student's t (Hill 1970, Algorithm 396), within 2 % of it.

    Args:
        freedom: degrees, at least `LEAST_WORTH` - 1; need not be whole.
        level: inside of it.
    """
    outside = 1 - level
    a = 1 / (freedom - 0.5)
    b = 48 / (a * a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    y = (d * outside) ** (2 / freedom)
    if y > 0.05 + a:  # expand about the normal
        x = NormalDist().inv_cdf(outside / 2)
        y = x * x
        if freedom < 5:
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:  # far out in the tail
        y = 1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3)
        far = (d * outside) ** (2 / freedom)
        y = ((y + 0.5 / (freedom + 4)) * far - 1) * (freedom + 1) / (freedom + 2) + 1 / far
    return math.sqrt(freedom * y)


def _said(mean: MeanScore, rule: Rule, suspicious: bool) -> FileVerdict:
    if mean.worth < LEAST_WORTH:
        return FileVerdict.TOO_LITTLE
    if mean.low > rule.high:
        return FileVerdict.LIKELY_FAKE
    if mean.high < rule.low and not suspicious:
        return FileVerdict.LIKELY_REAL
    return FileVerdict.UNCERTAIN


def _together(series: Sequence[Sequence[Scored]]) -> list[Scored]:
    """All faces as one series: faces scored in the same frame count as their mean, once."""
    at: dict[float, list[float]] = {}
    for scores in series:
        for pts_s, p_fake in scores:
            at.setdefault(pts_s, []).append(p_fake)
    return [(pts_s, fmean(at[pts_s])) for pts_s in sorted(at)]
