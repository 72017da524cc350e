"""The time in the pixels: painted, encoded, sent, decoded, read."""

import io
import time
from contextlib import closing
from fractions import Fraction
from itertools import islice

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st

from stream_detector.pipeline import Pipeline
from stream_detector.records import FaceScore, Frame, Image
from stream_detector.settings import make_settings
from stream_detector.sources.selftest import SelfTest, demo_pictures
from stream_detector.sources.timecode import paint, read


def grey(width_px: int = 640, height_px: int = 360) -> Image:
    return np.full((height_px, width_px, 3), 128, np.uint8)


@given(st.floats(0, 1e7), st.floats(0, 3600))
def test_what_was_painted_is_read_to_a_tenth_of_a_millisecond(made_at_s: float, later_s: float) -> None:
    image = grey()
    paint(image, made_at_s)
    assert read(image, made_at_s + later_s) == pytest.approx(made_at_s, abs=1.1e-4)


def test_a_picture_without_a_code_says_nothing() -> None:
    assert read(grey(), 1.0) is None
    assert read(next(demo_pictures((640, 360), Fraction(25))), 1.0) is None
    assert read(grey(8, 8), 1.0) is None


def test_a_damaged_code_is_not_believed() -> None:
    image = grey()
    paint(image, 1234.5)
    image[8:16, 8:16] = 255 - image[8:16, 8:16]
    assert read(image, 1235.0) is None


@pytest.mark.parametrize("crf", ["18", "23", "33"])
@pytest.mark.parametrize("size_px", [(640, 360), (1280, 720)])
def test_the_code_survives_a_real_codec_and_scaling(crf: str, size_px: tuple[int, int]) -> None:
    file = io.BytesIO()
    times = [1000 + index * 0.0437 for index in range(30)]
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=15, options={"crf": crf, "preset": "veryfast"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = *size_px, "yuv420p"
        for index, image in enumerate(islice(demo_pictures(size_px, Fraction(15)), len(times))):
            paint(image, times[index])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 15)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    file.seek(0)
    with av.open(file, "r") as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    found = [read(np.asarray(image, np.uint8), 1100.0) for image in pictures]
    assert found == pytest.approx(times, abs=1.1e-4)
    scaled = cv2.resize(pictures[3], (960, 540), interpolation=cv2.INTER_AREA)
    assert read(np.asarray(scaled, np.uint8), 1100.0) == pytest.approx(times[3], abs=1.1e-4)


def test_the_self_test_camera_is_live_and_every_picture_tells_when_it_was_made() -> None:
    source = SelfTest(rate=Fraction(15))
    with closing(source.frames()) as frames:
        seen = [item for item in islice(frames, 30) if isinstance(item, Frame)]
        source.stop()
    made_s = [frame.painted_at_s for frame in seen if frame.painted_at_s is not None]
    assert len(made_s) == 30
    assert made_s == sorted(made_s)
    for frame in seen:
        assert frame.painted_at_s is not None
        assert frame.packet_at_s is not None
        assert frame.painted_at_s < frame.packet_at_s <= frame.captured_at_s


def test_a_self_test_that_is_stopped_before_it_began_ends_at_once() -> None:
    source = SelfTest()
    source.stop()
    assert list(source.frames()) == []


def test_the_true_delay_holds_all_that_the_ledger_sees_and_what_it_cannot() -> None:
    with Pipeline(make_settings(sources=("selftest:",), duration_s=3.0)) as pipeline:
        records = [record for record in pipeline.records() if isinstance(record, FaceScore)]
    stages_ms = pipeline.summary().stages_ms
    assert stages_ms is not None
    assert stages_ms["true"]["p50"] > stages_ms["whole"]["p50"]
    for record in records:
        assert record.stamps is not None
        assert record.stamps.painted_at_s is not None
        assert record.stamps.painted_at_s < record.stamps.packet_at_s
        assert sum(record.stamps.stages_s().values()) == record.stamps.whole_s
        assert record.age_ms == (record.stamps.verdict_at_s - record.stamps.decoded_at_s) * 1000
        assert record.stamps.verdict_at_s <= time.monotonic()
