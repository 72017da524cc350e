"""Small clips whose grey level tells which frame is which, and the odd media people feed a program."""

import random
import struct
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from stream_detector.records import Image

Painter = Callable[[int, int, int], Image]
"""(frame index, width, height) -> (height, width, 3) uint8 RGB."""


def grey_level(index: int) -> int:
    """The grey of frame `index` (0 <= index < 30), far enough apart to survive a codec."""
    return 20 + 7 * index


def grey(index: int, width_px: int, height_px: int) -> Image:
    """A picture that is `grey_level(index)` all over."""
    return np.full((height_px, width_px, 3), grey_level(index % 30), np.uint8)


def corner(index: int, width_px: int, height_px: int) -> Image:
    """Black, with a white quarter at the top left."""
    image = np.zeros((height_px, width_px, 3), np.uint8)
    image[: height_px // 2, : width_px // 2] = 255
    return image


def noise(index: int, width_px: int, height_px: int) -> Image:
    """Different noise in every frame, so that packets are large."""
    return np.random.default_rng(index).integers(0, 256, (height_px, width_px, 3), np.uint8)


def write_clip(
    path: Path,
    *,
    frames: int = 30,
    width_px: int = 64,
    height_px: int = 48,
    rate_hz: int | Fraction = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    paint: Painter = grey,
    pts: Sequence[int] | None = None,
    turn_deg: int = 0,
    mirrored: bool = False,
    damaged: Collection[int] = (),
    options: dict[str, str] | None = None,
    muxer_options: dict[str, str] | None = None,
    muxer: str | None = None,
) -> Path:
    """Encode a clip.

    Args:
        pts: in frames, one per frame; None counts from 0.
        turn_deg: clockwise turn a player must make, written as the display matrix.
        mirrored: the display matrix also mirrors.
        damaged: packets, counted in coding order, whose payload is overwritten with noise.
    """
    rng = random.Random(1)
    with av.open(str(path), "w", format=muxer, options=muxer_options or {}) as container:
        stream = container.add_stream(codec, rate=rate_hz, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, pixel_format
        stream.codec_context.time_base = 1 / Fraction(rate_hz)
        stream.codec_context.thread_count = 1
        if turn_deg or mirrored:
            stream.set_display_rotation(-turn_deg, hflip=mirrored)
        packets = 0
        for index in [*range(frames), None]:
            picture = None
            if index is not None:
                picture = av.VideoFrame.from_ndarray(paint(index, width_px, height_px)).reformat(
                    format=pixel_format
                )
                picture.pts = index if pts is None else pts[index]
                picture.time_base = 1 / Fraction(rate_hz)
            for packet in stream.encode(picture):
                container.mux(_with_noise(packet, rng) if packets in damaged else packet)
                packets += 1
    return path


def _with_noise(packet: "av.Packet[VideoStream]", rng: random.Random) -> "av.Packet[VideoStream]":
    whole = bytes(packet)
    noisy = av.Packet(whole[:8] + rng.randbytes(len(whole) - 8))
    noisy.stream, noisy.time_base = packet.stream, packet.time_base
    noisy.pts, noisy.dts, noisy.duration = packet.pts, packet.dts, packet.duration
    noisy.is_keyframe = packet.is_keyframe
    return noisy  # type: ignore[return-value]  # the stream was set above


def write_sizes(path: Path, sizes: Sequence[tuple[int, int]]) -> Path:
    """A Matroska file of MJPEG whose pictures have these (width, height), one each."""
    packets = []
    for index, (width_px, height_px) in enumerate(sizes):
        context = av.CodecContext.create("mjpeg", "w")
        context.width, context.height, context.pix_fmt = width_px, height_px, "yuvj420p"
        context.time_base = Fraction(1, 25)
        picture = av.VideoFrame.from_ndarray(grey(index, width_px, height_px)).reformat(format="yuvj420p")
        picture.pts = index
        packets += [*context.encode(picture), *context.encode(None)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuvj420p"
        for index, packet in enumerate(packets):
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = index
            container.mux(packet)
    return path


def write_sound(path: Path) -> Path:
    """A file that holds sound and nothing else."""
    with av.open(str(path), "w") as container:
        _add_sound(container)
    return path


def write_sound_with_cover(path: Path, cover: bytes) -> Path:
    """An MP3-like file: sound, and a cover picture that is no video. `cover` is a PNG."""

    def box(kind: bytes, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return struct.pack(">I", 8 + len(content)) + kind + content

    write_sound(path)
    whole = path.read_bytes()
    at = whole.index(b"moov") - 4
    handler = box(b"hdlr", bytes(8), b"mdirappl", bytes(9))
    picture = box(b"covr", box(b"data", struct.pack(">II", 14, 0), cover))
    user_data = box(b"udta", box(b"meta", bytes(4), handler, box(b"ilst", picture)))
    (size,) = struct.unpack_from(">I", whole, at)
    moov = whole[at + 8 : at + size]
    assert at + size == len(whole), "the index lies at the end, so that no offset changes"
    path.write_bytes(whole[:at] + box(b"moov", moov, user_data))
    return path


def _add_sound(container: "av.container.OutputContainer") -> None:
    stream = container.add_stream("aac", rate=44100)
    sound = av.AudioFrame.from_ndarray(np.zeros((1, 8820), np.int16), format="s16", layout="mono")
    sound.sample_rate, sound.pts = 44100, 0
    for packet in [*stream.encode(sound), *stream.encode(None)]:
        container.mux(packet)


def jpeg(index: int, width_px: int = 64, height_px: int = 48) -> bytes:
    """`grey(index)` as one JPEG file."""
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = width_px, height_px, "yuvj420p"
    context.time_base = Fraction(1, 25)
    picture = av.VideoFrame.from_ndarray(grey(index, width_px, height_px)).reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])
