"""Clips to measure with, made from what the program ships."""

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from stream_detector.errors import SourceError
from stream_detector.records import Image
from stream_detector.sources.demo import DemoSource
from stream_detector.sources.files import check_file

_MOST_BYTES = 500_000_000


def encode_demo(path: Path, *, seconds: float, rate_hz: int) -> None:
    """Encode the demo as H.264 in MP4: 1280x720, `rate_hz` frames/s, CRF 23, a key frame every 2 s."""
    _encode(path, _demo(seconds, rate_hz), rate_hz)


def encode_mosaic(
    path: Path, *, columns: int, width_px: int, height_px: int, seconds: float, rate_hz: int
) -> None:
    """Encode the demo `columns` x `columns` times side by side, else as `encode_demo`: as many faces."""
    size = (width_px // columns, height_px // columns)

    def tiled() -> Iterator[Image]:
        for image in _demo(seconds, rate_hz):
            tile = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            yield np.asarray(np.tile(tile, (columns, columns, 1)), np.uint8)

    _encode(path, tiled(), rate_hz)


def encode_examples(folder: Path) -> None:
    """What a scan may meet, drawn from the demo: real, tampered, half of each, two faces, none, damage."""
    rate_hz = 12
    demo = list(_demo(24.0, rate_hz))
    half = len(demo) // 2
    folder.mkdir(parents=True, exist_ok=True)
    _encode(folder / "as recorded.mp4", iter(demo[:half]), rate_hz)
    _encode(folder / "tampered.mp4", iter(demo[half:]), rate_hz)
    _encode(folder / "interview.mp4", iter(demo), rate_hz)
    _encode(folder / "empty corridor.mp4", (np.full_like(image, 96) for image in demo[:60]), rate_hz)
    both = (
        np.hstack((a[:, 320:960], b[:, 320:960]))
        for a, b in zip(demo, demo[half:] + demo[:half], strict=True)
    )
    _encode(folder / "call with two.mp4", both, rate_hz)
    whole = (folder / "tampered.mp4").read_bytes()
    (folder / "<b>cut & off</b>.mp4".replace("/", "\u2215")).write_bytes(whole[: len(whole) // 2])


def _demo(seconds: float, rate_hz: int) -> Iterator[Image]:
    source = DemoSource(duration_s=seconds, rate=Fraction(rate_hz))
    with closing(source.frames()) as frames:
        for frame in frames:
            yield frame.picture.rgb()


def _encode(path: Path, images: Iterator[Image], rate_hz: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate_hz)
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23", "g": str(2 * rate_hz)}
        for index, image in enumerate(images):
            if index == 0:
                stream.height, stream.width = image.shape[:2]
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts = index
            picture.time_base = Fraction(1, rate_hz)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def repeat_clip(clip: Path, out: Path, *, media_s: float) -> None:
    """Write the pictures of `clip` again and again as Matroska, nothing encoded anew.

    Args:
        media_s: until it is so long, or holds half a gigabyte.

    Raises:
        SourceError: it is no video, or none that Matroska holds.
    """
    check_file(str(clip), clip.name)
    bytes_written, shift, ended_s = 0, 0, 0.0
    try:
        with av.open(str(out), "w", format="matroska") as written:
            video: VideoStream | None = None
            while ended_s < media_s and bytes_written < _MOST_BYTES:
                with av.open(str(clip)) as read:
                    packets = [p for p in read.demux(video=0) if p.dts is not None]
                    if not packets:
                        raise SourceError(
                            f"cannot repeat {clip.name}: it holds no picture; give another clip"
                        )
                    source = read.streams.video[0]
                    video = video or written.add_stream_from_template(source)
                    begin = min(_decoded_at(packet) for packet in packets)
                    end = max(_decoded_at(packet) + max(packet.duration or 0, 1) for packet in packets)
                    for packet in packets:
                        dts = _decoded_at(packet) + shift
                        packet.pts = dts if packet.pts is None else packet.pts + shift
                        packet.dts, packet.stream = dts, video
                        bytes_written += packet.size
                        written.mux(packet)
                    shift += end - begin
                    ended_s = float(shift * (source.time_base or 0))
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise SourceError(f"cannot repeat {clip.name}: {error}; give another clip") from None


def _decoded_at(packet: "av.Packet[VideoStream]") -> int:
    assert packet.dts is not None
    return packet.dts
