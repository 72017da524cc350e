"""An NVIDIA machine for tests: driver, CUDA runtime and TensorRT, as far as scoring calls them.

What it "computes" is real: an engine's bytes are an ONNX file, which ONNX Runtime runs. What is queued runs
only when something waits for it, so whoever forgets to wait reads old memory, as on a GPU.
"""

import ctypes
import enum
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stream_detector.model_spec import EVIDENCE_NAME, INPUT_NAME, LOGIT_NAME, file_sha256, read_sidecar
from stream_detector.optional import require
from stream_detector.scorers import driver
from stream_detector.scorers.engine_sidecar import (
    BatchProfile,
    BuildFlags,
    EngineBackend,
    EngineSidecar,
    EngineTensor,
    warm_up_crops,
    write_engine_sidecar,
)
from stream_detector.scorers.tensorrt_scorer import TENSORRT_MODULES


class CudaError(enum.IntEnum):
    cudaSuccess = 0  # noqa: N815  # CUDA's own names
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorInsufficientDriver = 35  # noqa: N815


@dataclass
class FakeMachine:
    """What the machine has, and what is wrong with it."""

    has_driver: bool = True
    gpus: int = 1
    gpu: str = "NVIDIA GeForce RTX 4090"
    compute_capability: tuple[int, int] = (8, 9)
    driver_version: int = 12080
    runtime_version: int = 12060
    trt_version: str = "10.16.1.11"
    runtime_starts: bool = True
    plan_loads: bool = True
    refused_batches: frozenset[int] = frozenset()
    wrong_from_batch: int = 1000
    """Logits are off by `wrong_by` in batches of this size and more."""
    wrong_by: float = 1.0
    failing: frozenset[str] = frozenset()
    """CUDA functions that answer with an error."""
    onnx: bytes = b""
    """What every engine computes; empty: what its own bytes say."""
    memory: dict[int, Any] = field(default_factory=dict)
    """Address -> buffer, of everything not yet freed."""
    handles: set[int] = field(default_factory=set)
    """Streams, events and graphs not yet destroyed."""
    batches: list[int] = field(default_factory=list)
    """Sizes that ran, in order."""
    launched_graphs: int = 0
    queue: Callable[[int, Callable[[], None]], None] = lambda _stream, _work: None
    """Of the CUDA runtime: what a stream shall do next."""

    def install(self, monkeypatch: pytest.MonkeyPatch, *backends: EngineBackend, real: Any = None) -> None:
        """Become this process's NVIDIA machine until the test ends.

        Args:
            backends: whose packages are installed.
            real: a TensorRT module whose builder to use; only running engines is then fake.
        """
        monkeypatch.setattr(driver, "load_driver", self._load_driver)
        put(monkeypatch, "cuda.bindings.runtime", _Runtime(self))
        for backend in backends:
            put(monkeypatch, TENSORRT_MODULES[backend], _TensorRt(self, real))

    def _load_driver(self) -> Any:
        if not self.has_driver:
            raise OSError("libcuda.so.1: cannot open shared object file: No such file or directory")
        return _Driver(self)


def put(monkeypatch: pytest.MonkeyPatch, name: str, content: Any) -> None:
    """Make `import name` give `content`'s attributes."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    module.__getattr__ = lambda attribute: getattr(content, attribute)  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, name, module)


def make_engine(
    folder: Path,
    onnx: Path,
    machine: FakeMachine,
    backend: EngineBackend = "tensorrt",
    *,
    change: Callable[[EngineSidecar], EngineSidecar] = lambda sidecar: sidecar,
    most: int = 64,
) -> Path:
    """An engine for the fake, and a sidecar that fits it unless `change` says otherwise."""
    path = folder / (onnx.stem + (".engine" if backend == "tensorrt" else ".rtx.engine"))
    path.write_bytes(onnx.read_bytes())
    spec, sha256 = read_sidecar(onnx), file_sha256(path)
    size, cells = spec.contract.input_px, spec.contract.evidence_cells
    major, minor = machine.compute_capability
    sidecar = EngineSidecar(
        backend=backend,
        trt_version=machine.trt_version,
        gpu=machine.gpu if backend == "tensorrt" else None,
        compute_capability=f"{major}.{minor}" if backend == "tensorrt" else None,
        driver_cuda="12.8",
        cuda_runtime="12.6",
        os=platform.system(),
        arch=platform.machine(),
        onnx_sha256=file_sha256(onnx),
        plan_sha256=sha256,
        io=(
            EngineTensor(name=INPUT_NAME, dtype="uint8", shape=(-1, size, size, 3)),
            EngineTensor(name=LOGIT_NAME, dtype="float32", shape=(-1,)),
            EngineTensor(name=EVIDENCE_NAME, dtype="float32", shape=(-1, cells, cells)),
        ),
        batch=BatchProfile(opt=min(32, most), max=most),
        contract_sha256=spec.contract.sha256,
        spec=spec.model_copy(update={"format": backend, "files": {path.name: sha256}}),
        flags=BuildFlags(optimization_level=3 if backend == "tensorrt" else None),
        built_at="2026-01-01T00:00:00+00:00",
        build_seconds=1.0,
        warm_up_logits=tuple(float(x) for x in run(onnx.read_bytes(), warm_up_crops(size))[0]),
        parity="not run",
    )
    write_engine_sidecar(path, change(sidecar))
    return path


def run(onnx: bytes, faces: Any) -> tuple[Any, Any]:
    """Logits and evidence, one face after another."""
    session = _session(onnx)
    each = [session.run([LOGIT_NAME, EVIDENCE_NAME], {INPUT_NAME: face[None]}) for face in faces]
    return np.concatenate([a for a, _ in each]), np.concatenate([b for _, b in each])


@cache
def _session(onnx: bytes) -> Any:
    onnxruntime = require("onnxruntime", why="the fake GPU", extra="onnx")
    return onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])


class _Driver:
    """libcuda.so.1."""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine

    def cuInit(self, _flags: int) -> int:  # noqa: N802
        return 100 if "cuInit" in self._machine.failing else 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self._machine.gpus
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = self._machine.driver_version
        return 0

    def cuDeviceGet(self, device: Any, _ordinal: int) -> int:  # noqa: N802
        device._obj.value = 0
        return 0

    def cuDeviceGetName(self, name: Any, _size: int, _device: Any) -> int:  # noqa: N802
        name.value = self._machine.gpu.encode()
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, _device: Any) -> int:  # noqa: N802
        value._obj.value = self._machine.compute_capability[attribute - 75]
        return 0


class _Runtime:
    """cuda.bindings.runtime: every function answers (error, results …)."""

    cudaHostAllocDefault = 0  # noqa: N815
    cudaStreamNonBlocking = 1  # noqa: N815
    cudaEventDisableTiming = 2  # noqa: N815
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine
        self._queues: dict[int, list[Callable[[], None]]] = {}
        self._capturing: dict[int, list[Callable[[], None]]] = {}
        self._marks: dict[int, tuple[int, Callable[[], None]]] = {}
        self._graphs: dict[int, list[Callable[[], None]]] = {}
        machine.queue = self.queue

    def __getattr__(self, function: str) -> Any:
        if not function.startswith("cuda"):
            raise AttributeError(function)
        if function in self._machine.failing:
            return lambda *_: (CudaError.cudaErrorMemoryAllocation, None)
        work = getattr(self, "_" + function)

        def call(*arguments: Any) -> tuple[Any, ...]:
            result = work(*arguments)
            return (CudaError.cudaSuccess,) if result is None else (CudaError.cudaSuccess, result)

        return call

    def cudaGetDeviceCount(self) -> tuple[Any, Any]:  # noqa: N802
        too_old = self._machine.driver_version // 1000 < self._machine.runtime_version // 1000
        return (CudaError.cudaErrorInsufficientDriver if too_old else CudaError.cudaSuccess, 1)

    def _cudaRuntimeGetVersion(self) -> int:  # noqa: N802
        return self._machine.runtime_version

    def _cudaDriverGetVersion(self) -> int:  # noqa: N802
        return self._machine.driver_version

    def _cudaSetDevice(self, _device: int) -> None:  # noqa: N802
        return None

    def _cudaMalloc(self, size: int) -> int:  # noqa: N802
        buffer = (ctypes.c_uint8 * size)()
        ctypes.memset(buffer, 0xA5, size)  # fresh memory holds anything
        self._machine.memory[ctypes.addressof(buffer)] = buffer
        return ctypes.addressof(buffer)

    def _cudaHostAlloc(self, size: int, _flags: int) -> int:  # noqa: N802
        return self._cudaMalloc(size)

    def _cudaFree(self, address: int) -> None:  # noqa: N802
        del self._machine.memory[address]

    _cudaFreeHost = _cudaFree  # noqa: N815

    def _new(self) -> int:
        handle = 1 + max(self._machine.handles, default=0)
        self._machine.handles.add(handle)
        return handle

    def _cudaStreamCreateWithFlags(self, _flags: int) -> int:  # noqa: N802
        stream = self._new()
        self._queues[stream] = []
        return stream

    def _cudaEventCreateWithFlags(self, _flags: int) -> int:  # noqa: N802
        return self._new()

    def _cudaStreamDestroy(self, handle: int) -> None:  # noqa: N802
        self._machine.handles.remove(handle)

    _cudaEventDestroy = _cudaGraphExecDestroy = _cudaGraphDestroy = _cudaStreamDestroy  # noqa: N815

    def queue(self, stream: int, work: Callable[[], None]) -> None:
        self._capturing.get(stream, self._queues[stream]).append(work)

    def _cudaMemcpyAsync(self, to: int, source: int, size: int, _kind: int, stream: int) -> None:  # noqa: N802
        def work() -> None:
            ctypes.memmove(to, source, size)

        self.queue(stream, work)

    def _cudaEventRecord(self, event: int, stream: int) -> None:  # noqa: N802
        def mark() -> None:
            return None

        self._marks[event] = (stream, mark)
        self.queue(stream, mark)

    def _cudaEventSynchronize(self, event: int) -> None:  # noqa: N802
        stream, mark = self._marks.get(event, (0, None))
        if mark is not None and mark in self._queues[stream]:
            while (work := self._queues[stream].pop(0)) is not mark:
                work()

    def _cudaStreamSynchronize(self, stream: int) -> None:  # noqa: N802
        queued = self._queues[stream]
        while queued:
            queued.pop(0)()

    def _cudaStreamBeginCapture(self, stream: int, _mode: int) -> None:  # noqa: N802
        self._capturing[stream] = []

    def _cudaStreamEndCapture(self, stream: int) -> int:  # noqa: N802
        graph = self._new()
        self._graphs[graph] = self._capturing.pop(stream)
        return graph

    def _cudaGraphInstantiate(self, graph: int, _flags: int) -> int:  # noqa: N802
        ready = self._new()
        self._graphs[ready] = self._graphs[graph]
        return ready

    def _cudaGraphLaunch(self, graph: int, stream: int) -> None:  # noqa: N802
        self._machine.launched_graphs += 1
        for work in self._graphs[graph]:
            self.queue(stream, work)


class _TensorRt:
    """tensorrt or tensorrt_rtx."""

    class ILogger:
        ERROR = 1
        WARNING = 2

        def __init__(self) -> None: ...

    LayerInformationFormat = SimpleNamespace(JSON="json")

    def __init__(self, machine: FakeMachine, real: Any) -> None:
        self._machine = machine
        self._real = real
        self.__version__ = machine.trt_version
        if real is not None:
            self.ILogger = real.ILogger  # type: ignore[misc]  # a class each

    def __getattr__(self, name: str) -> Any:
        if self._real is None:
            raise AttributeError(name)
        return getattr(self._real, name)

    def Runtime(self, log: Any) -> Any:  # noqa: N802
        if not self._machine.has_driver:
            raise AssertionError("a real one would have killed the process: there is no driver")
        if not self._machine.runtime_starts:
            log.log(self.ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: self._load(log, plan))

    def _load(self, log: Any, plan: bytes) -> Any:
        if not self._machine.plan_loads:
            log.log(self.ILogger.ERROR, "Serialization assertion failed:\n magic tag does not match")
            return None
        return _Engine(self._machine, self._machine.onnx or plan, log)


class _Engine:
    def __init__(self, machine: FakeMachine, onnx: bytes, log: Any) -> None:
        session = _session(onnx)
        self._inputs = {node.name for node in session.get_inputs()}
        self._nodes = {node.name: node for node in (*session.get_inputs(), *session.get_outputs())}
        self.machine, self.onnx, self.log = machine, onnx, log
        self.num_io_tensors = len(self._nodes)

    def get_tensor_name(self, index: int) -> str:
        return str(list(self._nodes)[index])

    def get_tensor_mode(self, name: str) -> Any:
        return SimpleNamespace(name="INPUT" if name in self._inputs else "OUTPUT")

    def get_tensor_dtype(self, name: str) -> Any:
        kinds = {"tensor(uint8)": "UINT8", "tensor(float)": "FLOAT", "tensor(float16)": "HALF"}
        return SimpleNamespace(name=kinds[self._nodes[name].type])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(side if isinstance(side, int) else -1 for side in self._nodes[name].shape)

    def create_execution_context(self) -> Any:
        return None if "context" in self.machine.failing else _Context(self)

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda _form: '{"Layers": []}')


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._at: dict[str, int] = {}
        self._shape: tuple[int, ...] = ()

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._at[name] = address
        return name not in self._engine.machine.failing

    def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> bool:
        self._shape = shape
        return True

    def execute_async_v3(self, stream: int) -> bool:
        machine, shape = self._engine.machine, self._shape
        if shape[0] in machine.refused_batches:
            self._engine.log.log(1, "Cask convolution execution")
            return False

        def work() -> None:
            machine.batches.append(shape[0])
            faces = _view(self._at[INPUT_NAME], shape, np.uint8)
            logit, evidence = run(self._engine.onnx, faces)
            if shape[0] >= machine.wrong_from_batch:
                logit = logit + np.float32(machine.wrong_by)
            _view(self._at[LOGIT_NAME], logit.shape, np.float32)[:] = logit
            _view(self._at[EVIDENCE_NAME], evidence.shape, np.float32)[:] = evidence

        machine.queue(stream, work)
        return True


def _view(address: int, shape: tuple[int, ...], dtype: Any) -> Any:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = (ctypes.c_uint8 * size).from_address(address)
    return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)
