import threading

import av
import numpy as np
import pytest

from stream_detector.records import Image
from stream_detector.sources.picture import DecodedPicture, RgbConverter


def _yuv(luma: int, *, pixel_format: str = "yuv420p", u: int = 128, v: int = 128) -> av.VideoFrame:
    frame = av.VideoFrame(6, 4, pixel_format)
    for plane, value in zip(frame.planes, (luma, u, v), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def _rgb(frame: av.VideoFrame) -> list[int]:
    return [int(value) for value in DecodedPicture(frame, RgbConverter()).rgb()[0, 0]]


def test_limited_range_is_stretched_and_full_range_is_not() -> None:
    limited, full, unstated = _yuv(16), _yuv(16), _yuv(16)
    limited.color_range, full.color_range = 1, 2
    assert (_rgb(limited), _rgb(full), _rgb(unstated)) == ([0] * 3, [16] * 3, [0] * 3)


def test_the_stated_matrix_counts() -> None:
    # ITU-R BT.601-7 and BT.709-6: (Y - 16) 255/219 + 2 (1 - Kr) (V - 128) 255/224, Kr = .299 and .2126
    reds = {}
    for matrix in (1, 5, 6):
        frame = _yuv(100, v=168)
        frame.colorspace = matrix
        reds[matrix] = _rgb(frame)[0]
    assert reds[1] == pytest.approx(97.8 + 71.7, abs=2)
    assert reds[5] == reds[6] == pytest.approx(97.8 + 63.8, abs=2)


@pytest.mark.parametrize("matrix", range(18))
@pytest.mark.parametrize("colour_range", [0, 1, 2, 3, 250])
def test_no_stated_matrix_or_range_however_odd_makes_a_picture_unreadable(
    matrix: int, colour_range: int
) -> None:
    frame = _yuv(128)
    frame.colorspace, frame.color_range = matrix, colour_range
    assert _rgb(frame) == pytest.approx([130] * 3, abs=3)


def test_the_picture_is_read_only_and_converted_once_even_when_many_threads_look() -> None:
    picture = DecodedPicture(_yuv(100), RgbConverter())
    seen: list[Image] = []
    threads = [threading.Thread(target=lambda: seen.append(picture.rgb())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert all(image is seen[0] for image in seen)
    assert not seen[0].flags.writeable
    assert seen[0].flags.c_contiguous
    assert seen[0].dtype == np.uint8
