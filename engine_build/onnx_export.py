"""The network as an ONNX file that takes pixels and carries its contract."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import nn

from engine_build.xception import Block, MaxPool, SeparableConv2d, Xception
from stream_detector.errors import ModelError, UsageError
from stream_detector.model_spec import (
    EVIDENCE_NAME,
    INPUT_NAME,
    LOGIT_NAME,
    METADATA_KEY,
    ModelSpec,
    write_sidecar,
)
from stream_detector.optional import require

OPSET = 17
"""The oldest that TensorRT 10.3, ONNX Runtime and OpenVINO all take in full."""
_IR_VERSION = 8
"""The file version that goes with opset 17; newer ones are refused by older runtimes."""


def export_onnx(model: Xception, path: Path, spec: ModelSpec, *, batch: int | None = None) -> ModelSpec:
    """Write `path` and its sidecar; `spec.precision` ("fp32" or "fp16") says in which type.

    BatchNorms are folded in FP32 and only then the body is cast; pooling, dense layer and evidence stay
    FP32. Casting first doubles the error of FP16.

    Args:
        batch: how many faces the graph takes at once; None: any number, which the detector needs. A fixed
            number is for other runtimes that take no free dimension.

    Returns:
        `spec` with the file's hash.

    Raises:
        ModelError: the spec is not for an ONNX file in fp32 or fp16, or its contract has another number
            of evidence cells than this network has at this input size.
        UsageError: the batch is below 1.
        MissingDependency: onnx is not installed.
    """
    if spec.format != "onnx" or spec.precision not in ("fp32", "fp16"):
        raise ModelError(
            f"cannot write {path.name} as {spec.format} {spec.precision}: expected onnx in fp32 or fp16; "
            f"quantize the exported file for int8"
        )
    if batch is not None and batch < 1:
        raise UsageError(f"--batch {batch} makes no sense: expected 1 or more, or dynamic; choose one")
    onnx = require("onnx", why="writing an ONNX file", extra="build")
    body: Literal["fp16", "fp32"] = "fp16" if spec.precision == "fp16" else "fp32"
    graph = _Graph(model, spec.contract.input_px, body, onnx)
    if graph.cells != spec.contract.evidence_cells:
        raise ModelError(
            f"cannot write {path.name}: at {spec.contract.input_px} px the network has "
            f"{graph.cells}x{graph.cells} "
            f"evidence cells, the contract states {spec.contract.evidence_cells}; correct the contract"
        )
    proto = onnx.helper.make_model(
        graph.proto("n" if batch is None else batch),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="stream-detector engine_build",
    )
    metadata = spec.without_files().model_dump_json(exclude_none=True)
    onnx.helper.set_model_props(proto, {METADATA_KEY: metadata})
    onnx.checker.check_model(proto, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())
    return write_sidecar(path, spec.without_files(), [path])


def evidence_cells(input_px: int) -> int:
    """Rows of the evidence map at this input size: 7 for 224, 10 for 299."""
    side = (input_px - 3) // 2 + 1 - 2
    for _ in range(4):
        side = (side + 1) // 2
    return side


class _Graph:
    """Writes the network node by node.

    Written by hand rather than traced: 74 convolutions named after their modules, nothing the exporter
    of some torch version adds, the same bytes from every version.
    """

    def __init__(self, model: Xception, input_px: int, body: Literal["fp32", "fp16"], onnx: Any) -> None:
        self._onnx = onnx
        self._dtype = np.dtype(np.float16 if body == "fp16" else np.float32)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._input_px = input_px
        self._side = input_px
        folded = model.folded()
        x = self._pixels()
        for name in ("conv1", "conv2"):
            x = self._relu(self._convolution(name, folded.get_submodule(name), x))
        for number in range(1, 5 + folded.middle_blocks):
            block = folded.get_submodule(f"block{number}")
            assert isinstance(block, Block)
            x = self._block(f"block{number}", block, x)
        for name in ("conv3", "conv4"):
            x = self._relu(self._separable(name, folded.get_submodule(name), x))
        self.cells = self._side
        """Rows, and columns, of the evidence map."""
        self._head(model, x)

    def proto(self, batch: int | str) -> Any:
        """The GraphProto for this many faces; a name stands for any number."""
        make, kind = self._onnx.helper.make_tensor_value_info, self._onnx.TensorProto
        return self._onnx.helper.make_graph(
            self._nodes,
            "xception",
            [make(INPUT_NAME, kind.UINT8, [batch, self._input_px, self._input_px, 3])],
            [
                make(LOGIT_NAME, kind.FLOAT, [batch]),
                make(EVIDENCE_NAME, kind.FLOAT, [batch, self.cells, self.cells]),
            ],
            self._constants,
        )

    def _node(self, kind: str, name: str, inputs: list[str], **attributes: object) -> str:
        """Add a node whose only output bears its name."""
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def _constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _pixels(self) -> str:
        """uint8 (n, S, S, 3) -> (n, 3, S, S) in [-1, 1]; TensorRT refuses to transpose uint8: cast first."""
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(self._dtype)
        middle = self._constant("normalise.middle", np.array(127.5, self._dtype))
        x = self._node("Cast", "normalise.cast", [INPUT_NAME], to=kind)
        x = self._node("Sub", "normalise.sub", [x, middle])
        x = self._node("Div", "normalise.div", [x, middle])
        return self._node("Transpose", "normalise.transpose", [x], perm=[0, 3, 1, 2])

    def _convolution(self, name: str, layer: nn.Module, x: str) -> str:
        assert isinstance(layer, nn.Conv2d)
        kernel, stride, pad = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        inputs = [x, self._constant(f"{name}.weight", layer.weight.detach().numpy().astype(self._dtype))]
        if layer.bias is not None:
            inputs.append(self._constant(f"{name}.bias", layer.bias.detach().numpy().astype(self._dtype)))
        if not name.endswith(".skip"):
            self._side = (self._side + 2 * pad - kernel) // stride + 1
        return self._node(
            "Conv",
            name,
            inputs,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
            group=layer.groups,
        )

    def _separable(self, name: str, layer: nn.Module, x: str) -> str:
        assert isinstance(layer, SeparableConv2d)
        x = self._convolution(f"{name}.conv1", layer.conv1, x)
        return self._convolution(f"{name}.pointwise", layer.pointwise, x)

    def _relu(self, x: str) -> str:
        return self._node("Relu", f"{x}.relu", [x])

    def _block(self, name: str, block: Block, x: str) -> str:
        around = x if block.skip is None else self._convolution(f"{name}.skip", block.skip, x)
        for index, layer in block.rep.named_children():
            if isinstance(layer, SeparableConv2d):
                x = self._separable(f"{name}.rep.{index}", layer, x)
            elif isinstance(layer, nn.ReLU):
                x = self._node("Relu", f"{name}.rep.{index}", [x])
            elif isinstance(layer, MaxPool):
                before = 0 if layer.pooling == "same" and self._side % 2 == 0 else 1
                self._side = (self._side + 1) // 2
                x = self._node(
                    "MaxPool",
                    f"{name}.rep.{index}",
                    [x],
                    kernel_shape=[3, 3],
                    strides=[2, 2],
                    pads=[before, before, 1, 1],
                )
        return self._node("Add", f"{name}.add", [x, around])

    def _head(self, model: Xception, x: str) -> None:
        """The class activation map and its mean, as `Xception.head` computes them."""
        weight, bias = (t.detach().float().numpy() for t in model.direction())
        if self._dtype != np.float32:
            x = self._node("Cast", "head.cast", [x], to=self._onnx.TensorProto.FLOAT)
        flat = self._constant("head.flat", np.array([0, weight.size, self.cells**2], np.int64))
        square = self._constant("head.square", np.array([-1, self.cells, self.cells], np.int64))
        x = self._node("Reshape", "head.cells", [x, flat])
        # A row, not a vector: where one factor has a single axis, TensorRT's ONNX parser drops the batch's
        # axis from the product instead of the row's, and the engine would answer for one face only.
        x = self._node("MatMul", "head.weighted", [self._constant("fc.weight", weight.reshape(1, -1)), x])
        mean = self._node("ReduceMean", "head.mean", [x], axes=[1, 2], keepdims=0)
        self._node("Add", LOGIT_NAME, [mean, self._constant("fc.bias", np.array(bias, np.float32))])
        self._node("Reshape", EVIDENCE_NAME, [x, square])
