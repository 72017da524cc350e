"""What is written beside a TensorRT engine, and why an engine is refused."""

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream_detector.errors import BackendError, ModelError
from stream_detector.model_spec import ModelSpec, Sha256, file_sha256
from stream_detector.records import Image
from stream_detector.scorers.driver import Gpu

EngineBackend = Literal["tensorrt", "tensorrt-rtx"]

BUCKETS = (1, 2, 4, 8, 16, 32, 64)
"""The batch sizes an engine really runs; a batch is padded to the next."""
LOGIT_TOLERANCE = 0.1
"""Largest |difference of logit| to FP32 on `warm_up_crops`. FP16 arithmetic on a CPU was off by 0.0006 with
the packaged model, whose neighbouring crops lie 0.16 and more apart: swapped rows are noticed too."""
RTX_COMPUTE_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""What TensorRT-RTX serves."""
_WARM_UP_CROPS = 8
_REBUILD = "build it again here with: python -m engine_build tensorrt"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TensorPrecision(_Frozen):
    """In which types the engine computes."""

    body: Literal["fp16"] = "fp16"
    """Every convolution."""
    head: Literal["fp32"] = "fp32"
    """Pooling, dense layer and evidence."""


class EngineTensor(_Frozen):
    """One input or output."""

    name: str
    dtype: str
    """As numpy names it."""
    shape: tuple[int, ...]
    """-1: the batch."""


class BatchProfile(_Frozen):
    """The optimisation profile."""

    min: Literal[1] = 1
    opt: Annotated[int, Field(ge=1, le=64)] = 32
    """What the builder tunes for."""
    max: Annotated[int, Field(ge=1, le=64)] = 64

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.opt > self.max or self.max not in BUCKETS:
            raise ValueError(f"expected opt <= max and max one of {BUCKETS}, got {self.opt} and {self.max}")
        return self

    @property
    def buckets(self) -> tuple[int, ...]:
        """The batch sizes that run."""
        return tuple(bucket for bucket in BUCKETS if bucket <= self.max)


class BuildFlags(_Frozen):
    """How it was built. The three that could make an engine run elsewhere, or run code, stay off."""

    strongly_typed: Literal[True] = True
    hardware_compatibility: Literal["none"] = "none"
    version_compatible: Literal[False] = False
    host_code: Literal[False] = False
    optimization_level: Annotated[int, Field(ge=0, le=5)] | None
    """Of the builder; None for TensorRT-RTX, which has none."""


class BucketParity(_Frozen):
    """One batch size against FP32."""

    batch: int
    max_dlogit: float
    """Largest |difference of logit|."""


class EngineSidecar(_Frozen):
    """Everything that is known of an engine."""

    format: Literal[1] = 1
    backend: EngineBackend
    trt_version: str
    gpu: str | None
    """Which it was built on and for; None: TensorRT-RTX builds for no one GPU."""
    compute_capability: str | None
    driver_cuda: str | None
    """CUDA version of the driver it was built with. For reports: an engine does not depend on it."""
    cuda_runtime: str | None
    """CUDA version of the runtime it was checked with; likewise."""
    os: str
    arch: str
    onnx_sha256: Sha256
    plan_sha256: Sha256
    precision: TensorPrecision = TensorPrecision()
    io: tuple[EngineTensor, ...]
    batch: BatchProfile
    contract_sha256: Sha256
    spec: ModelSpec
    """Of the ONNX file, with the engine's own format and hash."""
    flags: BuildFlags
    built_at: str
    """UTC, ISO 8601."""
    build_seconds: Annotated[float, Field(ge=0)]
    warm_up_logits: tuple[float, ...]
    """What FP32 answers to `warm_up_crops`."""
    logit_tolerance: Annotated[float, Field(gt=0)] = LOGIT_TOLERANCE
    parity: tuple[BucketParity, ...] | Literal["not run"]
    """Every bucket against FP32 on `warm_up_crops`; "not run": no GPU here could run it, so whoever loads
    it measures first."""

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON of everything above; the file holds it as `sidecar_sha256`."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def engine_sidecar_path(engine: Path) -> Path:
    """x.engine -> x.engine.json: x.json is the ONNX file's."""
    return engine.with_name(engine.name + ".json")


def engine_path(onnx: Path, backend: EngineBackend, *, folder: Path | None = None) -> Path:
    """Where the engine of an ONNX file lies: x.engine or x.rtx.engine, beside it or in `folder`."""
    suffix = ".engine" if backend == "tensorrt" else ".rtx.engine"
    return (folder or onnx.parent) / (onnx.stem + suffix)


def engine_cache() -> Path:
    """Where the engines of the packaged model lie, since the package itself may be read-only."""
    if platform.system() == "Windows":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "stream-detector"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stream-detector"


def write_engine_sidecar(engine: Path, sidecar: EngineSidecar) -> None:
    """Write it beside `engine`, sealed with its own hash."""
    content = {**sidecar.model_dump(mode="json"), "sidecar_sha256": sidecar.sha256}
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    engine_sidecar_path(engine).write_text(text, encoding="utf-8")


def read_engine_sidecar(engine: Path) -> EngineSidecar:
    """Read the sidecar of `engine`, and hold the engine's bytes against it.

    Raises:
        ModelError: no engine, no sidecar, an edited one, one of another version, or other bytes.
    """
    if not engine.is_file():
        raise ModelError(f"cannot find the engine {engine}: expected a file; check the path, or {_REBUILD}")
    path = engine_sidecar_path(engine)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"cannot load {engine.name}: its sidecar {path.name} is missing from {path.parent}, and an "
            f"engine is not loaded on trust; copy it from where the engine came from, or {_REBUILD}"
        ) from None
    except (ValueError, OSError) as error:
        raise ModelError(
            f"cannot read the sidecar {path}: expected JSON, found {error}; restore it, or {_REBUILD}"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"cannot read the sidecar {path}: expected a JSON object, found {type(content).__name__}; "
            f"restore it, or {_REBUILD}"
        )
    stated = content.pop("sidecar_sha256", None)
    try:
        sidecar = EngineSidecar.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ModelError(
            f"the sidecar {path.name} does not fit this program: field {field}: {first['msg']} "
            f"(found {str(first.get('input'))[:60]!r}); {_REBUILD}"
        ) from error
    if stated != sidecar.sha256:
        raise ModelError(
            f"the sidecar {path.name} was edited: its contents hash to {sidecar.sha256[:12]}…, it states "
            f"{str(stated)[:12]}…; restore it, or {_REBUILD}"
        )
    found = file_sha256(engine)
    if found != sidecar.plan_sha256:
        raise ModelError(
            f"{engine.name} is not the engine its sidecar was written for: its hash is {found[:12]}…, "
            f"expected {sidecar.plan_sha256[:12]}…; restore it, or {_REBUILD}"
        )
    if sidecar.contract_sha256 != sidecar.spec.contract.sha256:
        raise ModelError(
            f"the sidecar {path.name} contradicts itself: it states contract "
            f"{sidecar.contract_sha256[:12]}…, its spec has {sidecar.spec.contract.sha256[:12]}…; {_REBUILD}"
        )
    return sidecar


def check_machine(sidecar: EngineSidecar, gpu: Gpu, where: str) -> None:
    """Refuse an engine that was built for another machine.

    Raises:
        BackendError: another system, GPU or compute capability; the sentence names the first.
    """
    built_for = [
        ("operating system", sidecar.os, platform.system()),
        ("processor architecture", sidecar.arch, platform.machine()),
        ("compute capability", sidecar.compute_capability, gpu.compute_capability),
        ("GPU", sidecar.gpu, gpu.name),
    ]
    for what, expected, found in built_for:
        if expected not in (None, found):
            raise BackendError(
                f"{where} was built for another {what}: expected {expected}, found {found}; {_REBUILD}"
            )
    if sidecar.backend == "tensorrt-rtx":
        check_rtx(gpu)


def check_rtx(gpu: Gpu) -> None:
    """Refuse a GPU that TensorRT-RTX does not serve.

    Raises:
        BackendError: it is one.
    """
    if gpu.compute_capability not in RTX_COMPUTE_CAPABILITIES:
        raise BackendError(
            f"TensorRT-RTX does not serve {gpu.name} (compute capability {gpu.compute_capability}): expected "
            f"one of {', '.join(RTX_COMPUTE_CAPABILITIES)}; choose --backend tensorrt"
        )


def check_version(sidecar: EngineSidecar, found: str, where: str) -> None:
    """Refuse an engine of another TensorRT.

    Raises:
        BackendError: it is.
    """
    if found != sidecar.trt_version:
        raise BackendError(
            f"{where} was built by {sidecar.backend} {sidecar.trt_version}, installed is {found}: an engine "
            f"runs only under the version that built it; {_REBUILD}"
        )


def warm_up_crops(size_px: int) -> Image:
    """Coloured tiles that fade into slopes, the same on every machine: whole numbers, with no resizing.

    Returns:
        (8, size_px, size_px, 3) uint8 RGB.
    """
    crop, y, x, channel = np.ogrid[:_WARM_UP_CROPS, :size_px, :size_px, :3]
    tile = 4 << (crop % 4)  # from fine to coarse
    mixed = (crop * 7919 + (y // tile) * 104729 + (x // tile) * 1299709 + channel * 15485863) * 2654435761
    slope = (x * (1 + crop) + y * (8 - crop) + channel * 40) * 255 // (9 * size_px) % 256
    share = crop * 36
    return np.asarray(((mixed >> 16 & 255) * (256 - share) + slope * share) >> 8, np.uint8)


def check_warm_up(
    sidecar: EngineSidecar, found: npt.NDArray[np.float32], rows: npt.NDArray[np.intp], where: str
) -> float:
    """Hold the logits of one batch against FP32.

    Args:
        found: (n,).
        rows: (n,), which of `warm_up_crops` each was.

    Returns:
        The largest |difference of logit|.

    Raises:
        BackendError: it is larger than the sidecar allows, or not a number.
    """
    expected = np.asarray(sidecar.warm_up_logits, np.float64)[rows]
    worst = float(np.max(np.abs(found.astype(np.float64) - expected)))
    if not worst <= sidecar.logit_tolerance:  # also where it is not a number
        raise BackendError(
            f"{where} computes wrongly on this GPU: at batch {len(found)} its logits differ from FP32 by up "
            f"to {worst:.3g}, expected at most {sidecar.logit_tolerance:g}; {_REBUILD}, or choose "
            f"--backend openvino"
        )
    return worst
