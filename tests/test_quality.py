"""Which faces are fit to be scored."""

import cv2
import numpy as np
import pytest

from stream_detector.model_spec import read_sidecar
from stream_detector.quality import blurred, judge, sharpness, turn
from stream_detector.records import Box, Image, State
from stream_detector.scorers.choice import packaged_models


@pytest.mark.parametrize(
    ("box", "why"),
    [
        (Box(100, 100, 200, 200), None),
        (Box(100, 100, 139, 139), State.TOO_SMALL),
        (Box(100, 100, 140, 120), None),  # the larger side counts
        (Box(-20, 100, 80, 200), None),  # a fifth outside
        (Box(-30, 100, 70, 200), State.CUT_OFF),
        (Box(600, 440, 700, 540), State.CUT_OFF),
        (Box(-500, -500, -400, -400), State.CUT_OFF),
    ],
)
def test_a_face_must_be_large_enough_and_inside_the_picture(box: Box, why: State | None) -> None:
    assert judge(box, 640, 480, min_face_px=40) is why


@pytest.fixture(scope="module")
def crop() -> Image:
    from contextlib import closing

    from stream_detector.crops import cut_face
    from stream_detector.sources.demo import DemoSource

    with closing(DemoSource().frames()) as frames:
        image = next(frames).picture.rgb()
    return cut_face(image, Box(500, 180, 760, 440), margin=1.35, size_px=224)


def test_blur_lowers_the_sharpness_step_by_step(crop: Image) -> None:
    values = [sharpness(crop)]
    for sigma in (1, 2, 3, 5, 8):
        values.append(sharpness(np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8)))
    assert values == sorted(values, reverse=True)


def test_light_and_contrast_change_the_sharpness_little(crop: Image) -> None:
    darker = (crop * 0.5 + 20).astype(np.uint8)
    assert sharpness(darker) == pytest.approx(sharpness(crop), rel=0.15)


def test_a_flat_picture_has_no_sharpness() -> None:
    assert sharpness(np.full((224, 224, 3), 128, np.uint8)) == 0.0


def test_the_packaged_limit_refuses_a_lost_face_and_not_a_small_or_compressed_one(crop: Image) -> None:
    limit = read_sidecar(packaged_models()[0]).quality.min_sharpness

    def seen_at(side_px: int, quality: int = 60) -> Image:
        small = cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA)
        packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        unpacked = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        assert unpacked is not None
        return np.asarray(cv2.resize(unpacked, (224, 224), interpolation=cv2.INTER_LINEAR), np.uint8)

    assert limit > 0
    assert not blurred(crop, min_sharpness=limit)
    assert not blurred(seen_at(64), min_sharpness=limit)
    assert not blurred(seen_at(96, quality=30), min_sharpness=limit)
    assert blurred(np.asarray(cv2.GaussianBlur(crop, (0, 0), 8), np.uint8), min_sharpness=limit)
    assert blurred(seen_at(14, quality=95), min_sharpness=limit)


@pytest.mark.parametrize(
    ("nose_x", "expected"),
    [(50.0, 0.0), (75.0, 0.5), (25.0, 0.5), (100.0, 1.0), (110.0, 1.2), (9000.0, 10.0)],
)
def test_a_head_is_turned_as_far_as_the_nose_lies_from_the_middle_of_the_ears(
    nose_x: float, expected: float
) -> None:
    points = [(30.0, 40.0), (70.0, 40.0), (nose_x, 60.0), (50.0, 80.0), (0.0, 50.0), (100.0, 50.0)]
    assert turn(points) == pytest.approx(expected)
    rolled = [(-y, x) for x, y in points]
    assert turn(rolled) == pytest.approx(expected)


def test_without_key_points_nobody_knows_how_far_a_head_is_turned() -> None:
    assert turn(()) is None
