"""The stated rate of false alarms holds, and fakes are found sooner than by a moving average."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.alarm import (
    Spacing,
    bursts,
    compare,
    cusum_alarms,
    false_alarms,
    hardest,
    poisson_interval,
    scores_of,
    stand_in_facts,
)
from stream_detector.alarm_design import RunLengths, design_alarm
from stream_detector.model_spec import AlarmFacts

FACTS = stand_in_facts()


def test_the_interval_of_a_poisson_mean_is_that_of_the_tables() -> None:
    """Garwood's exact limits, as tabulated."""
    assert poisson_interval(10) == pytest.approx((4.795, 18.39), rel=0.01)
    assert poisson_interval(100) == pytest.approx((81.36, 121.63), rel=0.01)
    assert poisson_interval(0)[0] == 0.0


@pytest.mark.parametrize(
    ("facts", "spacing"),
    [
        (FACTS, Spacing(10)),
        (FACTS, Spacing(5)),
        (FACTS, Spacing(5, dropped=0.5)),
        (stand_in_facts(correlation_s=0.3), Spacing(5)),
        (stand_in_facts(correlation_s=3.0), Spacing(2)),
        (stand_in_facts(real=-3.0, spread=1.5, sigma=0.6), Spacing(5)),
    ],
    ids=["10 Hz", "5 Hz", "half dropped", "brief", "slow", "strong"],
)
def test_real_faces_raise_the_alarm_as_often_as_stated(facts: AlarmFacts, spacing: Spacing) -> None:
    """The real face that looks most like a fake, and scores that repeat each other.

    The rate that the design expects lies in the 95 % interval of the simulated one; the stated rate, which
    allows for scores of any spacing, is never below that interval.
    """
    design = design_alarm(facts, 24.0)
    found = false_alarms(hardest(facts), design, spacing, alarms=300, seed=3, each_s=1800)
    assert found["alarms"] > 150
    assert found["low"] <= design.worst_per_day <= found["high"], (found, design)
    assert found["low"] <= 24.0, found


@pytest.mark.parametrize("spacing", [Spacing(1), Spacing(0.5), Spacing(5, dropped=0.9)], ids=str)
@pytest.mark.parametrize("per_day", [1.0, 24.0])
def test_sparse_scores_raise_no_more_false_alarms_than_stated(per_day: float, spacing: Spacing) -> None:
    design = design_alarm(FACTS, per_day)
    found = false_alarms(hardest(FACTS), design, spacing, alarms=150, seed=12, each_s=1800)
    assert found["low"] <= per_day, found
    assert found["rate"] > 0.2 * per_day, found


@pytest.mark.parametrize(("below", "threshold"), [(0.5, 4.0), (0.2, 6.0), (-1.0, 4.0)])
def test_the_run_lengths_that_were_worked_out_are_those_of_a_simulation(
    below: float, threshold: float
) -> None:
    """Mean time from no evidence to the alarm, within 4 standard errors of 2000 simulated ones."""
    (expected,) = RunLengths(np.array([below])).to(threshold)
    facts = FACTS.model_copy(update={"sigma": 1.0, "correlation_s": 0.5})  # an independent score a second
    design = replace(
        design_alarm(FACTS, 1.0), reference=below, threshold=threshold, most=2.0, correlation_s=0.5
    )
    faces, score_hz, seconds = 2000, 20.0, 8.0 if below < 0 else 0.3 * expected
    scores = scores_of(np.zeros(faces), facts, score_hz, seconds, np.random.default_rng(13))
    raised = cusum_alarms(scores, design, score_hz)
    found = int(raised.any(0).sum())
    waited_s = np.where(raised.any(0), raised.argmax(0) / score_hz, seconds).sum()
    # Those still waiting at the end count too, as for an exponential time; hardly any are where it is short.
    assert expected == pytest.approx(waited_s / found, rel=4 / np.sqrt(found) + 0.02)


def test_the_alarm_finds_fakes_sooner_than_moving_averages_with_as_many_false_alarms() -> None:
    alarm, *averages = compare(FACTS, design_alarm(FACTS, 24.0), score_hz=5, copies=3, hours=2.0, seed=14)
    for average in averages:
        assert average["false_alarms"] <= alarm["false_alarms"]
        assert alarm["mean_s"] < average["mean_s"], (alarm, average)
    # Of 200 fakes the slowest of the averages may find one more in the end, long after the alarm found most.
    assert alarm["within"] >= max(average["within"] for average in averages) - 0.01


def test_a_swap_that_comes_and_goes_is_found_if_it_is_clear_enough() -> None:
    """Of the clearer half of fakes, at two false alarms an hour of the hardest real face; a swap of 2 s in
    every 20 is too little for that."""
    rows = {
        row["duty"]: row["clear_fakes_within_300_s"]
        for row in bursts(FACTS, design_alarm(FACTS, 48.0), (0.1, 0.3, 0.5), score_hz=5, seed=15)
    }
    assert rows[0.5] > 0.95
    assert rows[0.3] > 0.8
    assert rows[0.1] < rows[0.3]


def test_a_model_that_tells_well_finds_a_swap_of_two_seconds_in_twenty_within_its_first_two_bursts() -> None:
    facts = stand_in_facts(real=-3.0, fake=3.0, spread=0.6, correlation_s=0.5)
    for row in bursts(facts, design_alarm(facts, 1.0), (0.1, 0.2, 0.5), score_hz=5, seed=18):
        assert row["within"] > 0.95, row
        assert row["median_s"] <= 22.0, row


def test_a_rarer_alarm_is_a_later_one() -> None:
    designs = [design_alarm(FACTS, per_day) for per_day in (0.01, 0.1, 1.0, 10.0)]
    for rarer, oftener in pairwise(designs):
        assert rarer.threshold > oftener.threshold
        assert rarer.detectable <= oftener.detectable
        assert rarer.delays_s[1] is not None
        assert oftener.delays_s[1] is not None
        assert rarer.delays_s[1] > oftener.delays_s[1]
    for design in designs:
        assert 0.7 < design.worst_per_day / design.false_alarms_per_day <= 1.0
        assert design.worst_per_day > design.expected_per_day


def test_no_alarm_rests_on_less_than_one_independent_score_could_say() -> None:
    """However often it may be false, and however well the model tells."""
    for facts in (FACTS, stand_in_facts(real=-9.0, fake=9.0)):
        design = design_alarm(facts, 1000.0)
        assert design.threshold >= design.most
        assert design.worst_per_day < 1000.0
    assert design.threshold == design.most


@pytest.mark.parametrize("per_day", [0.001, 1.0, 1000.0])
@pytest.mark.parametrize("faces", [20, 3000])
@pytest.mark.parametrize("spread", [0.001, 1.0, 100.0])
@pytest.mark.parametrize("correlation_s", [0.0, 1.0, 100.0])
def test_every_fact_that_a_sidecar_may_hold_gets_a_design(
    per_day: float, faces: int, spread: float, correlation_s: float
) -> None:
    rng = np.random.default_rng(17)
    facts = AlarmFacts(
        real_means=tuple(np.sort(rng.normal(0.0, spread, faces))),
        fake_means=tuple(np.sort(rng.normal(1.0, spread, faces))),
        sigma=0.7,
        correlation_s=correlation_s,
        source="made up",
    )
    design = design_alarm(facts, per_day)
    assert np.isfinite([design.threshold, design.reference, design.worst_per_day]).all()
    assert 0.0 < design.expected_per_day <= per_day
    assert 0.0 <= design.detectable <= 1.0


def test_the_reference_lies_above_every_real_face_that_was_measured() -> None:
    for per_day in (0.01, 1.0, 1000.0):
        assert design_alarm(FACTS, per_day).reference > max(FACTS.real_means)


def test_a_model_that_cannot_tell_says_so_instead_of_finding_everybody() -> None:
    facts = stand_in_facts(real=0.0, fake=0.0)
    design = design_alarm(facts, 1.0)
    assert design.detectable < 0.15
    assert design.delays_s[1:] == (None, None)


def test_more_faces_measured_leave_fewer_unseen() -> None:
    assert design_alarm(FACTS, 1.0).unseen == pytest.approx(3 / 200)
    few = AlarmFacts(
        real_means=FACTS.real_means[:20],
        fake_means=FACTS.fake_means[:20],
        sigma=1.0,
        correlation_s=0.5,
        source="few",
    )
    assert design_alarm(few, 1.0).unseen == pytest.approx(0.15)


def test_scores_that_do_not_repeat_each_other_still_get_a_design() -> None:
    facts = FACTS.model_copy(update={"correlation_s": 0.0})
    design = design_alarm(facts, 1.0)
    found = false_alarms(hardest(facts), design, Spacing(5), alarms=60, seed=16, each_s=600)
    assert found["low"] <= 1.0


@pytest.mark.parametrize("per_day", [0.0, -1.0, float("nan")])
def test_a_rate_that_makes_no_sense_is_refused(per_day: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        design_alarm(FACTS, per_day)


def test_faces_all_alike_and_far_apart_get_a_design_too() -> None:
    """Twenty equal means, and means a hundred standard deviations apart: no division by zero, no overflow."""
    for real, fake in ((0.0, 0.0), (-1.0, 1.0), (-100.0, 100.0), (100.0, -100.0)):
        facts = AlarmFacts(
            real_means=(real,) * 20, fake_means=(fake,) * 20, sigma=1.0, correlation_s=0.5, source="alike"
        )
        design = design_alarm(facts, 1.0)
        assert design.reference > real
        assert np.isfinite(design.threshold)
        assert design.detectable == (1.0 if fake > real else 0.0)
