"""From folders to a table: layouts, names, damaged files, and a second run that reads nothing again."""

import csv
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks.clips import encode_demo
from engine_build import video_index
from engine_build.cli import app
from engine_build.dataset import find_videos, identities_of
from engine_build.process_jobs import ProcessDied
from engine_build.video_index import forget_progress, index_videos, read_facts
from engine_build.video_table import Video, VideoFacts, read_table, write_table
from stream_detector.errors import SourceError, StreamDetectorError
from tests.media import write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten grey pictures at 30000/1001 Hz, 64x48."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, frames=10, rate_hz=Fraction(30000, 1001))


def put(clip: Path, *places: Path) -> None:
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip, place)


@pytest.fixture
def forensics(tmp_path: Path, clip: Path) -> Path:
    """FaceForensics++ in small: six people, two actors, three methods."""
    root = tmp_path / "ffpp"
    original, manipulated = root / "original_sequences", root / "manipulated_sequences"
    for a, b in (("000", "003"), ("001", "870"), ("183", "253")):
        put(clip, original / f"youtube/c23/videos/{a}.mp4", original / f"youtube/c23/videos/{b}.mp4")
        put(clip, manipulated / f"Deepfakes/c23/videos/{a}_{b}.mp4")
        put(clip, manipulated / f"FaceShifter/c40/videos/{b}_{a}.mp4")
    put(clip, original / "actors/raw/videos/01__kitchen_pan.mp4")
    put(clip, manipulated / "DeepFakeDetection/raw/videos/01_02__kitchen_pan__YVGY8LOK.mp4")
    put(clip, original / "youtube/c23/videos/._000.mp4", original / "youtube/c23/masks/000.mp4")
    return root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["index", *map(str, arguments), "--jobs", "2"])


def test_names_of_faceforensics_tell_who_is_in_a_video() -> None:
    assert identities_of("183") == ("183",)
    assert identities_of("183_253") == ("183", "253")
    assert identities_of("01__kitchen_pan") == ("actor-01",)
    assert identities_of("01_02__kitchen_pan__YVGY8LOK") == ("actor-01", "actor-02")
    assert identities_of("IMG_1234") == ("IMG_1234",)


def test_faceforensics_becomes_one_table_whose_splits_share_nobody(forensics: Path) -> None:
    table = forensics / "videos.csv"
    done = run(forensics, "--out", table)
    assert done.exit_code == 0, done.output
    videos = {video.filepath: video for video in read_table(table)}
    assert len(videos) == 14
    fake = videos["manipulated_sequences/Deepfakes/c23/videos/183_253.mp4"]
    assert (fake.label, fake.method, fake.compression) == (1, "Deepfakes", "c23")
    assert fake.identities == ("183", "253")
    assert (fake.facts.frames, fake.facts.width_px, fake.facts.height_px) == (10, 64, 48)
    assert fake.facts.rate_hz == Fraction(30000, 1001)
    assert fake.facts.duration_s == pytest.approx(0.334, abs=0.001)
    assert fake.facts.readable
    assert not fake.facts.problem
    split_of = {i: video.split for video in videos.values() for i in video.identities}
    assert all(split_of[i] == video.split for video in videos.values() for i in video.identities)
    assert set(split_of.values()) == {"train", "val", "test"}
    assert videos["original_sequences/actors/raw/videos/01__kitchen_pan.mp4"].method == "actors"
    with table.open(encoding="utf-8", newline="") as lines:
        first = next(csv.DictReader(lines))
    assert (first["fps"], first["fps_exact"], first["readable"]) == ("29.970", "30000/1001", "1")
    assert not list(forensics.glob("*.part")) + list(forensics.glob("*.new"))


def test_a_second_run_reads_only_what_has_changed(
    forensics: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, entries = forensics / "videos.csv", find_videos(forensics)
    part = table.with_name("videos.csv.part")
    monkeypatch.setattr(video_index, "_SAVE_EVERY_S", 0.0)
    first = index_videos(entries, table, jobs=2, on_progress=lambda *_: None)
    assert read_table(part) == first
    write_table(first[:-1], part)  # as a killed run leaves it
    (forensics / "original_sequences/youtube/c23/videos/000.mp4").write_bytes(b"")
    read: list[Path] = []

    def noted(work: object, items: list[Path], jobs: int) -> Iterator[tuple[Path, VideoFacts]]:
        for path in items:
            read.append(path)
            yield path, read_facts(path)

    monkeypatch.setattr(video_index, "run_jobs", noted)
    second = index_videos(entries, table, jobs=2, on_progress=lambda *_: None)
    assert {path.name for path in read} == {"000.mp4", entries[-1].path.name}
    assert [v for v in second if v.facts.readable] == [v for v in first if "/000.mp4" not in v.filepath]
    forget_progress(table)
    assert not list(forensics.glob("*.part"))


def test_a_file_that_crashes_the_decoder_is_listed(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(clip, tmp_path / "real/ann.mp4", tmp_path / "fake/bob.mp4")

    def crashing(work: object, items: list[Path], jobs: int) -> Iterator[tuple[Path, object]]:
        for path in items:
            yield path, read_facts(path) if path.stem == "ann" else ProcessDied()

    monkeypatch.setattr(video_index, "run_jobs", crashing)
    found = index_videos(find_videos(tmp_path), tmp_path / "v.csv", jobs=1, on_progress=lambda *_: None)
    assert [video.facts.readable for video in found] == [False, True]
    assert "bob.mp4 died: the file crashes the decoder" in found[0].facts.problem


def test_damaged_files_are_listed_and_stop_nothing(tmp_path: Path, clip: Path) -> None:
    root = tmp_path / "set"
    put(clip, root / "real/ann.mp4", root / "real/bob.mp4", root / "real/cem.mp4")
    put(clip, *(root / f"fake/swap/c40/{name}.mp4" for name in ("ann", "bob", "cem")))
    (root / "real/empty.mp4").write_bytes(b"")
    (root / "real/text.avi").write_text("no video", encoding="utf-8")
    (root / "fake/cut.mp4").write_bytes(clip.read_bytes()[:600])
    encode_demo(root / "fake/half.mkv", seconds=2, rate_hz=10)
    whole = (root / "fake/half.mkv").read_bytes()
    (root / "fake/half.mkv").write_bytes(whole[: len(whole) // 2])
    done = run(root, "--out", tmp_path / "out/videos.csv")
    assert done.exit_code == 0, done.output
    videos = {Path(video.filepath).name: video for video in read_table(tmp_path / "out/videos.csv")}
    assert videos["ann.mp4"].filepath.startswith("../set/")
    assert "the file is empty" in videos["empty.mp4"].facts.problem
    assert "it is a text file" in videos["text.avi"].facts.problem
    assert "without its index" in videos["cut.mp4"].facts.problem
    assert not videos["cut.mp4"].facts.readable
    assert not videos["cut.mp4"].split
    half = videos["half.mkv"]
    assert 0 < half.facts.frames < 20
    assert half.facts.problem
    assert half.split
    assert "cut.mp4" in done.output


def test_a_csv_may_name_people_and_files_that_are_missing(tmp_path: Path, clip: Path) -> None:
    put(clip, *(tmp_path / f"{name}.mp4" for name in "abcdef"))
    (tmp_path / "list.csv").write_text(
        "filepath,label,method,identity\na.mp4,real,,ann\nb.mp4,FAKE,swap,ann;bob\nc.mp4,0,,cem\n"
        "d.mp4,1,swap,dan\ne.mp4,0,,dan\nf.mp4,1,swap,cem\ngone.mp4,0,,eve\n",
        encoding="utf-8",
    )
    done = run(tmp_path / "list.csv", "--out", tmp_path / "videos.csv", "--balanced")
    assert done.exit_code == 0, done.output
    videos = {video.filepath: video for video in read_table(tmp_path / "videos.csv")}
    assert videos["b.mp4"].identities == ("ann", "bob")
    assert videos["a.mp4"].split == videos["b.mp4"].split
    assert "no such file" in videos["gone.mp4"].facts.problem
    done = run(tmp_path / "list.csv", "--out", tmp_path / "videos.csv", "--only", "test")
    assert {v.split for v in read_table(tmp_path / "videos.csv") if v.facts.readable} == {"test"}


def test_a_set_without_fakes_or_with_one_person_is_tabulated_and_then_refused(
    tmp_path: Path, clip: Path
) -> None:
    put(clip, *(tmp_path / f"set/real/{name}.mp4" for name in "abc"))
    table = tmp_path / "videos.csv"
    done = run(tmp_path / "set", "--out", table)
    assert "3 real videos and no fake ones" in str(done.exception)
    assert "--real-only" in str(done.exception)
    assert len(read_table(table)) == 3
    assert run(tmp_path / "set", "--out", table, "--real-only").exit_code == 0
    assert sorted(video.split for video in read_table(table)) == ["test", "train", "val"]
    (tmp_path / "one.csv").write_text(
        "filepath,label,identity\nset/real/a.mp4,0,ann\nset/real/b.mp4,1,ann\n", encoding="utf-8"
    )
    done = run(tmp_path / "one.csv", "--out", table)
    assert "2 videos of 1 people into 3 parts" in str(done.exception)
    assert [video.split for video in read_table(table)] == ["", ""]


def test_what_is_no_data_set_is_described(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="found nothing, expected the folder"):
        find_videos(tmp_path / "none")
    with pytest.raises(SourceError, match="expected folders original_sequences"):
        find_videos(tmp_path)
    (tmp_path / "real").mkdir()
    with pytest.raises(SourceError, match="its folders hold no video"):
        find_videos(tmp_path)
    table = tmp_path / "list.csv"
    for text, why in (
        ("", "the columns of an empty file"),
        ("path,label\n", "has the columns path, label"),
        ("filepath,label\na.mp4,2\n", "line 2: found the path 'a.mp4' and the label '2'"),
        ("filepath,label\na.mp4\n", "line 2: found the path 'a.mp4' and the label ''"),
        ("filepath,label\na.mp4,1\na.mp4,0\n", r"line 3: .*a\.mp4 is listed twice"),
    ):
        table.write_text(text, encoding="utf-8")
        with pytest.raises(SourceError, match=why):
            find_videos(table)
    table.write_bytes(b"filepath,label\n\xff\xfe,1\n")
    with pytest.raises(SourceError, match="expected a CSV in UTF-8"):
        find_videos(table)


def test_a_table_comes_back_as_it_was_written_and_a_damaged_one_is_described(tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    facts = VideoFacts(7, 8, 9, 10, 12, Fraction(25), 0.36, 'a "problem",\nin two lines')
    videos = [
        Video("a, b.mp4", 0, "", "", ("ann",), facts, "val"),
        Video("odd\udcff.mp4", 1, "swap", "c40", (), VideoFacts(0, 0, problem="gone")),
    ]
    write_table(videos, table)
    assert read_table(table) == videos
    text = table.read_text(encoding="utf-8", errors="surrogateescape")
    for old, new, why in (
        ("fps_exact", "rate", "has no column fps_exact"),
        (",val,", ",vla,", "split 'vla', expected train"),
        (",25,", ",1/0,", "makes no sense"),
        ("swap,c40", "swap", "makes no sense"),
    ):
        table.write_text(text.replace(old, new), encoding="utf-8", errors="surrogateescape")
        with pytest.raises(SourceError, match=why):
            read_table(table)
    with pytest.raises(SourceError, match="No such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(StreamDetectorError, match=r"cannot write .*videos\.csv"):
        write_table(videos, table / "videos.csv")


def test_a_full_disk_is_a_sentence_and_leaves_the_old_table(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    table = tmp_path / "videos.csv"
    write_table([], table)
    before = table.read_bytes()
    table.with_name("videos.csv.new").symlink_to("/dev/full")
    with pytest.raises(StreamDetectorError, match=r"cannot write .*videos\.csv: No space left on device"):
        write_table([Video("a.mp4", 0, "", "", (), VideoFacts(1, 2))], table)
    assert table.read_bytes() == before
    assert list(tmp_path.iterdir()) == [table]
