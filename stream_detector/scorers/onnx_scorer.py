"""The model under ONNX Runtime: on a CPU the reference for every other back-end, and on an NVIDIA GPU."""

import platform
from collections.abc import Mapping, Sequence
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
from stream_detector.scorers.driver import find_gpu

_NUMPY_NAMES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(float16)": "float16"}
_FP16_MACHINES = {"arm64", "aarch64"}
"""Where ONNX Runtime has FP16 kernels for CPUs; elsewhere it widens FP16 weights to FP32 once, at load."""
_QUIET = 3
"""Log level: errors only; they reach the user as exceptions."""


class OnnxScorer:
    """A `Scorer` on ONNX Runtime's CPU provider. Construct, use and close it in one thread.

    Crops run one after another at a batch of 1, so a crop's result cannot depend on its batch.
    """

    backend = "onnx"
    _where = "this CPU"
    _providers: Sequence[str | tuple[str, dict[str, str]]] = ("CPUExecutionProvider",)

    def __init__(
        self, model: Path, *, precision: Literal["auto", "int8", "bf16", "fp32"] = "auto", max_batch: int
    ) -> None:
        """Check and load `model`.

        Args:
            model: .onnx, FP16 or FP32, and the sidecar beside it.
            precision: of the arithmetic; "auto" takes what the file gives on this machine.
            max_batch: the most crops one call may hold.

        Raises:
            ModelError: no such file, damaged, no sidecar, or another spec than its sidecar's.
            BackendError: this file does not run in that precision here.
            MissingDependency: ONNX Runtime is not installed, or does not load.
        """
        spec = read_sidecar(model)
        running = self._arithmetic(spec, model)
        if precision not in ("auto", running):
            raise BackendError(
                f"cannot run {model.name} in {precision}: under ONNX Runtime on {self._where} it runs in "
                f"{running}; choose --backend openvino for bf16 and int8"
            )
        onnxruntime = self._load()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _QUIET
        try:
            session = onnxruntime.InferenceSession(str(model), options, providers=self._providers)
        except Exception as error:  # its errors share no other base class; each says why
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise ModelError(
                f"cannot read {model.name}: ONNX Runtime found damage ({reason}); "
                f"restore it or export the model again"
            ) from error
        self._check_provider(session)
        check_graph(spec, model.name, _tensors(session.get_inputs()), _tensors(session.get_outputs()))
        check_metadata(session.get_modelmeta().custom_metadata_map.get(METADATA_KEY), spec, model.name)
        self.spec = spec
        self.precision: Precision = running
        self.max_batch = max_batch
        self._session: Any = session

    @property
    def best_batch(self) -> int:
        """See `stages.Scorer`."""
        return 1

    def score(self, faces: Image) -> Scores:
        """Logit and evidence map of each crop; see `stages.Scorer`.

        Raises:
            ValueError: another shape or dtype than the contract's, or more crops than max_batch.
            BackendError: the scorer is closed.
        """
        if self._session is None:
            raise BackendError("this ONNX Runtime scorer is closed; make a new one")
        check_crops(faces, size_px=self.spec.contract.input_px, max_batch=self.max_batch)
        each = [
            self._session.run([LOGIT_NAME, EVIDENCE_NAME], {INPUT_NAME: part}) for part in self._parts(faces)
        ]
        return Scores(
            logit=np.concatenate([logit for logit, _ in each]),
            evidence=np.concatenate([evidence for _, evidence in each]),
        )

    def close(self) -> None:
        """Free the session. Calling it twice is fine."""
        self._session = None

    def _load(self) -> Any:
        """The package, able to do what this scorer needs."""
        return require("onnxruntime", why="scoring with ONNX Runtime", extra="onnx")

    def _check_provider(self, session: Any) -> None:
        """Refuse a session that runs elsewhere than asked; the CPU is always there."""

    def _parts(self, faces: Image) -> list[Image]:
        """The batches that run."""
        return [faces[row : row + 1] for row in range(len(faces))]

    def _arithmetic(self, spec: ModelSpec, model: Path) -> Precision:
        """What it computes in."""
        _require_onnx(spec, model)
        return "fp16" if spec.precision == "fp16" and platform.machine() in _FP16_MACHINES else "fp32"


class OnnxCudaScorer(OnnxScorer):
    """A `Scorer` on ONNX Runtime's CUDA provider. Construct, use and close it in one thread.

    A batch runs at once, so a crop's result depends on its batch within the rounding of the file's
    precision: libraries choose other kernels for other batches.
    """

    backend = "onnx-cuda"
    _where = "an NVIDIA GPU"
    # TF32 would round FP32 files to 10 bits; the default search would try every kernel at each new batch
    # size.
    _providers = (("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}),)

    @property
    def best_batch(self) -> int:
        """See `stages.Scorer`."""
        return self.max_batch

    def _load(self) -> Any:
        find_gpu()
        onnxruntime = require("onnxruntime", why="scoring with ONNX Runtime on a GPU", extra="cuda")
        found = onnxruntime.get_available_providers()
        if "CUDAExecutionProvider" not in found:
            raise BackendError(
                f"the installed ONNX Runtime has no CUDA provider: found {', '.join(found)}; replace it "
                f"with: pip uninstall onnxruntime, then pip install 'stream-detector[cuda]'"
            )
        return onnxruntime

    def _check_provider(self, session: Any) -> None:
        # ONNX Runtime goes to the CPU without an error where CUDA's libraries do not load.
        running = session.get_providers()[0]
        if running != "CUDAExecutionProvider":
            raise BackendError(
                f"ONNX Runtime did not take the GPU: expected CUDAExecutionProvider, found {running}; check "
                f"that the CUDA and cuDNN libraries it needs are installed, or choose --backend openvino"
            )

    def _parts(self, faces: Image) -> list[Image]:
        return [np.ascontiguousarray(faces)]

    def _arithmetic(self, spec: ModelSpec, model: Path) -> Precision:
        _require_onnx(spec, model)
        return spec.precision


def _require_onnx(spec: ModelSpec, model: Path) -> None:
    if spec.format != "onnx":
        raise BackendError(
            f"ONNX Runtime cannot run {model.name}, which is for {spec.format}; "
            f"choose --backend {spec.format}, or an .onnx model"
        )


def _tensors(nodes: list[Any]) -> Mapping[str, tuple[str, tuple[int | None, ...]]]:
    return {
        node.name: (
            _NUMPY_NAMES.get(node.type, node.type),
            tuple(d if isinstance(d, int) else None for d in node.shape),
        )
        for node in nodes
    }
