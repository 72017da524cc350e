"""Stable ids: the same face keeps its own, and none is used twice."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_detector.records import Box, FoundFace, TrackedFace
from stream_detector.tracks import Tracker, largest


def face(x: float, y: float = 200.0, side: float = 100.0) -> FoundFace:
    half = side / 2
    return FoundFace(Box(round(x - half), round(y - half), round(x + half), round(y + half)), 0.9)


def ids(tracker: Tracker, pts_s: float, *faces: FoundFace) -> list[int]:
    return [tracked.face_id for tracked in tracker.update(pts_s, list(faces)).faces]


@pytest.mark.parametrize("looks_hz", [5, 10, 30])
def test_a_moving_face_keeps_its_id(looks_hz: int) -> None:
    tracker = Tracker()
    seen = set()
    for i in range(10 * looks_hz):
        t = i / looks_hz
        x = 400 + 150 * math.sin(2 * math.pi * t / 3)  # up to three face widths a second
        seen |= set(ids(tracker, t, face(x, 200 + 20 * math.sin(t), 100 + 10 * math.sin(t))))
    assert seen == {1}


def test_two_faces_that_pass_each_other_keep_their_ids() -> None:
    tracker = Tracker()
    of_left, of_right = set(), set()
    for i in range(31):
        t = i / 10
        left, right = face(200 + 200 * t, 170), face(800 - 200 * t, 260)
        found = [left, right] if i % 2 else [right, left]  # the finder's order says nothing
        named = {tracked.found: tracked.face_id for tracked in tracker.update(t, found).faces}
        of_left.add(named[left])
        of_right.add(named[right])
    assert len(of_left) == len(of_right) == 1
    assert of_left != of_right


def test_a_face_away_for_a_moment_keeps_its_id_and_one_away_longer_does_not() -> None:
    tracker = Tracker(lost_after_s=1.0)
    assert ids(tracker, 0.0, face(300)) == [1]
    assert ids(tracker, 0.9) == []
    assert ids(tracker, 1.0, face(310)) == [1]
    late = tracker.update(2.5, [face(310)])
    assert late.lost_ids == (1,)
    assert late.new_ids == (2,)


def test_a_face_elsewhere_is_another_face() -> None:
    tracker = Tracker()
    ids(tracker, 0.0, face(300))
    assert ids(tracker, 0.1, face(700)) == [2]


def test_faces_in_view_counts_those_away_for_a_moment() -> None:
    tracker = Tracker()
    assert tracker.faces_in_view == 0
    tracker.update(0.0, [face(300)])
    tracker.update(0.1, [])
    assert tracker.faces_in_view == 1
    tracker.update(2.0, [])
    assert tracker.faces_in_view == 0


def test_a_cut_ends_every_track_and_no_id_comes_back() -> None:
    tracker = Tracker()
    assert ids(tracker, 0.0, face(300), face(700)) == [1, 2]
    assert set(tracker.cut()) == {1, 2}
    assert tracker.cut() == ()
    assert ids(tracker, 0.1, face(300), face(700)) == [3, 4]


@given(
    st.lists(
        st.tuples(
            st.floats(0.01, 2.0),
            st.lists(st.tuples(st.integers(0, 1000), st.integers(20, 300)), max_size=5),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_whatever_happens_ids_are_announced_once_lost_once_and_never_shared(
    looks: list[tuple[float, list[tuple[int, int]], bool]],
) -> None:
    tracker, now_s = Tracker(), 0.0
    announced: list[int] = []
    lost: list[int] = []
    for step_s, places, cut in looks:
        now_s += step_s
        if cut:
            lost += tracker.cut()
        update = tracker.update(now_s, [face(x, side=side) for x, side in places])
        announced += update.new_ids
        lost += update.lost_ids
        seen = [tracked.face_id for tracked in update.faces]
        assert len(seen) == len(set(seen)) == len(places)
        assert set(seen) <= set(announced) - set(lost)
        assert tracker.faces_in_view == len(announced) - len(lost)
    assert announced == list(range(1, len(announced) + 1))
    assert len(lost) == len(set(lost))


def test_the_largest_faces_are_kept_and_a_known_one_gives_way_only_to_a_clearly_larger_one() -> None:
    def tracked(face_id: int, side: float) -> TrackedFace:
        return TrackedFace(face_id, face(200 * face_id, side=side))

    assert [f.face_id for f in largest([tracked(1, 50), tracked(2, 200), tracked(3, 100)], 2)] == [2, 3]
    assert [f.face_id for f in largest([tracked(1, 100), tracked(2, 110)], 1)] == [1]
    assert [f.face_id for f in largest([tracked(1, 100), tracked(2, 180)], 1)] == [2]
    assert largest([], 3) == ()


def test_a_tracker_that_waits_for_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="lost_after_s must be positive"):
        Tracker(0.0)
