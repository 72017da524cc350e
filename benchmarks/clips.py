"""Clips to measure with, made from what the program ships."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av

from stream_detector.sources.demo import DemoSource


def encode_demo(path: Path, *, seconds: float, rate_hz: int) -> None:
    """Encode the demo as H.264 in MP4: 1280x720, `rate_hz` frames/s, CRF 23, a key frame every 2 s."""
    source = DemoSource(duration_s=seconds, rate=Fraction(rate_hz))
    with av.open(str(path), "w") as container, closing(source.frames()) as frames:
        stream = container.add_stream("libx264", rate=rate_hz)
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23", "g": str(2 * rate_hz)}
        for frame in frames:
            if frame.index == 0:
                stream.width, stream.height = frame.picture.width_px, frame.picture.height_px
            picture = av.VideoFrame.from_ndarray(frame.picture.rgb(), format="rgb24")
            picture.pts = frame.index
            picture.time_base = Fraction(1, rate_hz)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
