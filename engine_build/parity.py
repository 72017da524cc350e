"""How far each way of running the model is from the network in torch, on the same crops."""

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine_build.face_crops import StoredFace
from engine_build.gates import GATES
from engine_build.operating_range import logits, p_fake
from engine_build.quantize import model_crops
from engine_build.steps import SILENT, Steps
from engine_build.xception import Xception
from stream_detector.errors import BackendError
from stream_detector.optional import require
from stream_detector.records import Image
from stream_detector.scorers.onnx_scorer import OnnxScorer
from stream_detector.scorers.openvino_scorer import OpenVinoScorer
from stream_detector.stages import Scorer

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Agreement:
    """One way of running the model against the reference."""

    name: str
    mean_dp: float
    """Mean |difference of score| over the real crops."""
    max_dp: float
    mean_dlogit: float
    max_dlogit: float
    correlation: float
    """Pearson's, of the logits of the real crops."""
    auc: float
    """Real crops against self-blends."""
    auc_difference: float
    """To the reference's AUC."""
    passed: bool | None
    """Whether the gate of its precision holds; None where there is no gate."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The whole table, and what it was measured on."""

    real_crops: int
    fake_crops: int
    reference_auc: float
    rows: tuple[Agreement, ...]
    skipped: dict[str, str]
    """What could not run here, and why."""
    models: dict[str, str]
    """File name -> sha256 of the model."""
    machine: str
    versions: dict[str, str]
    measured_on: str
    """UTC date."""

    def as_json(self) -> dict[str, object]:
        """The same as plain lists and dictionaries."""
        return asdict(self)

    def as_markdown(self) -> str:
        """The table for people."""
        lines = [
            "| runs as | mean Δp | max Δp | mean Δlogit | max Δlogit | correlation | AUC | ΔAUC | gate |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        gate = {None: "", True: "passed", False: "MISSED"}
        lines += [
            f"| {r.name} | {r.mean_dp:.4f} | {r.max_dp:.4f} | {r.mean_dlogit:.4f} | {r.max_dlogit:.3f} | "
            f"{r.correlation:.5f} | {r.auc:.4f} | {r.auc_difference:+.4f} | {gate[r.passed]} |"
            for r in self.rows
        ]
        lines += [f"| {name} | {why} |" + " |" * 7 for name, why in self.skipped.items()]
        return "\n".join(lines) + "\n"


def parity_crops(
    held_out: Sequence[StoredFace],
    unused: Sequence[StoredFace],
    *,
    margin: float,
    size_px: int,
    steps: Steps = SILENT,
) -> tuple[Image, Image]:
    """Crops for `measure_parity`: real ones, and self-blends of the held-out.

    Args:
        held_out: faces of the val split: each once untouched.
        unused: training faces that calibration did not see: half of them degraded.
    """
    steps.begin("parity crops", 3 * len(held_out) + len(unused))

    def crops(faces: Sequence[StoredFace], seed: int, *, degraded: bool, fake: bool = False) -> Image:
        return model_crops(
            faces, margin=margin, size_px=size_px, seed=seed, degraded=degraded, fake=fake, steps=steps
        )

    real = [crops(held_out, 3, degraded=False)]
    real += [crops(part, 7, degraded=bool(n)) for n, part in enumerate((unused[::2], unused[1::2])) if part]
    fake = [crops(held_out, 5, degraded=False, fake=True), crops(held_out, 6, degraded=True, fake=True)]
    return np.concatenate(real), np.concatenate(fake)


def measure_parity(
    model: Xception,
    *,
    fp32_onnx: Path,
    fp16_onnx: Path,
    int8_xml: Path,
    real: Image,
    fake: Image,
    steps: Steps = SILENT,
) -> Parity:
    """Run everything on the same crops.

    Args:
        model: the reference, in torch FP32, BatchNorms unfolded.
        real, fake: (n, S, S, 3) uint8 RGB.
        steps: told the name of each row before it runs, and of every crop.
    """
    both = np.concatenate([real, fake])
    steps.begin("torch FP32", len(both))
    reference = _torch_logits(model, both, steps)
    rows: list[Agreement] = []
    skipped: dict[str, str] = {}
    models: dict[str, str] = {}
    reference_auc = _auc(reference, len(real))
    for name, path, open_scorer in _ways(fp32_onnx, fp16_onnx, int8_xml):
        steps.begin(name, len(both))
        try:
            scorer = open_scorer()
        except BackendError as error:
            skipped[name] = str(error)
            continue
        with closing(scorer):
            models[path.name] = scorer.spec.model_sha256
            found = logits(scorer, both, steps)
        rows.append(_compare(name, scorer.precision, found, reference, len(real), reference_auc))
    return Parity(
        real_crops=len(real),
        fake_crops=len(fake),
        reference_auc=reference_auc,
        rows=tuple(rows),
        skipped=skipped,
        models=models,
        machine=f"{platform.system()} {platform.machine()}, {_cpu_name()}",
        versions={name: version(name) for name in ("torch", "onnxruntime", "openvino", "nncf")},
        measured_on=datetime.now(UTC).date().isoformat(),
    )


def _ways(
    fp32_onnx: Path, fp16_onnx: Path, int8_xml: Path
) -> Iterator[tuple[str, Path, Callable[[], Scorer]]]:
    """Name, file and opener of everything that is compared."""
    yield "FP32, ONNX Runtime", fp32_onnx, lambda: OnnxScorer(fp32_onnx, max_batch=_BATCH)
    yield "FP16 weights, ONNX Runtime", fp16_onnx, lambda: OnnxScorer(fp16_onnx, max_batch=_BATCH)
    yield (
        "FP16 weights, FP32 arithmetic, OpenVINO",
        fp16_onnx,
        lambda: OpenVinoScorer(fp16_onnx, precision="fp32", max_batch=_BATCH),
    )
    yield "bf16, OpenVINO", fp16_onnx, lambda: OpenVinoScorer(fp16_onnx, precision="bf16", max_batch=_BATCH)
    yield "INT8, OpenVINO", int8_xml, lambda: OpenVinoScorer(int8_xml, precision="int8", max_batch=_BATCH)


def _compare(
    name: str,
    precision: str,
    found: npt.NDArray[np.float64],
    reference: npt.NDArray[np.float64],
    reals: int,
    reference_auc: float,
) -> Agreement:
    dp = np.abs(p_fake(found[:reals]) - p_fake(reference[:reals]))
    dlogit = np.abs(found[:reals] - reference[:reals])
    correlation = float(np.corrcoef(found[:reals], reference[:reals])[0, 1])
    auc = _auc(found, reals)
    gate = GATES.get(precision)
    passed = None
    if gate is not None:
        passed = gate.holds(
            mean_dp=float(dp.mean()), correlation=correlation, auc_difference=auc - reference_auc
        )
    return Agreement(
        name=name,
        mean_dp=float(dp.mean()),
        max_dp=float(dp.max()),
        mean_dlogit=float(dlogit.mean()),
        max_dlogit=float(dlogit.max()),
        correlation=correlation,
        auc=auc,
        auc_difference=auc - reference_auc,
        passed=passed,
    )


def _auc(found: npt.NDArray[np.float64], reals: int) -> float:
    metrics = require("sklearn.metrics", why="measuring parity", extra="build")
    labels = np.arange(len(found)) >= reals
    return float(metrics.roc_auc_score(labels, found))


def _torch_logits(model: Xception, crops: Image, steps: Steps) -> npt.NDArray[np.float64]:
    torch = require("torch", why="measuring parity", extra="build")
    out = []
    with torch.inference_mode():
        for start in range(0, len(crops), _BATCH):
            x = torch.from_numpy(crops[start : start + _BATCH]).float()
            out.append(model(((x - 127.5) / 127.5).permute(0, 3, 1, 2))[0].double().numpy())
            steps.advance(len(x))
    return np.concatenate(out)


def _cpu_name() -> str:
    core = require("openvino", why="measuring parity").Core()
    return str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
