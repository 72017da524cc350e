"""FP16 ONNX to an engine for TensorRT or TensorRT-RTX, checked before it gets its name."""

import json
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from engine_build.onnx_export import OPSET
from engine_build.steps import SILENT, Steps
from stream_detector.errors import BackendError, MissingDependency, ModelError, UsageError
from stream_detector.model_spec import (
    EVIDENCE_NAME,
    INPUT_NAME,
    LOGIT_NAME,
    METADATA_KEY,
    ModelSpec,
    check_graph,
    file_sha256,
    read_sidecar,
)
from stream_detector.optional import require
from stream_detector.scorers.checks import check_metadata
from stream_detector.scorers.cuda import Cuda
from stream_detector.scorers.driver import Gpu, find_gpu
from stream_detector.scorers.engine_sidecar import (
    BatchProfile,
    BuildFlags,
    EngineBackend,
    EngineSidecar,
    EngineTensor,
    check_rtx,
    engine_sidecar_path,
    warm_up_crops,
    write_engine_sidecar,
)
from stream_detector.scorers.tensorrt_scorer import (
    TensorRtScorer,
    collecting_log,
    last_words,
    load_tensorrt,
)

_WORKSPACE_BYTES = 1 << 30
_DEFAULT_LEVEL, _SLOW_LEVEL = 3, 5
_NUMPY_NAMES = {"UINT8": "uint8", "FLOAT": "float32", "HALF": "float16"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that building, checking or running an engine needs."""

    name: str
    met: bool
    detail: str
    """What was found, or what is missing and how to get it."""
    to_build: bool
    """Without it no engine can be built; otherwise it can, but not be run and measured here."""


def requirements(backend: EngineBackend) -> list[Requirement]:
    """What this machine has of what an engine needs. The driver is asked before TensorRT is loaded."""
    found = []
    gpu: Gpu | None = None
    try:
        gpu = find_gpu()
        detail, met = f"{gpu.name}, {gpu.compute_capability}, driver for CUDA {gpu.driver_cuda}", True
        if backend == "tensorrt-rtx":
            check_rtx(gpu)
    except BackendError as error:
        detail, met = str(error), False
    found.append(Requirement("GPU", met, detail, to_build=backend == "tensorrt"))
    for name, to_build, load in (
        (backend, True, lambda: _version(load_tensorrt(backend), backend)),
        ("onnx", True, lambda: require("onnx", why="reading the model", extra="build").__version__),
        ("onnxruntime", True, lambda: require("onnxruntime", why="parity", extra="build").__version__),
        ("cuda-bindings", False, lambda: _cuda_version(backend)),
    ):
        if name in ("tensorrt", "cuda-bindings") and gpu is None:
            detail = "not loaded: without a GPU it may end the process"
            found.append(Requirement(name, met=False, detail=detail, to_build=to_build))
            continue
        try:
            found.append(Requirement(name, met=True, detail=load(), to_build=to_build))
        except (MissingDependency, BackendError) as error:
            found.append(Requirement(name, met=False, detail=str(error), to_build=to_build))
    return found


def build_engine(
    onnx_path: Path,
    out: Path,
    *,
    backend: EngineBackend,
    opt: int = 32,
    max_batch: int = 64,
    slow: bool = False,
    steps: Steps = SILENT,
) -> EngineSidecar:
    """Write `out` with its sidecar, the list of its layers and, for TensorRT, its timing cache.

    Everything is made in a temporary folder beside `out` and moved when it is complete: a failure leaves
    `out` as it was, and nothing else behind.

    Args:
        onnx_path: FP16, from `export_onnx`, with its sidecar.
        out: .engine or .plan.
        backend: TensorRT builds for the GPU of this machine; TensorRT-RTX needs none.
        opt: the batch the builder tunes for.
        max_batch: the largest batch; one of `engine_sidecar.BUCKETS`.
        slow: let TensorRT try more kernels (builder level 5 instead of 3); TensorRT-RTX ignores it.
        steps: told what happens next, and how far the builder is where it says so.

    Returns:
        The sidecar. Its `parity` is "not run" where no GPU here can run the engine.

    Raises:
        UsageError: `opt`, `max_batch` or the suffix of `out` makes no sense.
        ModelError: the ONNX file is none of ours, or `out` cannot be written.
        BackendError: no driver, no GPU, the builder refused, or the engine computes wrongly.
        MissingDependency: TensorRT, onnx or onnxruntime is not installed, or does not load.
    """
    batch = _profile(opt, max_batch)
    if out.suffix not in (".engine", ".plan"):
        raise UsageError(f"--out {out} makes no sense: expected a name that ends with .engine or .plan")
    gpu, why_not = _usable_gpu(backend)
    onnx = require("onnx", why="reading the model", extra="build")
    spec, proto = _read_onnx(onnx, onnx_path)
    trt = load_tensorrt(backend)
    version = _version(trt, backend)
    steps.begin("FP32 reference")
    logits = _fp32_logits(onnx, proto, spec)
    building = f"{backend} {version}: building"
    steps.begin(building + ("" if gpu else f" (parity cannot run: {why_not})"))
    cache_path = out.with_name(out.name + ".timing")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".engine-build-") as temporary:
            made = Path(temporary) / out.name
            started_s = time.monotonic()
            network = _Network(trt, onnx_path)
            network.check_types()
            rtx = backend == "tensorrt-rtx"
            told = _told(trt, building, steps)
            plan, cache = network.build(batch, cache_path, slow=slow, rtx=rtx, monitor=told)
            took_s = time.monotonic() - started_s
            made.write_bytes(plan)
            sha256 = file_sha256(made)
            built_for = gpu if backend == "tensorrt" else None
            sidecar = EngineSidecar(
                backend=backend,
                trt_version=version,
                gpu=built_for.name if built_for else None,
                compute_capability=built_for.compute_capability if built_for else None,
                driver_cuda=gpu.driver_cuda if gpu else None,
                cuda_runtime=None,
                os=platform.system(),
                arch=platform.machine(),
                onnx_sha256=file_sha256(onnx_path),
                plan_sha256=sha256,
                io=network.tensors(),
                batch=batch,
                contract_sha256=spec.contract.sha256,
                spec=spec.model_copy(update={"format": backend, "files": {out.name: sha256}}),
                flags=BuildFlags(optimization_level=network.level),
                built_at=datetime.now(UTC).isoformat(timespec="seconds"),
                build_seconds=round(took_s, 3),
                warm_up_logits=logits,
                parity="not run",
            )
            write_engine_sidecar(made, sidecar)
            layers: dict[str, object] = {"network": network.layers()}
            if gpu is not None:
                steps.begin("parity at every batch")
                with closing(TensorRtScorer(made, max_batch=batch.max)) as scorer:
                    found = {"parity": scorer.parity, "cuda_runtime": scorer.cuda_version}
                    layers["engine"] = json.loads(scorer.layers_json())
                sidecar = sidecar.model_copy(update=found)
                write_engine_sidecar(made, sidecar)
            layers_path = made.with_name(made.name + ".layers.json")
            layers_path.write_text(json.dumps(layers, indent=1) + "\n", encoding="utf-8")
            ready = [layers_path, engine_sidecar_path(made), made]
            if cache:
                ready.insert(0, made.with_name(cache_path.name))
                ready[0].write_bytes(cache)
            _move(ready, out.parent)
    except OSError as error:
        raise ModelError(
            f"cannot write {out}: {error.strerror or error}; make room or choose another place with --out "
            f"(an engine takes about as much as its ONNX file, {onnx_path.stat().st_size >> 20} MiB)"
        ) from error
    return sidecar


class _Network:
    """The ONNX file as TensorRT reads it."""

    def __init__(self, trt: Any, onnx_path: Path) -> None:
        self._trt = trt
        self._log = collecting_log(trt)
        self.level: int | None = None
        """The builder's, once built."""
        try:
            self._builder = trt.Builder(self._log)
        except TypeError as error:  # how its bindings say that the constructor returned nothing
            raise BackendError(
                f"TensorRT {trt.__version__} does not start: {last_words(self._log)}; "
                f"update the NVIDIA driver"
            ) from error
        # TensorRT 10 needs the flag, 11 knows no other way and may one day drop it.
        typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        self._network = self._builder.create_network(0 if typed is None else 1 << int(typed))
        parser = trt.OnnxParser(self._network, self._log)
        if not parser.parse(onnx_path.read_bytes()):
            reasons = "; ".join(
                " ".join(parser.get_error(i).desc().split()) for i in range(parser.num_errors)
            )
            raise ModelError(
                f"TensorRT {trt.__version__} cannot read {onnx_path.name}: {reasons}; "
                f"export it again with engine_build"
            )
        self._name = onnx_path.name

    def check_types(self) -> None:
        """Refuse a network that would not compute as the contract and FP16 promise.

        Raises:
            ModelError: a convolution that is not FP16, or tensors that do not fit the contract.
        """
        convolutions = [layer["dtype"] for layer in self.layers() if layer["type"] == "CONVOLUTION"]
        if set(convolutions) != {"HALF"}:
            raise ModelError(
                f"{self._name} is not an FP16 model: of its {len(convolutions)} convolutions "
                f"{convolutions.count('HALF')} are HALF, expected all; export it with --precision fp16"
            )
        for tensor in self.tensors():
            expected = "uint8" if tensor.name == INPUT_NAME else "float32"
            if tensor.dtype != expected or tensor.shape[0] != -1:
                raise ModelError(
                    f"TensorRT {self._trt.__version__} reads {tensor.name} of {self._name} as {tensor.dtype} "
                    f"{tensor.shape}, expected {expected} with a free batch (-1); "
                    f"export it again with engine_build"
                )

    def layers(self) -> list[dict[str, str]]:
        """Name, type and output type of every layer."""
        every = (self._network.get_layer(index) for index in range(self._network.num_layers))
        return [
            {"name": layer.name, "type": layer.type.name, "dtype": layer.get_output(0).dtype.name}
            for layer in every
        ]

    def tensors(self) -> tuple[EngineTensor, ...]:
        """Inputs, then outputs."""
        network = self._network
        every = [network.get_input(index) for index in range(network.num_inputs)]
        every += [network.get_output(index) for index in range(network.num_outputs)]
        return tuple(
            EngineTensor(
                name=tensor.name,
                dtype=_NUMPY_NAMES.get(tensor.dtype.name, tensor.dtype.name.lower()),
                shape=tuple(int(side) for side in tensor.shape),
            )
            for tensor in every
        )

    def build(
        self, batch: BatchProfile, cache_path: Path, *, slow: bool, rtx: bool, monitor: Any
    ) -> tuple[bytes, bytes | None]:
        """The plan, and the timing cache to keep beside it.

        Args:
            monitor: a trt.IProgressMonitor.

        Raises:
            BackendError: TensorRT built nothing.
        """
        trt = self._trt
        config = self._builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
        config.progress_monitor = monitor
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the inspector
        if not rtx:  # TensorRT-RTX tunes on the machine it runs on: no levels, no timings
            self.level = _SLOW_LEVEL if slow else _DEFAULT_LEVEL
            config.builder_optimization_level = self.level
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.NONE
            known = cache_path.read_bytes() if cache_path.is_file() else b""
            if not config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False):
                config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
        faces = self._network.get_input(0)
        rest = [int(side) for side in faces.shape][1:]
        profile = self._builder.create_optimization_profile()
        profile.set_shape(faces.name, *([size, *rest] for size in (batch.min, batch.opt, batch.max)))
        if config.add_optimization_profile(profile) < 0:
            raise BackendError(
                f"TensorRT {trt.__version__} refused the batches {batch.min} to {batch.max}: "
                f"{last_words(self._log)}; try a smaller --max"
            )
        plan = self._builder.build_serialized_network(self._network, config)
        if plan is None:
            raise BackendError(
                f"TensorRT {trt.__version__} built no engine of {self._name}: {last_words(self._log)}; close "
                f"what else uses the GPU, or try a smaller --max"
            )
        return bytes(plan), None if rtx else bytes(config.get_timing_cache().serialize())


def _told(trt: Any, name: str, steps: Steps) -> Any:
    """A trt.IProgressMonitor that passes the builder's phases on to `steps`, the innermost one shown."""

    class Told(trt.IProgressMonitor):  # type: ignore[misc]  # known only once the package is loaded
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase: str, _parent: str | None, num_steps: int) -> None:
            steps.begin(f"{name}: {phase}", num_steps)

        def step_complete(self, _phase: str, _step: int) -> bool:
            steps.advance()
            return True  # go on building

        def phase_finish(self, phase: str) -> None:
            pass

    return Told()


def _profile(opt: int, most: int) -> BatchProfile:
    try:
        return BatchProfile(opt=opt, max=most)
    except ValidationError as error:
        raise UsageError(
            f"--opt {opt} and --max {most} make no sense: expected opt at most max, and max one of 1, 2, 4, "
            f"8, 16, 32, 64; choose others"
        ) from error


def _usable_gpu(backend: EngineBackend) -> tuple[Gpu | None, str]:
    """The GPU that can run the engine, or why there is none. TensorRT cannot build without it."""
    try:
        gpu = find_gpu()
        if backend == "tensorrt-rtx":
            check_rtx(gpu)
    except BackendError as error:
        if backend == "tensorrt":
            raise BackendError(
                f"TensorRT builds an engine only on the GPU that runs it: {error}; "
                f"or add --rtx, which needs no GPU"
            ) from error
        return None, str(error).partition(";")[0]
    return gpu, ""


def _version(trt: Any, backend: EngineBackend) -> str:
    """The version, if it is one this program was written for."""
    text = str(trt.__version__)
    major, minor = (int(part) for part in text.split(".")[:2])
    fits = major == 1 if backend == "tensorrt-rtx" else (10, 3) <= (major, minor) < (12, 0)
    if not fits:
        expected = "1.x" if backend == "tensorrt-rtx" else "10.3 to 11.x"
        raise BackendError(
            f"the installed {backend} is {text}, expected {expected}; "
            f"pip install 'stream-detector[{backend}]'"
        )
    return text


def _cuda_version(backend: EngineBackend) -> str:
    with closing(Cuda(extra=backend)) as cuda:
        return f"CUDA {cuda.version}"


def _read_onnx(onnx: Any, path: Path) -> tuple[ModelSpec, Any]:
    """The spec and the graph, held against each other."""
    spec = read_sidecar(path)
    if spec.format != "onnx" or spec.precision != "fp16":
        raise ModelError(
            f"cannot build an engine from {path.name}, which is {spec.format} in {spec.precision}: expected "
            f"an ONNX file in fp16; export one with: python -m engine_build export --precision fp16"
        )
    try:
        proto = onnx.load_from_string(path.read_bytes())
    except Exception as error:  # protobuf's errors share no other base class
        raise ModelError(
            f"cannot read {path.name}: it is no ONNX file ({error}); restore it or export the model again"
        ) from error
    opsets = {imported.domain: imported.version for imported in proto.opset_import}
    if opsets != {"": OPSET}:
        raise ModelError(
            f"{path.name} is of opset {opsets}, expected {OPSET}, the one every TensorRT this program takes "
            f"reads; export it with engine_build"
        )
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    check_metadata(properties.get(METADATA_KEY), spec, path.name)
    check_graph(
        spec, path.name, _onnx_tensors(onnx, proto.graph.input), _onnx_tensors(onnx, proto.graph.output)
    )
    return spec, proto


def _onnx_tensors(onnx: Any, values: Any) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    def entry(value: Any) -> tuple[str, tuple[int | None, ...]]:
        tensor = value.type.tensor_type
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name, shape

    return {value.name: entry(value) for value in values}


def _fp32_logits(onnx: Any, proto: Any, spec: ModelSpec) -> tuple[float, ...]:
    """What the same weights answer to the warm-up crops in FP32 arithmetic throughout."""
    kind = onnx.TensorProto
    twin = onnx.ModelProto()
    twin.CopyFrom(proto)
    for constant in twin.graph.initializer:
        if constant.data_type == kind.FLOAT16:
            wide = onnx.numpy_helper.to_array(constant).astype(np.float32)
            constant.CopyFrom(onnx.numpy_helper.from_array(wide, constant.name))
    for node in twin.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == kind.FLOAT16:
                attribute.i = kind.FLOAT
    onnxruntime = require("onnxruntime", why="the FP32 reference", extra="build")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        twin.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    crops = warm_up_crops(spec.contract.input_px)
    outputs = [
        session.run([LOGIT_NAME, EVIDENCE_NAME], {INPUT_NAME: crops[row : row + 1]})[0]
        for row in range(len(crops))
    ]
    return tuple(float(logit[0]) for logit in outputs)


def _move(files: list[Path], folder: Path) -> None:
    """Give the files their final place; the last one, the engine, makes the others valid."""
    moved: list[Path] = []
    try:
        for file in files:
            file.replace(folder / file.name)
            moved.append(folder / file.name)
    except OSError:
        for path in moved:
            with suppress(OSError):
                path.unlink()
        raise


def describe(found: list[Requirement]) -> Iterator[str]:
    """A line for each requirement, and a last one with the answer."""
    for item in found:
        yield f"{'yes' if item.met else 'no':4}{item.name}: {item.detail}"
    if all(item.met for item in found):
        yield "an engine can be built, checked and run here"
    elif all(item.met for item in found if item.to_build):
        yield "an engine can be built here, but not run: its parity is measured where it is first loaded"
    else:
        yield "no engine can be built here"
