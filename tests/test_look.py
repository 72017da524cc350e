"""From a frame to crops and events, with a face finder that sees what the test tells it to."""

import dataclasses

import numpy as np
import pytest

from stream_detector.look import Look
from stream_detector.model_spec import read_sidecar
from stream_detector.records import (
    Box,
    EventKind,
    FaceCrop,
    FoundFace,
    Frame,
    Image,
    RgbPicture,
    Sighting,
    State,
    StreamEvent,
    UnscoredFace,
)
from stream_detector.scorers.choice import packaged_models
from stream_detector.settings import StreamSettings

SCENE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8).repeat(8, 0).repeat(8, 1)
PACKAGED_PX = read_sidecar(packaged_models()[0]).contract.input_px


class Finder:
    """Sees the boxes it was told last."""

    face_model = "full-range-sparse"

    def __init__(self) -> None:
        self.boxes: list[Box] = []

    def find(self, image: Image) -> list[FoundFace]:
        assert image.shape == SCENE.shape
        return [FoundFace(box, 0.9) for box in self.boxes]

    def close(self) -> None:
        self.boxes = []


@pytest.fixture
def finder() -> Finder:
    return Finder()


def look(finder: Finder, **options: object) -> Look:
    settings = StreamSettings(url="a", **options)  # type: ignore[arg-type]
    return Look(0, finder, read_sidecar(packaged_models()[0]), settings)


def frame(index: int, pts_s: float, segment: int = 0) -> Frame:
    return Frame(0, index, pts_s, 100 + pts_s, RgbPicture(SCENE.copy()), segment)


def kinds(items: object) -> list[object]:
    assert isinstance(items, list)
    return [i.event if isinstance(i, StreamEvent) else type(i) for i in items]


def test_a_new_face_is_announced_and_cut_out_at_once(finder: Finder) -> None:
    finder.boxes = [Box(100, 100, 220, 220)]
    items = look(finder).at(frame(0, 0.0))
    assert kinds(items) == [EventKind.STREAM_STARTED, EventKind.FACE_FOUND, FaceCrop]
    crop = items[2]
    assert isinstance(crop, FaceCrop)
    assert crop.pixels.shape == (PACKAGED_PX, PACKAGED_PX, 3)


def test_a_small_face_and_one_half_outside_are_told_but_not_cut_out(finder: Finder) -> None:
    finder.boxes = [Box(100, 100, 130, 130), Box(580, 300, 700, 420)]
    unscored = [i for i in look(finder).at(frame(0, 0.0)) if isinstance(i, UnscoredFace)]
    assert {item.why for item in unscored} == {State.TOO_SMALL, State.CUT_OFF}


def test_an_empty_picture_says_no_face_once_until_a_face_comes_and_goes(finder: Finder) -> None:
    watched = look(finder)
    told = [kinds(watched.at(frame(i, i / 10))) for i in range(3)]
    assert told == [[EventKind.STREAM_STARTED, EventKind.NO_FACE], [], []]
    finder.boxes = [Box(100, 100, 220, 220)]
    watched.at(frame(3, 0.3))
    finder.boxes = []
    assert kinds(watched.at(frame(4, 5.0))) == [EventKind.FACE_LOST, EventKind.NO_FACE]


def test_a_break_starts_new_faces_even_where_the_frame_that_brought_it_was_dropped(finder: Finder) -> None:
    finder.boxes = [Box(100, 100, 220, 220)]
    watched = look(finder)
    assert watched.due(frame(0, 0.0))
    watched.at(frame(0, 0.0))
    assert not watched.due(frame(1, 0.01))
    after = frame(3, 0.02, segment=1)  # frame 2, the first of the new segment, never came
    assert watched.due(after)
    assert kinds(watched.at(after)) == [
        EventKind.SCENE_CUT,
        EventKind.FACE_LOST,
        EventKind.FACE_FOUND,
        FaceCrop,
    ]


def test_each_face_is_scored_at_the_rate_asked_for(finder: Finder) -> None:
    finder.boxes = [Box(100, 100, 220, 220), Box(400, 100, 520, 220)]
    watched = look(finder, score_hz=2)
    crops = [i for n in range(41) for i in watched.at(frame(n, n / 10)) if isinstance(i, FaceCrop)]
    assert [sum(c.face_id == face for c in crops) for face in (1, 2)] == [9, 9]


def test_only_the_region_is_looked_at_and_boxes_are_those_of_the_whole_picture() -> None:
    class Inside(Finder):
        def find(self, image: Image) -> list[FoundFace]:
            assert image.shape == (240, 320, 3)
            assert np.array_equal(image, SCENE[100:340, 200:520])
            return [FoundFace(Box(10, 20, 130, 140), 0.9), FoundFace(Box(280, 20, 400, 140), 0.9)]

    items = look(Inside(), crop="320x240+200+100").at(frame(0, 0.0))
    crop, cut_off = items[3:]
    assert isinstance(crop, FaceCrop)
    assert crop.box == Box(210, 120, 330, 240)
    assert isinstance(cut_off, UnscoredFace)
    assert (cut_off.why, cut_off.box) == (State.CUT_OFF, Box(480, 120, 600, 240))


def test_a_crop_carries_the_stamps_of_its_way(finder: Finder) -> None:
    ticks = iter(range(1000))
    settings = StreamSettings(url="a")
    spec = read_sidecar(packaged_models()[0])
    finder.boxes = [Box(100, 100, 220, 220)]
    watched = Look(0, finder, spec, settings, clock=lambda: float(next(ticks)))
    crop = watched.at(dataclasses.replace(frame(0, 0.0), packet_at_s=-5.0))[2]
    assert isinstance(crop, FaceCrop)
    assert crop.sighting == Sighting(packet_at_s=-5.0, taken_at_s=0, found_at_s=1, queued_at_s=2)
