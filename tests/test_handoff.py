"""The one queue: bounded, closable, carries the error."""

import threading

import pytest

from stream_detector.errors import ShutdownError
from stream_detector.handoff import Closed, Handoff
from stream_detector.worker import Worker


def test_a_full_live_handoff_keeps_the_newest_and_counts_what_it_drops() -> None:
    handoff: Handoff[int] = Handoff(1)
    for number in range(5):
        handoff.put(number)
    assert handoff.take() == 4
    assert handoff.dropped == 4


def test_a_full_lossless_handoff_makes_the_producer_wait_and_loses_nothing() -> None:
    handoff: Handoff[int] = Handoff(1, lossless=True)

    def work() -> None:
        for number in range(200):
            handoff.put(number)

    with Worker("producer", work, handoff):
        seen = []
        with pytest.raises(Closed):
            while True:
                seen.append(handoff.take(timeout_s=10))
    assert seen == list(range(200))
    assert handoff.dropped == 0


def test_what_was_put_before_the_end_can_still_be_taken_and_then_the_end_is_said_every_time() -> None:
    handoff: Handoff[str] = Handoff(2)
    handoff.put("last")
    handoff.close()
    assert handoff.take() == "last"
    for _ in range(2):
        with pytest.raises(Closed):
            handoff.take()
    with pytest.raises(Closed):
        handoff.put("too late")


def test_the_producers_error_is_raised_where_the_result_is_read() -> None:
    handoff: Handoff[int] = Handoff(1)

    def work() -> None:
        handoff.put(1)
        raise ZeroDivisionError("broken on purpose")

    with Worker("breaks", work, handoff):
        assert handoff.take(timeout_s=10) == 1
        with pytest.raises(ZeroDivisionError, match="broken on purpose"):
            handoff.take(timeout_s=10)


def test_the_first_error_stays_when_closed_twice() -> None:
    handoff: Handoff[int] = Handoff(1)
    handoff.close(ValueError("first"))
    handoff.close(ValueError("second"))
    with pytest.raises(ValueError, match="first"):
        handoff.take()


def test_taking_from_a_silent_handoff_ends_in_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        Handoff[int](1).take(timeout_s=0.01)


def test_closing_frees_a_producer_that_waits() -> None:
    handoff: Handoff[int] = Handoff(1, lossless=True)
    handoff.put(1)
    waiting = threading.Event()

    def work() -> None:
        waiting.set()
        handoff.put(2)

    with Worker("waits", work, handoff):
        assert waiting.wait(10)
        handoff.close()  # the worker's join in __exit__ hangs if this does not free it


def test_a_handoff_that_turns_out_live_frees_its_producer() -> None:
    handoff: Handoff[int] = Handoff(1, lossless=True)
    handoff.put(1)
    producer = threading.Thread(target=handoff.put, args=(2,))
    producer.start()
    handoff.set_lossless(False)
    producer.join(10)
    assert handoff.take() == 2


def test_a_handoff_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1"):
        Handoff[int](0)


def test_a_thread_that_does_not_stop_is_named() -> None:
    release = threading.Event()
    handoff: Handoff[int] = Handoff(1)

    def work() -> None:
        release.wait(30)

    worker = Worker("deaf", work, handoff)
    worker.start()
    with pytest.raises(ShutdownError, match="'deaf' still runs"):
        worker.join(timeout_s=0.01)
    release.set()
    worker.join(timeout_s=10)


def test_joining_a_worker_that_never_started_is_fine() -> None:
    Worker("never", lambda: None, Handoff[int](1)).join(timeout_s=1)
