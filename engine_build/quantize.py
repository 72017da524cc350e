"""FP32 ONNX to an INT8 IR for OpenVINO, by NNCF on calibration crops."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from engine_build.degrade import degrade
from engine_build.face_crops import StoredFace, cut_stored
from engine_build.self_blend import self_blend
from stream_detector.errors import ModelError
from stream_detector.model_spec import INPUT_NAME, METADATA_KEY, ModelSpec, write_sidecar
from stream_detector.optional import require
from stream_detector.records import Image
from stream_detector.scorers.openvino_scorer import CONTRACT_KEY

CALIBRATION_FACES = 400
"""Calibration crops. A quarter are self-blends: fakes reach activations no real face does, and ranges
learned on reals alone cut them off (correlation of logits .97 instead of .99)."""


def quantize(fp32_onnx: Path, crops: Image, path: Path, spec: ModelSpec) -> ModelSpec:
    """Write `path` (.xml, with .bin and sidecar beside it).

    Weights are symmetric per channel; activations are asymmetric where they have both signs, per channel
    before depthwise convolutions; ranges come from histograms, because the mean of minima and maxima
    cuts strong evidence off. The additions of the residual stream stay in FP32, and so does the head:
    rounding there would part the logit from the evidence it is the mean of. Biases are corrected.

    Args:
        fp32_onnx: from `export_onnx`.
        crops: (n, S, S, 3) uint8 RGB, calibration only; never those parity is measured on.
        spec: of the result: format "openvino", precision "int8".

    Returns:
        `spec` with the hashes of both files.

    Raises:
        ModelError: `path` is no .xml, or the spec is for something else.
        MissingDependency: nncf or openvino is not installed.
    """
    if path.suffix != ".xml" or spec.format != "openvino" or spec.precision != "int8":
        raise ModelError(
            f"cannot quantize into {path.name} as {spec.format} {spec.precision}: expected an .xml "
            f"with a spec for openvino int8"
        )
    openvino = require("openvino", why="quantizing")  # before nncf, which would import it with telemetry
    nncf = require("nncf", why="quantizing", extra="build")
    nncf.set_log_level(logging.ERROR)  # it would warn of every per-channel range, which are meant
    estimators = require("nncf.quantization.range_estimator", why="quantizing", extra="build")
    graph = openvino.Core().read_model(str(fp32_onnx))
    names = [op.get_friendly_name() for op in graph.get_ops()]
    kept = [name for name in names if name.endswith(".add") or name.startswith("head.")]
    quantized = nncf.quantize(
        graph,
        nncf.Dataset([crop[None] for crop in crops]),
        subset_size=len(crops),
        preset=nncf.QuantizationPreset.MIXED,
        target_device=nncf.TargetDevice.CPU,
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=kept),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=estimators.RangeEstimatorParametersSet.HISTOGRAM
        ),
    )
    quantized.set_rt_info(spec.contract.sha256, [METADATA_KEY, CONTRACT_KEY])
    quantized.inputs[0].get_tensor().set_names({INPUT_NAME})
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(quantized, str(path), compress_to_fp16=False)
    return write_sidecar(path, spec.without_files(), [path, path.with_suffix(".bin")])


def model_crops(
    faces: Iterable[StoredFace], *, margin: float, size_px: int, seed: int, degraded: bool, fake: bool = False
) -> Image:
    """Stored faces as the model would see them.

    Args:
        degraded: after what a stream does to a face; the crop is degraded, then scaled once.
        fake: self-blends of the faces.

    Returns:
        (n, size_px, size_px, 3) uint8 RGB; the same for the same seed.
    """
    crops = []
    for number, face in enumerate(faces):
        rng = np.random.default_rng([seed, number])
        picture = face.picture()
        if fake:
            picture = self_blend(picture, face.landmarks, rng)
        if degraded:
            side = round(picture.shape[0] * margin / 1.8)
            crops.append(_scaled(degrade(cut_stored(picture, margin=margin, size_px=side), rng), size_px))
        else:
            crops.append(cut_stored(picture, margin=margin, size_px=size_px))
    return np.stack(crops)


def calibration_crops(faces: Sequence[StoredFace], *, margin: float, size_px: int, seed: int = 1) -> Image:
    """Crops for `quantize`: of every four, one clean, one degraded, one either, one a self-blend.

    Args:
        faces: of the training split; CALIBRATION_FACES of them are used, or all if there are fewer.

    Raises:
        ModelError: there is none.
    """
    chosen = list(faces[:CALIBRATION_FACES])
    if not chosen:
        raise ModelError("there is no face of the training split to calibrate on: check index.csv of --faces")
    parts = [
        model_crops(
            chosen[start::8],
            margin=margin,
            size_px=size_px,
            seed=seed + start,
            degraded=start % 2 == 1,
            fake=start >= 6,
        )
        for start in range(8)
        if chosen[start::8]
    ]
    return np.concatenate(parts)


def _scaled(picture: Image, size_px: int) -> Image:
    """One resize, as `crops.cut_face` does it."""
    method = cv2.INTER_AREA if picture.shape[0] > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (size_px, size_px), interpolation=method), dtype=np.uint8)
