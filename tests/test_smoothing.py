"""The rolling score: by media time, and fading to "unknown"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_detector.smoothing import UNKNOWN, RollingScore


def after(scores: list[tuple[float, float]], half_life_s: float = 2.0) -> RollingScore:
    rolling = RollingScore(half_life_s)
    for pts_s, p_fake in scores:
        rolling.add(pts_s, p_fake)
    return rolling


def test_without_evidence_nothing_is_known() -> None:
    assert RollingScore(2.0).at(100.0).p_fake == UNKNOWN
    assert RollingScore(2.0).at(100.0).weight == 0


def test_steady_evidence_is_believed() -> None:
    rolling = after([(i / 5, 0.95) for i in range(50)])
    assert rolling.at(9.8).p_fake == pytest.approx(0.95, abs=0.02)


def test_old_evidence_halves_with_the_half_life() -> None:
    rolling = after([(0.0, 1.0)], half_life_s=3.0)
    assert rolling.at(3.0).weight == pytest.approx(0.5)
    assert rolling.at(6.0).weight == pytest.approx(0.25)


@pytest.mark.parametrize("p_fake", [0.0, 0.02, 0.98, 1.0])
def test_a_face_that_is_no_longer_scored_fades_to_unknown_and_never_past_it(p_fake: float) -> None:
    rolling = after([(i / 5, p_fake) for i in range(50)])
    distances = [abs(rolling.at(9.8 + t).p_fake - UNKNOWN) for t in range(60)]
    sides = [(rolling.at(9.8 + t).p_fake - UNKNOWN) * (p_fake - UNKNOWN) for t in range(60)]
    assert distances == sorted(distances, reverse=True)
    assert all(side >= 0 for side in sides)
    assert distances[-1] < 0.001


def test_the_frame_rate_changes_the_score_little_where_the_evidence_is_the_same() -> None:
    at_rates = [
        after([(i / hz, 0.2 if i / hz < 5 else 0.9) for i in range(10 * hz)]).at(10.0).p_fake
        for hz in (5, 10, 30)
    ]
    assert max(at_rates) - min(at_rates) < 0.03


def test_a_stall_counts_by_its_media_time_not_by_its_frames() -> None:
    without = after([(0.0, 0.9), (0.2, 0.9), (10.0, 0.1)]).at(10.0).p_fake
    fresh = after([(10.0, 0.1)]).at(10.0).p_fake
    assert without == pytest.approx(fresh, abs=0.05)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=50),
    st.floats(0.1, 60),
    st.floats(0, 1000),
)
def test_the_rolling_score_stays_between_its_evidence_and_unknown(
    scores: list[tuple[float, float]], half_life_s: float, later_s: float
) -> None:
    scores = sorted(scores, key=lambda score: score[0])
    value = after(scores, half_life_s).at(scores[-1][0] + later_s).p_fake
    everything = [p for _, p in scores] + [UNKNOWN]
    assert min(everything) - 1e-9 <= value <= max(everything) + 1e-9


def test_a_half_life_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="half_life_s must be above 0"):
        RollingScore(0.0)
