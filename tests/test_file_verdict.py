"""The rule for a whole file, fed with scores whose truth is known."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from stream_detector.scanning.file_verdict import FaceEvidence, Rule, Scored, judge_file, mean_score, student
from stream_detector.scanning.results import FileVerdict
from stream_detector.scanning.segments import Moment, find_segments, thinned

RULE = Rule(low=0.3, high=0.7, correlation_s=1.0)


def series(values: Sequence[float], *, hz: float = 2.0, start_s: float = 0.0) -> list[Scored]:
    return [(start_s + index / hz, value) for index, value in enumerate(values)]


def around(middle: float, count: int, seed: int = 0, spread: float = 0.05) -> list[Scored]:
    noise = np.random.default_rng(seed).normal(0, spread, count)
    return series([float(np.clip(middle + each, 0, 1)) for each in noise])


def verdict(
    *faces: list[Scored], share: float = 1.0, suspicious: bool = False, rule: Rule = RULE
) -> FileVerdict:
    evidence = {number: FaceEvidence(scores, suspicious) for number, scores in enumerate(faces, 1)}
    return judge_file(evidence, share=share, rule=rule).verdict


def test_the_whole_interval_must_lie_beyond_the_band() -> None:
    assert verdict(around(0.95, 60)) is FileVerdict.LIKELY_FAKE
    assert verdict(around(0.5, 60)) is FileVerdict.UNCERTAIN
    assert verdict(around(0.05, 60)) is FileVerdict.LIKELY_REAL
    barely = around(0.72, 60, spread=0.2)
    assert mean_score(barely, correlation_s=1.0).value > RULE.high
    assert verdict(barely) is FileVerdict.UNCERTAIN


def test_the_band_decides_and_not_a_number_of_our_own() -> None:
    assert verdict(around(0.8, 60)) is FileVerdict.LIKELY_FAKE
    assert verdict(around(0.8, 60), rule=Rule(0.3, 0.9)) is FileVerdict.UNCERTAIN


def test_without_a_scored_face_nothing_is_said() -> None:
    assert verdict() is FileVerdict.NO_FACE
    assert verdict([]) is FileVerdict.NO_FACE


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_scores_are_too_little_however_high(count: int) -> None:
    assert verdict(around(0.99, count, spread=0.001)) is FileVerdict.TOO_LITTLE


def test_many_scores_within_a_moment_are_too_little() -> None:
    assert verdict(series([0.99, 0.98] * 20, hz=30)) is FileVerdict.TOO_LITTLE


@pytest.mark.parametrize("value", [0.01, 0.99])
def test_a_picture_that_never_changes_is_one_look_and_never_real_or_fake(value: float) -> None:
    assert verdict(series([value] * 200)) is FileVerdict.TOO_LITTLE


def test_who_is_away_most_of_the_time_is_not_called_real() -> None:
    assert verdict(around(0.05, 60), share=0.49) is FileVerdict.UNCERTAIN


def test_a_burst_of_fake_keeps_a_file_from_being_called_real() -> None:
    assert verdict(around(0.05, 60), suspicious=True) is FileVerdict.UNCERTAIN


def test_one_fake_face_among_real_ones_makes_the_file_likely_fake() -> None:
    assert verdict(around(0.05, 60, 1), around(0.05, 60, 2), around(0.97, 60, 3)) is FileVerdict.LIKELY_FAKE


def test_more_faces_need_more_evidence_each() -> None:
    def level(count: int) -> float:
        faces = {n: FaceEvidence(around(0.1, 60, n), False) for n in range(count)}
        mean = judge_file(faces, share=1.0, rule=RULE).mean
        assert mean is not None
        return mean.level

    assert level(1) == pytest.approx(0.95)
    assert level(4) == pytest.approx(1 - 0.05 / 5)


def test_scenes_cut_short_are_judged_together() -> None:
    cuts = [[(10 * scene + at, p) for at, p in around(0.96, 4, scene)] for scene in range(15)]
    assert verdict(*cuts) is FileVerdict.LIKELY_FAKE


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.8])
def test_the_interval_holds_the_true_mean_as_often_as_it_says(correlation: float) -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(600):
        steps = rng.normal(0, 1, 80)
        values = [steps[0]]
        for step in steps[1:]:
            values.append(correlation * values[-1] + math.sqrt(1 - correlation**2) * step)
        scores = series([0.5 + 0.08 * float(value) for value in values])
        mean = mean_score(scores, correlation_s=1.0)
        held += mean.low <= 0.5 <= mean.high
    assert held / 600 >= 0.92


def test_scores_that_repeat_each_other_are_worth_less() -> None:
    slow = series([0.5 + 0.2 * math.sin(i / 8) for i in range(60)])
    fast = around(0.5, 60, spread=0.14)
    assert mean_score(slow, correlation_s=0.1).worth < 0.3 * mean_score(fast, correlation_s=0.1).worth


def test_quantiles_agree_with_tables_of_students_t() -> None:
    for freedom, level, expected in [
        (2, 0.95, 4.303),
        (4, 0.95, 2.776),
        (10, 0.99, 3.169),
        (1000, 0.95, 1.962),
    ]:
        assert student(freedom, level) == pytest.approx(expected, rel=0.002)


def test_a_swap_that_drops_out_for_a_second_is_one_segment() -> None:
    states = [True] * 6 + [False] * 2 + [True] * 4 + [False] * 20 + [True]
    moments = [Moment(index / 2, 0.9 if fake else 0.4, fake) for index, fake in enumerate(states)]
    segments = find_segments(moments, step_s=0.5)
    assert [(s.start_s, s.end_s) for s in segments] == [(0.0, 6.0), (16.0, 16.5)]
    assert find_segments([], step_s=0.5) == ()


def test_a_long_timeline_keeps_its_peaks() -> None:
    moments = [Moment(index / 2, 0.99 if index == 1717 else 0.2, False) for index in range(5000)]
    points = thinned(moments, most=240)
    assert len(points) <= 240
    assert max(p for _, p in points) == 0.99
    assert [at for at, _ in points] == sorted(at for at, _ in points)
