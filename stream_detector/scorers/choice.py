"""Which model file, on which back-end: decided by what was asked for and the file's suffix, nothing else."""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stream_detector import assets
from stream_detector.errors import BackendError, MissingDependency, ModelError
from stream_detector.model_spec import ModelSpec, read_sidecar
from stream_detector.optional import require
from stream_detector.settings import Backend, RunPrecision
from stream_detector.stages import Scorer

_CLASSES = {
    "openvino": "stream_detector.scorers.openvino_scorer:OpenVinoScorer",
    "onnx": "stream_detector.scorers.onnx_scorer:OnnxScorer",
}
_BY_SUFFIX = {".xml": ("openvino",), ".onnx": ("openvino", "onnx")}
"""Suffix -> the back-ends that read it, the one that "auto" takes first."""
_MODULES = {"openvino": ("openvino", None), "onnx": ("onnxruntime", "onnx")}
"""Back-end -> the module it needs, and the extra that brings it."""


@dataclass(frozen=True, slots=True)
class BackendReport:
    """Whether a back-end can run here."""

    name: str
    """As `--backend` takes it."""
    usable: bool
    detail: str
    """Its version and what it runs on, or why it cannot run."""


def choose_scorer(*, model: Path | None, backend: Backend, precision: RunPrecision, max_batch: int) -> Scorer:
    """Open the model on the back-end asked for. Call it in the thread that will score.

    Nothing falls back: what cannot run as asked is an error.

    Args:
        model: a file with its sidecar; None takes the packaged model that fits the other two.
        backend: "auto" follows from the file.
        precision: "auto" follows from the file.
        max_batch: the most crops one call may hold.

    Raises:
        ModelError: the file is missing, damaged, or does not fit its sidecar.
        BackendError: the combination is impossible, or cannot run here.
        MissingDependency: the back-end is not installed, or does not load.
    """
    path, name = _resolve(model, backend, precision)
    module, _, kind = _CLASSES[name].partition(":")
    scorer: Scorer = getattr(import_module(module), kind)(path, precision=precision, max_batch=max_batch)
    return scorer


def read_spec(model: Path | None, *, backend: Backend, precision: RunPrecision) -> ModelSpec:
    """The spec of the model that `choose_scorer` would open, without loading any back-end.

    Raises:
        ModelError: the file is missing, or does not fit its sidecar.
        BackendError: the combination is impossible.
    """
    return read_sidecar(_resolve(model, backend, precision)[0])


def packaged_models() -> list[Path]:
    """The model files that come with the program, the default first."""
    return [assets.xception_int8(), assets.xception_fp16()]


def usable_backends() -> list[BackendReport]:
    """Every back-end this program knows, and whether it can run here; loads each one to find out."""
    return [_report(name) for name in _CLASSES]


def _resolve(model: Path | None, backend: Backend, precision: RunPrecision) -> tuple[Path, str]:
    """The file and the back-end's name."""
    if model is None:
        wants_int8 = backend != "onnx" and precision in ("auto", "int8")
        model = assets.xception_int8() if wants_int8 else assets.xception_fp16()
    readers = _BY_SUFFIX.get(model.suffix.lower())
    if readers is None:
        raise ModelError(
            f"cannot load {model.name}: expected one of {', '.join(sorted(_BY_SUFFIX))}, found "
            f"{model.suffix or 'no suffix'!r}; check the path given to --model"
        )
    if backend == "auto":
        return model, readers[0]
    if backend not in readers:
        raise BackendError(
            f"the back-end {backend} cannot run {model.name}: a {model.suffix} file runs on "
            f"{' or '.join(readers)}; "
            f"choose that --backend, or another --model"
        )
    return model, backend


def _report(name: str) -> BackendReport:
    module, extra = _MODULES[name]
    try:
        loaded = require(module, why=f"the back-end {name}", extra=extra)
    except MissingDependency as error:
        return BackendReport(name, usable=False, detail=str(error))
    if name == "openvino":
        core = loaded.Core()
        if "CPU" not in core.available_devices:
            return BackendReport(
                name, usable=False, detail="OpenVINO finds no CPU plugin; reinstall openvino"
            )
        kinds = ", ".join(
            kind
            for kind in ("INT8", "BF16", "FP32")
            if kind in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        )
        cpu = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
        return BackendReport(name, usable=True, detail=f"{_version(module)} on {cpu}: {kinds.lower()}")
    return BackendReport(name, usable=True, detail=f"{_version(module)} on the CPU")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown version"
