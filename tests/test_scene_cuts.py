"""A cut is noticed; motion, light and noise are none."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from stream_detector.records import Image
from stream_detector.scene_cuts import SceneCuts
from stream_detector.sources.address import parse_address
from stream_detector.sources.demo import DemoSource
from stream_detector.sources.reader import Reader


def pictures(source: str, step: int = 3) -> list[Image]:
    with closing(Reader(parse_address(source)).frames()) as frames:
        return [frame.picture.rgb() for frame in frames if frame.index % step == 0]


def cuts(images: "list[Image] | Iterator[Image]") -> list[int]:
    detector = SceneCuts()
    return [index for index, image in enumerate(images) if detector.is_cut(image)]


@pytest.fixture(scope="module")
def demo() -> list[Image]:
    with closing(DemoSource().frames()) as frames:
        return [frame.picture.rgb() for frame in frames if frame.index % 3 == 0]


@pytest.fixture(scope="module")
def other() -> list[Image]:
    return pictures("lavfi:smptehdbars=size=1280x720:rate=25,noise=alls=12:allf=t,trim=duration=2")


def test_a_person_who_moves_is_no_cut_not_even_where_the_face_is_tampered_with(demo: list[Image]) -> None:
    assert cuts(demo) == []


def test_a_jump_to_another_scene_and_back_is_two_cuts(demo: list[Image], other: list[Image]) -> None:
    assert cuts([*demo[:10], *other[:10], *demo[10:20]]) == [10, 20]


def test_noise_is_no_cut() -> None:
    noise = np.random.default_rng(0)
    assert cuts(noise.integers(0, 256, (20, 360, 640, 3), np.uint8).__iter__()) == []


def test_a_change_of_exposure_is_no_cut(demo: list[Image]) -> None:
    dimmed = [
        (image * (0.55 if index >= 10 else 1.0)).astype(np.uint8) for index, image in enumerate(demo[:20])
    ]
    assert cuts(dimmed) == []


def test_a_flash_is_no_cut(demo: list[Image]) -> None:
    images = list(demo[:20])
    images[10] = np.full_like(images[10], 255)
    assert cuts(images) == []


def test_a_slow_fade_is_no_cut(demo: list[Image], other: list[Image]) -> None:
    shares = np.linspace(0, 1, 25)
    faded = [(demo[0] * (1 - s) + other[0] * s).astype(np.uint8) for s in shares]
    assert cuts(faded) == []


def test_a_dip_to_black_between_two_scenes_is_one_cut(demo: list[Image], other: list[Image]) -> None:
    black = np.zeros_like(demo[0])
    assert cuts([*demo[:5], black, black, *other[:5]]) == [7]


def test_a_change_of_picture_size_is_survived(demo: list[Image]) -> None:
    assert cuts([demo[0], np.ascontiguousarray(demo[1][::2, ::2]), demo[2]]) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 3), (4320, 7680, 3)])
def test_any_size_of_picture_is_taken(shape: tuple[int, int, int]) -> None:
    assert cuts([np.zeros(shape, np.uint8), np.full(shape, 90, np.uint8)]) == []


def test_real_people_are_no_cut_and_other_people_in_the_same_place_nearly_always_are(
    research_data: Path,
) -> None:
    clips = {
        name: pictures(str(research_data / "clips" / f"{name}.mkv"))
        for name in ("again", "bird", "book", "eat", "hungry")
    }
    for images in clips.values():
        assert cuts(images) == []
    found = [
        cuts(clips[before][-8:] + clips[after][:8]) for before in clips for after in clips if before != after
    ]
    assert all(places in ([8], []) for places in found)
    assert found.count([8]) >= 18  # two people in dark clothes on the same spot may pass as one
