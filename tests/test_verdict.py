"""What may be said of a face, and when."""

import math

import numpy as np
import pytest

from stream_detector.model_spec import Calibration, Interval, LogitMap, UncertainBand
from stream_detector.records import (
    Box,
    Doubt,
    EventKind,
    FaceCrop,
    FaceQuality,
    FaceScore,
    Sighting,
    State,
    StreamEvent,
    UnscoredFace,
)
from stream_detector.verdict import LOST_FACES_KEPT, Verdicts, probability
from tests.test_alarm import design

BAND = UncertainBand(low=0.3, high=0.7, source="a test")
MAP = np.zeros((7, 7), np.float32)
BOX = Box(10, 20, 110, 120)


def verdicts() -> Verdicts:
    return Verdicts(half_life_s=2.0, band=BAND)


def see(judge: Verdicts, p_fake: float, pts_s: float, face: int = 1) -> FaceScore:
    seen = Sighting(*[100 + pts_s] * 4)
    crop = FaceCrop(0, int(pts_s * 25), pts_s, 100 + pts_s, face, BOX, np.zeros((8, 8, 3), np.uint8), seen)
    return judge.scored(crop, math.log(p_fake / (1 - p_fake)), MAP, now_s=100.05 + pts_s)


def miss(judge: Verdicts, pts_s: float, why: State = State.BLURRED) -> FaceScore:
    return judge.unscored(UnscoredFace(0, int(pts_s * 25), pts_s, 100 + pts_s, 1, BOX, why), 100.05 + pts_s)


@pytest.mark.parametrize(
    ("p_fake", "state"),
    [(0.05, State.LIKELY_REAL), (0.5, State.UNCERTAIN), (0.95, State.LIKELY_FAKE)],
)
def test_a_face_warms_up_and_then_gets_the_state_of_its_rolling_score(p_fake: float, state: State) -> None:
    judge = verdicts()
    states = [see(judge, p_fake, i / 5).state for i in range(20)]
    assert states[:2] == [State.WARMING_UP] * 2
    assert states[-1] is state


def test_scores_of_neighbouring_frames_alone_are_no_verdict() -> None:
    judge = verdicts()
    assert {see(judge, 0.99, i / 60).state for i in range(20)} == {State.WARMING_UP}


def test_one_odd_frame_does_not_make_a_face_fake() -> None:
    judge = verdicts()
    for i in range(20):
        see(judge, 0.1, i / 5)
    assert see(judge, 0.999, 4.0).state is not State.LIKELY_FAKE


def test_a_face_that_cannot_be_scored_has_a_state_and_no_score_and_its_evidence_fades() -> None:
    judge = verdicts()
    for i in range(20):
        last = see(judge, 0.05, i / 5)
    assert last.p_fake_rolling is not None
    record = miss(judge, 30.0)
    assert record.state is State.BLURRED
    assert record.p_fake is None
    assert record.p_fake_rolling == pytest.approx(0.5, abs=0.01)


def test_a_face_never_scored_has_no_rolling_score_at_all() -> None:
    record = miss(verdicts(), 1.0, State.TOO_SMALL)
    assert (record.p_fake, record.p_fake_rolling, record.state) == (None, None, State.TOO_SMALL)


def test_after_long_blindness_one_look_is_not_called_real() -> None:
    judge = verdicts()
    for i in range(20):
        see(judge, 0.05, i / 5)
    assert see(judge, 0.02, 60.0).state is State.WARMING_UP


def test_a_face_without_a_new_picture_turns_stale_once_and_has_no_score() -> None:
    judge = verdicts()
    for i in range(20):
        see(judge, 0.05, i / 5)
    assert judge.stale(0, now_s=105.0, older_than_s=2.0) == []
    records = judge.stale(0, now_s=110.0, older_than_s=2.0)
    assert [(r.state, r.p_fake, r.p_fake_rolling) for r in records] == [(State.STALE, None, None)]
    assert records[0].age_ms == pytest.approx((110.0 - 103.8) * 1000)
    assert judge.stale(0, now_s=111.0, older_than_s=2.0) == []
    assert see(judge, 0.05, 12.0).state is not State.STALE


def test_only_the_faces_without_a_new_picture_turn_stale() -> None:
    judge = verdicts()
    see(judge, 0.05, 0.0, face=1)
    see(judge, 0.05, 4.0, face=2)
    assert [r.face_id for r in judge.stale(0, now_s=105.0, older_than_s=2.0)] == [1]


def test_faces_of_other_streams_and_lost_faces_do_not_turn_stale() -> None:
    judge = verdicts()
    see(judge, 0.5, 0.0)
    assert judge.stale(1, now_s=110.0, older_than_s=2.0) == []
    judge.noticed(StreamEvent(0, 1.0, EventKind.FACE_LOST, 1))
    assert judge.stale(0, now_s=110.0, older_than_s=2.0) == []


def test_after_a_long_gap_a_face_warms_up_anew() -> None:
    judge = verdicts()
    for i in range(20):
        see(judge, 0.05, i / 5)
    assert [see(judge, 0.99, 60 + i / 5).state for i in range(4)] == [
        State.WARMING_UP,
        State.WARMING_UP,
        State.WARMING_UP,
        State.LIKELY_FAKE,
    ]


def test_the_age_runs_from_the_end_of_decoding_to_the_verdict() -> None:
    assert see(verdicts(), 0.5, 0.0).age_ms == pytest.approx(50.0)


def test_the_summary_holds_the_last_word_and_the_worst_on_every_face() -> None:
    judge = verdicts()
    for i in range(20):
        see(judge, 0.95 if i < 10 else 0.05, i / 5)
    see(judge, 0.4, 4.0, face=2)
    first, second = judge.summaries()
    assert (first.scores, first.first_s, first.last_s) == (20, 0.0, 3.8)
    assert first.p_fake_rolling_peak is not None
    assert first.p_fake_rolling is not None
    assert first.p_fake_rolling_peak > 0.8 > first.p_fake_rolling
    assert sum(first.states.values()) == 20
    assert (second.face_id, second.scores, second.state) == (2, 1, State.WARMING_UP)
    assert second.p_fake_rolling_peak is None


def test_a_stream_watched_for_months_remembers_only_the_newest_lost_faces() -> None:
    judge = verdicts()
    for face in range(1, LOST_FACES_KEPT + 51):
        see(judge, 0.5, face / 10, face=face)
        judge.noticed(StreamEvent(0, face / 10, EventKind.FACE_LOST, face))
    assert len(judge.summaries()) == LOST_FACES_KEPT
    assert judge.summaries()[0].face_id == 51
    assert judge.faces_seen == LOST_FACES_KEPT + 50


def alarmable() -> Verdicts:
    return Verdicts(half_life_s=2.0, band=BAND, alarm_of={0: design()})


def test_an_alarm_is_an_event_once_right_after_the_record_that_raised_it() -> None:
    judge = alarmable()
    told = []
    for i in range(60):
        record = see(judge, 0.95, i / 5)
        events = judge.events()
        told += [(record, event) for event in events]
        assert judge.events() == []
    ((record, event),) = told
    assert (event.event, event.face_id, event.pts_s) == (EventKind.ALARM, 1, record.pts_s)
    assert (record.alarm_level, record.alarmed) == (1.0, True)
    assert "since 0.0 s" in event.detail
    assert "at most 1 false alarm per face and day" in event.detail
    assert judge.alarmed(0) == 1
    (summary,) = judge.summaries()
    assert (summary.alarms, summary.first_alarm_s) == (1, record.pts_s)


def test_an_alarm_is_cleared_by_an_event_and_raised_anew() -> None:
    judge = alarmable()
    kinds = []
    for i in range(300):
        see(judge, 0.95 if i < 50 or i >= 200 else 0.05, i / 5)
        kinds += [event.event for event in judge.events()]
    assert kinds == [EventKind.ALARM, EventKind.ALARM_CLEARED, EventKind.ALARM]
    assert judge.summaries()[0].alarms == 2


def test_without_a_design_nothing_is_said_of_alarms() -> None:
    judge = verdicts()
    records = [see(judge, 0.99, i / 5) for i in range(100)]
    assert {(record.alarm_level, record.alarmed) for record in records} == {(None, False)}
    assert judge.events() == []


def test_a_face_that_comes_back_inherits_no_evidence_and_a_lost_one_takes_its_alarm_along() -> None:
    judge = alarmable()
    for i in range(60):
        see(judge, 0.95, i / 5)
    judge.events()
    judge.noticed(StreamEvent(0, 12.0, EventKind.SCENE_CUT))
    judge.noticed(StreamEvent(0, 12.0, EventKind.FACE_LOST, 1))
    assert judge.alarmed(0) == 0
    record = see(judge, 0.95, 12.0, face=2)
    assert (record.alarm_level, record.alarmed) == (0.0, False)
    assert judge.events() == []


def test_a_face_that_cannot_be_scored_gathers_no_evidence_and_a_stale_one_has_no_level() -> None:
    judge = alarmable()
    level = [see(judge, 0.9, i / 5).alarm_level for i in range(8)][-1]
    assert miss(judge, 1.6).alarm_level == level
    (stale,) = judge.stale(0, now_s=200.0, older_than_s=2.0)
    assert stale.alarm_level is None
    assert judge.events() == []


def test_an_alarm_that_holds_counts_even_after_the_stream_seemed_to_show_no_face() -> None:
    judge = alarmable()
    for i in range(60):
        see(judge, 0.95, i / 5)
    judge.noticed(StreamEvent(0, 12.0, EventKind.NO_FACE))
    assert judge.alarmed(0) == 0
    assert see(judge, 0.95, 12.2).alarmed
    assert judge.alarmed(0) == 1


@pytest.mark.parametrize("logit", [-1e6, -800.0, -1.0, 0.0, 1.0, 800.0, 1e6])
def test_a_probability_lies_between_0_and_1_however_large_the_logit(logit: float) -> None:
    p = probability(logit)
    assert 0.0 <= p <= 1.0
    assert p == pytest.approx(1 - probability(-logit))


def test_a_score_is_judged_by_its_calibrated_log_odds_and_keeps_its_logit() -> None:
    halved = LogitMap(logit=(-8.0, 8.0), log_odds=(-5.0, 3.0))
    figure = Interval(value=0.1, low=0.1, high=0.1)
    calibration = Calibration(
        method="platt",
        everywhere=halved,
        coverage_real=0.98,
        coverage_fake=0.9,
        ece=figure,
        brier=figure,
        log_loss=figure,
        source="a test",
    )
    judge = Verdicts(half_life_s=2.0, band=BAND, calibration=calibration)
    for i in range(20):
        record = see(judge, 0.9, i / 5)
    assert record.logit == pytest.approx(math.log(9))
    assert record.p_fake == pytest.approx(probability(math.log(9) / 2 - 1))
    assert record.state is State.UNCERTAIN


def turned(judge: Verdicts, turn: float | None, pts_s: float) -> FaceScore:
    seen = Sighting(*[100 + pts_s] * 4)
    pixels = np.zeros((8, 8, 3), np.uint8)
    quality = FaceQuality(100, 0.4, turn)
    crop = FaceCrop(0, int(pts_s * 25), pts_s, 100 + pts_s, 1, BOX, pixels, seen, quality)
    return judge.scored(crop, 6.0, MAP, now_s=100.05 + pts_s)


def test_a_face_turned_too_far_is_scored_but_uncertain_and_its_score_counts_for_nothing() -> None:
    judge = Verdicts(half_life_s=2.0, band=BAND, max_turn=0.9)
    records = [turned(judge, 0.95, i / 5) for i in range(20)]
    assert {(r.state, r.doubt) for r in records} == {(State.UNCERTAIN, Doubt.TURNED)}
    assert {r.p_fake_rolling for r in records} == {None}
    assert records[0].p_fake == pytest.approx(probability(6.0))
    states = [turned(judge, 0.2, 4 + i / 5).state for i in range(20)]
    assert (states[0], states[-1]) == (State.WARMING_UP, State.LIKELY_FAKE)


def test_a_face_whose_turn_is_unknown_is_not_doubted() -> None:
    judge = Verdicts(half_life_s=2.0, band=BAND, max_turn=0.9)
    assert [turned(judge, None, i / 5).doubt for i in range(10)][-1] is None


def test_a_swap_that_drops_out_for_a_second_stays_in_the_slow_score() -> None:
    judge = verdicts()
    for i in range(50):
        before = see(judge, 0.95, i / 5)
    for i in range(50, 60):
        after = see(judge, 0.05, i / 5)
    assert before.p_fake_rolling is not None
    assert after.p_fake_rolling is not None
    assert after.p_fake_slow is not None
    assert after.p_fake_rolling < before.p_fake_rolling - 0.3
    assert after.p_fake_slow > 0.7


def test_a_score_says_how_many_fresh_ones_it_is_worth() -> None:
    judge = verdicts()
    assert see(judge, 0.5, 0.0).scores_worth == 1.0
    worth = see(judge, 0.5, 2.0).scores_worth  # a half-life later
    assert worth == pytest.approx(1.5)
    assert miss(judge, 4.0).scores_worth == pytest.approx(0.75)
