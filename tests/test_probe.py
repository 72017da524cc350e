from pathlib import Path

import pytest

from stream_detector.errors import SourceError
from stream_detector.sources.address import parse_address
from stream_detector.sources.probe import SourceReport, probe
from tests import media, servers


def _probe(source: Path | str, *, seconds: float = 3.0) -> SourceReport:
    return probe(parse_address(str(source)), seconds=seconds)


def test_a_sound_clip_is_measured_and_needs_no_advice() -> None:
    report = _probe("lavfi:testsrc2=size=640x480:rate=30", seconds=1.0)
    assert report.frames == 31
    assert report.measured_rate_hz == pytest.approx(30)
    assert report.first_frame_after_s > 0
    assert report.advices == ()


def test_key_frames_are_measured(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "clip.mkv", options={"g": "10", "sc_threshold": "0"})
    assert _probe(clip).key_frame_interval_s == pytest.approx(0.4, abs=0.01)


def test_a_variable_frame_rate_is_said(tmp_path: Path) -> None:
    pts = [0, 1, 2, 5, 6, 7, 12, 13, 20]
    assert any(
        "varies" in said for said in _probe(media.write_clip(tmp_path / "v.mkv", frames=9, pts=pts)).advices
    )


def test_a_turned_clip_is_said(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "turned.mp4", frames=3, turn_deg=90)
    assert any("90°" in said for said in _probe(clip).advices)


def test_very_large_and_very_small_pictures_are_said(tmp_path: Path) -> None:
    large = _probe(media.write_sizes(tmp_path / "large.mkv", [(7680, 4320)]))
    assert any("very large" in said for said in large.advices)
    small = _probe(media.write_clip(tmp_path / "small.mp4", frames=3))
    assert any("very small" in said for said in small.advices)


def test_pixels_that_are_not_square_are_said() -> None:
    report = _probe("lavfi:testsrc2=size=720x576:rate=25,setsar=64/45", seconds=0.2)
    assert any("64:45" in said for said in report.advices)


def test_a_rate_that_is_not_the_stated_one_is_said(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "half.mkv", frames=20, pts=range(0, 40, 2))
    report = _probe(clip)
    assert report.measured_rate_hz == pytest.approx(12.5, abs=0.1)
    assert any("states 25.00" in said and "12.50" in said for said in report.advices)


def test_damage_is_said(tmp_path: Path) -> None:
    clip = media.write_clip(
        tmp_path / "bad.mkv", paint=media.noise, codec="mjpeg", pixel_format="yuvj420p", damaged={4, 9}
    )
    assert any("2 damaged packets" in said for said in _probe(clip).advices)


def test_a_source_without_frames_is_an_error() -> None:
    with pytest.raises(SourceError, match="no picture"):
        _probe("lavfi:testsrc2=duration=0")
    with pytest.raises(SourceError, match="refused"):
        _probe(f"rtsp://127.0.0.1:{servers.closed_port()}/x")
