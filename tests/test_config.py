"""The file of --config: understood, or refused with a sentence that names the place."""

from pathlib import Path

import pytest

from stream_detector.config import read_config
from stream_detector.errors import UsageError
from stream_detector.records import Region
from tests.conftest import REPOSITORY

DOOR = '[[stream]]\nname = "door"\nurl = "rtsp://watcher:sesame@camera/door?token=hunter2"\n'


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "streams.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(folder: Path, text: str | bytes, **typed: object) -> str:
    with pytest.raises(UsageError) as refused:
        read_config(written(folder, text), typed)
    return str(refused.value)


def test_a_streams_own_key_counts_before_what_was_typed_and_that_before_the_files_default(
    tmp_path: Path,
) -> None:
    path = written(
        tmp_path,
        f'score_hz = 2\nmax_faces = 3\nmax_batch = 4\n{DOOR}half_life = 4\ncrop = "640x360+10+20"\n'
        '[[stream]]\nname = "hall"\nurl = "demo:"\nscore_hz = 9\nmin_face = 50\n',
    )
    settings = read_config(path, {"sources": ("a.mp4",), "max_faces": 5})
    typed, door, hall = settings.streams
    assert (typed.url, typed.name, typed.score_hz, typed.max_faces) == ("a.mp4", None, 2, 5)
    assert (door.name, door.score_hz, door.max_faces, door.half_life_s) == ("door", 2, 5, 4)
    assert door.crop == Region(10, 20, 640, 360)
    assert (hall.name, hall.score_hz, hall.min_face_px, hall.crop) == ("hall", 9, 50, None)
    assert settings.max_batch == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no stream; expected at least one [[stream]] with name and url"),
        ("score_hz = ", "it is not TOML: "),
        (b"\xff\xfe", "it is not UTF-8 text"),
        ('[stream]\nname = "a"', "expected a table per stream; write [[stream]] with two brackets"),
        ("scorehz = 2\n" + DOOR, "'scorehz' is not known; expected backend, duration, face_model"),
        (
            DOOR + "fps = 2",
            "'fps' in stream 1 ('door') is not known; expected crop, duration, false_alarms_per_day",
        ),
        (DOOR + "score_hz = 0", "score_hz in stream 1 ('door') is 0, expected greater than 0"),
        (DOOR + 'score_hz = "fast"', "score_hz in stream 1 ('door') is 'fast', expected a valid number"),
        (DOOR + 'crop = "640x360"', "is '640x360', expected WIDTHxHEIGHT+LEFT+TOP in pixels, such as"),
        (DOOR + "max_faces = [1]", "max_faces in stream 1 ('door') is [1], expected a valid integer"),
        (DOOR + "half_life = 0.01", "half_life of stream 'door' is 0.01 with score_hz 5"),
        ('[[stream]]\nname = "a"', "stream 1 ('a') has no url"),
        ('[[stream]]\nurl = "demo:"', "stream 1 has no name"),
        ('[[stream]]\nname = "a/b"\nurl = "demo:"', "name in stream 1 ('a/b') is 'a/b', expected 1 to 64"),
        ('[[stream]]\nname = "a"\nurl = 5', "url in stream 1 ('a') is not text, expected a valid string"),
        ('[[stream]]\nname = "a"\nurl = "ftpx://h/x"', "the url of stream 1 ('a') makes no sense"),
        (DOOR + DOOR, "two streams have the name 'door'"),
        ("max_batch = 99\n" + DOOR, "max_batch is 99, expected less than or equal to 64"),
        ('backend = "magic"\n' + DOOR, "backend is 'magic', expected 'auto', 'tensorrt'"),
    ],
)
def test_a_mistake_is_told_with_its_place_what_was_found_and_what_was_expected(
    tmp_path: Path, text: str | bytes, says: str
) -> None:
    told = refusal(tmp_path, text)
    assert told.startswith("cannot use streams.toml: ")
    assert says in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        DOOR + "fps = 1",
        DOOR + DOOR,
        DOOR.replace("rtsp:", "ftpx:"),
        '[[stream]]\nname = "rtsp://watcher:sesame@camera/door?token=hunter2"\nurl = "demo:"',
        '[[stream]]\nname = "a"\nurl = ["rtsp://watcher:sesame@camera/door?token=hunter2"]',
        'source = "rtsp://watcher:sesame@camera/door?token=hunter2"',
        'score_hz = "rtsp://watcher:sesame@camera/door?token=hunter2"\n' + DOOR,
    ],
)
def test_no_mistake_gets_a_password_told(tmp_path: Path, text: str) -> None:
    told = refusal(tmp_path, text)
    assert "sesame" not in told
    assert "hunter2" not in told


def test_the_file_in_the_readme_is_one_that_works(tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    example = readme.split("```toml\n")[1].split("```")[0]
    door, call = read_config(written(tmp_path, example), {}).streams
    assert (door.score_hz, door.crop, call.score_hz) == (5, Region(0, 0, 640, 360), 2)


def test_settings_do_not_show_their_passwords(tmp_path: Path) -> None:
    settings = read_config(written(tmp_path, DOOR), {"sources": ("rtsp://u:sesame@camera/1",)})
    assert "sesame" not in repr(settings)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none\.toml: No such file"):
        read_config(tmp_path / "none.toml", {})


def test_a_huge_file_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    assert "larger than 1 MiB" in refusal(tmp_path, b"#" * (1 << 21))
