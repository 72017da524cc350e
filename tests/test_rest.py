"""Looks come less often where processors are short."""

import pytest

from stream_detector.rest import rest_s, usable_processors


def test_one_stream_never_rests() -> None:
    assert rest_s(0.05, streams=1, processors=2) == 0
    assert rest_s(5.0, streams=1, processors=2) == 0


def test_looks_of_all_streams_together_take_half_of_the_processors() -> None:
    look_s, streams, processors = 0.007, 16, 2
    cycle_s = look_s + rest_s(look_s, streams=streams, processors=processors)
    assert streams * look_s / cycle_s == pytest.approx(0.5 * processors)


def test_looks_that_take_long_make_everybody_rest_but_no_face_is_left_for_longer_than_half_a_second() -> None:
    rests = [rest_s(ms / 1000, streams=16, processors=2) for ms in (5, 10, 20, 100, 10_000)]
    assert rests == sorted(rests)
    assert rests[-1] == 0.5


def test_there_is_a_processor() -> None:
    assert usable_processors() >= 1
