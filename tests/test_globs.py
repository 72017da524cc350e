"""Patterns that name several files."""

from pathlib import Path

import pytest

from stream_detector.errors import SourceError
from stream_detector.sources.globs import expand_globs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.mp4", "c.mkv", "odd[1].mp4", "deep/d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    return tmp_path


def test_a_pattern_is_the_files_it_matches_in_the_order_of_their_names(folder: Path) -> None:
    found = expand_globs([f"{folder}/[ab].mp4", "rtsp://camera/x?transport=udp", f"file:{folder}/*.mkv"])
    assert found == (
        f"file:{folder}/a.mp4",
        f"file:{folder}/b.mp4",
        "rtsp://camera/x?transport=udp",
        f"file:{folder}/c.mkv",
    )


def test_folders_are_no_files_and_two_stars_are_any_depth(folder: Path) -> None:
    names = [Path(text).name for text in expand_globs([f"{folder}/**/*.mp4"])]
    assert sorted(names) == ["a.mp4", "b.mp4", "d.mp4", "odd[1].mp4"]


def test_a_file_with_such_signs_in_its_name_is_itself(folder: Path) -> None:
    assert expand_globs([f"{folder}/odd[1].mp4"]) == (f"{folder}/odd[1].mp4",)


def test_a_pattern_without_a_match_is_a_sentence(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"no file matches .*\*\.avi"):
        expand_globs(["demo:", f"{folder}/*.avi"])
