"""One checkpoint to everything the detector ships: models, sidecars, parity, card, notice."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine_build.about import About
from engine_build.face_crops import StoredFace, read_faces
from engine_build.model_card import model_card
from engine_build.notice import notice
from engine_build.onnx_export import evidence_cells, export_onnx
from engine_build.operating_range import MIN_FACE_PX, measure_range
from engine_build.parity import Parity, measure_parity, parity_crops
from engine_build.quantize import CALIBRATION_FACES, calibration_crops, quantize
from engine_build.steps import SILENT, Steps
from engine_build.weights import Weights, build_detector
from engine_build.xception import Pooling
from stream_detector.errors import ModelError
from stream_detector.model_spec import Contract, ModelSpec, Quality, UncertainBand, write_sidecar
from stream_detector.scorers.openvino_scorer import OpenVinoScorer

MARGINS = {"full-range-sparse": 1.35, "short-range": 1.44}
"""1.35 is what training used, on boxes of the full-range model. The short-range model draws smaller
boxes: on 385 stored faces that both found, the full-range box was 1.065 times as large (median; 5th to
95th percentile .987 to 1.163), so 1.44 gives the same crop."""

_UNMEASURED = UncertainBand(low=0.3, high=0.7, source="not measured: exported on its own, without faces")
_UNMEASURED_QUALITY = Quality(
    min_face_px=MIN_FACE_PX, min_sharpness=0.0, source="not measured: exported on its own"
)


@dataclass(frozen=True, slots=True, eq=False)
class FaceSets:
    """The stored faces by what they may be used for; no face is in two of them."""

    calibration: Sequence[StoredFace]
    unused: Sequence[StoredFace]
    """Of the training split, not seen by calibration."""
    held_out: Sequence[StoredFace]


def split_faces(folder: Path) -> FaceSets:
    """Read the folder and deal its real faces out, always the same way.

    Raises:
        ModelError: the folder is not as `read_faces` expects, or has no held-out faces.
    """
    faces = [face for face in read_faces(folder) if face.label == 0]
    training = [face for face in faces if face.split == "train"]
    held_out = [face for face in faces if face.split == "val"]
    if not training or not held_out:
        raise ModelError(
            f"{folder} lists {len(training)} faces for training and {len(held_out)} for validation; "
            "expected some of each"
        )
    order = np.random.default_rng(0).permutation(len(training))
    shuffled = [training[i] for i in order]
    return FaceSets(
        calibration=shuffled[:CALIBRATION_FACES],
        unused=shuffled[CALIBRATION_FACES : 2 * CALIBRATION_FACES],
        held_out=held_out,
    )


def base_spec(weights: Weights, about: About) -> ModelSpec:
    """The spec of a checkpoint before anything was measured, for an FP32 ONNX file.

    Raises:
        ModelError: the checkpoint states another input size than its description.
    """
    if weights.input_px not in (None, about.input_px):
        raise ModelError(
            f"the checkpoint was trained at {weights.input_px} px, its description says {about.input_px}; "
            f"correct the description: at another size the scores mean little"
        )
    return ModelSpec(
        name=about.name,
        format="onnx",
        precision="fp32",
        contract=Contract(
            input_px=about.input_px, margins=MARGINS, evidence_cells=evidence_cells(about.input_px)
        ),
        band=_UNMEASURED,
        quality=_UNMEASURED_QUALITY,
        source_weights_sha256=weights.sha256,
        trained_on=about.trained_on,
        terms=about.terms,
    )


def make_package(
    weights: Weights,
    about: About,
    faces: FaceSets,
    *,
    out: Path,
    parity_json: Path,
    pooling: Pooling | None = None,
    accuracy_aware: bool = False,
    steps: Steps = SILENT,
) -> Parity:
    """Write xception-int8.xml/.bin/.json, xception-fp16.onnx/.json, MODEL_CARD.md and NOTICE.md into `out`.

    Everything is made in a temporary folder first: a failure leaves `out` as it was.

    Args:
        out: the folder of packaged assets.
        parity_json: where the parity table goes.
        accuracy_aware: see `quantize`.
        steps: told what happens next, and how far it is.

    Returns:
        The parity table; its gates may have been missed: look.

    Raises:
        ModelError: the checkpoint or the faces do not do.
    """
    model = build_detector(weights, pooling=pooling)
    spec = base_spec(weights, about)
    margin, size = MARGINS["full-range-sparse"], about.input_px
    with tempfile.TemporaryDirectory(prefix="engine-build-") as temporary:
        made = Path(temporary)
        fp32, fp16, int8 = (
            made / "xception-fp32.onnx",
            made / "xception-fp16.onnx",
            made / "xception-int8.xml",
        )
        steps.begin("FP32 export")
        export_onnx(model, fp32, spec)
        crops = calibration_crops(faces.calibration, margin=margin, size_px=size, steps=steps)
        int8_spec = spec.model_copy(update={"format": "openvino", "precision": "int8"})
        quantize(fp32, crops, int8, int8_spec, accuracy_aware=accuracy_aware, steps=steps)
        with closing(OpenVinoScorer(int8, max_batch=16)) as scorer:
            found = measure_range(scorer, faces.held_out, margin=margin, training=faces.unused, steps=steps)
        measured = {"band": found.band, "quality": found.quality}
        int8_spec = write_sidecar(
            int8, int8_spec.model_copy(update=measured), [int8, int8.with_suffix(".bin")]
        )
        steps.begin("FP16 export")
        export_onnx(model, fp16, spec.model_copy(update={"precision": "fp16", **measured}))
        real, fake = parity_crops(faces.held_out, faces.unused, margin=margin, size_px=size, steps=steps)
        parity = measure_parity(
            model, fp32_onnx=fp32, fp16_onnx=fp16, int8_xml=int8, real=real, fake=fake, steps=steps
        )
        (made / "MODEL_CARD.md").write_text(model_card(about, int8_spec, found, parity), encoding="utf-8")
        for path in [fp32, fp32.with_suffix(".json")]:
            path.unlink()
        out.mkdir(parents=True, exist_ok=True)
        for path in sorted(made.iterdir()):
            shutil.copyfile(path, out / path.name)
    (out / "NOTICE.md").write_text(notice(out, about, weights.sha256), encoding="utf-8")
    write_parity(parity, parity_json)
    return parity


def write_parity(parity: Parity, path: Path) -> None:
    """The table as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(parity.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
