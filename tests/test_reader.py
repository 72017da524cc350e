import functools
import gc
import itertools
import os
import threading
import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stream_detector.errors import SourceError
from stream_detector.records import Frame
from stream_detector.sources.address import parse_address
from stream_detector.sources.opening import openings
from stream_detector.sources.reader import Reader, quiet_ffmpeg
from tests import media, servers


def read(source: Path | str, **settings: float) -> tuple[Reader, list[Frame]]:
    """Everything a source delivers."""
    reader = Reader(parse_address(str(source)), **settings)  # type: ignore[arg-type]
    with closing(reader.frames()) as frames:
        return reader, list(frames)


def greys(frames: list[Frame]) -> list[float]:
    """The mean of each picture."""
    return [float(frame.picture.rgb().mean()) for frame in frames]


def test_every_frame_of_a_file_arrives_once_and_in_order(tmp_path: Path) -> None:
    reader, frames = read(media.write_clip(tmp_path / "clip.mp4"))
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.pts_s for frame in frames] == pytest.approx([index / 25 for index in range(30)])
    assert greys(frames) == pytest.approx([media.grey_level(index) for index in range(30)], abs=3)
    assert {frame.segment for frame in frames} == {0}
    assert reader.damaged_packets == 0
    assert not reader.live


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_of_a_file_pictures_that_nobody_needs_stay_undecoded(codec: str, tmp_path: Path) -> None:
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {"bf": "3"}
    clip = media.write_clip(tmp_path / "clip.mp4", frames=100, codec=codec, options=quiet)
    _, every = read(clip)
    _, needed = read(clip, needed_hz=5)
    assert len(every) == 100
    assert len(needed) < 70
    at_s = [frame.pts_s for frame in needed]
    assert max(later - earlier for earlier, later in itertools.pairwise(at_s)) <= 1 / 5
    # The pictures that are left are those of their times.
    shown = {frame.pts_s: grey for frame, grey in zip(every, greys(every), strict=True)}
    assert greys(needed) == [shown[frame.pts_s] for frame in needed]


def test_where_too_few_pictures_would_be_left_all_are_decoded(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "clip.mp4", frames=100, options={"bf": "3", "b_strategy": "0"})
    _, needed = read(clip, needed_hz=25)
    assert len(needed) >= 95
    assert [frame.pts_s for frame in needed][-80:] == pytest.approx([index / 25 for index in range(20, 100)])


def test_a_stream_that_only_begins_with_a_picture_others_need_is_decoded(tmp_path: Path) -> None:
    """x264 made of one key frame and B-frames without pyramid: FFmpeg would leave out almost all of it."""
    options = {"bf": "16", "b_strategy": "0", "x264-params": "b-pyramid=none:keyint=400"}
    clip = media.write_clip(tmp_path / "clip.mp4", frames=200, options=options)
    _, needed = read(clip, needed_hz=5)
    at_s = [frame.pts_s for frame in needed if frame.pts_s > 2]
    assert max(later - earlier for earlier, later in itertools.pairwise(at_s)) <= 1 / 5


def test_a_picture_that_nobody_holds_is_freed_at_once(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "clip.mp4", frames=60)
    gc.collect()
    before = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())  # of other tests
    gc.disable()  # pictures are large and cycles are collected seldom
    try:
        looked_at = [frame.picture.rgb().shape for frame in Reader(parse_address(str(clip))).frames()]
        left = sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) - before
    finally:
        gc.enable()
    assert len(looked_at) == 60
    assert left == 0


def test_the_facts_say_what_the_file_is(tmp_path: Path) -> None:
    reader, _ = read(media.write_clip(tmp_path / "clip.mkv", rate_hz=Fraction(30000, 1001), codec="ffv1"))
    facts = reader.facts
    assert facts is not None
    assert (facts.container, facts.codec, facts.pixel_format) == ("matroska,webm", "ffv1", "yuv420p")
    assert (facts.width_px, facts.height_px, facts.coded_width_px, facts.coded_height_px) == (64, 48, 64, 48)
    assert facts.average_rate_hz == Fraction(30000, 1001)
    assert facts.duration_s == pytest.approx(30 * 1001 / 30000, abs=0.05)
    assert (facts.rotation_deg, facts.pixel_aspect, facts.live) == (0, Fraction(1), False)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn_deg", [0, 90, 180, 270])
def test_a_turned_or_mirrored_clip_comes_upright(tmp_path: Path, turn_deg: int, mirrored: bool) -> None:
    clip = media.write_clip(
        tmp_path / "clip.mp4",
        frames=2,
        width_px=64,
        height_px=32,
        paint=media.corner,
        turn_deg=turn_deg,
        mirrored=mirrored,
    )
    reader, frames = read(clip)
    expected = np.rot90(media.corner(0, 64, 32), -turn_deg // 90)
    if mirrored:
        expected = expected[:, ::-1]
    picture = frames[0].picture
    assert (picture.height_px, picture.width_px) == expected.shape[:2]
    assert np.abs(picture.rgb().astype(int) - expected).mean() < 4
    assert reader.facts is not None
    assert (reader.facts.coded_width_px, reader.facts.coded_height_px) == (64, 32)
    assert mirrored or reader.facts.rotation_deg == turn_deg


@pytest.mark.parametrize(
    ("codec", "pixel_format", "name"),
    [
        ("libx264", "yuvj420p", "full.mp4"),
        ("libx264", "yuv420p10le", "ten.mp4"),
        ("libx264", "yuv444p", "444.mp4"),
        ("libx264", "gray", "grey.mp4"),
        ("ffv1", "gray", "grey.mkv"),
        ("ffv1", "gray10le", "grey10.mkv"),
        ("ffv1", "yuva420p", "alpha.mkv"),
        ("prores_ks", "yuva444p10le", "prores.mov"),
        ("qtrle", "argb", "argb.mov"),
        ("png", "rgb24", "rgb.mov"),
        ("libvpx-vp9", "yuv420p", "vp9.webm"),
        ("libx265", "yuv420p10le", "hevc.mp4"),
        ("mjpeg", "yuvj422p", "mjpeg.avi"),
        ("mpeg2video", "yuv420p", "mpeg2.ts"),
        ("rawvideo", "yuyv422", "raw.avi"),
    ],
)
def test_pixel_formats_come_out_as_the_same_grey(
    tmp_path: Path, codec: str, pixel_format: str, name: str
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    if (codec, pixel_format) == ("libx264", "gray"):
        options["x264-params"] = "fullrange=on"
    clip = media.write_clip(
        tmp_path / name, frames=12, codec=codec, pixel_format=pixel_format, options=options
    )
    _, frames = read(clip)
    assert greys(frames) == pytest.approx([media.grey_level(index) for index in range(12)], abs=4)


@pytest.mark.parametrize(("width_px", "height_px"), [(1, 1), (5, 3), (63, 47), (3, 1001)])
def test_odd_sizes_come_whole(tmp_path: Path, width_px: int, height_px: int) -> None:
    clip = media.write_clip(
        tmp_path / "odd.mkv",
        frames=3,
        width_px=width_px,
        height_px=height_px,
        codec="ffv1",
        pixel_format="yuv444p",
    )
    _, frames = read(clip)
    assert [frame.picture.rgb().shape for frame in frames] == [(height_px, width_px, 3)] * 3


def test_an_8k_frame_comes_whole(tmp_path: Path) -> None:
    _, frames = read(media.write_sizes(tmp_path / "8k.mkv", [(7680, 4320)]))
    assert [frame.picture.rgb().shape for frame in frames] == [(4320, 7680, 3)]


@pytest.mark.parametrize("name", ["still.jpg", "still.png"])
def test_an_image_is_a_stream_of_one_frame(tmp_path: Path, name: str) -> None:
    av.VideoFrame.from_ndarray(media.grey(3, 64, 48)).save(tmp_path / name)
    _, frames = read(tmp_path / name)
    assert greys(frames) == pytest.approx([media.grey_level(3)], abs=3)


def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    pts = [0, 1, 2, 12, 13, 40, 41, 80]
    _, frames = read(media.write_clip(tmp_path / "vfr.mkv", frames=8, pts=pts))
    assert [frame.pts_s for frame in frames] == pytest.approx([at / 25 for at in pts], abs=1e-3)
    assert {frame.segment for frame in frames} == {0}


def test_a_stream_that_starts_at_hours_starts_at_zero(tmp_path: Path) -> None:
    pts = [25 * 3600 * 5 + index for index in range(5)]
    _, frames = read(media.write_clip(tmp_path / "late.mkv", frames=5, pts=pts))
    assert [frame.pts_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16], abs=1e-3)


def test_a_gap_of_a_minute_is_closed_and_marked(tmp_path: Path) -> None:
    _, frames = read(media.write_clip(tmp_path / "gap.mkv", frames=4, pts=[0, 1, 1501, 1502]))
    assert [frame.pts_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12], abs=1e-3)
    assert [frame.segment for frame in frames] == [0, 0, 1, 1]


def test_pictures_without_timestamps_are_placed_by_the_rate(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "raw.h264", muxer="h264", frames=10, options={"bf": "0"})
    _, frames = read(clip)
    assert [frame.pts_s for frame in frames] == pytest.approx([index / 25 for index in range(10)])


def test_a_recording_that_starts_over_goes_on_and_is_marked(tmp_path: Path) -> None:
    one = media.write_clip(tmp_path / "one.ts", codec="mpeg2video", frames=25, options={"g": "5"})
    twice = tmp_path / "twice.ts"
    twice.write_bytes(one.read_bytes() * 2)
    _, frames = read(twice)
    times_s = [frame.pts_s for frame in frames]
    assert len(frames) >= 48
    assert times_s == sorted(times_s)
    assert times_s[-1] == pytest.approx((len(frames) - 1) / 25, abs=0.1)
    assert frames[-1].segment == 1


def test_a_change_of_size_goes_on_and_is_marked(tmp_path: Path) -> None:
    _, frames = read(media.write_sizes(tmp_path / "sizes.mkv", [(64, 48)] * 2 + [(96, 32)] * 2 + [(8, 8)]))
    sizes = [(frame.picture.width_px, frame.picture.height_px) for frame in frames]
    assert sizes == [(64, 48), (64, 48), (96, 32), (96, 32), (8, 8)]
    assert [frame.picture.rgb().shape[:2] for frame in frames] == [(h, w) for w, h in sizes]
    assert [frame.segment for frame in frames] == [0, 0, 1, 1, 2]


def test_a_filter_graph_is_read_like_a_file_and_may_be_endless() -> None:
    reader = Reader(parse_address("lavfi:testsrc2=size=64x48:rate=5"))
    with closing(reader.frames()) as frames:
        times_s = [frame.pts_s for frame in itertools.islice(frames, 50)]
    assert times_s == pytest.approx([index / 5 for index in range(50)])
    assert reader.facts is not None
    assert reader.facts.duration_s is None
    assert not reader.live


def test_demo_is_not_for_the_reader() -> None:
    with pytest.raises(ValueError, match="demo"):
        Reader(parse_address("demo:"))


def test_stop_from_another_thread_ends_an_endless_stream() -> None:
    reader = Reader(parse_address("lavfi:testsrc2=size=64x48:rate=25"))
    threading.Timer(0.2, reader.stop).start()
    assert sum(1 for _ in reader.frames()) > 0


def test_stop_before_the_start_opens_nothing(tmp_path: Path) -> None:
    reader = Reader(parse_address(str(tmp_path / "missing.mp4")))
    reader.stop()
    assert list(reader.frames()) == []


def test_a_picture_outlives_its_container(tmp_path: Path) -> None:
    _, frames = read(media.write_clip(tmp_path / "clip.mp4"))
    assert greys(frames[-1:]) == pytest.approx([media.grey_level(29)], abs=3)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files through /proc")
def test_opening_and_giving_up_many_times_leaves_no_file_open(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "clip.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    read(clip)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(50):
        with closing(Reader(parse_address(str(clip))).frames()) as frames:
            next(frames)
        with pytest.raises(SourceError):
            read(text)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_recording_on_a_web_server_is_read_whole(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "clip.mp4", muxer_options={"movflags": "faststart"})
    with servers.serving(servers.files({"/clip.mp4": clip.read_bytes()})) as server:
        reader, frames = read(f"http://127.0.0.1:{server.port}/clip.mp4?token=abcd")
    assert len(frames) == 30
    assert not reader.live


def test_a_playlist_on_a_web_server_is_read_whole(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "a.ts", codec="libx264", muxer="mpegts")
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\na.ts\n#EXT-X-ENDLIST\n"
    with servers.serving(servers.files({"/l.m3u8": playlist, "/a.ts": clip.read_bytes()})) as server:
        reader, frames = read(f"http://127.0.0.1:{server.port}/l.m3u8")
    assert len(frames) == 30
    assert not reader.live


def test_a_camera_on_a_web_server_is_live_and_fails_when_it_hangs_up() -> None:
    parts = iter([media.jpeg(index) for index in range(10)])
    frames = []
    with servers.serving(servers.pictures(parts, every_s=0.02, then_silent=False)) as server:
        reader = Reader(parse_address(f"http://127.0.0.1:{server.port}/camera"))
        with pytest.raises(SourceError, match="broke off"):
            for frame in reader.frames():
                frames.append(frame)
    assert reader.live
    assert reader.facts is not None
    assert reader.facts.live
    assert greys(frames)[:9] == pytest.approx([media.grey_level(index) for index in range(9)], abs=3)


def test_a_camera_that_falls_silent_is_a_time_out_and_keeps_what_came() -> None:
    parts = iter([media.jpeg(index) for index in range(10)])
    got = []
    with servers.serving(servers.pictures(parts, every_s=0.02, then_silent=True)) as server:
        reader = Reader(parse_address(f"http://127.0.0.1:{server.port}/camera"), read_timeout_s=1.0)
        with pytest.raises(SourceError, match="time-out"):
            for frame in reader.frames():
                got.append(frame)
    assert len(got) >= 9


def test_a_camera_that_sends_no_picture_any_more_is_given_up() -> None:
    parts = itertools.chain([media.jpeg(0)] * 5, itertools.repeat(b"\xff\xd8 no picture \xff\xd9" * 40))
    with servers.serving(servers.pictures(parts, every_s=0.05, then_silent=True)) as server:
        reader = Reader(parse_address(f"http://127.0.0.1:{server.port}/camera"), read_timeout_s=0.4)
        with pytest.raises(SourceError, match="no picture could be decoded"):
            list(reader.frames())
    assert reader.damaged_packets > 0


def test_stop_ends_a_silent_camera_within_the_read_timeout() -> None:
    parts = iter([media.jpeg(index) for index in range(10)])
    with servers.serving(servers.pictures(parts, every_s=0.02, then_silent=True)) as server:
        reader = Reader(parse_address(f"http://127.0.0.1:{server.port}/camera"), read_timeout_s=2.0)
        threading.Timer(1.0, reader.stop).start()
        began_s = time.monotonic()
        list(reader.frames())
    assert time.monotonic() - began_s < 10


def test_a_camera_is_asked_for_mjpeg_first_and_without_reading_ahead() -> None:
    ways = functools.partial(openings, open_timeout_s=1.0, read_timeout_s=1.0)
    first, second = ways(parse_address("webcam:2"), platform="linux")
    assert (first.url, first.format, first.options["input_format"]) == ("/dev/video2", "v4l2", "mjpeg")
    assert "input_format" not in second.options
    assert first.options["fflags"] == "nobuffer"
    named = ways(parse_address("webcam:Integrated Camera"), platform="win32")
    assert [way.url for way in named] == ["video=Integrated Camera"] * 2
    assert ways(parse_address("webcam:0"), platform="darwin")[0].format == "avfoundation"


def test_a_part_of_the_screen_is_asked_for_as_each_system_wants_it() -> None:
    ways = functools.partial(openings, open_timeout_s=1.0, read_timeout_s=1.0)
    part = parse_address("screen:640x480+10+20")
    (linux,) = ways(part, platform="linux", environment={"DISPLAY": ":7"})
    assert (linux.url, linux.format, linux.options["video_size"]) == (":7+10,20", "x11grab", "640x480")
    (windows,) = ways(part, platform="win32", environment={})
    assert (windows.format, windows.options["offset_x"], windows.options["offset_y"]) == (
        "gdigrab",
        "10",
        "20",
    )
    with pytest.raises(SourceError, match="whole screen"):
        ways(part, platform="darwin", environment={})
    with pytest.raises(SourceError, match="DISPLAY"):
        ways(part, platform="linux", environment={})


def test_ffmpeg_says_nothing_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quiet_ffmpeg()
    clip = media.write_clip(tmp_path / "bad.mkv", codec="mjpeg", pixel_format="yuvj420p", damaged={3, 4})
    read(clip)
    assert capfd.readouterr() == ("", "")


def test_real_clips_of_people_are_read_whole(research_data: Path) -> None:
    for clip in sorted((research_data / "clips").glob("*.mkv"))[:4]:
        reader, frames = read(clip)
        assert len(frames) >= 30
        assert reader.damaged_packets == 0
        assert frames[0].picture.rgb().std() > 10
