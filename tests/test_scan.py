"""Scanning as people meet it: real files, good and bad, a process that is killed, and its reports."""

import csv
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.clips import encode_demo
from stream_detector.errors import UsageError
from stream_detector.scanning.finding import find_files
from stream_detector.scanning.results import FaceResult, FileResult, MeanScore, ScanReport, Segment
from tests.conftest import REPOSITORY
from tests.media import write_clip, write_sound
from tests.small_models import write_small_onnx
from tests.test_cli import HANG_S, PROGRAM, program

HOSTILE = "<script>document.title='broken'</script>&\"'\u202e4pm.mp4".replace("/", "\u2215")


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, and a clip of 6 s with one face."""
    folder = tmp_path_factory.mktemp("scan")
    write_small_onnx(folder / "small.onnx")
    encode_demo(folder / "face.mp4", seconds=6, rate_hz=8)
    return folder


def scan(media: Path, *arguments: object, **more: Any) -> "subprocess.CompletedProcess[str]":
    small = ("--model", str(media / "small.onnx"))
    return program("scan", *map(str, arguments), *small, env={**os.environ, "COLUMNS": "160"}, **more)


def rows(path: Path) -> dict[str, dict[str, Any]]:
    files = json.loads(path.read_text())["files"]
    return {Path(file["path"]).name: file for file in files}


@pytest.fixture(scope="module")
def mixed(
    media: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A folder with everything people have in folders, scanned once; its reports lie in the parent."""
    top = tmp_path_factory.mktemp("mixed")
    folder = top / "recordings"
    (folder / "deeper").mkdir(parents=True)
    clip = (media / "face.mp4").read_bytes()
    (folder / "deeper" / "face.mp4").write_bytes(clip)
    (folder / HOSTILE).write_bytes(clip)
    (folder / "cut off.mp4").write_bytes(clip[: len(clip) // 2])
    (folder / "zero.mp4").touch()
    (folder / ".hidden.mp4").touch()
    (folder / "notes.txt").write_text("no video")
    write_clip(folder / "grey.mp4")
    write_clip(folder / "one frame.mkv", frames=1)
    write_sound(folder / "sound.mp4")
    (folder / "text.mp4").write_text("no video either")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "dangling.mp4").symlink_to("nowhere.mp4")
    (folder / "same.mp4").symlink_to(folder / "grey.mp4")
    Path(os.fsdecode(bytes(folder) + b"/no text \xff.mp4")).write_bytes(clip)
    os.mkfifo(folder / "pipe.mp4")
    reports = (f"--{kind}={top / f'scan.{kind}'}" for kind in ("json", "csv", "html"))
    return top, scan(media, folder, *reports, "--jobs", 3)


def test_one_bad_file_never_stops_the_rest(mixed: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    top, done = mixed
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    found = rows(top / "scan.json")
    assert set(found) == {
        "face.mp4", HOSTILE, "cut off.mp4", "zero.mp4", "grey.mp4", "one frame.mkv", "sound.mp4", "text.mp4",
        "dangling.mp4", "pipe.mp4", "no text \\xff.mp4",
    }  # fmt: skip
    for name, says in [
        ("cut off.mp4", "without its index"),
        ("zero.mp4", "the file is empty"),
        ("sound.mp4", "only sound"),
        ("text.mp4", "text file"),
        ("dangling.mp4", "No such file"),
        ("pipe.mp4", "a pipe"),
    ]:
        assert found[name]["verdict"] == "unreadable"
        assert says in found[name]["problem"]
    assert found["face.mp4"]["problem"] is found["no text \\xff.mp4"]["problem"] is None
    assert found["grey.mp4"]["verdict"] == found["one frame.mkv"]["verdict"] == "no_face"


def test_a_face_has_its_scores_its_share_and_its_interval(
    mixed: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    file = rows(mixed[0] / "scan.json")["face.mp4"]
    (face,) = file["faces"]
    assert file["mean"]["scores"] == face["mean"]["scores"] == 12  # 6 s at 2 a second
    assert 0 <= file["mean"]["low"] <= file["mean"]["value"] <= file["mean"]["high"] <= 1
    assert file["evidence_share"] == 1
    assert len(face["timeline"]) == 12
    assert "picture" not in face


def test_the_json_report_keeps_its_own_schema(
    mixed: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    report = ScanReport.model_validate_json((mixed[0] / "scan.json").read_text())
    assert (report.band, report.mean_high) == ((0.3, 0.7), 0.7)  # the sidecar's
    assert len(report.files) == 11


def test_the_csv_report_has_a_row_per_file(mixed: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    with (mixed[0] / "scan.csv").open(newline="", encoding="utf-8") as file:
        found = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert len(found) == 11
    assert found["face.mp4"]["scores"] == "12"
    assert found["zero.mp4"]["mean"] == ""


def test_the_table_names_every_file_and_no_control_sign_reaches_the_terminal(
    mixed: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    out = mixed[1].stdout
    assert "cannot be read" in out
    assert "11 of 11 files" in out
    assert "\u202e" not in out


def test_files_are_found_once_whatever_leads_to_them(media: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(media / "face.mp4")
    assert len(find_files([media / "face.mp4", link, media])) == 1
    with pytest.raises(UsageError, match="no such file or folder"):
        find_files([tmp_path / "none"])


def test_a_folder_without_videos_is_answered_with_a_sentence(tmp_path: Path) -> None:
    for index in range(1000):
        (tmp_path / f"{index}.txt").touch()
    done = program("scan", str(tmp_path))
    assert done.returncode == 2
    assert "there is nothing to scan" in done.stderr


@pytest.mark.parametrize("option", ["--csv", "--json", "--html", "--resume"])
def test_a_report_that_cannot_be_written_is_told_before_the_work(
    media: Path, tmp_path: Path, option: str
) -> None:
    for path in (tmp_path, tmp_path / "no such folder" / "report"):
        done = program("scan", str(media / "face.mp4"), option, str(path))
        assert done.returncode == 2
        assert f"cannot write {option} {path}" in done.stderr
        assert done.stdout == ""


def test_no_file_of_the_user_is_taken_for_results_of_a_scan(media: Path, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    video.write_bytes((media / "face.mp4").read_bytes())
    done = scan(media, video, "--resume", video)
    assert done.returncode == 2
    assert "holds no results of a scan" in done.stderr
    assert video.read_bytes() == (media / "face.mp4").read_bytes()


def test_a_scan_that_was_killed_goes_on_where_it_was(media: Path, tmp_path: Path) -> None:
    folder, journal, out = tmp_path / "files", tmp_path / "journal", tmp_path / "scan.json"
    folder.mkdir()
    for index in range(8):
        (folder / f"{index}.mp4").write_bytes((media / "face.mp4").read_bytes())
    command = [*PROGRAM, "scan", folder, "--resume", journal, "--model", media / "small.onnx", "--jobs", "1"]
    killed = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + HANG_S
    try:
        while (
            journal.read_bytes().count(b"\n") if journal.exists() else 0
        ) < 3:  # its first line, two results
            assert time.monotonic() < deadline_s
            assert killed.poll() is None, "too fast to be killed on the way"
            time.sleep(0.02)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    kept = journal.read_bytes().count(b"\n") - 1
    with journal.open("ab") as file:
        file.write(b'{"settings":"cut sho')  # as a kill at another byte would leave it
    (folder / "0.mp4").touch()  # changed since: scanned again
    done = scan(media, folder, "--resume", journal, "--json", out)
    assert done.returncode == 0, done.stderr
    assert f"{kept - 1} of 8 results taken from" in done.stderr
    found = rows(out)
    assert len(found) == 8
    assert len({json.dumps({**file, "path": "", "modified_ns": 0}) for file in found.values()}) == 1
    again = scan(media, folder, "--resume", journal)
    assert "8 of 8 results taken from" in again.stderr
    other = scan(media, folder, "--resume", journal, "--score-hz", "1", "--duration", "1")
    assert "taken from" not in other.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_ctrl_c_reports_what_was_finished(media: Path, tmp_path: Path) -> None:
    out, journal = tmp_path / "scan.json", tmp_path / "journal"
    paths = []
    for index in range(12):
        paths.append(tmp_path / f"{index}.mp4")
        paths[-1].write_bytes((media / "face.mp4").read_bytes())
    command = [*PROGRAM, "scan", *paths, "--json", out, "--resume", journal, "--model", media / "small.onnx"]
    running = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline_s = time.monotonic() + HANG_S
        while (journal.read_bytes().count(b"\n") if journal.exists() else 0) < 2:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=HANG_S)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130, err
    assert 1 <= len(rows(out)) < 12


def test_the_documentation_shows_the_options_and_fields_of_a_scan() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"--[a-z][a-z0-9-]+", readme.split("<!-- scan-options -->")[1]))
    wide = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    helped = set(re.findall(r"--[a-z][a-z0-9-]+", program("scan", "--help", env=wide).stdout)) - {"--help"}
    assert shown == helped
    table = (REPOSITORY / "docs" / "scan.md").read_text(encoding="utf-8").split("<!-- scan-fields -->")[1]
    documented = set(re.findall(r"`(\w+)`", table))
    fields = set(ScanReport.model_fields) | set(FileResult.model_fields) | set(FaceResult.model_fields)
    fields |= set(MeanScore.model_fields) | set(Segment.model_fields)
    assert documented == fields - {"picture", "picture_s", "evidence"}
