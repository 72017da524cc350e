"""A scorer that cannot keep up, in simulated time: the rate falls evenly, ages and memory do not grow."""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from benchmarks.capture import jain
from stream_detector.batching import Clock, FaceBatcher
from tests.test_batching import crop

CROP = crop()


@dataclass(frozen=True)
class Camera:
    fps: float
    faces: int = 1
    score_hz: float = 60.0

    @property
    def asks_hz(self) -> float:
        return min(self.fps, self.score_hz)


@dataclass
class Outcome:
    scores: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(stream, face) -> how often it was scored."""
    ages_s: dict[int, list[float]] = field(default_factory=dict)
    offered: int = 0
    replaced: int = 0
    most_waiting: int = 0


def simulate(cameras: list[Camera], *, batch_s: float, max_batch: int, seconds: float) -> Outcome:
    """Live streams before one scorer that takes `batch_s` per batch, however full; no clock, no thread."""
    batcher = FaceBatcher(max_batch=max_batch, max_wait_s=0.005)
    outcome = Outcome(ages_s={stream: [] for stream in range(len(cameras))})
    frames = sorted(
        (index / camera.fps + 0.0003 * stream, stream, index)
        for stream, camera in enumerate(cameras)
        for index in range(int(seconds * camera.fps))
    )
    clocks = [[Clock(camera.score_hz) for _ in range(camera.faces)] for camera in cameras]
    free_at_s, order = 0.0, 0

    def score_until(now_s: float) -> None:
        nonlocal free_at_s
        while True:
            due_in_s = batcher.due_in_s(free_at_s)
            if due_in_s is None or free_at_s + due_in_s > now_s:
                if due_in_s is None:
                    free_at_s = max(free_at_s, now_s)
                return
            free_at_s += due_in_s + batch_s
            for _, taken in batcher.take():
                outcome.scores[taken.stream, taken.face_id] += 1
                outcome.ages_s[taken.stream].append(free_at_s - taken.captured_at_s)

    for at_s, stream, index in frames:
        score_until(at_s)
        for face, clock in enumerate(clocks[stream]):
            if clock.due(index / cameras[stream].fps):
                order += 1
                seen = replace(CROP, stream=stream, face_id=face, frame_index=index, captured_at_s=at_s)
                outcome.offered += 1
                outcome.replaced += batcher.add(seen, order=order, now_s=at_s, lossless=False) is not None
        outcome.most_waiting = max(outcome.most_waiting, len(batcher))
    return outcome


def test_ten_minutes_of_a_scorer_five_times_too_slow_make_no_frame_older_than_interval_and_batch() -> None:
    interval_s = 1 / 25
    batch_s = 5 * interval_s
    outcome = simulate([Camera(fps=25)], batch_s=batch_s, max_batch=8, seconds=600)
    ages_s = outcome.ages_s[0]
    assert len(ages_s) == pytest.approx(600 / batch_s, rel=0.01)
    assert np.percentile(ages_s, 99) <= interval_s + batch_s
    assert max(ages_s[-500:]) <= max(ages_s[:500]) + 1e-9
    assert outcome.most_waiting == 1
    assert outcome.replaced == outcome.offered - len(ages_s) - 1


def test_the_bound_holds_for_many_streams_where_more_faces_wait_than_a_batch_takes() -> None:
    cameras = [Camera(fps=15), Camera(fps=60), Camera(fps=25, faces=8), Camera(fps=30)]
    outcome = simulate(cameras, batch_s=0.4, max_batch=2, seconds=600)
    for stream, camera in enumerate(cameras):
        assert np.percentile(outcome.ages_s[stream], 99) <= 1 / camera.asks_hz + 0.4
    assert outcome.most_waiting <= 11


@pytest.mark.parametrize("max_batch", [1, 3, 8])
def test_at_three_times_too_much_every_face_gets_the_same_whatever_its_stream_shows(max_batch: int) -> None:
    cameras = [Camera(fps=30, faces=8), Camera(fps=60), Camera(fps=15), Camera(fps=25), Camera(fps=30)]
    asked_hz = sum(camera.asks_hz * camera.faces for camera in cameras)
    batch_s = max_batch / (asked_hz / 3)
    outcome = simulate(cameras, batch_s=batch_s, max_batch=max_batch, seconds=600)
    rates = [
        outcome.scores[stream, face] / 600
        for stream, camera in enumerate(cameras)
        for face in range(camera.faces)
    ]
    assert sum(rates) == pytest.approx(asked_hz / 3, rel=0.02)
    assert jain(rates) >= 0.95
    assert min(rates) >= 0.8 * max(rates)


def test_whoever_asks_for_less_than_a_fair_share_gets_all_of_it() -> None:
    cameras = [Camera(fps=30, score_hz=1), Camera(fps=30), Camera(fps=30), Camera(fps=30)]
    outcome = simulate(cameras, batch_s=1 / 30, max_batch=1, seconds=600)
    assert outcome.scores[0, 0] == pytest.approx(600, abs=2)
    others = [outcome.scores[stream, 0] / 600 for stream in (1, 2, 3)]
    assert others == pytest.approx([29 / 3] * 3, rel=0.03)


def test_a_file_takes_one_faces_share_from_those_who_are_live() -> None:
    batcher = FaceBatcher(max_batch=1, max_wait_s=0.0)
    taken: Counter[int] = Counter()
    for order in range(300):
        while batcher.waiting_of(9) < 8:  # as the exchange lets a file do
            batcher.add(crop(stream=9, face=order % 3, frame=order), order=order, now_s=0.0, lossless=True)
        for stream in (0, 1):
            batcher.add(crop(stream=stream, frame=order), order=order, now_s=0.0, lossless=False)
        for _, scored in batcher.take():
            taken[scored.stream] += 1
    assert taken == {0: 100, 1: 100, 9: 100}


def test_a_stream_whose_every_look_is_a_scene_cut_does_not_crowd_out_the_others() -> None:
    """Each of its faces is new, so none has ever been scored; new faces queue behind those who wait."""
    batcher = FaceBatcher(max_batch=1, max_wait_s=0.0)
    taken: Counter[int] = Counter()
    for order in range(300):
        batcher.drop_face(1, order - 1)
        batcher.add(crop(stream=1, face=order), order=order, now_s=0.0, lossless=False)
        for stream in (0, 2):
            batcher.add(crop(stream=stream), order=order, now_s=0.0, lossless=False)
        for _, scored in batcher.take():
            taken[scored.stream] += 1
    assert taken[0] == pytest.approx(taken[2], abs=1)
    assert taken[0] >= 100
    assert len(batcher) <= 3
