"""What a calibration found: the JSON, the table and the picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from engine_build.calibrate import probabilities
from engine_build.evaluation import Estimate
from engine_build.filmed_faces import ClipScores, Floats
from stream_detector.errors import ModelError
from stream_detector.optional import require

_BINS = 15
_Figures = tuple[Estimate, Estimate, Estimate]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Fit(_Frozen):
    """How good the probabilities are, on faces that were not fitted on."""

    ece: Estimate
    brier: Estimate
    log_loss: Estimate


class PrecisionRow(_Frozen):
    """One precision in which a file runs."""

    precision: str
    before: Fit
    """Logits taken as log-odds."""
    own: Fit
    """Fitted on this precision, cross-fitted by person."""
    files: Fit
    """By the calibration in the file's sidecar; it saw the same people, in the file's first precision."""
    first: Fit
    """By the calibration of the first model, likewise."""

    @classmethod
    def of(cls, precision: str, *, before: _Figures, own: _Figures, files: _Figures, first: _Figures) -> Self:
        """From (ECE, Brier, log-loss) of each."""
        return cls(
            precision=precision,
            **{
                name: Fit(ece=each[0], brier=each[1], log_loss=each[2])
                for name, each in (("before", before), ("own", own), ("files", files), ("first", first))
            },
        )


class ModelRow(_Frozen):
    """One model file."""

    model: str
    weights_sha256: str
    method: str
    band: tuple[float, float]
    """Of rolling scores."""
    mean_high: float | None
    """`UncertainBand.mean_high`."""
    sigma: float
    correlation_s: float
    by_size: str
    """Whether there is a fit per face size, and why."""
    precisions: tuple[PrecisionRow, ...]


class CalibrationReport(_Frozen):
    """Everything one run of `engine_build calibrate` found."""

    format: int = 1
    people: int
    coverage_real: float
    coverage_fake: float
    first: str
    """Which model and precision `PrecisionRow.first` is by."""
    models: tuple[ModelRow, ...]
    draws: int
    machine: str
    program: str
    measured_on: str

    def as_markdown(self) -> str:
        """The table for people."""
        lines = [
            "| file, runs in | | ECE | Brier | log-loss |",
            "|---|---|--:|--:|--:|",
        ]
        for model in self.models:
            for row in model.precisions:
                for how, fit in (
                    ("uncalibrated", row.before),
                    ("calibrated", row.own),
                    ("by the file's calibration", row.files),
                    (f"by that of {self.first}", row.first),
                ):
                    figures = f"{fit.ece} | {fit.brier} | {fit.log_loss}"
                    lines.append(f"| {model.model}, {row.precision} | {how} | {figures} |")
        return "\n".join(lines) + "\n"


def read_calibration(path: Path) -> CalibrationReport:
    """Read what `engine_build calibrate` wrote.

    Raises:
        ModelError: it is missing, or something else.
    """
    try:
        return CalibrationReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(f"cannot read {path}: {first}; make it with engine_build calibrate") from error


def draw_reliability(drawn: Sequence[tuple[str, ClipScores, Floats]], path: Path) -> None:
    """A PNG: the share of fakes among frames of about the same probability, before and after.

    Args:
        drawn: name, clips, and (n, frames) log-odds.
    """
    figures = require("matplotlib.figure", why="drawing a reliability curve", extra="build")
    figure = figures.Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    for name, scores, odds in drawn:
        p = probabilities(odds).ravel()
        labels = np.repeat(scores.label, odds.shape[1])
        parts = np.array_split(np.argsort(p, kind="stable"), _BINS)
        axes.plot(
            [p[part].mean() for part in parts],
            [labels[part].mean() for part in parts],
            marker="o",
            linestyle=":" if name.endswith("uncalibrated") else "-",
            label=name,
        )
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.set(xlabel="mean probability of fake", ylabel="share of fakes", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, format="png", dpi=120)
