"""The pure parts of reconnecting: when to try, and how sessions become one stream."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_detector.records import Frame, RgbPicture
from stream_detector.sources.backoff import (
    EARLY_INTERVAL_S,
    EARLY_S,
    FIRST_INTERVAL_S,
    LAST_INTERVAL_S,
    Backoff,
)
from stream_detector.sources.pacing import SegmentPace
from stream_detector.sources.seams import Seams
from tests import media


def tries_s(backoff: Backoff, until_s: float, open_s: float = 0.0) -> list[float]:
    """When a source that is away is tried, counted from its loss; the clock is passed in."""
    at_s, tries = 0.0, []
    while at_s < until_s:
        at_s += backoff.wait_s(at_s) + open_s
        tries.append(at_s)
    return tries


@given(chance=st.floats(0, 1, exclude_max=True), back_at_s=st.floats(0, EARLY_S))
def test_in_the_first_minute_the_next_try_is_never_far(chance: float, back_at_s: float) -> None:
    """A camera that comes back after 1, 5 or 30 s, or at any time in the first minute."""
    tries = tries_s(Backoff(lambda: chance), EARLY_S + 1)
    assert min(at_s - back_at_s for at_s in tries if at_s >= back_at_s) <= EARLY_INTERVAL_S


def test_after_the_first_minute_the_waits_double_from_one_to_thirty_seconds() -> None:
    backoff = Backoff(lambda: 1.0)
    waits_s = [backoff.wait_s(EARLY_S + index) for index in range(8)]
    assert waits_s == [
        FIRST_INTERVAL_S,
        2.0,
        4.0,
        8.0,
        16.0,
        LAST_INTERVAL_S,
        LAST_INTERVAL_S,
        LAST_INTERVAL_S,
    ]
    backoff.reset()
    assert backoff.wait_s(EARLY_S) == FIRST_INTERVAL_S


def test_pictures_of_a_segment_wait_for_their_time_and_a_late_one_starts_anew() -> None:
    pace = SegmentPace()
    assert [pace.wait_s(pts_s, 100.0) for pts_s in (0.0, 1.0, 2.0)] == [0.0, 1.0, 2.0]
    assert pace.wait_s(3.0, 103.2) == 0.0  # a little late: the next is on time again
    assert pace.wait_s(4.0, 103.5) == pytest.approx(0.5)
    assert pace.wait_s(5.0, 110.0) == 0.0  # very late: time starts anew here
    assert pace.wait_s(6.0, 110.0) == pytest.approx(1.0)
    assert pace.wait_s(100.0, 110.0) == 0.0  # a jump


def test_chance_shortens_a_wait_by_half_at_most() -> None:
    assert Backoff(lambda: 0.0).wait_s(0.0) == EARLY_INTERVAL_S / 2
    waits_s = {Backoff(lambda c=c: c).wait_s(0.0) for c in (0.0, 0.3, 0.6, 0.9)}  # type: ignore[misc]
    assert len(waits_s) == 4


def test_a_camera_away_for_a_month_is_tried_without_overflow() -> None:
    backoff = Backoff(lambda: 1.0)
    assert [backoff.wait_s(EARLY_S + index * 30) for index in range(100_000)][-1] == LAST_INTERVAL_S


def frame(index: int, pts_s: float, captured_at_s: float, segment: int = 0) -> Frame:
    return Frame(0, index, pts_s, captured_at_s, RgbPicture(media.grey(index, 8, 8)), segment)


def test_media_time_goes_on_by_the_time_that_passed_and_the_segment_rises() -> None:
    seams = Seams()
    seams.begin()
    first = [seams.join(frame(i, i * 0.04, 100 + i * 0.04)) for i in range(3)]
    assert seams.now_s == first[-1].pts_s
    seams.begin()
    second = [seams.join(frame(i, i * 0.04, 104.98 + i * 0.04, segment=i // 2)) for i in range(3)]
    assert [f.index for f in first + second] == [0, 1, 2, 3, 4, 5]
    assert [f.segment for f in first + second] == [0, 0, 0, 1, 1, 2]
    assert [f.pts_s for f in first + second] == pytest.approx([0, 0.04, 0.08, 4.98, 5.02, 5.06])


@given(
    sessions=st.lists(
        st.lists(st.tuples(st.floats(0, 5), st.floats(0, 60)), max_size=5).map(
            lambda steps: list(itertools.accumulate(steps, lambda a, b: (a[0] + b[0], a[1] + b[1])))
        ),
        max_size=6,
    )
)
def test_whatever_the_sessions_media_time_never_falls(sessions: list[list[tuple[float, float]]]) -> None:
    seams, now_s, joined = Seams(), 0.0, []
    for session in sessions:
        seams.begin()
        start_s = now_s
        for index, (pts_s, at_s) in enumerate(session):
            now_s = start_s + at_s
            joined.append(seams.join(frame(index, pts_s, now_s)))
    assert [f.pts_s for f in joined] == sorted(f.pts_s for f in joined)
    assert [f.index for f in joined] == sorted({f.index for f in joined})
