"""The JSON lines: one object each, as the README documents them."""

import io
import json

import numpy as np

from stream_detector.records import (
    Box,
    EventKind,
    FaceScore,
    FaceSummary,
    RunHeader,
    RunSummary,
    State,
    StreamEvent,
    StreamSnapshot,
    StreamState,
)
from stream_detector.sinks.json_lines import JsonLines
from tests.conftest import REPOSITORY

HEADER = RunHeader(
    program="stream-detector 1",
    model="m",
    model_sha256="0" * 64,
    spec_sha256="1" * 64,
    backend="openvino",
    precision="int8",
    sources=("a.mp4",),
    score_hz=5.0,
    half_life_s=2.0,
    band=(0.3, 0.7),
    names=("door",),
)
SCORE = FaceScore(
    0, 1.23456, 1, Box(-1, 2, 30, 40), 0.123456, None, State.WARMING_UP, 12.34, np.zeros((7, 7), np.float32)
)
EVENT = StreamEvent(0, None, EventKind.STREAM_FAILED, detail='it "broke"\nbadly')
SUMMARY = RunSummary(
    frames=10,
    scores=2,
    dropped={"decode": 0, "find": 1, "score": 0},
    latency_ms={"p50": 1.0, "p95": 2.0, "p99": 3.0},
    media_s=1.0,
    wall_s=0.5,
    faces_seen=1,
    faces=(FaceSummary(0, 1, 0.0, 1.0, 2, 0.5, None, State.UNCERTAIN, {State.UNCERTAIN: 2}),),
    failures=("it broke",),
    stages_ms={"score": {"p50": 1.0, "p95": 2.0, "p99": 3.04}},
    streams=(
        StreamSnapshot(
            stream=0,
            name="door",
            source="a.mp4",
            state=StreamState.ENDED,
            frames=10,
            scores=2,
            dropped={"decode": 0, "find": 1, "score": 0},
            media_s=1.0,
            frame_age_s=0.1,
            lag_ms=None,
            lag_ms_peak=None,
            age_ms={"p50": 1.0, "p95": 2.0, "p99": 3.0},
        ),
    ),
)


def lines() -> list[dict[str, object]]:
    out = io.StringIO()
    sink = JsonLines(out)
    sink.begin(HEADER)
    sink.take(SCORE)
    sink.take(EVENT)
    sink.end(SUMMARY)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_every_record_is_one_line_of_json_with_its_type() -> None:
    assert [line["type"] for line in lines()] == ["header", "score", "event", "summary"]


def test_a_score_has_the_promised_fields() -> None:
    assert lines()[1] == {
        "type": "score",
        "stream": 0,
        "name": "door",
        "pts_s": 1.235,
        "face": 1,
        "box": [-1, 2, 30, 40],
        "p_fake": 0.1235,
        "p_fake_rolling": None,
        "p_fake_slow": None,
        "scores_worth": None,
        "logit": None,
        "state": "warming_up",
        "doubt": None,
        "quality": None,
        "alarm_level": None,
        "alarmed": False,
        "precision": "int8",
        "age_ms": 12.3,
    }


def test_a_stream_added_on_the_way_gets_its_name_into_its_records() -> None:
    out = io.StringIO()
    sink = JsonLines(out)
    sink.begin(HEADER)
    sink.take(StreamEvent(3, None, EventKind.STREAM_ADDED, detail="hall: demo:", name="hall"))
    sink.take(StreamEvent(3, 0.0, EventKind.STREAM_STARTED))
    sink.take(StreamEvent(4, 0.0, EventKind.STREAM_STARTED))
    added = [json.loads(line) for line in out.getvalue().splitlines()[1:]]
    assert [line["name"] for line in added] == ["hall", "hall", None]
    assert added[0]["detail"] == "hall: demo:"


def test_the_readme_documents_every_field_state_event_and_nothing_else() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = readme.split("<!-- records -->")[1]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    documented = {name.strip("` ") for cell in cells for name in cell.split(",")}
    fields = {name for line in lines() for name in line}
    faces = lines()[3]["faces"]
    assert isinstance(faces, list)
    streams = lines()[3]["streams"]
    assert isinstance(streams, list)
    fields |= {name for part in (*faces, *streams) for name in part}
    assert documented == fields
    for word in [*State, *EventKind, *StreamState]:
        if word != State.NO_FACE:
            assert f"`{word}`" in table, f"{word} is not in the README"
