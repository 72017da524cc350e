from pathlib import Path

import pytest
from PyQt6.QtCore import QSettings

from gui.cameras import Camera, _linux_cameras
from gui.remembered import Remembered
from tests import gui_parts

_ = gui_parts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.ini"


def remembered(file: Path) -> Remembered:
    return Remembered(QSettings(str(file), QSettings.Format.IniFormat))


def test_a_password_is_never_written_to_the_settings(file: Path) -> None:
    kept = remembered(file)
    kept.watched("rtsp://user:hunter2@camera.local/stream?token=s3cret")
    kept.flush()
    text = file.read_text()
    assert "hunter2" not in text
    assert "s3cret" not in text
    assert "camera.local" in text
    assert kept.history == ["rtsp://***@camera.local/stream?***"]


def test_the_history_holds_each_source_once_the_newest_first(file: Path) -> None:
    kept = remembered(file)
    for source in ("a.mp4", "b.mp4", "a.mp4", "demo:", "nonsense://x"):
        kept.watched(source)
    assert remembered(file).history == ["a.mp4", "b.mp4"]
    for number in range(30):
        kept.watched(f"{number}.mp4")
    assert len(kept.history) == 12
    kept.forget_history()
    assert kept.history == []


def test_appearance_and_evidence_map_are_kept_and_odd_values_ignored(file: Path) -> None:
    kept = remembered(file)
    assert (kept.appearance, kept.evidence) == ("system", False)
    kept.appearance, kept.evidence = "light", True
    kept.flush()
    assert (remembered(file).appearance, remembered(file).evidence) == ("light", True)
    kept.appearance = "purple"
    assert kept.appearance == "system"


def test_cameras_are_listed_by_name_each_once(tmp_path: Path) -> None:
    for node, name, index in (("video10", "Back", "0"), ("video2", "Front", "0"), ("video3", "Front", "1")):
        (tmp_path / node).mkdir()
        (tmp_path / node / "name").write_text(f"{name}\n")
        (tmp_path / node / "index").write_text(f"{index}\n")
    (tmp_path / "video4").mkdir()
    assert _linux_cameras(tmp_path) == [
        Camera("Front", "webcam:/dev/video2"),
        Camera("Back", "webcam:/dev/video10"),
    ]
