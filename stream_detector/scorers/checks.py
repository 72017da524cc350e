"""What every back-end checks the same way: the batch it is given, and the spec inside an ONNX file."""

import json

import numpy as np

from stream_detector.errors import ModelError
from stream_detector.model_spec import METADATA_KEY, ModelSpec, parse_spec
from stream_detector.records import Image


def check_crops(faces: Image, *, size_px: int, max_batch: int) -> None:
    """Refuse a batch that the contract does not allow.

    Raises:
        ValueError: not (n, size_px, size_px, 3) uint8 with 1 <= n <= max_batch.
    """
    if faces.dtype != np.uint8 or faces.ndim != 4 or faces.shape[1:] != (size_px, size_px, 3):
        raise ValueError(f"crops must be (n, {size_px}, {size_px}, 3) uint8, got {faces.shape} {faces.dtype}")
    if not 1 <= len(faces) <= max_batch:
        raise ValueError(f"a batch holds 1 to {max_batch} crops, got {len(faces)}")


def check_metadata(text: str | None, spec: ModelSpec, where: str) -> None:
    """Hold the spec inside an ONNX file against its sidecar.

    Args:
        text: what the file holds under METADATA_KEY; None where it holds nothing.
        spec: the sidecar.
        where: names the file in the error.

    Raises:
        ModelError: there is none, it is damaged, or it differs.
    """
    if text is None:
        raise ModelError(
            f"{where} holds no model spec: expected one in its metadata under {METADATA_KEY!r}; "
            f"export it with engine_build"
        )
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ModelError(
            f"the model spec in {where} is damaged: expected JSON, found {error}; export the model again"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"the model spec in {where} is damaged: expected a JSON object, found {type(content).__name__}; "
            f"export the model again"
        )
    inside, beside = parse_spec(content, where), spec.without_files()
    if spec.calibration is not None:  # its band holds for calibrated scores, and is in the sidecar alone
        beside = beside.model_copy(update={"band": inside.band})
    if inside != beside:
        fields = [name for name in ModelSpec.model_fields if getattr(inside, name) != getattr(beside, name)]
        raise ModelError(
            f"{where} and its sidecar do not belong together: they differ in {', '.join(fields)}; "
            f"export the model again"
        )
