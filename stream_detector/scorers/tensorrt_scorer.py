"""The model as an FP16 engine under TensorRT or TensorRT-RTX, on the first NVIDIA GPU."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_detector.errors import BackendError, ModelError
from stream_detector.model_spec import (
    EVIDENCE_NAME,
    INPUT_NAME,
    LOGIT_NAME,
    ModelSpec,
    Precision,
    check_graph,
)
from stream_detector.optional import require
from stream_detector.records import Image, Scores
from stream_detector.scorers.checks import check_crops
from stream_detector.scorers.cuda import Cuda
from stream_detector.scorers.driver import find_gpu
from stream_detector.scorers.engine_sidecar import (
    BucketParity,
    EngineBackend,
    EngineSidecar,
    check_machine,
    check_version,
    check_warm_up,
    read_engine_sidecar,
    warm_up_crops,
)

TENSORRT_MODULES: Mapping[EngineBackend, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Back-end -> the package it needs; the extra that brings it has the back-end's name."""
_SLOTS = 2
_NUMPY_NAMES = {"UINT8": "uint8", "FLOAT": "float32", "HALF": "float16"}


class _Slot(NamedTuple):
    """Page-locked memory for one batch on its way. While the GPU may still read one slot, the next
    batch goes into the other."""

    faces: Image
    logit: npt.NDArray[np.float32]
    evidence: npt.NDArray[np.float32]
    done: Any
    """Event: the slot's results have arrived."""


class _Addresses(NamedTuple):
    """Where the tensors lie on the GPU; fixed for the scorer's life, as graphs need it."""

    faces: int
    logit: int
    evidence: int


class TensorRtScorer:
    """A `Scorer` on TensorRT or TensorRT-RTX. Construct, use and close it in one thread.

    A batch is padded to the next of the engine's buckets. The GPU may compute each bucket with other
    kernels, so a crop's logit depends on its batch within FP16 rounding, at most the sidecar's
    `logit_tolerance`; every bucket is held to it before the first score.
    """

    def __init__(
        self,
        model: Path,
        *,
        precision: Literal["auto", "int8", "bf16", "fp32"] = "auto",
        max_batch: int,
        graphs: bool = False,
    ) -> None:
        """Check, load and warm up `model`.

        What costs nothing is checked first, and the driver before any TensorRT object exists: file,
        sidecar, hash, precision, batch, driver, GPU, package, version, CUDA, engine, tensors, arithmetic.

        Args:
            model: .engine or .plan from `engine_build tensorrt`, and the sidecar beside it.
            precision: "auto"; an engine runs in what it was built for, FP16.
            max_batch: the most crops one call may hold.
            graphs: replay each bucket from a CUDA graph, which spares the host the launches.

        Raises:
            ModelError: no such file, damaged, no sidecar, or another one's.
            BackendError: no driver or GPU, an engine for another machine or version, or one that computes
                wrongly here.
            MissingDependency: TensorRT or cuda-bindings is not installed, or does not load.
        """
        sidecar = read_engine_sidecar(model)
        if precision != "auto":
            raise BackendError(
                f"cannot run {model.name} in {precision}: an engine runs in the precision it was built for, "
                f"fp16; choose --precision auto, or another --backend"
            )
        if max_batch > sidecar.batch.max:
            raise BackendError(
                f"{model.name} takes at most {sidecar.batch.max} faces at once, expected {max_batch}; choose "
                f"--max-batch {sidecar.batch.max}, or build it again with --max {max_batch}"
            )
        check_machine(sidecar, find_gpu(), model.name)
        trt = load_tensorrt(sidecar.backend)
        check_version(sidecar, str(trt.__version__), model.name)
        self.spec = sidecar.spec
        self.backend: str = sidecar.backend
        self.precision: Precision = "fp16"
        self.max_batch = self.best_batch = max_batch
        self._trt = trt
        self._name = model.name
        self._buckets = sidecar.batch.buckets
        self._graphs: dict[int, Any] = {}
        self._turn = 0
        with ExitStack() as undo:
            cuda = Cuda(extra=sidecar.backend)
            undo.callback(cuda.close)
            self._cuda: Cuda | None = cuda
            self.cuda_version = cuda.version
            """Of the CUDA runtime in use."""
            self._log = collecting_log(trt)
            self._engine: Any = _deserialize(trt, self._log, model)
            _check_tensors(self._engine, sidecar.spec, model.name)
            self._context: Any = self._engine.create_execution_context()
            if self._context is None:
                raise BackendError(
                    f"the GPU has no room for {model.name}: {self._reasons()}; close what else uses the GPU"
                )
            self._reserve(cuda)
            self.parity = self._warm_up(sidecar, graphs=graphs)
            """Every bucket up to max_batch against FP32, as measured when it was loaded."""
            undo.pop_all()

    def score(self, faces: Image) -> Scores:
        """Logit and evidence map of each crop; see `stages.Scorer`.

        Raises:
            ValueError: another shape or dtype than the contract's, or more crops than max_batch.
            BackendError: the scorer is closed, or the GPU refused.
        """
        if self._cuda is None:
            raise BackendError("this TensorRT scorer is closed; make a new one")
        check_crops(faces, size_px=self.spec.contract.input_px, max_batch=self.max_batch)
        return self._run(self._cuda, faces)

    def layers_json(self) -> str:
        """What TensorRT made of each layer: the engine inspector's JSON.

        Raises:
            BackendError: the scorer is closed.
        """
        if self._engine is None:
            raise BackendError("this TensorRT scorer is closed; make a new one")
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def close(self) -> None:
        """Free the engine and everything on the GPU. Calling it twice is fine."""
        cuda, self._cuda = self._cuda, None
        if cuda is None:
            return
        self._graphs.clear()
        self._slots: list[_Slot] = []
        try:
            cuda.finish(self._stream)
        finally:
            self._context = self._engine = None
            cuda.close()

    def _run(self, cuda: Cuda, faces: Image) -> Scores:
        number = len(faces)
        bucket = next(size for size in self._buckets if size >= number)
        slot = self._slots[self._turn]
        self._turn = (self._turn + 1) % _SLOTS
        cuda.wait(slot.done)
        slot.faces[:number] = faces
        cuda.upload(self._at.faces, slot.faces[:bucket], self._stream)
        if bucket in self._graphs:
            cuda.launch(self._graphs[bucket], self._stream)
        else:
            self._enqueue(bucket)
        cuda.download(slot.logit[:number], self._at.logit, self._stream)
        cuda.download(slot.evidence[:number], self._at.evidence, self._stream)
        cuda.record(slot.done, self._stream)
        cuda.wait(slot.done)
        return Scores(logit=slot.logit[:number].copy(), evidence=slot.evidence[:number].copy())

    def _enqueue(self, bucket: int) -> None:
        size = self.spec.contract.input_px
        shaped = self._context.set_input_shape(INPUT_NAME, (bucket, size, size, 3))
        # Unchecked, a refused launch would leave the last batch's results to be read as this one's.
        if not shaped or not self._context.execute_async_v3(int(self._stream)):
            raise BackendError(
                f"{self._name} refused a batch of {bucket}: {self._reasons()}; build it again, or choose "
                f"--backend openvino"
            )

    def _reserve(self, cuda: Cuda) -> None:
        """All the memory this scorer will ever use."""
        size, cells = self.spec.contract.input_px, self.spec.contract.evidence_cells
        most = next(bucket for bucket in self._buckets if bucket >= self.max_batch)
        self._stream = cuda.stream()
        self._slots = [
            _Slot(
                faces=cuda.pinned((most, size, size, 3), np.uint8),
                logit=cuda.pinned((most,), np.float32),
                evidence=cuda.pinned((most, cells, cells), np.float32),
                done=cuda.event(),
            )
            for _ in range(_SLOTS)
        ]
        for slot in self._slots:
            slot.faces.fill(0)
        first = self._slots[0]
        self._at = _Addresses(*(cuda.allocate(array.nbytes) for array in first[:3]))
        for name, address in zip((INPUT_NAME, LOGIT_NAME, EVIDENCE_NAME), self._at, strict=True):
            if not self._context.set_tensor_address(name, address):
                raise BackendError(
                    f"{self._name} refused the memory for {name}: {self._reasons()}; build it again"
                )

    def _warm_up(self, sidecar: EngineSidecar, *, graphs: bool) -> tuple[BucketParity, ...]:
        """Run every bucket that will be used and hold it to FP32."""
        assert self._cuda is not None
        crops = warm_up_crops(self.spec.contract.input_px)
        found = []
        for bucket in self._buckets:
            if bucket > len(self._slots[0].faces):
                break
            rows = np.arange(bucket) % len(crops)
            logit = self._run(self._cuda, crops[rows]).logit
            worst = check_warm_up(sidecar, logit, rows, self._name)
            if graphs:  # a first run allocates, which a capture does not allow: it came before
                self._cuda.begin_capture(self._stream)
                try:
                    self._enqueue(bucket)
                finally:
                    graph = self._cuda.end_capture(self._stream)
                self._graphs[bucket] = graph
                replayed = self._run(self._cuda, crops[np.roll(rows, 1)]).logit
                worst = max(worst, check_warm_up(sidecar, replayed, np.roll(rows, 1), self._name))
            found.append(BucketParity(batch=bucket, max_dlogit=worst))
        return tuple(found)

    def _reasons(self) -> str:
        return last_words(self._log)


def load_tensorrt(backend: EngineBackend) -> Any:
    """The package of a back-end. Call `driver.find_gpu` first where an engine shall run.

    Raises:
        MissingDependency: it is not installed, or its libraries do not load.
    """
    why = "TensorRT" if backend == "tensorrt" else "TensorRT-RTX"
    return require(TENSORRT_MODULES[backend], why=f"the back-end {why}", extra=backend)


def collecting_log(trt: Any) -> Any:
    """A TensorRT logger that keeps warnings and errors in `said`: TensorRT gives its reasons nowhere else."""

    class Log(trt.ILogger):  # type: ignore[misc]  # the module is known only at run time
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.WARNING:
                self.said.append(" ".join(text.split()))

    return Log()


def last_words(log: Any) -> str:
    """The last that TensorRT said, for a sentence."""
    return str(log.said[-1]) if log.said else "TensorRT gave no reason"


def _deserialize(trt: Any, log: Any, model: Path) -> Any:
    try:
        runtime = trt.Runtime(log)
    except TypeError as error:  # how its bindings say that the constructor returned nothing
        raise BackendError(
            f"TensorRT {trt.__version__} does not start: {last_words(log)}; update the NVIDIA driver, or "
            f"choose --backend openvino"
        ) from error
    engine = runtime.deserialize_cuda_engine(model.read_bytes())
    if engine is None:
        raise ModelError(
            f"TensorRT {trt.__version__} cannot load {model.name}: {last_words(log)}; build it again with: "
            f"python -m engine_build tensorrt"
        )
    return engine


def _check_tensors(engine: Any, spec: ModelSpec, where: str) -> None:
    """Hold the engine's inputs and outputs against the contract."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    tensors = {
        name: (
            _NUMPY_NAMES.get(engine.get_tensor_dtype(name).name, engine.get_tensor_dtype(name).name.lower()),
            tuple(None if side < 0 else int(side) for side in engine.get_tensor_shape(name)),
        )
        for name in names
    }
    inputs = {name: tensors[name] for name in names if engine.get_tensor_mode(name).name == "INPUT"}
    outputs = {name: tensors[name] for name in names if name not in inputs}
    check_graph(spec, where, inputs, outputs)
