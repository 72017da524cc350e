"""FP32 ONNX to an INT8 IR for OpenVINO, by NNCF on calibration crops."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine_build.degrade import degrade
from engine_build.face_crops import StoredFace, cut_stored
from engine_build.gates import GATES
from engine_build.self_blend import self_blend
from engine_build.steps import SILENT, Steps
from stream_detector.errors import ModelError
from stream_detector.model_spec import INPUT_NAME, LOGIT_NAME, METADATA_KEY, ModelSpec, write_sidecar
from stream_detector.optional import require
from stream_detector.records import Image
from stream_detector.scorers.openvino_scorer import CONTRACT_KEY

CALIBRATION_FACES = 400
"""Calibration crops. A quarter are self-blends: fakes reach activations no real face does, and ranges
learned on reals alone cut them off (correlation of logits .97 instead of .99)."""


_ROOM = 0.8
"""How much of the gate the accuracy-aware way may use on its own crops, so that it holds on others too."""


def quantize(
    fp32_onnx: Path,
    crops: Image,
    path: Path,
    spec: ModelSpec,
    *,
    accuracy_aware: bool = False,
    steps: Steps = SILENT,
) -> ModelSpec:
    """Write `path` (.xml, with .bin and sidecar beside it).

    Weights are symmetric per channel; activations are asymmetric where they have both signs, per channel
    before depthwise convolutions; ranges come from histograms, because the mean of minima and maxima
    cuts strong evidence off. The additions of the residual stream stay in FP32, and so does the head:
    rounding there would part the logit from the evidence it is the mean of. Biases are corrected.

    Args:
        fp32_onnx: from `export_onnx`.
        crops: (n, S, S, 3) uint8 RGB, calibration only; never those parity is measured on.
        spec: of the result: format "openvino", precision "int8".
        accuracy_aware: put the layers that cost the most agreement back into floating point, one by one,
            until the gate of INT8 is kept on `crops`; where it is kept at once, nothing is put back.
        steps: told of each crop that is run for the ranges.

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
    loggers = logging.getLoggerClass()
    nncf = require("nncf", why="quantizing", extra="build")
    logging.setLoggerClass(loggers)  # it puts its own in place, for everybody's loggers
    # It would warn of every per-channel range, which are meant. Its set_log_level would also silence the
    # handlers of the caller.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    estimators = require("nncf.quantization.range_estimator", why="quantizing", extra="build")
    graph = openvino.Core().read_model(str(fp32_onnx))
    names = [op.get_friendly_name() for op in graph.get_ops()]
    kept = [name for name in names if name.endswith(".add") or name.startswith("head.")]
    options: dict[str, Any] = {
        "subset_size": len(crops),
        "preset": nncf.QuantizationPreset.MIXED,
        "target_device": nncf.TargetDevice.CPU,
        "fast_bias_correction": True,
        "ignored_scope": nncf.IgnoredScope(names=kept),
    }
    advanced = nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=estimators.RangeEstimatorParametersSet.HISTOGRAM
    )
    dataset = nncf.Dataset([crop[None] for crop in crops], _told(steps, "INT8 quantization", len(crops)))
    with redirect_stdout(StringIO()):  # NNCF draws bars of its own there
        if accuracy_aware:
            exact = openvino.Core().compile_model(
                graph, "CPU", {"INFERENCE_PRECISION_HINT": openvino.Type.f32}
            )
            quantized = nncf.quantize_with_accuracy_control(
                graph,
                calibration_dataset=dataset,
                validation_dataset=nncf.Dataset(list(enumerate(crops)), lambda numbered: numbered[1][None]),
                validation_fn=_agreement_with(_logits(exact, crops), steps),
                max_drop=_ROOM,
                drop_type=nncf.DropType.ABSOLUTE,
                advanced_quantization_parameters=advanced,
                **options,
            )
        else:
            quantized = nncf.quantize(graph, dataset, advanced_parameters=advanced, **options)
    quantized.set_rt_info(spec.contract.sha256, [METADATA_KEY, CONTRACT_KEY])
    quantized.inputs[0].get_tensor().set_names({INPUT_NAME})
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(quantized, str(path), compress_to_fp16=False)
    return write_sidecar(path, spec.without_files(), [path, path.with_suffix(".bin")])


def model_crops(
    faces: Iterable[StoredFace],
    *,
    margin: float,
    size_px: int,
    seed: int,
    degraded: bool,
    fake: bool = False,
    steps: Steps = SILENT,
) -> Image:
    """Stored faces as the model would see them.

    Args:
        degraded: after what a stream does to a face; the crop is degraded, then scaled once.
        fake: self-blends of the faces.
        steps: told of each crop.

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
        steps.advance()
    return np.stack(crops)


def calibration_crops(
    faces: Sequence[StoredFace], *, margin: float, size_px: int, seed: int = 1, steps: Steps = SILENT
) -> Image:
    """Crops for `quantize`: of every four, one clean, one degraded, one either, one a self-blend.

    Args:
        faces: of the training split; CALIBRATION_FACES of them are used, or all if there are fewer.

    Raises:
        ModelError: there is none.
    """
    chosen = list(faces[:CALIBRATION_FACES])
    if not chosen:
        raise ModelError("there is no face of the training split to calibrate on: check index.csv of --faces")
    steps.begin("calibration crops", len(chosen))
    parts = [
        model_crops(
            chosen[start::8],
            margin=margin,
            size_px=size_px,
            seed=seed + start,
            degraded=start % 2 == 1,
            fake=start >= 6,
            steps=steps,
        )
        for start in range(8)
        if chosen[start::8]
    ]
    return np.concatenate(parts)


def _told(steps: Steps, name: str, total: int) -> Callable[[Image], Image]:
    """Passes crops on to NNCF, and tells `steps` of each; NNCF goes on for a while after the last."""
    seen = 0

    def passed_on(crop: Image) -> Image:
        nonlocal seen
        if seen == 0:
            steps.begin(f"{name}: ranges", total)
        seen += 1
        steps.advance()
        if seen == total:
            steps.begin(f"{name}: biases")
        return crop

    return passed_on


def _agreement_with(
    reference: npt.NDArray[np.float64], steps: Steps
) -> Callable[[Any, Iterable[tuple[int, Image]]], tuple[float, None]]:
    """What NNCF holds against its largest drop: 1 minus the share of the gate that a model uses.

    Args:
        reference: logits in FP32, by the number of the crop; NNCF asks for some of them, or all.
    """

    def agreement(compiled: Any, numbered: Iterable[tuple[int, Image]]) -> tuple[float, None]:
        numbers, crops = zip(*numbered, strict=True)
        steps.begin("INT8 quantization: agreement with FP32", len(numbers))
        found, exact = _logits(compiled, np.stack(crops), steps), reference[list(numbers)]
        dp = np.abs(np.tanh(found / 2) - np.tanh(exact / 2)) / 2
        correlation = float(np.corrcoef(found, exact)[0, 1])
        # Not 0 for FP32 itself: NNCF divides by its figure.
        return 1 - GATES["int8"].used(mean_dp=float(dp.mean()), correlation=correlation), None

    return agreement


def _logits(compiled: Any, crops: Image, steps: Steps = SILENT) -> npt.NDArray[np.float64]:
    """(n,) logits of a compiled OpenVINO model."""
    found = []
    for crop in crops:
        found.append(float(compiled(crop[None])[LOGIT_NAME][0]))
        steps.advance()
    return np.array(found)


def _scaled(picture: Image, size_px: int) -> Image:
    """One resize, as `crops.cut_face` does it."""
    method = cv2.INTER_AREA if picture.shape[0] > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (size_px, size_px), interpolation=method), dtype=np.uint8)
