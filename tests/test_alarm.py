"""When a face's alarm is raised, when it is cleared, and what can never raise it."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.alarm import Alarms
from stream_detector.alarm import CLEAR_AFTER_S, GAP_S, HALF_LIFE_S, FaceAlarm
from stream_detector.records import AlarmDesign

REFERENCE, THRESHOLD, SIGMA, CORRELATION_S = 0.5, 4.0, 1.0, 0.6


def design(
    *, reference: float = REFERENCE, threshold: float = THRESHOLD, correlation_s: float = CORRELATION_S
) -> AlarmDesign:
    return AlarmDesign(
        false_alarms_per_day=1.0,
        reference=reference,
        threshold=threshold,
        most=2 * SIGMA,
        correlation_s=correlation_s,
        expected_per_day=0.9,
        worst_per_day=90.0,
        real_faces=200,
        delays_s=(3.0, 6.0, 20.0),
        detectable=0.8,
    )


def watched(
    log_odds: Sequence[float], score_hz: float, *, alarm: FaceAlarm | None = None, begin_s: float = 0.0
) -> tuple[FaceAlarm, list[float]]:
    """An alarm after these scores, and the times at which it changed."""
    alarm = FaceAlarm(design()) if alarm is None else alarm
    times = [begin_s + number / score_hz for number in range(len(log_odds))]
    return alarm, [t for t, x in zip(times, log_odds, strict=True) if alarm.score(t, x)]


def test_a_face_that_keeps_looking_fake_raises_the_alarm_once_and_it_holds() -> None:
    alarm, changes = watched([3.0] * 100, 5)
    assert len(changes) == 1
    assert alarm.raised
    assert alarm.raised_at_s == changes[0]
    assert alarm.level == 1.0


def test_the_evidence_is_said_to_begin_where_the_swap_did() -> None:
    alarm, _ = watched([-3.0] * 50 + [3.0] * 50, 5)
    assert alarm.since_s == pytest.approx(10.0, abs=0.3)


def test_a_face_that_scores_below_the_reference_for_a_day_has_no_evidence() -> None:
    alarm, changes = watched([REFERENCE - 0.01] * 86400, 1)
    assert (alarm.level, changes) == (0.0, [])


@pytest.mark.parametrize("score_hz", [0.1, 0.5, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("correlation_s", [0.1, 0.6, 5.0])
@pytest.mark.parametrize("threshold", [0.3, 4.0])
def test_no_odd_frame_raises_an_alarm_and_no_four_in_a_row(
    score_hz: float, correlation_s: float, threshold: float
) -> None:
    alarm = FaceAlarm(design(threshold=threshold, correlation_s=correlation_s))
    scores = ([-2.0] * 20 + [math.inf] * 4) * 20
    assert watched(scores, score_hz, alarm=alarm)[1] == []


def test_a_single_score_says_nothing_for_there_is_no_time_it_speaks_for() -> None:
    assert watched([math.inf], 5)[0].level == 0.0


def test_denser_scores_of_the_same_face_weigh_no_more_and_sparser_ones_hardly_less() -> None:
    levels = {hz: watched([REFERENCE + 0.5] * int(4 * hz + 1), hz)[0].level for hz in (2, 5, 25, 100)}
    assert levels[100] == pytest.approx(levels[25], rel=0.001)
    assert levels[25] == pytest.approx(levels[5], rel=0.02)
    assert levels[5] == pytest.approx(levels[2], rel=0.1)
    assert levels[2] < levels[5] < levels[25] < levels[100]


def test_an_alarm_is_cleared_once_its_level_has_stayed_low_and_begins_anew_at_zero() -> None:
    alarm, _ = watched([3.0] * 60, 5)
    _, changes = watched([-3.0] * 100, 5, alarm=alarm, begin_s=12.0)
    (cleared_s,) = changes
    assert not alarm.raised
    assert alarm.level == 0.0
    assert 12.0 + CLEAR_AFTER_S < cleared_s < 12.0 + CLEAR_AFTER_S + 3.0
    _, again = watched([3.0] * 60, 5, alarm=alarm, begin_s=40.0)
    assert len(again) == 1


def test_a_level_that_plays_about_the_threshold_is_one_alarm() -> None:
    """Where it falls below the half it comes back before the time is up."""
    cycle = [3.0] * 8 + [-3.0] * 8
    alarm, changes = watched([3.0] * 40 + cycle * 200, 5)
    assert len(changes) == 1
    assert alarm.raised


def test_evidence_stays_through_a_short_gap_and_ages_in_a_long_one() -> None:
    alarm, _ = watched([REFERENCE + 1.0] * 11, 5)
    level = alarm.level
    assert 0.3 < level < 0.9
    alarm.no_score(2.0 + GAP_S)
    assert alarm.level == level
    for step in range(1, 301):
        alarm.no_score(2.0 + GAP_S + HALF_LIFE_S * step / 300)
    assert alarm.level == pytest.approx(level / 2)


def test_what_ages_in_a_gap_is_the_same_however_often_the_face_was_seen_in_it() -> None:
    seen, unseen = (watched([REFERENCE + 1.0] * 11, 5)[0] for _ in range(2))
    for second in range(3, 60):
        seen.no_score(float(second))
    for alarm in (seen, unseen):
        alarm.score(60.0, REFERENCE)
    assert seen.level == pytest.approx(unseen.level)


def test_an_alarm_of_a_face_that_can_no_longer_be_scored_is_cleared_in_the_end() -> None:
    alarm, _ = watched([3.0] * 60, 5)
    changes = [second for second in range(13, 120) if alarm.no_score(float(second))]
    assert changes == [pytest.approx(11.8 + GAP_S + HALF_LIFE_S + CLEAR_AFTER_S, abs=1.5)]


def test_a_score_at_the_time_of_another_or_before_it_adds_nothing() -> None:
    alarm, _ = watched([REFERENCE + 1.0] * 11, 5)
    level = alarm.level
    assert not alarm.score(2.0, math.inf)
    assert not alarm.score(1.0, math.inf)
    assert alarm.level == level
    alarm.score(2.2, REFERENCE)
    assert alarm.level == pytest.approx(level)


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a number"):
        FaceAlarm(design()).score(0.0, math.nan)


_LOG_ODDS = st.floats(allow_nan=False, allow_infinity=True, width=32)
_STEP_S = st.one_of(st.floats(0, 5), st.floats(0, 1e6), st.floats(-10, 0))


@given(st.lists(st.tuples(_STEP_S, st.none() | _LOG_ODDS), max_size=60), st.floats(0.01, 1e3))
def test_whatever_comes_the_level_is_a_number_from_0_to_1_and_comes_again(
    steps: list[tuple[float, float | None]], threshold: float
) -> None:
    seen = []
    for _ in range(2):
        alarm, levels = FaceAlarm(design(threshold=threshold)), []
        for pts_s, (_, log_odds) in zip(itertools.accumulate(s for s, _ in steps), steps, strict=True):
            before = alarm.raised
            changed = alarm.no_score(pts_s) if log_odds is None else alarm.score(pts_s, log_odds)
            assert changed == (alarm.raised != before)
            assert 0.0 <= alarm.level <= 1.0
            assert alarm.level == 1.0 or not (changed and alarm.raised)
            levels.append((alarm.level, alarm.raised))
        seen.append(levels)
    assert seen[0] == seen[1]


def test_the_simulation_keeps_the_very_rule_of_the_program() -> None:
    rng = np.random.default_rng(3)
    faces, steps = 20, 1500
    together = Alarms(design(), faces)
    alone = [FaceAlarm(design()) for _ in range(faces)]
    for alarm in alone:
        alarm.score(0.0, 0.0)
    waited_s = np.zeros(faces)
    drift = 0.0
    raised = 0
    for number in range(1, steps + 1):
        drift = 0.98 * drift + 0.3 * rng.standard_normal()
        waited_s += 0.2
        log_odds = REFERENCE + drift + rng.standard_normal(faces)
        scored = rng.random(faces) > 0.3
        scored |= waited_s > GAP_S - 0.1  # what ages is the program's alone
        new = together.score(number * 0.2, waited_s, log_odds, scored)
        raised += int(new.sum())
        waited_s[scored] = 0.0
        for place, alarm in enumerate(alone):
            if scored[place]:
                changed = alarm.score(number * 0.2, float(log_odds[place]))
                assert (changed and alarm.raised) == new[place]
        assert together.evidence / THRESHOLD == pytest.approx([a.level for a in alone], abs=1e-9)
    assert raised > 10
