import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_detector.crops import cut_face
from stream_detector.records import Box, Image


def noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_crop_is_the_square_around_the_box_times_the_margin() -> None:
    image = noise(200, 300)
    crop = cut_face(image, Box(100, 60, 150, 100), margin=1.6, size_px=80)
    assert np.array_equal(crop, image[40:120, 85:165])


def test_a_larger_square_is_shrunk_by_averaging_areas() -> None:
    image = noise(200, 300)
    crop = cut_face(image, Box(50, 50, 150, 150), margin=1.2, size_px=40)
    averages = image[40:160, 40:160].reshape(40, 3, 40, 3, 3).mean(axis=(1, 3))
    assert np.abs(crop - averages).max() <= 0.5 + 1e-6


def test_a_smaller_square_is_enlarged_smoothly() -> None:
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 100, axis=0).repeat(3, axis=2)
    crop = cut_face(np.ascontiguousarray(ramp), Box(40, 40, 60, 60), margin=1.0, size_px=80)
    steps = np.diff(crop[40, :, 0].astype(int))
    assert steps.min() >= 0
    assert steps.max() <= 1


@pytest.mark.parametrize(
    "box", [Box(-30, -20, 30, 40), Box(80, 70, 140, 130), Box(-10, -10, 110, 110), Box(40, -50, 60, 4)]
)
def test_what_lies_outside_the_picture_is_its_reflection(box: Box) -> None:
    image = noise(100, 100)
    pad = 99
    padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
    side = box.side_px
    left, top = round((box.x0 + box.x1 - side) / 2) + pad, round((box.y0 + box.y1 - side) / 2) + pad
    expected = padded[top : top + side, left : left + side]
    assert np.array_equal(cut_face(image, box, margin=1.0, size_px=side), expected)


def test_the_crop_is_fresh_and_contiguous_even_where_nothing_is_scaled() -> None:
    image = noise(100, 100)
    before = image.copy()
    crop = cut_face(image, Box(20, 20, 60, 60), margin=1.0, size_px=40)
    crop[:] = 0
    assert crop.flags.c_contiguous
    assert np.array_equal(image, before)


def test_a_read_only_picture_can_be_cut() -> None:
    image = noise(50, 50)
    image.flags.writeable = False
    assert cut_face(image, Box(10, 10, 30, 30), margin=1.0, size_px=20).flags.writeable


def test_a_box_beside_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="lies outside the 100x80 picture"):
        cut_face(noise(80, 100), Box(200, 10, 240, 50), margin=1.35, size_px=64)


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    x=st.integers(-80, 80),
    y=st.integers(-80, 80),
    side=st.integers(1, 90),
    margin=st.floats(1.0, 3.0),
    size_px=st.sampled_from([64, 224]),
)
def test_every_box_gives_a_whole_crop_or_a_refusal(
    height: int, width: int, x: int, y: int, side: int, margin: float, size_px: int
) -> None:
    image = noise(height, width)
    try:
        crop = cut_face(image, Box(x, y, x + side, y + side), margin=margin, size_px=size_px)
    except ValueError:
        half = side * margin / 2 - 1.5  # whatever is rounded, the square is larger than this
        centre_x, centre_y = x + side / 2, y + side / 2
        assert not (-half < centre_x < width + half and -half < centre_y < height + half)
    else:
        assert crop.shape == (size_px, size_px, 3)
        assert crop.dtype == np.uint8
        assert int(crop.min()) >= int(image.min())
        assert int(crop.max()) <= int(image.max())
