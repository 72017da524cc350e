"""Counts and percentiles that need no memory."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_detector.ledger import Ledger, Percentiles
from stream_detector.records import STAGES, Frame, RgbPicture, Stamps, StreamState


def test_percentiles_are_right_to_one_percent() -> None:
    durations = np.random.default_rng(1).lognormal(-3, 1, 20_000)
    percentiles = Percentiles()
    for duration_s in durations:
        percentiles.add(float(duration_s))
    found = percentiles.at(50, 95, 99)
    assert found == pytest.approx(list(np.percentile(durations, [50, 95, 99])), rel=0.012)


def test_nothing_counted_has_no_percentiles() -> None:
    assert Percentiles().at(50) is None
    assert Ledger().latency_ms() is None


@pytest.mark.parametrize("duration_s", [0.0, 1e-9, 1e9])
def test_extreme_durations_are_counted_too(duration_s: float) -> None:
    percentiles = Percentiles()
    percentiles.add(duration_s)
    assert percentiles.at(50) is not None


def ledger(streams: int = 1, *, live: bool = False, dropped: int = 0) -> Ledger:
    kept = Ledger()
    for stream in range(streams):
        drops = {"decode": lambda: 0, "find": lambda: dropped, "score": lambda: 0}
        kept.begin(stream, name=f"camera {stream}", source="rtsp://camera/***", drops=drops)
        kept.opened(stream, live=live)
    return kept


def frame(pts_s: float, *, stream: int = 0, captured_at_s: float | None = None, segment: int = 0) -> Frame:
    picture = RgbPicture(np.zeros((4, 4, 3), np.uint8))
    return Frame(stream, 0, pts_s, pts_s if captured_at_s is None else captured_at_s, picture, segment)


STAMPS = Stamps(1.0, 1.01, 1.02, 1.04, 1.05, 1.09, 1.12, 1.13)


def test_frames_scores_and_media_time_are_counted_per_stream() -> None:
    kept = ledger(2, dropped=3)
    kept.decoded(frame(0.0))
    kept.decoded(frame(1.5))
    kept.decoded(frame(0.5, stream=1))
    kept.scored(1, STAMPS)
    first, second = kept.snapshot()
    assert (first.stream, first.name, first.frames, first.scores, first.media_s) == (0, "camera 0", 2, 0, 1.5)
    assert (second.frames, second.scores, second.age_ms and round(second.age_ms["p50"])) == (1, 1, 120)
    assert first.dropped == {"decode": 0, "find": 3, "score": 0}
    assert first.frame_age_s is not None
    assert first.frame_age_s >= 0


def test_a_stream_is_silent_only_after_its_first_frame() -> None:
    kept = ledger(2)
    kept.decoded(frame(0.0))
    silent_s = kept.silent_for_s(0)
    assert silent_s is not None
    assert silent_s >= 0
    assert kept.silent_for_s(1) is None


def test_a_streams_state_is_told_from_its_frames_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ledger(live=True)

    def state() -> StreamState:
        return kept.snapshot()[0].state

    assert state() is StreamState.OPENING
    kept.decoded(frame(0.0))
    assert state() is StreamState.RUNNING
    monkeypatch.setattr("stream_detector.ledger.STALE_AFTER_S", -1.0)
    assert state() is StreamState.STALLED
    kept.ended(0, StreamState.FAILED)
    assert state() is StreamState.FAILED


def test_what_a_stream_dropped_stays_known_after_its_end() -> None:
    counts = [7]
    kept = Ledger()
    kept.begin(0, name=None, source="a", drops={"find": lambda: counts[0]})
    kept.ended(0, StreamState.ENDED)
    counts.clear()
    assert kept.snapshot()[0].dropped == {"find": 7}


@given(st.floats(10, 1e7), st.lists(st.integers(0, 10**9), min_size=len(STAGES), max_size=len(STAGES)))
def test_the_stages_of_a_verdict_sum_exactly_to_the_whole(start_s: float, spent_ns: list[int]) -> None:
    """Nanoseconds rounded to doubles, as time.monotonic() gives them some seconds after the boot."""
    at_ns = [round(start_s * 1e9)]
    for spent in spent_ns:
        at_ns.append(at_ns[-1] + spent)
    stamps = Stamps(*[ns / 1e9 for ns in at_ns])
    stages = stamps.stages_s()
    assert tuple(stages) == STAGES
    assert all(spent_s >= 0 for spent_s in stages.values())
    assert math.fsum(stages.values()) == sum(stages.values()) == stamps.whole_s


def test_every_stage_and_the_whole_get_their_percentiles() -> None:
    kept = ledger()
    kept.scored(0, STAMPS)
    table = kept.stages_ms()
    assert table is not None
    assert set(table) == {*STAGES, "whole"}
    assert table["score"]["p95"] == pytest.approx(30, rel=0.012)
    assert table["whole"]["p99"] == pytest.approx(130, rel=0.012)


def test_a_picture_that_says_when_it_was_made_gives_the_true_delay() -> None:
    kept = ledger()
    kept.scored(0, dataclasses.replace(STAMPS, painted_at_s=0.93))
    table = kept.stages_ms()
    assert table is not None
    assert table["true"]["p50"] == pytest.approx(200, rel=0.012)


def test_pictures_that_pile_up_before_they_reach_us_are_a_lag_though_none_is_old_when_decoded() -> None:
    kept = ledger(live=True)
    for index in range(100):  # a camera of 25 frames/s, read at 20
        kept.decoded(frame(index / 25, captured_at_s=1000 + index / 20))
    lag_ms = kept.snapshot()[0].lag_ms
    assert lag_ms == pytest.approx(99 * (50 - 40), rel=0.01)


def test_a_file_has_no_lag() -> None:
    kept = ledger()
    kept.decoded(frame(0.0))
    assert kept.snapshot()[0].lag_ms is None
