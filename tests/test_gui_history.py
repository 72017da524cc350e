import numpy as np
import pytest

from gui.history import SPAN_S, FaceHistory, StreamHistory
from stream_detector.records import State
from tests.gui_parts import CROP_PX, score


def test_the_line_has_a_gap_where_a_face_could_not_be_scored() -> None:
    face = FaceHistory()
    face.add(score(pts_s=1.0, rolling=0.2))
    face.add(score(State.BLURRED, pts_s=1.2, rolling=0.3, p_fake=None))
    face.add(score(pts_s=1.4, rolling=0.4))
    times, scores = face.line()
    assert times.tolist() == [1.0, 1.2, 1.4]
    assert np.isnan(scores).tolist() == [False, True, False]


def test_the_line_has_a_gap_where_no_record_came() -> None:
    face = FaceHistory()
    face.add(score(pts_s=1.0))
    face.add(score(pts_s=9.0))
    assert np.isnan(face.line()[1]).tolist() == [False, True, False]
    assert face.value_at(5.0) is None
    assert face.value_at(1.1) == pytest.approx(0.1)


def test_every_turn_to_likely_fake_is_marked_once_where_the_model_raises_no_alarm() -> None:
    face = FaceHistory()
    states = [State.UNCERTAIN, State.LIKELY_FAKE, State.LIKELY_FAKE, State.UNCERTAIN, State.LIKELY_FAKE]
    for place, state in enumerate(states):
        face.add(score(state, pts_s=float(place)))
    assert list(face.marked_s) == [1.0, 4.0]


def test_where_the_model_raises_alarms_they_are_marked_and_turns_are_not() -> None:
    face = FaceHistory()
    for place, (level, raised) in enumerate(
        [(0.2, False), (1.0, True), (0.7, True), (0.0, False), (1.0, True)]
    ):
        state = State.LIKELY_FAKE if place % 2 == 0 else State.UNCERTAIN
        face.add(score(state, pts_s=float(place), alarm_level=level, alarmed=raised))
    assert list(face.marked_s) == [1.0, 4.0]


def test_a_moment_is_kept_each_second_and_shows_the_crop_that_was_scored() -> None:
    face = FaceHistory()
    for tenth in range(31):
        grey = np.full((CROP_PX, CROP_PX, 3), 5 * tenth, np.uint8)
        face.add(score(pts_s=tenth / 10, p_fake=tenth / 31, pixels=grey))
    assert [moment.pts_s for moment in face.moments] == [0.0, 1.0, 2.0, 3.0]
    moment = face.moment_at(1.9)
    assert moment is not None
    assert moment.pts_s == 2.0
    assert moment.crop().shape == (CROP_PX, CROP_PX, 3)
    assert moment.crop().mean() == pytest.approx(100, abs=2)


def test_a_stream_watched_for_hours_keeps_minutes() -> None:
    stream = StreamHistory()
    for second in range(4 * 3600):
        stream.add(score(pts_s=float(second), face_id=1 + second // 600))
    assert all(len(face) <= SPAN_S + 1 for face in stream.faces.values())
    assert len(stream.faces) == 1
    assert sum(len(face.moments) for face in stream.faces.values()) <= SPAN_S + 1


def test_a_crowd_does_not_fill_the_memory() -> None:
    stream = StreamHistory()
    for face_id in range(1, 500):
        stream.add(score(pts_s=1.0, face_id=face_id))
    assert sorted(stream.faces) == list(range(468, 500))
