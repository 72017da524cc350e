"""When a run counts as seeing what it watches."""

import dataclasses

import pytest

from stream_detector.health import STUCK_AFTER_S, RunStatus, StreamStatus, problems

SEEN = StreamStatus(
    stream=0,
    name="0",
    shown="rtsp://camera/door",
    live=True,
    failed=False,
    ended=False,
    running_s=5.0,
    frames=10,
    frame_age_s=0.1,
    dropped={},
)


def status(*streams: StreamStatus, turned_ago_s: float | None = 0.1) -> RunStatus:
    return RunStatus(streams, turns=1, turned_ago_s=turned_ago_s)


def test_a_run_whose_live_frames_are_young_has_no_problem() -> None:
    assert problems(status(SEEN), max_frame_age_s=2.0) == []


def test_a_live_stream_whose_newest_frame_is_too_old_is_named() -> None:
    (problem,) = problems(
        status(SEEN, dataclasses.replace(SEEN, name="1", frame_age_s=2.1)), max_frame_age_s=2
    )
    assert "stream 1 (rtsp://camera/door) is 2.1 s old" in problem
    assert problems(status(dataclasses.replace(SEEN, frame_age_s=2.1)), max_frame_age_s=3) == []


def test_a_stream_that_has_not_delivered_yet_counts_once_its_open_time_is_over() -> None:
    waiting = dataclasses.replace(SEEN, frame_age_s=None, running_s=10.0)
    assert problems(status(waiting), max_frame_age_s=2) == []
    (problem,) = problems(status(dataclasses.replace(waiting, running_s=10.1)), max_frame_age_s=2)
    assert "delivered no frame for 10 s" in problem


def test_a_recording_may_be_slow_and_what_ended_in_peace_owes_nothing() -> None:
    slow = dataclasses.replace(SEEN, live=False, frame_age_s=60.0)
    over = dataclasses.replace(SEEN, ended=True, frame_age_s=60.0)
    assert problems(status(slow, over), max_frame_age_s=2) == []


def test_a_stream_that_failed_is_a_problem_whatever_it_was() -> None:
    failed = dataclasses.replace(SEEN, live=False, failed=True, ended=True)
    (problem,) = problems(status(failed), max_frame_age_s=2)
    assert "has failed" in problem


@pytest.mark.parametrize(
    ("turned_ago_s", "says"), [(None, "not loaded yet"), (STUCK_AFTER_S + 1, "score thread has been stuck")]
)
def test_a_score_thread_that_does_not_come_round_is_a_problem(turned_ago_s: float | None, says: str) -> None:
    (problem,) = problems(status(SEEN, turned_ago_s=turned_ago_s), max_frame_age_s=2)
    assert says in problem
