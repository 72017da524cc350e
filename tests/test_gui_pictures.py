import numpy as np
import pytest
from PyQt6.QtCore import QRectF, QSizeF

from gui.pictures import (
    Veils,
    crop_square,
    evidence_image,
    letterboxed,
    scaled,
    to_array,
    to_qimage,
    with_evidence,
)
from stream_detector.crops import cut_face
from stream_detector.records import Box
from tests import gui_parts

_ = gui_parts


@pytest.mark.parametrize("width_px", [64, 65, 66, 67])
def test_a_picture_of_any_width_keeps_its_pixels(width_px: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, width_px, 3), np.uint8)
    assert np.array_equal(to_array(to_qimage(image)), image)


def test_a_picture_for_qt_is_a_copy() -> None:
    image = np.full((8, 8, 3), 10, np.uint8)
    picture = to_qimage(image)
    image[:] = 200
    assert to_array(picture).max() == 10


@pytest.mark.parametrize(
    ("picture", "room", "expected"),
    [
        ((1280, 720), (0, 0, 640, 640), (0, 140, 640, 360)),
        ((720, 1280), (0, 0, 640, 640), (140, 0, 360, 640)),
        ((100, 100), (10, 20, 300, 100), (110, 20, 100, 100)),
    ],
)
def test_a_picture_is_as_large_as_its_shape_allows_and_centred(
    picture: tuple[int, int], room: tuple[int, int, int, int], expected: tuple[int, int, int, int]
) -> None:
    assert letterboxed(QSizeF(*picture), QRectF(*room)) == QRectF(*expected)


def test_a_picture_in_no_room_is_nothing() -> None:
    assert letterboxed(QSizeF(100, 100), QRectF(0, 0, 0, 50)).isEmpty()


def test_the_evidence_map_lies_exactly_over_the_crop_that_was_scored() -> None:
    image = np.random.default_rng(1).integers(0, 256, (400, 600, 3), np.uint8)
    box = Box(201, 100, 290, 201)
    square = crop_square(box, 1.3)
    x, y, side = int(square.left()), int(square.top()), int(square.width())
    assert np.array_equal(cut_face(image, box, margin=1.3, size_px=side), image[y : y + side, x : x + side])


def test_the_evidence_map_is_orange_for_fake_blue_against_it_and_clear_where_there_is_nothing() -> None:
    evidence = np.zeros((3, 3), np.float32)
    evidence[0, 0], evidence[2, 2] = 40.0, -40.0
    veil = evidence_image(evidence, 30)
    fake, clear, real = veil.pixelColor(2, 2), veil.pixelColor(2, 27), veil.pixelColor(27, 27)
    assert fake.red() > fake.blue()
    assert real.blue() > real.red()
    assert fake.alpha() > 100 < real.alpha()
    assert clear.alpha() < 30


def test_weak_evidence_stays_faint_because_every_map_has_the_same_scale() -> None:
    weak = evidence_image(np.full((7, 7), 1.0, np.float32), 14).pixelColor(7, 7).alpha()
    strong = evidence_image(np.full((7, 7), 30.0, np.float32), 14).pixelColor(7, 7).alpha()
    assert weak < 20 < 100 < strong


def test_an_evidence_map_is_made_once_for_each_score() -> None:
    veils = Veils()
    maps = [np.full((7, 7), value, np.float32) for value in range(200)]
    first = veils.of(maps[0], 16)
    assert veils.of(maps[0], 16) is first
    pictures = [veils.of(evidence, 16).pixelColor(8, 8).alpha() for evidence in maps]
    assert pictures == sorted(pictures)
    assert len(veils._veils) <= 24


def test_a_crop_with_its_evidence_map_is_a_fresh_picture_of_the_same_size() -> None:
    crop = np.full((24, 24, 3), 100, np.uint8)
    mixed = with_evidence(crop, np.full((7, 7), 30.0, np.float32))
    assert mixed.shape == crop.shape
    assert crop.max() == 100
    assert mixed[12, 12, 0] > 150 > mixed[12, 12, 2]


def test_a_picture_at_its_own_size_is_not_copied() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    assert scaled(image, 20, 10) is image
    assert scaled(image, 10, 5).shape == (5, 10, 3)
