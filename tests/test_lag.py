"""How much later pictures come than they once did."""

import pytest

from stream_detector.lag import Lag


def test_a_stream_on_time_has_no_lag_however_long_it_took_to_begin() -> None:
    lag = Lag()
    assert lag.now_s is None
    for index in range(50):
        lag.add(index / 25, 500 + index / 25, segment=0)
    assert lag.now_s == pytest.approx(0, abs=1e-6)


def test_the_earliest_picture_is_the_measure_for_those_before_and_after() -> None:
    lag = Lag()
    lag.add(0.0, 10.8, segment=0)  # the first pictures of a stream often waited in a buffer
    lag.add(0.1, 10.3, segment=0)
    assert lag.now_s == pytest.approx(0)
    lag.add(0.2, 10.9, segment=0)
    assert lag.now_s == pytest.approx(0.5, abs=1e-3)
    lag.add(0.3, 10.91, segment=0)
    assert lag.now_s == pytest.approx(0.41, abs=1e-3)
    assert lag.peak_s == pytest.approx(0.5, abs=1e-3)


def test_a_clock_that_runs_apart_as_crystals_do_is_no_lag() -> None:
    lag = Lag()
    for second in range(24 * 3600):
        lag.add(second * (1 - 1e-4), 100.0 + second, segment=0)
    assert lag.now_s is not None
    assert lag.now_s < 0.01


def test_a_lag_that_grows_faster_than_any_crystal_drifts_is_seen() -> None:
    lag = Lag()
    for second in range(600):
        lag.add(second * 0.998, 100.0 + second, segment=0)
    assert lag.now_s == pytest.approx(599 * 0.0018, rel=0.01)


def test_time_that_was_joined_anew_is_not_compared_with_the_time_before() -> None:
    lag = Lag()
    lag.add(0.0, 100.0, segment=0)
    lag.add(0.04, 160.0, segment=1)  # the camera was away for a minute
    assert lag.now_s == 0
