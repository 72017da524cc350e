"""What a short look finds at real clips and real streams, and what it advises."""

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest

from stream_detector.commands import probe as command
from stream_detector.errors import SourceError
from stream_detector.sources.address import parse_address
from stream_detector.sources.advice import advice
from stream_detector.sources.probe import SourceReport, probe
from tests import media, servers
from tests.test_cli import program


def _probe(source: Path | str, *, seconds: float = 3.0) -> SourceReport:
    return probe(parse_address(str(source)), seconds=seconds)


def said(report: SourceReport, words: str) -> bool:
    return any(words in sentence for sentence in advice(report))


def stream(clip: Path, *, rate: float, then_silent: bool = False) -> servers.Handler:
    """Sends a clip at so many bytes per second, again and again unless it is to fall silent."""

    def handler(connection: socket.socket, ended: threading.Event) -> None:
        connection.settimeout(10)
        content = clip.read_bytes()
        step = max(188, int(rate / 50) // 188 * 188)
        for begin in range(0, len(content), step):
            connection.sendall(content[begin : begin + step])
            if ended.wait(step / rate):
                return
        if then_silent:
            ended.wait(60)

    return handler


def live_clip(path: Path, *, seconds: int = 6, **options: str) -> tuple[Path, float]:
    """An MPEG transport stream, and how many bytes of it make a second."""
    clip = media.write_clip(
        path,
        frames=25 * seconds,
        width_px=160,
        height_px=120,
        paint=media.noise,
        muxer="mpegts",
        options={"preset": "ultrafast", **options},
    )
    return clip, clip.stat().st_size / seconds


def test_a_sound_clip_is_measured_and_needs_no_advice() -> None:
    report = _probe("lavfi:testsrc2=size=640x480:rate=30", seconds=1.0)
    assert report.frames == 31
    assert report.measured_rate_hz == pytest.approx(30)
    assert report.first_frame_after_s > 0
    assert report.transport == "lavfi"
    assert advice(report) == []


def test_key_frames_are_measured(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "clip.mkv", options={"g": "10", "sc_threshold": "0"})
    report = _probe(clip)
    assert report.key_frame_interval_s == pytest.approx(0.4, abs=0.01)
    assert report.key_frames == 3


def test_a_variable_frame_rate_is_said(tmp_path: Path) -> None:
    pts = [0, 1, 2, 5, 6, 7, 12, 13, 20]
    assert said(_probe(media.write_clip(tmp_path / "v.mkv", frames=9, pts=pts)), "varies")


def test_a_turned_clip_is_said(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "turned.mp4", frames=3, turn_deg=90)
    assert said(_probe(clip), "90°")


def test_very_large_and_very_small_pictures_are_said(tmp_path: Path) -> None:
    assert said(_probe(media.write_sizes(tmp_path / "large.mkv", [(7680, 4320)])), "very large")
    assert said(_probe(media.write_clip(tmp_path / "small.mp4", frames=3)), "very small")


def test_pixels_that_are_not_square_are_said() -> None:
    assert said(_probe("lavfi:testsrc2=size=720x576:rate=25,setsar=64/45", seconds=0.2), "64:45")


def test_a_rate_that_is_not_the_stated_one_is_said(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "half.mkv", frames=20, pts=range(0, 40, 2))
    report = _probe(clip)
    assert report.measured_rate_hz == pytest.approx(12.5, abs=0.1)
    assert said(report, "states 25.00 frames/s and its time stamps say 12.50")


def test_a_low_rate_is_said(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "slow.mkv", frames=9, rate_hz=Fraction(2))
    assert said(_probe(clip), "2.0 frames/s")


def test_damage_is_said(tmp_path: Path) -> None:
    clip = media.write_clip(
        tmp_path / "bad.mkv", paint=media.noise, codec="mjpeg", pixel_format="yuvj420p", damaged={4, 9}
    )
    assert said(_probe(clip), "2 damaged packets")


def test_a_change_of_size_is_said(tmp_path: Path) -> None:
    clip = media.write_sizes(tmp_path / "sizes.mkv", [(320, 240)] * 3 + [(640, 480)] * 3)
    assert said(_probe(clip), "jumped 1 times")


def test_interlaced_pictures_are_said(tmp_path: Path) -> None:
    clip = media.write_clip(
        tmp_path / "tv.mkv",
        width_px=320,
        height_px=240,
        codec="mpeg2video",
        options={"flags": "+ildct+ilme"},
    )
    assert said(_probe(clip), "interlaced")


def test_a_colour_range_is_asked_for_only_where_none_is_stated(tmp_path: Path) -> None:
    unstated = _probe(media.write_clip(tmp_path / "unstated.mkv", frames=3, width_px=320, height_px=240))
    assert unstated.facts.colour_range == "unstated"
    assert said(unstated, "does not state its colour range")
    stated = _probe(
        media.write_clip(
            tmp_path / "stated.mkv", frames=3, width_px=320, height_px=240, pixel_format="yuvj420p"
        )
    )
    assert stated.facts.colour_range == "full"
    assert not said(stated, "colour range")


def test_a_zero_latency_stream_gives_a_picture_per_packet_and_one_with_b_frames_does_not(
    tmp_path: Path,
) -> None:
    quick, rate = live_clip(tmp_path / "quick.ts", tune="zerolatency", g="25")
    with servers.serving(stream(quick, rate=rate)) as server:
        report = _probe(f"tcp://127.0.0.1:{server.port}", seconds=2)
    assert (report.packets_before_first_frame, report.frames_held, report.b_frames) == (1, 0, False)
    assert report.facts.live
    assert report.transport == "tcp"
    assert report.arrival_rate_hz is not None
    assert not said(report, "B-frames")
    slow, rate = live_clip(tmp_path / "slow.ts", bf="3", b_adapt="0", g="25")
    with servers.serving(stream(slow, rate=rate)) as server:
        report = _probe(f"tcp://127.0.0.1:{server.port}", seconds=2)
    assert report.b_frames
    assert report.packets_before_first_frame > 1
    assert report.frames_held >= 1
    assert said(report, "B-frames")


def test_key_frames_far_apart_are_said_of_a_live_stream_and_not_of_a_file(tmp_path: Path) -> None:
    clip, rate = live_clip(
        tmp_path / "far.ts", tune="zerolatency", g="500", keyint_min="500", sc_threshold="0"
    )
    with servers.serving(stream(clip, rate=3 * rate)) as server:
        report = _probe(f"tcp://127.0.0.1:{server.port}", seconds=4.5)
    assert report.key_frames == 1
    assert said(report, "Only one key frame came in")
    assert not said(_probe(clip, seconds=4.5), "key frame")


def test_a_stream_that_falls_silent_is_reported_with_what_it_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_detector.sources.probe.READ_TIMEOUT_S", 1.0)
    jpegs = (media.jpeg(i % 30, 320, 240) for i in range(20))
    camera = servers.pictures(jpegs, every_s=0.04, then_silent=True)
    with servers.serving(camera) as server:
        report = _probe(f"http://127.0.0.1:{server.port}/cam", seconds=30)
    assert report.frames >= 19
    assert said(report, "It broke off after")
    assert "time-out" in report.broke_off


def test_frames_that_arrive_more_slowly_than_their_time_stamps_say_are_said(tmp_path: Path) -> None:
    clip, rate = live_clip(tmp_path / "behind.ts", tune="zerolatency", g="25")
    with servers.serving(stream(clip, rate=rate / 3)) as server:
        report = _probe(f"tcp://127.0.0.1:{server.port}", seconds=4)
    assert said(report, "it falls behind")


def test_udp_is_said(tmp_path: Path) -> None:
    clip, rate = live_clip(tmp_path / "clip.ts", tune="zerolatency", g="5")
    content, ended = clip.read_bytes(), threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def send() -> None:
            for begin in itertools.cycle(range(0, len(content), 1316)):
                with contextlib.suppress(ConnectionRefusedError):
                    sending.sendto(content[begin : begin + 1316], ("127.0.0.1", port))
                if ended.wait(1316 / rate):
                    return

        sender = threading.Thread(target=send)
        sender.start()
        try:
            report = _probe(f"udp://127.0.0.1:{port}", seconds=1)
        finally:
            ended.set()
            sender.join()
    assert report.transport == "udp"
    assert said(report, "UDP")


def test_a_source_without_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no picture"):
        _probe("lavfi:testsrc2=duration=0")
    with pytest.raises(SourceError, match="refused"):
        _probe(f"rtsp://127.0.0.1:{servers.closed_port()}/x")
    with pytest.raises(SourceError, match="only sound"):
        _probe(media.write_sound(tmp_path / "sound.mp4"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")
def test_a_source_that_drips_its_answer_is_given_up_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(connection: socket.socket, ended: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not ended.wait(0.1):
            connection.sendall(b"x")

    monkeypatch.setattr(command, "_PATIENCE_S", 1.0)
    with servers.serving(drip) as server:
        began_s = time.monotonic()
        with pytest.raises(SourceError, match="though it did not fall silent"):
            command.run(f"http://127.0.0.1:{server.port}/x", seconds=0.5, as_json=True)
        assert time.monotonic() - began_s < 10


def test_the_report_is_the_same_for_people_and_for_programs(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "clip.mkv", options={"g": "10"})
    report = json.loads(program("probe", str(clip), "--json").stdout)
    assert report["codec"] == "h264"
    assert report["transport"] == "file"
    assert report["advices"]
    script = shutil.which("script")
    if script is None:
        pytest.skip("needs script (Debian: apt-get install bsdutils) for a terminal")
    command_line = f"{sys.executable} -m stream_detector probe {clip}"
    shown = subprocess.run(
        [script, "-qec", f"stty cols 300; {command_line}", "/dev/null"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"COLUMNS": "300"},
        stdin=subprocess.DEVNULL,
    ).stdout.replace("\r", "")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    for name in report:
        assert name in ("source", "advices") or re.search(rf"^{name} ", text, re.MULTILINE), name
    for sentence in report["advices"]:
        assert f"! {sentence}" in text
