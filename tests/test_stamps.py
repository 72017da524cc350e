"""Each picture keeps the time its own packet came, through reordering and delay in the decoder."""

from contextlib import closing
from itertools import pairwise
from pathlib import Path

from stream_detector.records import Frame
from stream_detector.sources.address import parse_address
from stream_detector.sources.pacing import Paced
from stream_detector.sources.reader import Reader
from tests.media import noise, write_clip


def clip(folder: Path) -> Reader:
    """With B-frames, whose packets come later than those of the pictures they are shown before."""
    options = {"bf": "2", "b_strategy": "0", "g": "30", "sc_threshold": "0"}
    path = write_clip(folder / "clip.mp4", frames=30, paint=noise, options=options)
    return Reader(parse_address(str(path)), threads=1)


def test_a_picture_that_was_reordered_keeps_the_stamp_of_its_own_packet(tmp_path: Path) -> None:
    with closing(clip(tmp_path).frames()) as frames:
        seen = list(frames)
    stamps_s = [frame.packet_at_s for frame in seen]
    came_s = [stamp_s for stamp_s in stamps_s if stamp_s is not None]
    assert len(set(came_s)) == len(seen) == 30
    assert any(later < earlier for earlier, later in pairwise(came_s))
    assert all(frame.packet_at_s is not None and frame.packet_at_s <= frame.captured_at_s for frame in seen)


def test_the_wait_of_a_paced_file_for_its_time_is_no_delay(tmp_path: Path) -> None:
    with closing(Paced(clip(tmp_path)).frames()) as frames:
        assert {frame.packet_at_s for frame in frames if isinstance(frame, Frame)} == {None}
