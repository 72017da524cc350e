"""The model under OpenVINO on a CPU: INT8 from an IR, bf16 or FP32 from an FP16 ONNX file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stream_detector.errors import BackendError, ModelError
from stream_detector.model_spec import (
    EVIDENCE_NAME,
    INPUT_NAME,
    LOGIT_NAME,
    METADATA_KEY,
    ModelSpec,
    Precision,
    check_graph,
    read_sidecar,
)
from stream_detector.optional import require
from stream_detector.records import Image, Scores
from stream_detector.scorers.checks import check_crops, check_metadata

CONTRACT_KEY = "contract_sha256"
"""Where an IR's rt_info, under METADATA_KEY, carries the hash of its contract."""


class OpenVinoScorer:
    """A `Scorer` on OpenVINO's CPU plugin. Construct, use and close it in one thread.

    Crops run one after another at a fixed batch of 1: on a CPU a larger batch is no faster, and so a
    crop's result cannot depend on its batch. OpenVINO spreads each crop over the cores.
    """

    backend = "openvino"
    best_batch = 1

    def __init__(
        self, model: Path, *, precision: Literal["auto", "int8", "bf16", "fp32"] = "auto", max_batch: int
    ) -> None:
        """Check and compile `model`.

        Args:
            model: .xml with .bin (INT8) or .onnx (FP16 or FP32), and the sidecar beside it.
            precision: of the arithmetic. "auto" takes INT8 from an IR, FP32 from an ONNX file.
            max_batch: the most crops one call may hold.

        Raises:
            ModelError: no such file, damaged, no sidecar, or another contract than its sidecar's.
            BackendError: this file or this CPU does not run in that precision.
            MissingDependency: OpenVINO is not installed, or does not load.
        """
        spec = read_sidecar(model)
        wanted = _arithmetic(model, spec, precision)
        openvino = require("openvino", why="scoring with OpenVINO")
        core = openvino.Core()
        if wanted == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise BackendError(
                "cannot run in bf16: this CPU has no arithmetic for it (AVX-512 BF16 or AMX); "
                "choose --precision int8 or fp32"
            )
        graph = _read(core, model)
        _check(graph, spec, model)
        size = spec.contract.input_px
        graph.reshape({INPUT_NAME: [1, size, size, 3]})
        hint = openvino.Type.bf16 if wanted == "bf16" else openvino.Type.f32
        compiled = core.compile_model(
            graph, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        )
        running = compiled.get_property("INFERENCE_PRECISION_HINT")
        if running != hint:
            raise BackendError(
                f"cannot run {model.name} in {wanted}: OpenVINO chose {running.get_type_name()}, expected "
                f"{hint.get_type_name()}; choose another --precision"
            )
        self.spec = spec
        self.precision: Precision = wanted
        self.max_batch = max_batch
        self._request: Any = compiled.create_infer_request()
        self._input: Any = self._request.get_tensor(INPUT_NAME).data
        self._logit: Any = self._request.get_tensor(LOGIT_NAME).data
        self._evidence: Any = self._request.get_tensor(EVIDENCE_NAME).data

    def score(self, faces: Image) -> Scores:
        """Logit and evidence map of each crop; see `stages.Scorer`.

        Raises:
            ValueError: another shape or dtype than the contract's, or more crops than max_batch.
            BackendError: the scorer is closed.
        """
        if self._request is None:
            raise BackendError("this OpenVINO scorer is closed; make a new one")
        check_crops(faces, size_px=self.spec.contract.input_px, max_batch=self.max_batch)
        cells = self.spec.contract.evidence_cells
        logit = np.empty(len(faces), np.float32)
        evidence = np.empty((len(faces), cells, cells), np.float32)
        for row, face in enumerate(faces):
            self._input[0] = face
            self._request.infer()
            logit[row] = self._logit[0]
            evidence[row] = self._evidence[0]
        return Scores(logit=logit, evidence=evidence)

    def close(self) -> None:
        """Free the compiled model. Calling it twice is fine."""
        self._input = self._logit = self._evidence = self._request = None


def _arithmetic(model: Path, spec: ModelSpec, precision: str) -> Precision:
    """What to run in, or why not."""
    if spec.format == "openvino" and spec.precision == "int8":
        if precision in ("auto", "int8"):
            return "int8"
        raise BackendError(
            f"cannot run {model.name} in {precision}: its weights are int8; "
            f"for bf16 or fp32 give the FP16 .onnx model"
        )
    if precision == "int8":
        raise BackendError(
            f"cannot run {model.name} in int8: its weights are {spec.precision}; "
            f"for int8 give the INT8 .xml model"
        )
    return "bf16" if precision == "bf16" else "fp32"


def _read(core: Any, model: Path) -> Any:
    try:
        return core.read_model(str(model))
    except RuntimeError as error:  # OpenVINO's own errors are RuntimeErrors with a trace in them
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(
            f"cannot read {model.name}: OpenVINO found damage ({lines[-1] if lines else 'no reason given'}); "
            f"restore it or export the model again"
        ) from error


def _check(graph: Any, spec: ModelSpec, model: Path) -> None:
    """Hold the graph, and the contract it carries, against the sidecar."""
    check_graph(spec, model.name, _tensors(graph.inputs), _tensors(graph.outputs))
    if spec.format == "onnx":
        check_metadata(_rt_info(graph, ["framework", METADATA_KEY]), spec, model.name)
        return
    found, expected = _rt_info(graph, [METADATA_KEY, CONTRACT_KEY]), spec.contract.sha256
    if found != expected:
        raise ModelError(
            f"{model.name} was made for another contract than its sidecar states: it carries "
            f"{(found or 'none')[:12]}, the sidecar has {expected[:12]}; export the model again"
        )


def _rt_info(graph: Any, path: list[str]) -> str | None:
    return str(graph.get_rt_info(path).astype(str)) if graph.has_rt_info(path) else None


def _tensors(ports: list[Any]) -> Mapping[str, tuple[str, tuple[int | None, ...]]]:
    return {
        port.get_any_name(): (
            np.dtype(port.get_element_type().to_dtype()).name,
            tuple(d.get_length() if d.is_static else None for d in port.get_partial_shape()),
        )
        for port in ports
    }
