"""Small models that keep the contract, written node by node: the runtime's tests need no torch."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stream_detector.model_spec import (
    EVIDENCE_NAME,
    INPUT_NAME,
    LOGIT_NAME,
    METADATA_KEY,
    Contract,
    ModelSpec,
    Quality,
    UncertainBand,
    write_sidecar,
)

SIZE_PX = 96
CELLS = 3
_CHANNELS = 8


def small_spec(precision: str = "fp32") -> ModelSpec:
    """A spec that fits a small model in an ONNX file."""
    return ModelSpec(
        name="small",
        format="onnx",
        precision=precision,  # type: ignore[arg-type]  # parametrised in tests
        contract=Contract(input_px=SIZE_PX, margins={"full-range-sparse": 1.35}, evidence_cells=CELLS),
        band=UncertainBand(low=0.3, high=0.7, source="chosen for a test"),
        quality=Quality(min_face_px=64, min_sharpness=0.0, source="chosen for a test"),
        source_weights_sha256="0" * 64,
        trained_on="nothing",
        terms="none",
    )


def write_small_onnx(path: Path, precision: str = "fp32", *, seed: int = 0) -> Path:
    """One convolution and a head, with random weights, and the sidecar beside the file."""
    rng = np.random.default_rng(seed)
    body = np.dtype(np.float16 if precision == "fp16" else np.float32)
    stride = SIZE_PX // CELLS
    kernels = rng.normal(0, 1 / stride, (_CHANNELS, 3, stride, stride))
    constants = {
        "middle": np.array(127.5, body),
        "kernels": kernels.astype(body),
        "weight": rng.normal(0, 1, (1, _CHANNELS)).astype(np.float32),
        "bias": np.array(0.25, np.float32),
        "flat": np.array([0, _CHANNELS, CELLS**2], np.int64),
        "square": np.array([-1, CELLS, CELLS], np.int64),
    }
    nodes = [
        helper.make_node("Cast", [INPUT_NAME], ["cast"], to=helper.np_dtype_to_tensor_dtype(body)),
        helper.make_node("Sub", ["cast", "middle"], ["centred"]),
        helper.make_node("Div", ["centred", "middle"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernels"], ["seen"], strides=[stride, stride]),
        helper.make_node("Relu", ["seen"], ["features"]),
        helper.make_node("Cast", ["features"], ["single"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["single", "flat"], ["cells"]),
        helper.make_node("MatMul", ["weight", "cells"], ["weighted"]),
        helper.make_node("ReduceMean", ["weighted"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Add", ["mean", "bias"], [LOGIT_NAME]),
        helper.make_node("Reshape", ["weighted", "square"], [EVIDENCE_NAME]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, ["n", SIZE_PX, SIZE_PX, 3])],
        [
            helper.make_tensor_value_info(LOGIT_NAME, TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info(EVIDENCE_NAME, TensorProto.FLOAT, ["n", CELLS, CELLS]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    spec = small_spec(precision)
    helper.set_model_props(model, {METADATA_KEY: spec.model_dump_json()})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    write_sidecar(path, spec, [path])
    return path
