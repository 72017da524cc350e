from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_detector.records import Box, FoundFace
from stream_detector.tiles import (
    CYCLE,
    CloserLook,
    grid,
    inside,
    merge,
    not_cut,
    same_face,
    search_tile,
    without_repeats,
)

FULL_HD = (1920, 1080)
PICTURE = Box(0, 0, *FULL_HD)


def face(x: int, y: int, side: int, confidence: float = 0.9) -> FoundFace:
    return FoundFace(Box(x, y, x + side, y + side), confidence)


class Detector:
    """Sees each face in those parts of the picture it fills enough of, as the real one does."""

    def __init__(self, *faces: FoundFace, needs: float = 0.04) -> None:
        self.faces = faces
        self.needs = needs
        self.parts: list[Box] = []

    def __call__(self, part: Box) -> list[FoundFace]:
        self.parts.append(part)
        enough = self.needs * max(part.width_px, part.height_px)
        return [face for face in self.faces if inside(face.box, part) and face.box.side_px >= enough]


def looks(look: CloserLook, detector: Callable[[Box], list[FoundFace]], count: int) -> list[list[FoundFace]]:
    return [look.at(*FULL_HD, detector) for _ in range(count)]


@given(width=st.integers(1, 8000), height=st.integers(1, 8000), most=st.integers(1, 12))
def test_tiles_are_few_and_cover_the_picture_and_nothing_else(width: int, height: int, most: int) -> None:
    tiles = grid(width, height, most)
    assert 1 <= len(tiles) <= most
    assert all(inside(tile, Box(0, 0, width, height)) for tile in tiles)
    for start, end, length in (("x0", "x1", width), ("y0", "y1", height)):
        spans = sorted({(getattr(tile, start), getattr(tile, end)) for tile in tiles})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert all(after[0] <= before[1] for before, after in pairwise(spans))


@given(width=st.integers(961, 8000), height=st.integers(200, 8000), data=st.data())
def test_a_small_face_anywhere_lies_whole_in_some_tile(width: int, height: int, data: st.DataObject) -> None:
    tiles = grid(width, height)
    side = max(1, min(int(0.18 * max(tiles[0].width_px, tiles[0].height_px)), height, width))
    x = data.draw(st.integers(0, width - side))
    y = data.draw(st.integers(0, height - side))
    assert any(not_cut([face(x, y, side)], tile, Box(0, 0, width, height)) for tile in tiles)


@pytest.mark.parametrize(
    "size", [(1280, 720), (1080, 1920), (1920, 1080), (3840, 2160), (7680, 4320), (5000, 3)]
)
def test_every_part_of_a_large_picture_is_searched_once_a_cycle(size: tuple[int, int]) -> None:
    searched = [tile for look in range(CYCLE) if (tile := search_tile(*size, look))]
    assert len(searched) == len(set(searched))
    assert set(searched) == set(grid(*size, CYCLE if max(size) > 1280 else 2))


def test_tiles_of_a_full_hd_picture_are_small_enough_for_a_face_of_40_px() -> None:
    # The network sees 192 px: 40 of 640 are 12, the least it finds reliably.
    assert max(grid(*FULL_HD)[0].width_px, grid(*FULL_HD)[0].height_px) <= 640


def test_a_small_picture_is_looked_at_once_and_whole() -> None:
    detector = Detector(face(300, 100, 120))
    look = CloserLook(0.5)
    for _ in range(20):
        assert look.at(640, 480, detector) == [face(300, 100, 120)]
    assert detector.parts == [Box(0, 0, 640, 480)] * 20


@given(
    st.lists(
        st.builds(face, st.integers(0, 1800), st.integers(0, 960), st.integers(10, 120), st.floats(0.3, 1.0)),
        max_size=20,
    ),
    st.floats(0.0, 0.3),
)
def test_a_look_costs_at_most_three_runs_whatever_is_there(faces: list[FoundFace], needs: float) -> None:
    detector = Detector(*faces, needs=needs)
    look = CloserLook(0.5)
    for _ in range(12):
        detector.parts.clear()
        found = look.at(*FULL_HD, detector)
        assert 1 <= len(detector.parts) <= 3
        assert all(inside(part, PICTURE) for part in detector.parts)
        assert all(f.confidence >= 0.5 for f in found)
        assert not any(same_face(a.box, b.box) for i, a in enumerate(found) for b in found[:i])


@given(x=st.integers(0, 1880), y=st.integers(0, 1040))
def test_a_face_only_tiles_show_is_found_within_a_cycle_and_seen_at_two_looks_in_three(
    x: int, y: int
) -> None:
    detector = Detector(face(x, y, 40))
    seen = [bool(found) for found in looks(CloserLook(0.5), detector, 20)]
    first = seen.index(True)
    assert first < CYCLE
    assert sum(seen[first:]) >= (len(seen) - first) * 2 // 3


def test_faces_too_many_for_one_revisit_take_turns() -> None:
    faces = [face(40 + 370 * column, 60 + 330 * row, 40) for column in range(5) for row in range(3)]
    seen = looks(CloserLook(0.5), Detector(*faces), 40)[CYCLE:]
    for one in faces:
        times = [i for i, found in enumerate(seen) if one in found]
        assert max(b - a for a, b in pairwise(times)) <= 10


def test_a_face_that_left_is_looked_for_and_then_forgotten() -> None:
    detector = Detector(face(900, 500, 40))
    look = CloserLook(0.5)
    looks(look, detector, CYCLE)
    detector.faces = ()
    detector.parts.clear()
    looks(look, detector, 30)
    around = [part for part in detector.parts if part.width_px == part.height_px and part.width_px < 400]
    assert 1 <= len(around) <= 11


def test_a_hint_is_reported_only_once_a_closer_look_confirms_it() -> None:
    def detect(part: Box) -> list[FoundFace]:
        near = part.width_px < 400
        return [face(900, 500, 40, 0.9 if near else 0.35)] if inside(Box(900, 500, 940, 540), part) else []

    found = looks(CloserLook(0.5), detect, 2)
    assert any(f == face(900, 500, 40, 0.9) for faces in found for f in faces)


def test_a_hint_that_a_closer_look_refutes_is_left_alone_for_a_cycle() -> None:
    parts: list[Box] = []

    def detect(part: Box) -> list[FoundFace]:
        parts.append(part)
        return [face(900, 500, 60, 0.45)] if part == PICTURE else []

    assert not any(looks(CloserLook(0.5), detect, 30))
    starts = [i for i, part in enumerate(parts) if part == PICTURE] + [len(parts)]
    close = [look for look, (start, end) in enumerate(pairwise(starts)) if end - start == 3]
    assert len(close) >= 2
    assert all(b - a >= CYCLE for a, b in pairwise(close))


def test_a_background_full_of_hints_does_not_starve_a_face_already_known() -> None:
    known = face(900, 500, 40)
    count = 0

    def detect(part: Box) -> list[FoundFace]:
        nonlocal count
        if part == PICTURE:
            count += 1
            return [face(7 * (count + 9 * i) % 1800, 60 + 100 * (count % 3), 50, 0.4) for i in range(12)]
        return [known] if inside(known.box, part) and part.width_px < 640 else []

    seen = [known in found for found in looks(CloserLook(0.5), detect, 60)]
    later = seen[seen.index(True) :]
    assert sum(later) >= 0.6 * len(later)


def test_what_only_a_tile_takes_for_a_face_must_look_much_like_one() -> None:
    doubtful = face(900, 500, 60, 0.55)
    assert not any(looks(CloserLook(0.5), lambda part: [] if part == PICTURE else [doubtful], 20))


def test_a_small_face_seen_only_from_afar_keeps_the_size_last_seen_closely() -> None:
    near = True

    def detect(part: Box) -> list[FoundFace]:
        if part == PICTURE:
            return [face(880, 480, 90)]
        return [face(900, 500, 50)] if near and inside(Box(900, 500, 950, 550), part) else []

    look = CloserLook(0.5)
    assert {f.box.side_px for faces in looks(look, detect, CYCLE)[-3:] for f in faces} == {50}
    near = False
    (found,) = look.at(*FULL_HD, detect)
    assert found.box == Box(900, 500, 950, 550)


def test_a_picture_of_another_size_starts_afresh() -> None:
    detector = Detector(face(900, 500, 40))
    look = CloserLook(0.5)
    looks(look, detector, CYCLE)
    detector.parts.clear()
    detector.faces = ()
    look.at(1280, 720, detector)
    assert len(detector.parts) <= 2


def test_one_face_seen_whole_and_closely_counts_once_and_closely_if_small() -> None:
    coarse, fine = face(890, 490, 64), face(900, 500, 42)
    assert merge([coarse], [fine], small_px=150) == [fine]


def test_one_face_seen_whole_and_in_part_counts_once_and_whole_if_large() -> None:
    whole, part = face(400, 200, 500), face(420, 230, 300)
    assert merge([whole], [part], small_px=150) == [whole]


def test_two_faces_side_by_side_are_two() -> None:
    left, right = face(100, 100, 60), face(150, 100, 60)
    assert without_repeats([left, right]) == [left, right]


def test_a_box_cut_by_an_inner_edge_is_dropped_but_one_cut_by_the_picture_is_not() -> None:
    tile = Box(0, 0, 640, 640)
    at_the_picture, at_the_tile = face(-20, 100, 60), face(600, 100, 60)
    assert not_cut([at_the_picture, at_the_tile], tile, PICTURE) == [at_the_picture]
