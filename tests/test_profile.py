"""The profile of the running program: real samples of a real run, and their arithmetic."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

from benchmarks.app import app
from benchmarks.clips import encode_demo, repeat_clip
from benchmarks.profile import NATIVE, profile_table, thread_rows
from benchmarks.running import running
from benchmarks.sampling import PySpy, Sampled
from stream_detector.errors import BackendError, MissingDependency, SourceError, UsageError
from tests.media import write_clip, write_sound


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, some seconds of it."""
    path = tmp_path_factory.mktemp("profile") / "clip.mp4"
    encode_demo(path, seconds=6, rate_hz=10)
    return path


@pytest.fixture(scope="module")
def _may_look(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where py-spy is not installed, or may not look into another process."""
    try:
        spy = PySpy(seconds=1)
    except MissingDependency as error:
        pytest.skip(str(error))
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as idle:
        assert idle.stdout is not None
        idle.stdout.readline()
        try:
            spy.gil(idle.pid, tmp_path_factory.mktemp("spy") / "draft", sample_hz=10)
        except BackendError as error:
            pytest.skip(str(error))
        finally:
            idle.kill()


@pytest.mark.usefixtures("_may_look")
def test_a_running_program_is_profiled_from_outside(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.profile.SETTLE_S", 0.2)
    out, drawn = tmp_path / "result.json", tmp_path / "flame.svg"
    words = [
        *("profile", str(clip), "--seconds", "3", "--sample-hz", "80"),
        *("--out", str(drawn), "--json", str(out)),
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    result = json.loads(out.read_text())["result"]
    assert result["gil"]["looks"] + result["gil"]["errors"] == 3 * 80 - 1
    assert result["flame"]["looks"] + result["flame"]["errors"] == 3 * 20 - 1
    rows = {row["thread"]: row for row in result["threads"]}
    assert {"score", "find", "capture"} <= set(rows)
    assert 0 < result["gil"]["share"]["value"] < 1
    assert sum(row["gil_share"] for row in rows.values()) == pytest.approx(result["gil"]["share"]["value"])
    assert sum(row["sample_share"] for row in rows.values()) == pytest.approx(1)
    assert list(result["scores_per_s"]) == ["alone", "gil", "flame"]
    if sys.platform == "linux":
        assert sum(row["cpu_share"] for row in rows.values()) == pytest.approx(1)
        assert rows["score"]["cpu_share"] > 0
    svg = drawn.read_text(encoding="utf-8")
    assert "<svg" in svg
    assert "openvino_scorer.py" in svg
    for written in (svg, out.read_text()):
        assert str(tmp_path) not in written
        assert str(Path(sys.executable).parent) not in written
    assert "wall time with the GIL" in done.output


@pytest.mark.usefixtures("_may_look")
def test_who_holds_the_lock_is_told_from_who_waits(tmp_path: Path) -> None:
    code = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), name='waits', daemon=True).start()\n"
        "print(flush=True)\n"
        "while True: pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        try:
            sampled = PySpy(seconds=1).gil(busy.pid, tmp_path / "draft", sample_hz=50)
        finally:
            busy.kill()
    assert sampled.looks + sampled.errors == 49
    assert sampled.samples >= 0.8 * sampled.looks
    assert set(sampled.names.values()) == {"MainThread"}


def test_without_py_spy_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def found_nothing(name: str, path: str | None = None) -> None:
        return None

    monkeypatch.setattr(shutil, "which", found_nothing)
    done = CliRunner().invoke(app, ["profile"])
    assert isinstance(done.exception, MissingDependency)
    assert "py-spy, which is not installed; install it with: pip install" in str(done.exception)


def test_a_profile_is_of_a_clip_or_of_streams_and_goes_where_a_folder_is(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["profile", "clip.mp4", "--streams", "2"])
    assert isinstance(done.exception, UsageError)
    done = CliRunner().invoke(app, ["profile", "--out", str(tmp_path / "absent" / "flame.svg")])
    assert isinstance(done.exception, UsageError)
    assert "there is no folder" in str(done.exception)


def sampled(looks: int, **threads: int) -> Sampled:
    names = {"score": 1, "find_0": 2, "find_1": 3}
    return Sampled(
        looks,
        {names[thread]: count for thread, count in threads.items()},
        {names[thread]: thread.replace("_", "-") for thread in threads},
        errors=0,
        behind=False,
    )


def test_threads_of_one_kind_share_a_row_and_those_without_python_are_told_apart() -> None:
    rows = thread_rows(
        sampled(100, score=5, find_0=10, find_1=2), sampled(50, score=30, find_0=10), {1: 6.0, 2: 1.0, 9: 3.0}
    )
    assert rows == [
        {"thread": "score", "count": 1, "gil_share": 0.05, "sample_share": 0.75, "cpu_share": 0.6},
        {"thread": NATIVE, "count": 1, "gil_share": 0.0, "sample_share": 0.0, "cpu_share": 0.3},
        {"thread": "find", "count": 2, "gil_share": 0.12, "sample_share": 0.25, "cpu_share": 0.1},
    ]
    (row,) = thread_rows(sampled(10, score=1), sampled(10, score=1), None)
    assert row["cpu_share"] is None


def test_a_flame_graph_without_native_functions_says_so_and_why() -> None:
    window = {"samples": 5, "looks": 50, "errors": 0, "behind": False}
    result = {
        "clip": "clip.mp4",
        "streams": None,
        "score_hz": 5.0,
        "seconds": 1,
        "sample_hz": 50,
        "cpu_s_per_s": None,
        "scores_per_s": {"alone": 1.0, "gil": 1.0, "flame": 1.0},
        "gil": {**window, "share": {"value": 0.1, "low": 0.05, "high": 0.2}, "target": 0.1},
        "flame": {
            **window,
            "behind": True,
            "sample_hz": 12,
            "file": "flame.svg",
            "native": False,
            "why_not_native": "no unwinder",
        },
        "threads": thread_rows(sampled(50, score=5), sampled(50, score=5), None),
    }
    table = profile_table(result)
    assert "WITHOUT native functions: no unwinder." in table
    assert "In the flame window 0 looks failed, and others came more than a second late" in table
    assert "In the GIL window" not in table


def test_a_clip_is_repeated_without_a_gap_and_a_sound_is_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=10, rate_hz=25, options={"bf": "2"})
    repeat_clip(clip, tmp_path / "long.mkv", media_s=1.0)
    with av.open(str(tmp_path / "long.mkv")) as container:
        stamps_s = [frame.time for frame in container.decode(video=0)]
    assert [None if s is None else round(s * 25) for s in stamps_s] == list(range(30))
    sound = write_sound(tmp_path / "sound.m4a")
    with pytest.raises(SourceError, match=r"cannot repeat sound\.m4a"):
        repeat_clip(sound, tmp_path / "none.mkv", media_s=1.0)
    with pytest.raises(SourceError, match="no such file"):
        repeat_clip(tmp_path / "absent.mp4", tmp_path / "none.mkv", media_s=1.0)


def test_a_program_that_ends_before_it_was_measured_says_so(
    tmp_path: Path,
) -> None:
    blank = write_clip(tmp_path / "blank.mp4", frames=5)
    with running([str(blank)]) as run, pytest.raises(SourceError, match="no face that can be scored"):
        run.wait_for_scores(1)
    with running([str(tmp_path / "absent.mp4")]) as run, pytest.raises(SourceError, match="no such file"):
        run.wait_for_scores(1)
