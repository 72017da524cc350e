"""The NVIDIA driver, asked before any library that dies without one."""

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

from stream_detector.errors import BackendError

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of CUDA's driver API."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU of this machine, the one everything here runs on."""

    name: str
    """As the driver calls it, "NVIDIA GeForce RTX 4090"."""
    compute_capability: str
    """ "8.9"."""
    driver_cuda: str
    """The newest CUDA version that the driver serves, "12.8"."""


def find_gpu() -> Gpu:
    """Ask the driver for its first GPU.

    Needs no package and touches no TensorRT object: creating one without a driver can end the process
    with a segmentation fault.

    Raises:
        BackendError: there is no driver, it does not start, or it has no GPU.
    """
    try:
        driver = load_driver()
    except OSError as error:
        raise BackendError(
            f"this machine has no NVIDIA driver: {_LIBRARY} does not load ({error}); install the driver, "
            f"or choose --backend openvino"
        ) from error
    _ask(driver, "cuInit", 0)
    count, version, device, major, minor = (ctypes.c_int(0) for _ in range(5))
    _ask(driver, "cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        raise BackendError(
            "the NVIDIA driver finds no GPU here: expected at least one (in a container: started with "
            "--gpus); choose --backend openvino otherwise"
        )
    name = ctypes.create_string_buffer(256)
    _ask(driver, "cuDriverGetVersion", ctypes.byref(version))
    _ask(driver, "cuDeviceGet", ctypes.byref(device), 0)
    _ask(driver, "cuDeviceGetName", name, len(name), device)
    _ask(driver, "cuDeviceGetAttribute", ctypes.byref(major), _MAJOR, device)
    _ask(driver, "cuDeviceGetAttribute", ctypes.byref(minor), _MINOR, device)
    return Gpu(
        name=name.value.decode(errors="replace"),
        compute_capability=f"{major.value}.{minor.value}",
        driver_cuda=cuda_version(version.value),
    )


def cuda_version(number: int) -> str:
    """CUDA's own number for a version, 12080, as people write it, "12.8"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def load_driver() -> Any:
    """The driver's library.

    Raises:
        OSError: there is none.
    """
    return ctypes.CDLL(_LIBRARY)


def _ask(driver: Any, function: str, *arguments: object) -> None:
    code = getattr(driver, function)(*arguments)
    if code != 0:
        raise BackendError(
            f"the NVIDIA driver does not work: {function} answered error {code}, expected 0; check "
            f"nvidia-smi, reinstall the driver, or choose --backend openvino"
        )
