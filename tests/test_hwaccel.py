"""Hardware decoding where there is hardware, and a stated fall-back where there is none."""

from contextlib import closing
from pathlib import Path

import pytest

from stream_detector.sources.address import parse_address
from stream_detector.sources.hwaccel import choose_hwaccel
from stream_detector.sources.reader import Reader
from tests import media


@pytest.mark.parametrize("wanted", ["auto", "cuda", "vaapi"])
def test_where_no_hardware_decodes_software_does_and_one_warning_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wanted: str
) -> None:
    choose_hwaccel.cache_clear()
    clip = media.write_clip(tmp_path / "clip.mp4")
    for _ in range(2):
        with closing(Reader(parse_address(str(clip)), hwaccel=wanted).frames()) as frames:
            greys = [float(frame.picture.rgb().mean()) for frame in frames]
        assert greys == pytest.approx([media.grey_level(index) for index in range(30)], abs=3)
    warnings = [record.getMessage() for record in caplog.records]
    if choose_hwaccel(wanted) is None:
        assert len(warnings) == 1
        assert f"--hwaccel {wanted}" in warnings[0]
        assert "software decodes instead" in warnings[0]
    else:
        assert warnings == []


def test_without_being_asked_no_device_is_touched_and_nothing_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert choose_hwaccel("off") is None
    assert caplog.records == []
