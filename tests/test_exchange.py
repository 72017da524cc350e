"""Where the face threads meet the scorer: order kept, files waited for, live crops replaced."""

import threading

import pytest

from stream_detector.batching import FaceBatcher
from stream_detector.exchange import CropExchange
from stream_detector.handoff import Closed
from stream_detector.records import Box, EventKind, FaceCrop, State, StreamEvent, UnscoredFace
from tests.test_batching import crop


def exchange(streams: int = 1, max_batch: int = 4, capacity: int = 8) -> CropExchange:
    meeting = CropExchange(FaceBatcher(max_batch=max_batch, max_wait_s=0.0), capacity=capacity)
    for stream in range(streams):
        meeting.begin(stream)
    return meeting


def event(stream: int, kind: EventKind = EventKind.SCENE_CUT) -> StreamEvent:
    return StreamEvent(stream, 0.0, kind)


def test_the_records_of_a_file_leave_in_the_order_of_its_frames() -> None:
    meeting = exchange(max_batch=2)
    meeting.put(0, [crop(frame=0), event(0), crop(frame=1)])
    meeting.put(0, [crop(frame=2), event(0, EventKind.NO_FACE), crop(frame=3)])
    meeting.end(0)
    leaving: list[object] = []
    with pytest.raises(Closed):
        while True:
            work = meeting.take(timeout_s=5)
            merged = sorted([*work.crops, *work.notices], key=lambda numbered: numbered[0])
            leaving += [x.frame_index if isinstance(x, FaceCrop) else x.event for _, x in merged]  # type: ignore[union-attr]
    assert leaving == [0, EventKind.SCENE_CUT, 1, 2, EventKind.NO_FACE, 3]


def test_a_notice_waits_for_no_other_streams_crops() -> None:
    meeting = exchange(streams=2, max_batch=1)
    meeting.put(0, [crop(stream=0, frame=0), crop(stream=0, frame=1)])
    meeting.put(1, [event(1)])
    work = meeting.take(timeout_s=5)
    assert [e.stream for _, e in work.notices] == [1]


def test_a_file_ahead_of_the_scorer_waits_and_loses_nothing() -> None:
    meeting = exchange(max_batch=1, capacity=2)

    def produce() -> None:
        for frame in range(50):
            meeting.put(0, [crop(frame=frame)])
        meeting.end(0)

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    seen = []
    with pytest.raises(Closed):
        while True:
            seen += [c.frame_index for _, c in meeting.take(timeout_s=10).crops]
    producer.join(10)
    assert seen == list(range(50))
    assert meeting.dropped == 0


def test_a_live_stream_ahead_of_the_scorer_never_waits_and_its_drops_are_counted() -> None:
    meeting = exchange()
    meeting.set_lossless(0, False)
    for frame in range(50):
        meeting.put(0, [crop(frame=frame)])
    assert [c.frame_index for _, c in meeting.take(timeout_s=5).crops] == [49]
    assert meeting.dropped == 49


def test_where_nobody_takes_a_live_streams_notices_are_bounded_and_counted() -> None:
    meeting = exchange()
    meeting.set_lossless(0, False)
    for number in range(1000):
        meeting.put(0, [UnscoredFace(0, number, number / 5, 0.0, 1, Box(0, 0, 9, 9), State.TOO_SMALL)])
    for _ in range(1000):
        meeting.put(0, [event(0)])
    notices = meeting.take(timeout_s=5).notices
    assert len(notices) < 300
    assert meeting.dropped == 2000 - len(notices)


def test_a_face_that_cannot_be_scored_is_told_with_its_newest_picture_only() -> None:
    meeting = exchange()
    meeting.set_lossless(0, False)
    for number in range(5):
        for face in (1, 2):
            seen = UnscoredFace(0, number, number / 5, 0.0, face, Box(0, 0, 9, 9), State.TOO_SMALL)
            meeting.put(0, [seen])
    notices = [notice for _, notice in meeting.take(timeout_s=5).notices]
    assert [(n.face_id, n.frame_index) for n in notices if isinstance(n, UnscoredFace)] == [(1, 4), (2, 4)]


def test_where_nobody_takes_a_files_notices_it_waits_too() -> None:
    meeting = exchange()
    done: list[int] = []

    def produce() -> None:
        for number in range(1000):
            meeting.put(0, [event(0)])
            done.append(number)
        meeting.end(0)

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    taken = 0
    with pytest.raises(Closed):
        while True:
            assert len(done) <= taken + 300
            taken += len(meeting.take(timeout_s=10).notices)
    producer.join(10)
    assert taken == 1000


def test_closing_frees_everybody_who_waits() -> None:
    meeting = exchange(max_batch=1, capacity=1)
    meeting.put(0, [crop(frame=0)])
    outcome: list[str] = []

    def produce() -> None:
        try:
            meeting.put(0, [crop(frame=1)])
        except Closed:
            outcome.append("closed")

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    meeting.close()
    producer.join(10)
    assert outcome == ["closed"]
    with pytest.raises(Closed):
        meeting.take(timeout_s=1)


def test_an_error_of_our_own_ends_the_run_where_it_is_read() -> None:
    meeting = exchange()
    meeting.close(ZeroDivisionError("broken on purpose"))
    with pytest.raises(ZeroDivisionError):
        meeting.take(timeout_s=1)


def test_nothing_due_in_time_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        exchange().take(timeout_s=0.01)


def test_a_live_face_that_is_lost_waits_no_longer_unless_its_stream_has_ended() -> None:
    meeting = exchange(streams=2, max_batch=4)
    lost = StreamEvent(0, 0.0, EventKind.FACE_LOST, 1)
    for stream in (0, 1):
        meeting.set_lossless(stream, False)
        meeting.put(stream, [crop(stream=stream)])
    meeting.put(0, [event(0), lost])
    meeting.put(1, [StreamEvent(1, 0.0, EventKind.FACE_LOST, 1), event(1, EventKind.STREAM_ENDED)])
    assert [c.stream for _, c in meeting.take(timeout_s=5).crops] == [1]
    assert (meeting.dropped_of(0), meeting.dropped_of(1)) == (1, 0)


def test_a_file_keeps_the_crops_of_a_lost_face() -> None:
    meeting = exchange()
    meeting.put(0, [crop()])
    meeting.put(0, [StreamEvent(0, 0.0, EventKind.FACE_LOST, 1)])
    assert len(meeting.take(timeout_s=5).crops) == 1


def test_an_exchange_that_stays_outlives_its_streams_until_it_is_finished() -> None:
    meeting = CropExchange(FaceBatcher(max_batch=1, max_wait_s=0.0), capacity=1, stays=True)
    with pytest.raises(TimeoutError):
        meeting.take(timeout_s=0.01)
    meeting.begin(0)
    meeting.end(0)
    with pytest.raises(TimeoutError):
        meeting.take(timeout_s=0.01)
    meeting.finish()
    with pytest.raises(Closed):
        meeting.take(timeout_s=5)
    with pytest.raises(Closed):
        meeting.begin(1)


def test_a_scorer_that_gains_nothing_from_batches_gets_one_crop_at_a_time() -> None:
    meeting = exchange(max_batch=4)
    meeting.put(0, [crop(frame=index) for index in range(3)])
    meeting.limit_batch(1)
    meeting.end(0)
    assert [len(meeting.take(0.0).crops) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(Closed):
        meeting.take(0.0)
