"""Which face is scored when, and which crops share a batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_detector.batching import Clock, FaceBatcher
from stream_detector.records import Box, FaceCrop, Sighting


def crop(stream: int = 0, face: int = 1, frame: int = 0) -> FaceCrop:
    return FaceCrop(
        stream=stream,
        frame_index=frame,
        pts_s=frame / 10,
        captured_at_s=0.0,
        face_id=face,
        box=Box(0, 0, 10, 10),
        pixels=np.zeros((8, 8, 3), np.uint8),
        sighting=Sighting(0.0, 0.0, 0.0, 0.0),
    )


@pytest.mark.parametrize("fps", [24, 25, 29.97, 30, 50, 60])
@pytest.mark.parametrize("rate_hz", [1, 5, 10])
def test_a_clock_is_due_as_often_as_asked_whatever_the_frame_rate(fps: float, rate_hz: float) -> None:
    clock = Clock(rate_hz)
    due = [i / fps for i in range(int(20 * fps)) if clock.due(i / fps)]
    assert len(due) == pytest.approx(20 * rate_hz, abs=1)
    assert max(np.diff(due)) < 1 / rate_hz + 1 / fps + 1e-6


def test_a_clock_faster_than_the_frames_takes_every_frame() -> None:
    clock = Clock(100)
    assert all(clock.due(i / 25) for i in range(50))


def test_a_clock_does_not_catch_up_after_a_gap() -> None:
    clock = Clock(10)
    assert clock.due(0.0)
    assert clock.due(100.0)
    assert not clock.due(100.04)


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0.1, 100))
def test_a_clock_never_says_due_twice_within_one_tick(times: list[float], rate_hz: float) -> None:
    clock = Clock(rate_hz)
    due = [t for t in sorted(times) if clock.due(t)]
    ticks = [int((t + 5e-4) * rate_hz // 1) for t in due]
    assert len(ticks) == len(set(ticks))


def test_a_live_face_waits_with_its_newest_crop_in_the_place_of_the_first() -> None:
    batcher = FaceBatcher(max_batch=1, max_wait_s=0.0)
    first = crop(face=1, frame=0)
    assert batcher.add(first, order=1, now_s=0.0, lossless=False) is None
    assert batcher.add(crop(face=2, frame=0), order=2, now_s=0.0, lossless=False) is None
    assert batcher.add(crop(face=1, frame=1), order=3, now_s=0.1, lossless=False) is first
    assert [(order, c.face_id, c.frame_index) for order, c in batcher.take()] == [(3, 1, 1)]
    assert [(order, c.face_id, c.frame_index) for order, c in batcher.take()] == [(2, 2, 0)]


def test_on_a_file_every_crop_waits() -> None:
    batcher = FaceBatcher(max_batch=8, max_wait_s=0.0)
    for frame in range(3):
        assert batcher.add(crop(frame=frame), order=frame, now_s=0.0, lossless=True) is None
    assert [c.frame_index for _, c in batcher.take()] == [0, 1, 2]


def test_a_batch_goes_when_it_is_full_or_somebody_waited_long_enough() -> None:
    batcher = FaceBatcher(max_batch=2, max_wait_s=0.02)
    assert batcher.due_in_s(0.0) is None
    batcher.add(crop(face=1), order=1, now_s=1.0, lossless=False)
    assert batcher.due_in_s(1.0) == pytest.approx(0.02)
    assert batcher.due_in_s(1.5) == 0.0
    batcher.add(crop(face=2), order=2, now_s=1.0, lossless=False)
    assert batcher.due_in_s(1.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), max_size=60), st.integers(1, 8))
def test_nobody_is_lost_but_those_replaced(arrivals: list[tuple[int, int]], max_batch: int) -> None:
    batcher = FaceBatcher(max_batch=max_batch, max_wait_s=0.0)
    replaced = 0
    for order, (stream, face) in enumerate(arrivals):
        replaced += batcher.add(crop(stream, face, order), order=order, now_s=0.0, lossless=False) is not None
    taken: list[int] = []
    while batch := batcher.take():
        assert len(batch) <= max_batch
        taken += [order for order, _ in batch]
    assert len(taken) + replaced == len(arrivals)
    newest = {key: order for order, key in enumerate(arrivals)}
    assert sorted(taken) == sorted(newest.values())


def test_overload_serves_every_face_of_every_stream_alike() -> None:
    batcher = FaceBatcher(max_batch=1, max_wait_s=0.0)
    served = dict.fromkeys(range(12), 0)
    order = 0
    for _ in range(200):  # three new crops come for each one that is scored
        for _ in range(3):
            stream = order % 12
            batcher.add(crop(stream, 1, order), order=order, now_s=0.0, lossless=False)
            order += 1
        for _, taken in batcher.take():
            served[taken.stream] += 1
    rates = np.array(list(served.values()), dtype=float)
    jain = rates.sum() ** 2 / (len(rates) * (rates**2).sum())
    assert jain >= 0.95
