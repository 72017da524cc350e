from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from engine_build.cli import app
from engine_build.onnx_export import OPSET, evidence_cells, export_onnx
from engine_build.xception import Xception
from stream_detector.errors import ModelError, UsageError
from stream_detector.model_spec import METADATA_KEY, read_sidecar
from stream_detector.optional import require
from stream_detector.records import Image
from stream_detector.scorers.onnx_scorer import OnnxScorer
from stream_detector.scorers.openvino_scorer import OpenVinoScorer
from tests.checkpoints import small_xception
from tests.small_models import CELLS, SIZE_PX, small_spec


@pytest.fixture
def faces() -> Image:
    return np.random.default_rng(0).integers(0, 256, (3, SIZE_PX, SIZE_PX, 3), np.uint8)


def run_torch(model: Xception, faces: Image) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        logit, evidence = model(((torch.from_numpy(faces).float() - 127.5) / 127.5).permute(0, 3, 1, 2))
    return logit.numpy(), evidence.numpy()


def run_onnx(path: Path, faces: Image) -> tuple[np.ndarray, np.ndarray]:
    onnxruntime = require("onnxruntime", why="the reference", extra="onnx")  # which silences its telemetry
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logit, evidence = session.run(["logit", "evidence"], {"faces": faces})
    return logit, evidence


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 2e-2)])
@pytest.mark.parametrize(("rows", "pooling"), [(2, "torch"), (1, "same")])
def test_the_exported_file_answers_as_torch_does(
    precision: str, tolerance: float, rows: int, pooling: str, faces: Image, tmp_path: Path
) -> None:
    model = small_xception(rows=rows, pooling=pooling)  # type: ignore[arg-type]
    path = tmp_path / "small.onnx"
    export_onnx(model, path, small_spec(precision))
    (logit, evidence), (expected_logit, expected_evidence) = run_onnx(path, faces), run_torch(model, faces)
    assert {logit.dtype.name, evidence.dtype.name} == {"float32"}
    assert logit.shape == (3,)
    assert evidence.shape == (3, CELLS, CELLS)
    assert np.allclose(logit, expected_logit, atol=tolerance)
    assert np.allclose(evidence, expected_evidence, atol=tolerance)


def test_any_number_of_faces_may_be_given(faces: Image, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    export_onnx(small_xception(), path, small_spec())
    whole = run_onnx(path, faces)[0]
    assert [run_onnx(path, faces[i : i + 1])[0][0] for i in range(3)] == pytest.approx(
        whole.tolist(), abs=1e-6
    )


def test_a_fixed_batch_is_for_other_runtimes_and_the_detector_says_that_it_does_not_take_it(
    faces: Image, tmp_path: Path
) -> None:
    path = tmp_path / "small.onnx"
    export_onnx(small_xception(), path, small_spec(), batch=3)
    export_onnx(small_xception(), tmp_path / "any.onnx", small_spec())
    assert np.array_equal(run_onnx(path, faces)[0], run_onnx(tmp_path / "any.onnx", faces)[0])
    for opener in (OnnxScorer, OpenVinoScorer):
        with pytest.raises(ModelError, match=r"inputs are faces uint8 \(3, 96, 96, 3\), expected .*\(n, 96"):
            opener(path, max_batch=3)
    with pytest.raises(UsageError, match="--batch 0 makes no sense"):
        export_onnx(small_xception(), path, small_spec(), batch=0)


def test_the_command_takes_a_number_or_dynamic_as_batch(tmp_path: Path) -> None:
    command = ["export", "none.pth", "--about", "none.json", "--out", str(tmp_path / "x.onnx"), "--batch"]
    assert isinstance(CliRunner().invoke(app, [*command, "4"]).exception, ModelError)  # no such checkpoint
    done = CliRunner().invoke(app, [*command, "many"])
    assert "--batch many makes no sense: expected dynamic or a number" in str(done.exception)


def test_in_fp16_the_body_is_half_and_the_head_is_single(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    export_onnx(small_xception(), path, small_spec("fp16"))
    graph = onnx.load(path)
    kinds = {c.name: c.data_type for c in graph.graph.initializer}
    convolutions = [n for n in graph.graph.node if n.op_type == "Conv"]
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert {kinds[name] for node in convolutions for name in node.input[1:]} == {half}
    assert (kinds["fc.weight"], kinds["fc.bias"]) == (single, single)


def test_pixels_are_cast_and_normalised_before_they_are_transposed(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    export_onnx(small_xception(), path, small_spec())
    graph = onnx.load(path)
    assert [n.op_type for n in graph.graph.node[:4]] == ["Cast", "Sub", "Div", "Transpose"]
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", OPSET)]
    assert "BatchNormalization" not in Counter(n.op_type for n in graph.graph.node)


def test_the_spec_travels_in_the_file_and_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    written = export_onnx(small_xception(), path, small_spec())
    assert read_sidecar(path) == written
    inside = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert type(written).model_validate_json(inside[METADATA_KEY]) == written.without_files()


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_onnx(small_xception(), tmp_path / f"{name}.onnx", small_spec())
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_contract_with_another_evidence_map_is_refused(tmp_path: Path) -> None:
    spec = small_spec()
    wrong = spec.model_copy(update={"contract": spec.contract.model_copy(update={"evidence_cells": 7})})
    with pytest.raises(ModelError, match="has 3x3 evidence cells, the contract states 7"):
        export_onnx(small_xception(), tmp_path / "small.onnx", wrong)
    assert not list(tmp_path.iterdir())


def test_int8_is_not_exported_but_quantized(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected onnx in fp32 or fp16"):
        export_onnx(small_xception(), tmp_path / "small.onnx", small_spec("int8"))


@pytest.mark.parametrize(("side", "cells"), [(96, 3), (192, 6), (224, 7), (256, 8), (299, 10)])
def test_evidence_cells_are_those_of_the_network(side: int, cells: int) -> None:
    assert evidence_cells(side) == cells
    with torch.inference_mode():
        assert small_xception().features(torch.zeros(1, 3, side, side)).shape[-1] == cells
