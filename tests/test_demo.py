"""The built-in demo: the same frames in every run, untouched first, tampered with after."""

from contextlib import closing
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from stream_detector.records import Image
from stream_detector.sources.demo import DemoSource, self_blend


def images(step: int, **options: object) -> list[Image]:
    with closing(DemoSource(**options).frames()) as frames:  # type: ignore[arg-type]
        return [frame.picture.rgb() for frame in frames if frame.index % step == 0]


def test_every_run_draws_the_same_frames() -> None:
    for first, second in zip(images(50), images(50), strict=True):
        assert np.array_equal(first, second)


def test_the_frames_come_at_the_stated_rate_for_the_stated_time() -> None:
    with closing(DemoSource(stream=3, duration_s=2.0, rate=Fraction(30000, 1001)).frames()) as frames:
        seen = [(frame.stream, frame.index, frame.pts_s, frame.picture.width_px) for frame in frames]
    assert len(seen) == 60
    assert (seen[1][:2], seen[1][3]) == ((3, 1), 1280)
    assert seen[1][2] == pytest.approx(1001 / 30000)


def test_no_two_frames_in_a_row_are_the_same() -> None:
    drawn = images(1, duration_s=0.4)
    assert all(not np.array_equal(before, after) for before, after in pairwise(drawn))


def test_the_tampering_changes_the_face_and_nothing_else() -> None:
    portrait = np.random.default_rng(1).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    changed = np.abs(self_blend(portrait).astype(int) - portrait).max(axis=2) > 1
    rows, columns = np.nonzero(changed)
    assert 60 < rows.min() < rows.max() < 190
    assert 170 < columns.min() < columns.max() < 280
    assert changed[100:150, 200:250].mean() > 0.9


def test_stop_ends_it_at_the_next_frame() -> None:
    source = DemoSource()
    with closing(source.frames()) as frames:
        next(frames)
        source.stop()
        assert list(frames) == []


def test_a_demo_of_no_length_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        DemoSource(duration_s=0.0)
