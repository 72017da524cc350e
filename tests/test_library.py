"""The package as other programs use it."""

import re
import subprocess
import sys
import threading

import pytest

import stream_detector
from stream_detector import FaceScore, RunHeader, RunSummary, SourceError, StreamEvent, UsageError, watch
from tests.conftest import REPOSITORY
from tests.test_cli import program, records


def test_every_public_name_is_there_and_documented() -> None:
    for name in stream_detector.__all__:
        found = getattr(stream_detector, name)
        assert isinstance(found, str) or name == "Record" or found.__doc__, name
    assert dir(stream_detector) == sorted(stream_detector.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = stream_detector.nonsense


def test_the_public_surface_is_what_was_promised() -> None:
    assert set(stream_detector.__all__) == {
        "BackendError", "Box", "EventKind", "FaceScore", "FaceSummary", "MissingDependency", "ModelError",
        "Record", "RunHeader", "RunSummary", "Settings", "ShutdownError", "SourceError", "State",
        "StreamDetectorError", "StreamEvent", "StreamSnapshot", "UsageError", "Watch", "__version__",
        "make_settings", "watch",
    }  # fmt: skip


def test_the_lines_of_the_readme_run() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = readme.split("<!-- library -->")[1].split("<!-- /library -->")[0]
    code = re.sub(r"^```.*$", "", section, flags=re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("xception")
    assert lines[-1] == "1 likely_fake 24"
    assert lines[1].startswith("face 1 at ")


def test_a_program_gets_the_records_that_the_command_line_prints() -> None:
    with watch("demo:", score_hz=2, duration_s=3) as run:
        assert isinstance(run.header, RunHeader)
        got = list(run)
    assert isinstance(run.summary, RunSummary)
    printed = records(program("watch", "demo:", "--json", "--score-hz", "2", "--duration", "3"))
    scores = [record for record in got if isinstance(record, FaceScore)]
    shown = [line for line in printed if line["type"] == "score"]
    assert [(s.face_id, round(s.pts_s, 3), str(s.state)) for s in scores] == [
        (line["face"], line["pts_s"], line["state"]) for line in shown
    ]
    assert [s.p_fake for s in scores] == pytest.approx([line["p_fake"] for line in shown], abs=1e-3)
    events = [str(record.event) for record in got if isinstance(record, StreamEvent)]
    assert events == [line["event"] for line in printed if line["type"] == "event"]


def test_leaving_the_block_early_ends_every_thread() -> None:
    before = set(threading.enumerate())
    with watch("lavfi:testsrc2=size=320x240:rate=25") as run:
        next(iter(run))
    assert set(threading.enumerate()) == before


def test_mistakes_are_exceptions_with_a_sentence() -> None:
    with pytest.raises(UsageError, match="there is nothing to watch"):
        watch()
    with pytest.raises(UsageError, match="--score-hz -1 makes no sense"):
        watch("demo:", score_hz=-1)
    with pytest.raises(UsageError, match="--nonsense 1 makes no sense"):
        watch("demo:", nonsense=1)  # type: ignore[call-arg]  # on purpose
    with watch("no-such-file.mp4") as run, pytest.raises(SourceError, match="cannot find"):
        list(run)
