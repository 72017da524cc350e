"""From logits to log-odds, and how a sidecar carries that."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stream_detector.calibration import log_odds
from stream_detector.errors import ModelError
from stream_detector.model_spec import (
    Calibration,
    Interval,
    LogitMap,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from stream_detector.scanning.scan import rule_of
from stream_detector.verdict import probability
from tests.small_models import small_spec, write_small_onnx

FIGURE = Interval(value=0.1, low=0.05, high=0.2)
PLATT = LogitMap(logit=(-8.0, 8.0), log_odds=(-7.0, 5.0))


def calibration(
    everywhere: LogitMap = PLATT, by_face_px: tuple[tuple[int, LogitMap], ...] = ()
) -> Calibration:
    return Calibration(
        method="platt",
        everywhere=everywhere,
        by_face_px=by_face_px,
        coverage_real=0.98,
        coverage_fake=0.9,
        ece=FIGURE,
        brier=FIGURE,
        log_loss=FIGURE,
        source="a test",
    )


@st.composite
def maps(draw: st.DrawFn) -> LogitMap:
    logits = sorted(draw(st.sets(st.integers(-200, 200), min_size=2, max_size=12)))
    odds = sorted(draw(st.lists(st.floats(-30, 30), min_size=len(logits), max_size=len(logits))))
    return LogitMap(logit=tuple(x / 10 for x in logits), log_odds=tuple(odds))


@given(maps(), st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=20))
def test_a_higher_logit_never_means_less_evidence(mapping: LogitMap, logits: list[float]) -> None:
    found = [log_odds(calibration(mapping), x, 100) for x in sorted(logits)]
    assert all(b >= a - 1e-9 * max(1.0, abs(a)) for a, b in pairwise(found))
    assert all(0.0 <= probability(odds) <= 1.0 for odds in found)


@given(maps())
def test_the_knots_are_met(mapping: LogitMap) -> None:
    for logit, odds in zip(mapping.logit, mapping.log_odds, strict=True):
        assert log_odds(calibration(mapping), logit, 100) == pytest.approx(odds)


def test_without_a_calibration_a_logit_is_taken_as_it_is() -> None:
    assert log_odds(None, 1.25, 100) == 1.25


def test_beyond_the_knots_the_line_goes_on() -> None:
    assert log_odds(calibration(), 16.0, 100) == pytest.approx(11.0)
    assert log_odds(calibration(), -16.0, 100) == pytest.approx(-13.0)


def test_each_face_is_judged_by_the_bin_of_its_size() -> None:
    large = LogitMap(logit=(-1.0, 1.0), log_odds=(9.0, 9.0))
    some = calibration(by_face_px=((80, large),))
    assert log_odds(some, 0.0, 79) == pytest.approx(-1.0)
    assert log_odds(some, 0.0, 80) == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("logit", "odds", "says"),
    [
        ((0.0, 1.0), (1.0, 0.0), "never fall"),
        ((1.0, 0.0), (0.0, 1.0), "must rise"),
        ((0.0, 1.0), (0.0, 1.0, 2.0), "as many knots"),
        ((0.0,), (0.0,), "at least 2"),
    ],
)
def test_a_map_that_could_turn_evidence_round_is_refused(
    logit: tuple[float, ...], odds: tuple[float, ...], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        LogitMap(logit=logit, log_odds=odds)


def test_a_sidecar_brings_a_calibration_back(tmp_path: Path) -> None:
    model = write_small_onnx(tmp_path / "small.onnx")
    spec = small_spec().model_copy(update={"calibration": calibration(by_face_px=((64, PLATT),))})
    write_sidecar(model, spec, [model])
    assert read_sidecar(model).calibration == spec.calibration


def test_an_edited_calibration_is_refused(tmp_path: Path) -> None:
    model = write_small_onnx(tmp_path / "small.onnx")
    write_sidecar(model, small_spec().model_copy(update={"calibration": calibration()}), [model])
    content = json.loads(sidecar_path(model).read_text(encoding="utf-8"))
    content["calibration"]["everywhere"]["log_odds"] = [-17.0, -5.0]
    sidecar_path(model).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match=r"small\.json was edited"):
        read_sidecar(model)


def test_a_band_out_of_order_is_refused_with_a_sentence(tmp_path: Path) -> None:
    model = write_small_onnx(tmp_path / "small.onnx")
    content = json.loads(sidecar_path(model).read_text(encoding="utf-8"))
    content["band"] |= {"low": 0.9, "high": 0.2}
    sidecar_path(model).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(
        ModelError, match=r"low must lie below high, got 0\.9 and 0\.2.*export the model again"
    ):
        read_sidecar(model)
    content["band"] |= {"low": 0.3, "high": 0.8, "mean_high": 0.9}
    sidecar_path(model).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match=r"mean_high must lie above low and not above high, got 0\.9"):
        read_sidecar(model)


def test_whole_files_are_judged_by_the_band_for_means_where_there_is_one() -> None:
    spec = small_spec()
    assert (rule_of(spec).low, rule_of(spec).high) == (0.3, 0.7)
    band = spec.band.model_copy(update={"mean_high": 0.6})
    assert (rule_of(spec.model_copy(update={"band": band})).high) == 0.6
