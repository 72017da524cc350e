"""From a table to stored faces: the faces of the detector, kept through kills and damage."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from benchmarks.clips import encode_demo
from engine_build import crop_folder
from engine_build.cli import app
from engine_build.crop_faces import CropPlan, choose_sights, cut_sights, spread
from engine_build.crop_folder import CropJob
from engine_build.face_crops import face_box, read_faces
from engine_build.package import split_faces
from engine_build.process_jobs import ProcessDied
from stream_detector.crops import cut_face
from stream_detector.errors import ModelError, UsageError
from stream_detector.faces import MediaPipeFaceFinder
from stream_detector.sources.address import parse_address
from stream_detector.sources.reader import Reader
from tests.conftest import REPOSITORY
from tests.media import write_clip
from tests.test_process_jobs import ends


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the built-in demo at 10 frames/s, in Matroska."""
    path = tmp_path_factory.mktemp("demo") / "demo.mkv"
    encode_demo(path, seconds=2, rate_hz=10)
    return path


@pytest.fixture
def table(tmp_path: Path, demo: Path) -> Path:
    """A data set of three people, one of their videos damaged, one without a face; already indexed."""
    root = tmp_path / "set"
    for place in ("real/ann.mkv", "real/bob.mkv", "fake/swap/ann.mkv", "fake/swap/cut.mkv"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(demo, root / place)
    whole = demo.read_bytes()
    (root / "fake/swap/cut.mkv").write_bytes(whole[: len(whole) // 2])
    write_clip(root / "real/cem.mkv", frames=10)
    table = tmp_path / "videos.csv"
    done = CliRunner().invoke(app, ["index", str(root), "--out", str(table), "--jobs", "2"])
    assert done.exit_code == 0, done.output
    return table


def run(table: Path, out: Path, *options: object) -> Result:
    arguments = ["crops", str(table), "--out", str(out), "--frames", "4", "--jobs", "2", *map(str, options)]
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("count", "wanted", "numbers"), [(3, 4, [0, 1, 2]), (20, 4, [2, 7, 12, 17]), (5, 1, [2]), (0, 2, [])]
)
def test_looks_are_spread_evenly(count: int, wanted: int, numbers: list[int]) -> None:
    assert spread(count, wanted) == numbers


def test_a_crop_is_what_the_detector_would_cut_from_that_frame(demo: Path) -> None:
    sights = choose_sights(demo, CropPlan(frames=2))
    assert not sights.problem
    assert [sight.frame for sight in sights.chosen] == [5, 15]
    assert [sight.time_s for sight in sights.chosen] == pytest.approx([0.5, 1.5])
    with closing(cut_sights(demo, sights.chosen)) as faces:
        cut = list(faces)
    with closing(Reader(parse_address(str(demo))).frames()) as frames:
        images = {frame.index: frame.picture.rgb() for frame in frames}
    for face in cut:
        expected = cut_face(images[face.sight.frame], face.sight.box, margin=1.8, size_px=400)
        assert np.array_equal(face.pixels, expected)
    with closing(MediaPipeFaceFinder()) as finder:
        assert finder.find(cut[0].pixels)[0].box.overlap(face_box(400)) > 0.8


def test_a_table_becomes_a_folder_of_faces_that_training_reads(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    done = run(table, out)
    assert done.exit_code == 0, done.output
    assert "16 crops of 4 videos" in done.output
    faces = read_faces(out)
    assert [face.clip for face in faces[::4]] == [
        "fake/swap/ann", "fake/swap/cut", "real/ann", "real/bob",
    ]  # fmt: skip
    assert [(face.label, face.method, face.identity) for face in faces[::4]] == [
        (1, "swap", "ann"), (1, "swap", "cut"), (0, "", "ann"), (0, "", "bob"),
    ]  # fmt: skip
    assert {face.picture().shape for face in faces} == {(400, 400, 3)}
    assert {face.split for face in faces if face.identity == "ann"} < {"train", "val", "test"}
    with pytest.raises(ModelError, match="has no landmarks"):
        _ = faces[0].landmarks
    problems = (out / "problems.csv").read_text(encoding="utf-8")
    assert "no face of 40 px or more was found" in problems
    assert "cut.mkv" in problems
    assert "bob.mkv" not in problems
    assert not list(out.rglob("*.new*"))


def test_a_run_that_was_killed_goes_on_where_it_was(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    command = [sys.executable, "-m", "engine_build", "crops", str(table), "--out", str(out)]
    command += ["--frames", "4", "--jobs", "1"]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, start_new_session=True
    )  # a group of its own, to see who is left of it
    with process:
        deadline_s = time.monotonic() + 60
        while not list(out.rglob("*.json")) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert ends(process.pid)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.json")}
    assert before
    assert not (out / "index.csv").exists()
    assert run(table, out).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(read_faces(out)) == 16
    assert run(table, tmp_path / "again").exit_code == 0
    for first, second in zip(read_faces(out), read_faces(tmp_path / "again"), strict=True):
        assert first.clip == second.clip
        assert first.path.read_bytes() == second.path.read_bytes()


def test_what_has_changed_is_made_again(table: Path, tmp_path: Path, demo: Path) -> None:
    out = tmp_path / "crops"
    assert run(table, out).exit_code == 0
    records = {path.stem: path.stat().st_mtime_ns for path in (out / "records/real").rglob("*.json")}
    (out / "real/ann_02.jpg").unlink()
    assert run(table, out).exit_code == 0
    after = {path.stem: path.stat().st_mtime_ns for path in (out / "records/real").rglob("*.json")}
    assert {name for name in records if records[name] != after[name]} == {"ann"}
    assert run(table, out, "--frames", "2").exit_code == 0
    assert len(read_faces(out)) == 8
    assert len(list(out.rglob("*.jpg"))) == 8


def test_a_video_that_kills_its_process_is_listed_and_the_others_are_kept(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(
        work: Callable[[CropJob], object], items: list[CropJob], jobs: int
    ) -> Generator[tuple[CropJob, object]]:
        for job in items:
            yield job, ProcessDied() if job.key == "real/bob" else work(job)

    monkeypatch.setattr(crop_folder, "run_jobs", deadly)
    assert run(table, tmp_path / "crops").exit_code == 0
    assert {face.clip for face in read_faces(tmp_path / "crops")} == {
        "fake/swap/ann",
        "fake/swap/cut",
        "real/ann",
    }
    assert "bob.mkv died" in (tmp_path / "crops/problems.csv").read_text(encoding="utf-8")


def test_videos_of_one_name_get_crops_of_their_own(tmp_path: Path, demo: Path) -> None:
    for place in ("set/real/x/a/clip.mkv", "set/real/x/b/clip.mkv", "set/real/x/b/Clip.mkv"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(demo, tmp_path / place)
    table, out = tmp_path / "videos.csv", tmp_path / "crops"
    arguments = ["index", str(tmp_path / "set"), "--out", str(table), "--real-only", "--only", "train"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert run(table, out).exit_code == 0
    assert len({face.clip.lower() for face in read_faces(out)}) == 3
    assert len(list(out.rglob("*.jpg"))) == 12


def test_what_cannot_be_done_is_described(table: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/index.csv").write_text("path,split,clip\n", encoding="utf-8")
    assert "did not write; choose another --out" in str(run(table, tmp_path / "mine").exception)
    wrong = tmp_path / "landmarker.task"
    assert "cannot find" in str(run(table, tmp_path / "crops", "--landmarker", wrong).exception)
    wrong.write_bytes(b"no model")
    done = run(table, tmp_path / "crops", "--landmarker", wrong)
    assert "as a face landmarker" in str(done.exception)
    (tmp_path / "file").write_bytes(b"")
    assert "cannot write the crops into" in str(run(table, tmp_path / "file").exception)
    with pytest.raises(UsageError, match="cannot keep 0 frames"):
        CropPlan(frames=0)
    text = table.read_text(encoding="utf-8")
    for split in ("train", "val", "test"):
        text = text.replace(f",{split},", ",,")
    table.write_text(text, encoding="utf-8")
    assert "is in a split" in str(run(table, tmp_path / "crops").exception)


def test_a_full_disk_is_a_sentence_and_loses_nothing(table: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    out = tmp_path / "crops"
    (out / "records/real").mkdir(parents=True)
    (out / "records/real/bob.json.new").symlink_to("/dev/full")
    assert "No space left on device; make room and run" in str(run(table, out).exception)
    assert not (out / "index.csv").exists()
    assert (out / "records/real/ann.json").exists()
    (out / "records/real/bob.json.new").unlink()
    assert run(table, out).exit_code == 0
    assert len(read_faces(out)) == 16


def test_people_get_landmarks_in_the_middle_of_their_crops(research_data: Path, tmp_path: Path) -> None:
    for name in ("book", "yes", "walk"):
        place = tmp_path / "set" / "real" / f"{name}.mkv"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(research_data / "clips" / f"{name}.mkv", place)
    table, out = tmp_path / "videos.csv", tmp_path / "crops"
    done = CliRunner().invoke(app, ["index", str(tmp_path / "set"), "--out", str(table), "--real-only"])
    assert done.exit_code == 0, done.output
    done = run(table, out, "--landmarker", research_data / "mediapipe/face_landmarker.task")
    assert done.exit_code == 0, done.output
    assert "12 crops of 3 videos, 0 of them without landmarks" in " ".join(done.output.split())
    faces = read_faces(out)
    assert {face.landmarks.shape for face in faces} == {(478, 2)}
    for face in faces:
        middle = face.landmarks.astype(float).mean(0)
        assert np.abs(middle - 200).max() < 40
    sets = split_faces(out)
    assert len(sets.calibration) == len(sets.held_out) == 4
    record = json.loads((out / "records/real/yes.json").read_text(encoding="utf-8"))
    assert record["made_from"]["landmarks"] is True
    assert cv2.imread(str(faces[0].path)) is not None
