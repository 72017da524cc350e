"""The few CUDA calls that scoring needs, every return value checked."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_detector.errors import BackendError
from stream_detector.optional import require
from stream_detector.scorers.driver import cuda_version

_DRIVER_TOO_OLD = 35
"""cudaErrorInsufficientDriver."""


class Cuda:
    """CUDA's runtime through cuda-bindings, on device 0. Used by one thread.

    Whatever it allocates it also frees, in `close`.
    """

    def __init__(self, *, extra: str) -> None:
        """Load the bindings and start the runtime. Call `driver.find_gpu` first.

        Args:
            extra: the extra of this package that brings the bindings.

        Raises:
            MissingDependency: cuda-bindings is not installed, or does not load.
            BackendError: the driver is too old for it, or finds no GPU.
        """
        self._runtime: Any = require("cuda.bindings.runtime", why="running on an NVIDIA GPU", extra=extra)
        self._pinned: list[int] = []
        self._device: list[int] = []
        self._streams: list[Any] = []
        self._events: list[Any] = []
        self._graphs: list[Any] = []
        self.version = cuda_version(self._call("cudaRuntimeGetVersion"))
        """Of the runtime, "12.8"."""
        code, _ = self._runtime.cudaGetDeviceCount()
        if int(code) == _DRIVER_TOO_OLD:
            has = cuda_version(self._call("cudaDriverGetVersion"))
            major = self.version.partition(".")[0]
            raise BackendError(
                f"the NVIDIA driver is too old: it serves CUDA {has}, cuda-bindings is made for CUDA "
                f"{self.version}; update the driver, or pip install 'cuda-bindings<{major}'"
            )
        self._call("cudaSetDevice", 0)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array in page-locked memory, from which copies run beside the host. Valid until `close`."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        address = int(self._call("cudaHostAlloc", size, self._runtime.cudaHostAllocDefault))
        self._pinned.append(address)
        memory = (ctypes.c_uint8 * size).from_address(address)
        array: npt.NDArray[Any] = np.ctypeslib.as_array(memory).view(kind).reshape(shape)
        return array

    def allocate(self, size: int) -> int:
        """The address of `size` bytes on the GPU. Valid until `close`."""
        address = int(self._call("cudaMalloc", size))
        self._device.append(address)
        return address

    def stream(self) -> Any:
        """A stream that does not wait for the default one."""
        stream = self._call("cudaStreamCreateWithFlags", self._runtime.cudaStreamNonBlocking)
        self._streams.append(stream)
        return stream

    def event(self) -> Any:
        """An event without a clock."""
        event = self._call("cudaEventCreateWithFlags", self._runtime.cudaEventDisableTiming)
        self._events.append(event)
        return event

    def upload(self, to: int, source: npt.NDArray[Any], stream: Any) -> None:
        """Queue a copy from pinned memory to the GPU."""
        self._copy(to, source.ctypes.data, source.nbytes, "cudaMemcpyHostToDevice", stream)

    def download(self, to: npt.NDArray[Any], source: int, stream: Any) -> None:
        """Queue a copy from the GPU to pinned memory."""
        self._copy(to.ctypes.data, source, to.nbytes, "cudaMemcpyDeviceToHost", stream)

    def record(self, event: Any, stream: Any) -> None:
        """Have `event` mark what `stream` holds so far."""
        self._call("cudaEventRecord", event, stream)

    def wait(self, event: Any) -> None:
        """Wait until everything before `event` is done."""
        self._call("cudaEventSynchronize", event)

    def finish(self, stream: Any) -> None:
        """Wait until everything in `stream` is done."""
        self._call("cudaStreamSynchronize", stream)

    def begin_capture(self, stream: Any) -> None:
        """From here on record what `stream` is given, instead of running it."""
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: Any) -> Any:
        """What was recorded, ready for `launch`."""
        graph = self._call("cudaStreamEndCapture", stream)
        try:
            ready = self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)
        self._graphs.append(ready)
        return ready

    def launch(self, graph: Any, stream: Any) -> None:
        """Queue everything that was recorded."""
        self._call("cudaGraphLaunch", graph, stream)

    def close(self) -> None:
        """Wait for what is still queued, and free everything. Calling it twice is fine.

        Raises:
            BackendError: CUDA refused a call; the first is told, the others were tried all the same.
        """
        refused: BackendError | None = None
        # The GPU may still be reading what is about to be freed.
        calls: list[tuple[str, Any]] = [("cudaStreamSynchronize", stream) for stream in self._streams]
        for function, held in (
            ("cudaGraphExecDestroy", self._graphs),
            ("cudaEventDestroy", self._events),
            ("cudaStreamDestroy", self._streams),
            ("cudaFree", self._device),
            ("cudaFreeHost", self._pinned),
        ):
            calls += [(function, one) for one in held]
            held.clear()
        for function, one in calls:
            try:
                self._call(function, one)
            except BackendError as error:
                refused = refused or error
        if refused is not None:
            raise refused

    def _copy(self, to: int, source: int, size: int, kind: str, stream: Any) -> None:
        self._call("cudaMemcpyAsync", to, source, size, getattr(self._runtime.cudaMemcpyKind, kind), stream)

    def _call(self, function: str, *arguments: object) -> Any:
        code, *results = getattr(self._runtime, function)(*arguments)
        if int(code) != 0:
            raise BackendError(
                f"CUDA refused {function}: {code.name} ({int(code)}), expected success; free the GPU or "
                f"check nvidia-smi, or choose --backend openvino"
            )
        return results[0] if results else None
