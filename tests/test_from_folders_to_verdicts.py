"""A FaceForensics++ tree, command by command, until a stream is watched with what was trained on it."""

import csv
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from typer.testing import CliRunner

from engine_build.about import read_about
from engine_build.cli import app
from engine_build.evaluation import read_evaluation
from engine_build.face_crops import read_faces
from engine_build.landmarks import FaceMesh
from engine_build.self_blend import self_blend
from stream_detector.records import Image
from stream_detector.scorers.engine_sidecar import read_engine_sidecar
from tests.conftest import REPOSITORY

PEOPLE = 8
FRAMES = 36
SIZE_PX = 96


def decoded(path: Path) -> Iterator[Image]:
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == FRAMES:
                return
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def encoded(path: Path, frames: list[Image]) -> None:
    """H.264 as FaceForensics++ calls it c23: a quantizer of 23."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(25), options={"qp": "23", "preset": "veryfast"}
        )
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def swapped(frame: Image, mesh: FaceMesh, seed: int) -> Image:
    """The frame with its face self-blended, the same way for every frame of a clip."""
    points = mesh.find(frame)
    if np.isnan(points).any():
        return frame
    low, high = points.min(0), points.max(0)
    side = int(min(frame.shape[0], 1.8 * (high - low).max()))
    x, y = (int(v) for v in np.clip((low + high - side) / 2, 0, np.array(frame.shape[1::-1]) - side))
    out = frame.copy()
    part = np.ascontiguousarray(frame[y : y + side, x : x + side])
    out[y : y + side, x : x + side] = self_blend(
        part, (points - (x, y)).astype(np.float32), np.random.default_rng(seed)
    )
    return out


@pytest.fixture(scope="module")
def tree(research_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of real people as originals, and their self-blends where the fakes of pairs of people lie."""
    root = tmp_path_factory.mktemp("FaceForensics++")
    clips = sorted((research_data / "clips").glob("*.mkv"))[:PEOPLE]
    with closing(FaceMesh(research_data / "mediapipe" / "face_landmarker.task")) as mesh:
        for person, clip in enumerate(clips):
            frames, other = list(decoded(clip)), person ^ 1
            encoded(root / f"original_sequences/youtube/c23/videos/{person:03}.mp4", frames)
            fakes = [swapped(frame, mesh, person) for frame in frames]
            encoded(root / f"manipulated_sequences/Deepfakes/c23/videos/{person:03}_{other:03}.mp4", fakes)
    (root / "original_sequences/youtube/c23/videos/008.mp4").write_bytes(b"damaged")
    return root


def built(*words: object) -> str:
    """What an engine_build command printed."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, (words, done.exception, done.output)
    return done.stdout


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="needs TensorRT-RTX, a builder without GPU (pip install tensorrt-rtx==1.7.1.116)",
)
def test_from_a_tree_of_videos_to_an_engine_and_a_watched_stream(
    tree: Path, research_data: Path, tmp_path: Path
) -> None:
    table, faces, run, result = (tmp_path / name for name in ("videos.csv", "faces", "run", "result"))

    built("index", tree, "--out", table, "--val", 0.25, "--test", 0.25, "--jobs", 1)
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    people = {
        split: {p for r in rows if r["split"] == split for p in r["identities"].split(";")}
        for split in ("train", "val", "test")
    }
    assert all(people.values())
    assert (
        not people["train"] & people["val"]
        | people["train"] & people["test"]
        | people["val"] & people["test"]
    )
    assert [row["filepath"][-7:] for row in rows if row["readable"] == "0"] == ["008.mp4"]

    landmarker = research_data / "mediapipe" / "face_landmarker.task"
    built("crops", table, "--out", faces, "--frames", 6, "--landmarker", landmarker, "--jobs", 1)
    stored = read_faces(faces)
    assert {(face.split, face.label) for face in stored} == {(s, n) for s in people for n in (0, 1)}

    weights = research_data / "weights" / "xception_imagenet_notop.safetensors"
    options = ("--size", SIZE_PX, "--epochs", 2, "--batch", 8, "--workers", 0, "--blend-share", 0.5)
    built("train", faces, "--weights", weights, "--pooling", "same", *options, "--out", run)
    checkpoint, about = run / "best.safetensors", run / "about.json"
    assert len((run / "log.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert "50% of the fakes being self-blends" in read_about(about).trained_on

    built(
        "evaluate", "--model", checkpoint, "--clips", table, "--crops", faces, "--draws", 50, "--out", result
    )
    found = read_evaluation(result / "evaluation.json")
    assert found.kinds == ("still", "video")
    assert (found.precision, found.unscored) == ("fp32", ())
    tested = [row for row in rows if row["split"] == "test"]
    assert found.levels[0].reals == sum(row["label"] == "0" for row in tested) * 2  # as clips and as crops

    built("card", result / "evaluation.json", "--about", about, "--out", tmp_path / "CARD.md")
    card = (tmp_path / "CARD.md").read_text(encoding="utf-8")
    assert str(found.levels[0].auc) in card
    assert found.weights_sha256 in card

    fp16, int8, engine = (tmp_path / name for name in ("x.onnx", "x-int8.xml", "x.rtx.engine"))
    built("export", checkpoint, "--about", about, "--out", fp16)
    built("quantize", checkpoint, "--about", about, "--faces", faces, "--out", int8)
    built("tensorrt", fp16, "--rtx", "--out", engine, "--max", 8, "--opt", 8)
    assert read_engine_sidecar(engine).parity == "not run"

    fake = table.parent / next(row["filepath"] for row in tested if row["label"] == "1")
    scores = {}
    for model in (fp16, int8):
        command = [
            sys.executable,
            "-m",
            "stream_detector",
            "watch",
            str(fake),
            "--model",
            str(model),
            "--json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY)
        assert done.returncode == 0, done.stderr
        records = [json.loads(line) for line in done.stdout.splitlines()]
        assert records[0]["model_sha256"]
        scores[model] = [r["p_fake"] for r in records if r["type"] == "score" and r["p_fake"] is not None]
    assert len(scores[fp16]) == len(scores[int8]) >= 5
