"""`engine_build calibrate` from crops and clips to a sidecar, on a small model."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from benchmarks.clips import encode_demo
from engine_build.cli import app
from stream_detector import assets
from stream_detector.model_spec import file_sha256, read_sidecar
from stream_detector.records import Image
from stream_detector.scorers.choice import choose_scorer
from tests.small_models import write_small_onnx

PEOPLE = 24
SIDE_PX = 160
SEED = 39


def stored_face(seed: int) -> Image:
    """The face of the packaged portrait in the middle, in another light for every seed."""
    rng = np.random.default_rng(seed)
    portrait = cv2.imread(str(assets.portrait()), cv2.IMREAD_COLOR)
    assert portrait is not None
    face = cv2.resize(portrait[10:220, 120:330], (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    lit = face * rng.uniform(0.6, 1.1, 3) + rng.uniform(-20, 20)
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with faces/, of which 24 are held out, and clips/ of one real person."""
    root = tmp_path_factory.mktemp("calibrate")
    (root / "faces" / "real").mkdir(parents=True)
    rng = np.random.default_rng(9)
    angle, radius = rng.uniform(0, 2 * np.pi, 478), rng.uniform(0.5, 1, 478) * SIDE_PX / 4
    points = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None] + SIDE_PX / 2
    names = [f"faces/real/{number:03}.png" for number in range(PEOPLE + 3)]
    lines = ["path,split,clip,identity"]
    for number, name in enumerate(names):
        cv2.imwrite(str(root / name), stored_face(number))
        lines.append(f"{name},{'val' if number < PEOPLE else 'train'},c{number},p{number}")
    (root / "faces" / "index.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    np.savez(
        root / "faces" / "landmarks.npz",
        path=np.array(names),
        points_px=np.stack([points.astype(np.float32)] * len(names)),
    )
    (root / "clips").mkdir()
    encode_demo(root / "clips" / "0.mkv", seconds=2, rate_hz=10)
    for number in (1, 2):
        shutil.copyfile(root / "clips" / "0.mkv", root / "clips" / f"{number}.mkv")
    return root


def calibrated(model: Path, data: Path, out: Path) -> Result:
    words = ["calibrate", model, "--faces", data / "faces", "--clips", data / "clips", "--out", out]
    return CliRunner().invoke(app, [str(word) for word in (*words, "--draws", 20, "--coverage-real", 0.9)])


def test_a_calibrated_model_runs_and_its_sidecar_says_what_scores_are_worth(
    data: Path, tmp_path: Path
) -> None:
    # Of random heads half score self-blends lower, which is refused; this one does not.
    model = write_small_onnx(tmp_path / "small.onnx", seed=SEED)
    weights = file_sha256(model)
    notice = tmp_path / "NOTICE.md"
    notice.write_text(f"small.json: {file_sha256(model.with_suffix('.json'))}\n", encoding="utf-8")
    done = calibrated(model, data, tmp_path / "out")
    assert done.exit_code == 0, (done.exception, done.output)
    spec = read_sidecar(model)
    assert file_sha256(model) == weights
    assert notice.read_text(encoding="utf-8") == f"small.json: {file_sha256(model.with_suffix('.json'))}\n"
    assert spec.calibration is not None
    assert spec.alarm is not None
    assert (len(spec.alarm.real_means), len(spec.alarm.fake_means)) == (PEOPLE, PEOPLE)
    assert list(spec.alarm.real_means) == sorted(spec.alarm.real_means)
    assert "split-conformal" in spec.band.source
    assert spec.band.mean_high is not None
    assert spec.quality.max_turn is not None
    report = json.loads((tmp_path / "out" / "calibration.json").read_text(encoding="utf-8"))
    assert report["models"][0]["precisions"][0]["precision"] == "fp32"
    assert (tmp_path / "out" / "calibration-reliability.png").read_bytes()[:4] == b"\x89PNG"
    # The model's metadata says nothing of all this, and still belongs to it.
    scorer = choose_scorer(model=model, backend="onnx", precision="auto", max_batch=1)
    assert scorer.spec == spec
    scorer.close()


def test_what_cannot_be_done_is_said_and_leaves_the_sidecar(data: Path, tmp_path: Path) -> None:
    model = write_small_onnx(tmp_path / "small.onnx", seed=SEED)
    before = model.with_suffix(".json").read_bytes()
    shutil.copytree(data / "faces", tmp_path / "set" / "faces")
    index = tmp_path / "set" / "faces" / "index.csv"
    index.write_text(index.read_text(encoding="utf-8").replace(",val,", ",test,"), encoding="utf-8")
    done = calibrated(model, tmp_path / "set", tmp_path / "out")
    assert "no real face of the split val with landmarks" in str(done.exception)
    assert model.with_suffix(".json").read_bytes() == before
