from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from stream_detector.sources.timeline import Timeline


def _place(timeline: Timeline, *pts_s: str | None) -> list[tuple[float, bool]]:
    placed = [timeline.place(None if at is None else Fraction(at)) for at in pts_s]
    return [(float(at_s), follows) for at_s, follows in placed]


def test_a_stream_that_starts_at_hours_starts_at_zero() -> None:
    assert _place(Timeline(Fraction(25)), "10800", "10800.04") == [(0.0, True), (0.04, True)]


def test_a_jump_back_goes_on_one_interval_later_and_does_not_follow() -> None:
    assert _place(Timeline(Fraction(25)), "5", "5.04", "1", "1.04") == [
        (0.0, True),
        (0.04, True),
        (0.08, False),
        (0.12, True),
    ]


def test_a_jump_ahead_goes_on_one_interval_later_and_does_not_follow() -> None:
    assert _place(Timeline(Fraction(25)), "0", "100", "100.04") == [(0.0, True), (0.04, False), (0.08, True)]


def test_a_pause_of_some_seconds_is_time_that_passed() -> None:
    assert _place(Timeline(Fraction(25)), "0", "9", "9.04") == [(0.0, True), (9.0, True), (9.04, True)]


def test_one_picture_a_minute_is_slow_and_no_jump() -> None:
    assert _place(Timeline(Fraction(1, 60)), "0", "60", "120") == [(0.0, True), (60.0, True), (120.0, True)]


def test_a_small_step_back_is_held() -> None:
    assert _place(Timeline(Fraction(25)), "0", "0.1", "0.05", "0.14") == [
        (0.0, True),
        (0.1, True),
        (0.1, True),
        (0.14, True),
    ]


def test_missing_timestamps_are_filled_from_the_stated_rate_or_the_last_interval() -> None:
    assert _place(Timeline(Fraction(10)), None, None, "7", "7.1") == [
        (0.0, True),
        (0.1, True),
        (0.2, True),
        (0.3, True),
    ]
    assert _place(Timeline(None), "0", "0.5", None) == [(0.0, True), (0.5, True), (1.0, True)]
    assert _place(Timeline(None), None, None) == [(0.0, True), (0.04, True)]


@given(
    st.lists(st.none() | st.fractions(min_value=-(10**9), max_value=10**9), max_size=30),
    st.none() | st.fractions(min_value=Fraction(1, 100), max_value=240),
)
def test_media_time_starts_at_zero_and_never_falls(
    pts_s: list[Fraction | None], rate_hz: Fraction | None
) -> None:
    timeline = Timeline(rate_hz)
    placed_s = [timeline.place(at_s)[0] for at_s in pts_s]
    assert placed_s == sorted(placed_s)
    assert not placed_s or placed_s[0] == 0
