"""Calibrating: the fits, the conformal band, the facts for alarms, and the whole command on a small model."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_build.alarm_facts import Series, within_face
from engine_build.calibrate import (
    Bounds,
    Method,
    bounds_of_video,
    brier_score,
    calibration_error,
    conformal_bounds,
    conformal_high,
    cross_fitted,
    fit_maps,
    log_loss,
    most_careful,
    uncertain_band,
)
from engine_build.filmed_faces import ClipScores, film
from stream_detector.errors import ModelError
from stream_detector.smoothing import RollingScore


def clips(people: int = 150, *, slope: float = 1.0, offset: float = 0.0, seed: int = 0) -> ClipScores:
    """Faces whose true log-odds are known: logits are (log-odds - offset) / slope."""
    rng = np.random.default_rng(seed)
    label = np.tile([0, 1], 2 * people)
    # Two normal distributions 2 apart with variance 2: x itself is the log-likelihood ratio.
    odds = np.where(label == 1, 1.0, -1.0)[:, None] + rng.normal(0, math.sqrt(2), (len(label), 1))
    logit = np.repeat((odds - offset) / slope, 3, axis=1)
    return ClipScores(
        identity=np.repeat([f"p{i}" for i in range(people)], 4),
        label=label,
        stream=np.tile([0, 0, 1, 1], people),
        face_px=np.full(len(label), 100),
        logit=logit,
    )


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_a_fit_brings_stretched_logits_back(method: Method) -> None:
    scores = clips(300, slope=0.3, offset=0.0 if method == "temperature" else 0.8)
    labels = np.repeat(scores.label, 3)
    before, after = scores.logit.ravel(), cross_fitted(scores, method, by_size=False).ravel()
    assert log_loss(labels, after) < log_loss(labels, before) - 0.02
    assert brier_score(labels, after) < brier_score(labels, before)
    assert calibration_error(labels, after) < 0.6 * calibration_error(labels, before)


def test_platt_finds_the_slope_and_the_offset() -> None:
    everything = np.ones(4 * 2000, bool)
    everywhere, bins = fit_maps(clips(2000, slope=0.5, offset=0.4), everything, "platt", by_size=False)
    slope = (everywhere.log_odds[1] - everywhere.log_odds[0]) / (everywhere.logit[1] - everywhere.logit[0])
    assert slope == pytest.approx(0.5, rel=0.06)
    assert sum(everywhere.log_odds) / 2 == pytest.approx(0.4, abs=0.06)
    assert bins == ()


def test_a_size_with_a_slope_of_its_own_gets_a_fit_of_its_own() -> None:
    near, far = clips(200, slope=1.0), clips(200, slope=4.0, seed=1)
    both = ClipScores(
        np.concatenate([near.identity, np.char.add("q", far.identity)]),
        np.concatenate([near.label, far.label]),
        np.concatenate([near.stream, far.stream]),
        np.concatenate([np.full(len(near.label), 180), np.full(len(far.label), 50)]),
        np.concatenate([near.logit, far.logit]),
    )
    _, bins = fit_maps(both, np.ones(len(both.label), bool), "platt", by_size=True)
    assert [smallest for smallest, _ in bins] == [1, 128]
    labels = np.repeat(both.label, 3)
    binned = cross_fitted(both, "platt", by_size=True).ravel()
    assert log_loss(labels, binned) < log_loss(labels, cross_fitted(both, "platt", by_size=False).ravel())


def test_no_person_is_judged_by_a_fit_that_saw_them() -> None:
    scores = clips(40)
    mine = scores.identity == "p7"
    turned = replace(scores, label=np.where(mine, 1 - scores.label, scores.label))
    before, after = (cross_fitted(each, "platt", by_size=False) for each in (scores, turned))
    assert np.array_equal(before[mine], after[mine])
    assert not np.array_equal(before, after)


def test_a_model_that_scores_fakes_lower_is_not_calibrated() -> None:
    scores = clips(50)
    with pytest.raises(ModelError, match="no higher than that of real faces"):
        cross_fitted(replace(scores, logit=-scores.logit), "platt", by_size=False)


def test_too_few_people_are_refused() -> None:
    with pytest.raises(ModelError, match="12 held-out people: expected at least 20"):
        cross_fitted(clips(12), "platt", by_size=False)


@given(st.integers(60, 400), st.floats(0.6, 0.98))
def test_the_conformal_rank_counts_the_new_face_too(n: int, coverage: float) -> None:
    threshold = conformal_high(np.arange(n, dtype=np.float64), coverage)
    assert (threshold + 1) / (n + 1) >= coverage - 1e-9  # the share of n + 1 ranks at or below it
    assert threshold / (n + 1) < coverage + 1e-9  # and no more careful than needed


@settings(deadline=None)
@given(st.integers(0, 20))
def test_a_conformal_bound_covers_new_scores_as_often_as_stated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.exponential(size=(2000, 100))
    covered = [new[0] <= conformal_high(new[1:], 0.9) for new in drawn]
    assert np.mean(covered) > 0.9 - 4 * math.sqrt(0.09 / 2000)


def test_too_few_faces_promise_no_coverage() -> None:
    with pytest.raises(ModelError, match=r"cannot promise a coverage of 0\.98: expected at least 49"):
        conformal_high(np.arange(30.0), 0.98)


def frames_apart(scores: ClipScores, seed: int) -> ClipScores:
    """The same clips with frames that differ from one another."""
    noise = np.random.default_rng(seed).normal(0, 0.7, scores.logit.shape)
    return replace(scores, logit=scores.logit + noise)


def test_the_bounds_keep_the_stated_share_of_real_faces_from_being_called_fake() -> None:
    """On average over who happened to be held out; one draw of 300 people may be off by a percent."""
    new = frames_apart(clips(4000, seed=99), 98)
    p = 1 / (1 + np.exp(-new.logit))
    reals, fakes = p[new.label == 0], p[new.label == 1]
    missed = []
    for seed in range(12):
        fitted = frames_apart(clips(300, seed=seed), seed)
        low, high, mean_high = conformal_bounds(fitted, fitted.logit, real=0.98, fake=0.9)
        assert low < 0.5 < mean_high == high
        missed.append([(reals.mean(axis=1) > mean_high).mean(), (fakes.mean(axis=1) < low).mean()])
    called_fake, fakes_called_real = np.mean(missed, axis=0)
    # Not more than stated, and not because nothing is ever called fake.
    assert 0.008 < called_fake < 0.023
    assert 0.04 < fakes_called_real < 0.11


def test_no_rolling_score_of_a_clip_is_above_its_highest_score_or_one_half() -> None:
    for seed in range(20):
        odds = np.random.default_rng(seed).normal(0.5, 2, 12)
        found = bounds_of_video([Series("a", np.arange(12) / 5, odds)], half_life_s=1.0, share=1.0)
        assert found.high <= max(0.5, 1 / (1 + math.exp(-odds.max())))


def test_the_bounds_of_real_video_are_those_of_the_face_that_looks_most_like_a_fake() -> None:
    calm = Series("calm", np.arange(40) / 5, np.full(40, -2.0))
    worst = Series("worst", np.arange(40) / 5, np.concatenate([np.full(20, -1.0), np.full(20, 3.0)]))
    _, high, mean_high = bounds_of_video([calm, worst], half_life_s=1.0, share=0.95)
    rolling, above = RollingScore(1.0), 0
    p = 1 / (1 + np.exp(-worst.log_odds))
    for pts_s, score in zip(worst.pts_s, p, strict=True):
        rolling.add(pts_s, score)
        above += rolling.at(pts_s).p_fake > high
    assert above in {1, 2}  # of 40: no more than the 5 % that may be
    assert mean_high == pytest.approx(p.mean())
    assert bounds_of_video([calm], half_life_s=1.0, share=0.95) == (1.0, 0.5, 0.5)
    of_files = Bounds(0.3, 0.6, 0.6)
    of_video = bounds_of_video([calm, worst], half_life_s=1.0, share=0.95)
    assert most_careful([of_files, of_video]) == (0.3, max(high, 0.6), max(mean_high, 0.6))


def test_a_band_is_rounded_outwards_and_leaves_scores_that_say_fake() -> None:
    band = uncertain_band(Bounds(0.279, 0.871, 0.761), source="a test")
    assert (band.low, band.high, band.mean_high) == (0.27, 0.88, 0.77)
    assert uncertain_band(Bounds(0.7, 0.6, 0.5), source="a test").low == 0.49
    assert uncertain_band(Bounds(0.2, 0.8, 0.85), source="a test").high == 0.85
    with pytest.raises(ModelError, match="no score is left that says fake"):
        uncertain_band(Bounds(0.2, 0.995, 0.6), source="a test")


def ar1(seconds: float, count: int, n: int, seed: int) -> list[Series]:
    rng = np.random.default_rng(seed)
    rho = math.exp(-0.2 / seconds)
    found = []
    for number in range(count):
        x = [rng.normal()]
        for _ in range(n - 1):
            x.append(rho * x[-1] + math.sqrt(1 - rho**2) * rng.normal())
        found.append(
            Series(
                str(number),
                np.linspace(0, 0.2 * (n - 1), n),
                np.asarray(0.7 * np.array(x) + rng.normal(0, 3), np.float64),
            )
        )
    return found


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0])
def test_sigma_and_the_correlation_time_are_found_again_in_short_clips(seconds: float) -> None:
    """Clips of 3 s, each with a mean of its own: the plain autocorrelation would halve both."""
    sigma, found = within_face(ar1(seconds, 400, 15, seed=3))
    assert found == pytest.approx(seconds, rel=0.25)
    assert sigma == pytest.approx(0.7, rel=0.12)


def test_without_real_video_there_are_no_facts() -> None:
    with pytest.raises(ModelError, match="on 2 real clips: expected at least 3"):
        within_face(ar1(1.0, 2, 15, seed=0))


def test_a_filmed_face_moves_and_looks_worse_the_harder_it_is_compressed() -> None:
    picture = np.asarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3)), np.uint8)
    fine = film(picture, face_px=100, crf=10, rng=np.random.default_rng(1))
    coarse = film(picture, face_px=100, crf=45, rng=np.random.default_rng(1))
    assert {frame.shape for frame in fine} == {(180, 180, 3)}
    assert (len(fine), len(coarse)) == (16, 16)
    assert not np.array_equal(fine[5], fine[15])
    assert np.std(np.diff(coarse[10].astype(int), axis=0)) < np.std(np.diff(fine[10].astype(int), axis=0))
