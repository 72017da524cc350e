"""Counts and percentiles that need no memory."""

import numpy as np
import pytest

from stream_detector.ledger import Ledger, Percentiles


def test_percentiles_are_right_to_one_percent() -> None:
    durations = np.random.default_rng(1).lognormal(-3, 1, 20_000)
    percentiles = Percentiles()
    for duration_s in durations:
        percentiles.add(float(duration_s))
    found = percentiles.at(50, 95, 99)
    assert found == pytest.approx(list(np.percentile(durations, [50, 95, 99])), rel=0.012)


def test_nothing_counted_has_no_percentiles() -> None:
    assert Percentiles().at(50) is None
    assert Ledger(1).latency_ms() is None


@pytest.mark.parametrize("duration_s", [0.0, 1e-9, 1e9])
def test_extreme_durations_are_counted_too(duration_s: float) -> None:
    percentiles = Percentiles()
    percentiles.add(duration_s)
    assert percentiles.at(50) is not None


def test_frames_and_media_time_are_counted_over_all_streams() -> None:
    ledger = Ledger(2)
    ledger.decoded(0, 0.0)
    ledger.decoded(0, 1.5)
    ledger.decoded(1, 0.5)
    ledger.scored(0.1)
    assert (ledger.frames, ledger.scores, ledger.media_s) == (3, 1, 1.5)


def test_a_stream_is_silent_only_after_its_first_frame() -> None:
    ledger = Ledger(2)
    ledger.decoded(0, 0.0)
    silent_s = ledger.silent_for_s(0)
    assert silent_s is not None
    assert silent_s >= 0
    assert ledger.silent_for_s(1) is None
