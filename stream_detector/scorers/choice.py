"""Which model file, on which back-end: decided by what was asked for, the file and what is installed."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from stream_detector import assets
from stream_detector.errors import BackendError, MissingDependency, ModelError
from stream_detector.model_spec import ModelSpec, file_sha256, is_file, read_sidecar
from stream_detector.optional import installed_version, require
from stream_detector.scorers.driver import find_gpu
from stream_detector.scorers.engine_sidecar import (
    EngineBackend,
    engine_cache,
    engine_path,
    read_engine_sidecar,
)
from stream_detector.scorers.tensorrt_scorer import TENSORRT_MODULES
from stream_detector.settings import Backend, RunPrecision
from stream_detector.stages import Scorer

_CLASSES = {
    "tensorrt": "stream_detector.scorers.tensorrt_scorer:TensorRtScorer",
    "tensorrt-rtx": "stream_detector.scorers.tensorrt_scorer:TensorRtScorer",
    "onnx-cuda": "stream_detector.scorers.onnx_scorer:OnnxCudaScorer",
    "openvino": "stream_detector.scorers.openvino_scorer:OpenVinoScorer",
    "onnx": "stream_detector.scorers.onnx_scorer:OnnxScorer",
}
"""In the order in which "auto" asks them."""
_ENGINES: tuple[EngineBackend, ...] = get_args(EngineBackend)
_BY_SUFFIX = {
    ".xml": ("openvino",),
    ".onnx": tuple(_CLASSES),
    ".engine": _ENGINES,
    ".plan": _ENGINES,
}
"""Suffix -> the back-ends that read it, or what was built from it."""
_MODULES = {
    "tensorrt": ("tensorrt", "tensorrt"),
    "tensorrt-rtx": ("tensorrt_rtx", "tensorrt-rtx"),
    "onnx-cuda": ("onnxruntime", "cuda"),
    "openvino": ("openvino", None),
    "onnx": ("onnxruntime", "onnx"),
}
"""Back-end -> the module it needs, and the extra that brings it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackendReport:
    """Whether a back-end can run here."""

    name: str
    """As `--backend` takes it."""
    usable: bool
    detail: str
    """Its version and what it runs on, or why it cannot run."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What will run, and why nothing that comes before it."""

    model: Path
    """The file to open: an engine where an engine runs."""
    backend: str
    passed_over: tuple[str, ...] = ()
    """A clause for each back-end that "auto" asked before this one."""
    engine_unused: bool = False
    """Somebody built an engine for this model, and it does not run."""


def choose_scorer(*, model: Path | None, backend: Backend, precision: RunPrecision, max_batch: int) -> Scorer:
    """Open the model on the back-end asked for. Call it in the thread that will score.

    "auto" passes over a back-end that lacks a part (no engine, no package, no GPU) and logs which and
    why. One that has every part and still refuses is an error, so that a broken GPU is not a slow day;
    a back-end that was named never falls back.

    Args:
        model: a file with its sidecar; None takes the packaged model that fits the other two.
        backend: "auto" takes the first that has all it needs: tensorrt, tensorrt-rtx, onnx-cuda, openvino,
            and onnx where OpenVINO is not installed.
        precision: "auto" follows from the file and the back-end.
        max_batch: the most crops one call may hold.

    Raises:
        ModelError: the file is missing, damaged, or does not fit its sidecar.
        BackendError: the combination is impossible, or cannot run here.
        MissingDependency: the back-end is not installed, or does not load.
    """
    choice = resolve(model, backend, precision)
    if backend == "auto":
        level = logging.WARNING if choice.engine_unused else logging.INFO
        passed = "; ".join(choice.passed_over) or "nothing comes before it"
        _log.log(level, "%s runs on %s (%s)", choice.model.name, choice.backend, passed)
    module, _, kind = _CLASSES[choice.backend].partition(":")
    scorer: Scorer = getattr(import_module(module), kind)(
        choice.model, precision=precision, max_batch=max_batch
    )
    return scorer


def read_spec(model: Path | None, *, backend: Backend, precision: RunPrecision) -> ModelSpec:
    """The spec of the model that `choose_scorer` would open, without loading any back-end.

    Raises:
        ModelError: the file is missing, or does not fit its sidecar.
        BackendError: the combination is impossible.
    """
    choice = resolve(model, backend, precision)
    if choice.backend in _ENGINES:
        return read_engine_sidecar(choice.model).spec
    return read_sidecar(choice.model)


def packaged_models() -> list[Path]:
    """The model files that come with the program, the default first."""
    return [assets.xception_int8(), assets.xception_fp16()]


def usable_backends() -> list[BackendReport]:
    """Every back-end this program knows, and whether it can run here; loads each one to find out."""
    return [_report(name) for name in _CLASSES]


def resolve(model: Path | None, backend: Backend, precision: RunPrecision) -> Choice:
    """Which file, on which back-end. Loads nothing: looks at files, installed packages and the driver.

    Raises:
        ModelError: no program reads such a file, or a named back-end has no engine of it.
        BackendError: the combination is impossible.
    """
    if model is not None and model.suffix.lower() not in _BY_SUFFIX:
        raise ModelError(
            f"cannot load {model.name}: expected one of {', '.join(sorted(_BY_SUFFIX))}, found "
            f"{model.suffix or 'no suffix'!r}; check the path given to --model"
        )
    if backend != "auto":
        return _named(model, backend, precision)
    if model is not None and model.suffix.lower() == ".xml":
        return Choice(model, "openvino")
    if model is not None and model.suffix.lower() != ".onnx":
        return Choice(model, read_engine_sidecar(model).backend)
    passed: list[str] = []
    engine_unused = False
    for name, lacking, has_engine in _candidates(model, precision):
        if not lacking:
            path = _engine_of(model, name) if name in _ENGINES else _plain(model, name, precision)
            return Choice(path, name, tuple(passed), engine_unused)
        passed.append(f"not {name}: {lacking}")
        engine_unused = engine_unused or has_engine
    raise AssertionError("the last candidate lacks nothing")


def _named(model: Path | None, backend: str, precision: RunPrecision) -> Choice:
    if model is not None:
        readers = _BY_SUFFIX[model.suffix.lower()]
        if backend not in readers:
            raise BackendError(
                f"the back-end {backend} cannot run {model.name}: a {model.suffix} file runs on "
                f"{' or '.join(readers)}; "
                f"choose that --backend, or another --model"
            )
        if readers == _ENGINES:
            built_for = read_engine_sidecar(model).backend
            if built_for != backend:
                raise BackendError(
                    f"the back-end {backend} cannot run {model.name}: it was built for {built_for}; choose "
                    f"that --backend, or build another engine"
                )
            return Choice(model, backend)
    if backend not in _ENGINES:
        return Choice(_plain(model, backend, precision), backend)
    engine = _engine_of(model, backend)
    if not is_file(engine):
        source = _onnx(model)
        raise ModelError(
            f"there is no {backend} engine of {source.name}: expected {engine}; build it with: "
            f"{_build_command(model, backend)}"
        )
    lacking = _stale(engine, source := _onnx(model))
    if lacking:
        raise ModelError(
            f"the engine {engine} does not belong to {source.name}: {lacking}; build it again with: "
            f"{_build_command(model, backend)}"
        )
    return Choice(engine, backend)


def _candidates(model: Path | None, precision: RunPrecision) -> Iterator[tuple[str, str, bool]]:
    """For each back-end that runs an ONNX file, in order: what it lacks ("" for nothing), and whether it
    has an engine."""
    for name in _ENGINES:
        engine = _engine_of(model, name)
        if not is_file(engine):
            yield name, f"no engine at {engine}", False
        elif precision != "auto":
            yield name, f"engines run in fp16, not {precision}", False
        elif find_spec(TENSORRT_MODULES[name]) is None:
            yield name, f"{engine.name} is there, but {TENSORRT_MODULES[name]} is not installed", True
        elif no_gpu := _no_gpu():
            yield name, f"{engine.name} is there, but {no_gpu}", True
        elif stale := _stale(engine, _onnx(model)):
            yield name, f"{engine.name} is there, but {stale}", True
        else:
            yield name, "", True
    if installed_version("onnxruntime-gpu") is None:
        yield "onnx-cuda", "onnxruntime-gpu is not installed", False
    elif precision != "auto":
        yield "onnx-cuda", f"it runs in the precision of the file, {precision} was asked for", False
    else:
        yield "onnx-cuda", _no_gpu(), False
    yield "openvino", "" if find_spec("openvino") else "openvino is not installed", False
    yield "onnx", "", False


def _plain(model: Path | None, backend: str, precision: RunPrecision) -> Path:
    """The file that a back-end without engines opens."""
    if model is not None:
        return model
    wants_int8 = backend == "openvino" and precision in ("auto", "int8")
    return assets.xception_int8() if wants_int8 else assets.xception_fp16()


def _onnx(model: Path | None) -> Path:
    return model or assets.xception_fp16()


def _engine_of(model: Path | None, backend: str) -> Path:
    """Where the engine of a model lies: beside it, the packaged one's in the user's cache."""
    kind: EngineBackend = "tensorrt" if backend == "tensorrt" else "tensorrt-rtx"
    return engine_path(_onnx(model), kind, folder=engine_cache() if model is None else None)


def _stale(engine: Path, onnx: Path) -> str:
    """Why this engine is not one of this ONNX file; empty where it is."""
    if not is_file(onnx):
        return f"{onnx.name} is missing"
    made_from, found = read_engine_sidecar(engine).onnx_sha256, file_sha256(onnx)
    return "" if made_from == found else f"it was built from {made_from[:12]}…, {onnx.name} is {found[:12]}…"


def _build_command(model: Path | None, backend: str) -> str:
    parts = [
        "python -m engine_build tensorrt",
        str(model) if model else "",
        "--rtx" * (backend != "tensorrt"),
    ]
    return " ".join(part for part in parts if part)


def _no_gpu() -> str:
    """Why there is no GPU to run on; empty where there is one."""
    try:
        find_gpu()
    except BackendError as error:
        return str(error).partition(";")[0]
    return ""


def _report(name: str) -> BackendReport:
    module, extra = _MODULES[name]
    on = "the CPU"
    try:
        if name in (*_ENGINES, "onnx-cuda"):
            gpu = find_gpu()  # before the module: TensorRT can die without a driver
            on = f"{gpu.name}, compute capability {gpu.compute_capability}, driver for CUDA {gpu.driver_cuda}"
        loaded = require(module, why=f"the back-end {name}", extra=extra)
    except (MissingDependency, BackendError) as error:
        return BackendReport(name, usable=False, detail=str(error))
    if name == "onnx-cuda" and "CUDAExecutionProvider" not in loaded.get_available_providers():
        return BackendReport(name, usable=False, detail="the installed ONNX Runtime has no CUDA provider")
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
        return BackendReport(
            name, usable=True, detail=f"{installed_version(module)} on {cpu}: {kinds.lower()}"
        )
    return BackendReport(
        name, usable=True, detail=f"{installed_version(module) or 'unknown version'} on {on}"
    )
