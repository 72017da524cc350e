"""The benchmark of what leaving pictures undecoded does to verdicts."""

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from benchmarks.app import app
from benchmarks.undecoded import _decoded, _filmed
from engine_build.degrade import Motion
from stream_detector.errors import ModelError
from tests.test_training_faces import picture_of, write_faces


def test_what_stays_decoded_is_decoded_alike_both_ways() -> None:
    packets = _filmed(picture_of(1), face_px=80, crf=30, motion=Motion.drawn(np.random.default_rng(1)))
    everything, sparse = _decoded(packets, "DEFAULT"), _decoded(packets, "NONREF")
    assert sorted(everything) == list(range(30))
    assert 5 < len(sparse) < 28
    for number, picture in sparse.items():
        assert np.array_equal(picture, everything[number])


def test_both_ways_are_told_side_by_side(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    words = ["undecoded", str(write_faces(tmp_path, 9)), "--draws", "20", "--json", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    result = json.loads(out.read_text())["result"]
    assert result["faces"] == 3
    assert 0.1 < result["decoded_share"] < 0.95
    both = [row["auc"] for row in result["rows"]]
    assert result["auc_change"] == both[1] - both[0]
    assert result["auc_change_95"][0] <= result["auc_change"] <= result["auc_change_95"][1]
    assert "| all | " in done.output


def test_a_folder_without_held_out_faces_is_refused(tmp_path: Path) -> None:
    faces = write_faces(tmp_path, 4)
    index = faces / "index.csv"
    index.write_text(index.read_text().replace(",val,", ",train,"))
    done = CliRunner().invoke(app, ["undecoded", str(faces)])
    assert isinstance(done.exception, ModelError)
    assert "no real face of the split val" in str(done.exception)
