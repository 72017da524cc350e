"""What an evaluation found: the JSON that the model card is written from."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from stream_detector.errors import ModelError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(_Frozen):
    """A figure with its 95 % bootstrap interval over clips."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class AtThreshold(_Frozen):
    """What calling everything at or above a threshold fake gives."""

    name: str
    threshold: float
    accuracy: Estimate
    f1: Estimate
    """Of the class fake."""
    false_alarms: Estimate
    """Share of the real ones called fake."""
    missed: Estimate
    """Share of the fakes called real."""


class Level(_Frozen):
    """Figures over frames or over clips."""

    name: str
    reals: int
    fakes: int
    auc: Estimate
    eer: Estimate
    log_loss: Estimate
    ece: Estimate
    """Expected calibration error, 15 bins (Guo et al., ICML 2017)."""
    at: tuple[AtThreshold, ...]


class FactorRow(_Frozen):
    """The clips that share one value of one factor."""

    factor: str
    value: str
    reals: int
    fakes: int
    mean_p: Estimate
    over: Estimate
    """Share of these clips at or above 0.5."""
    auc: Estimate | None
    """Per clip. Where all are of one label they are set against the clips of the other, of the same kind
    where there are any; None where there is no clip of the other label."""


class Evaluation(_Frozen):
    """Everything one run of `engine_build evaluate` found."""

    format: int = 1
    model: str
    weights_sha256: str
    """Of the checkpoint the model was made from."""
    spec_sha256: str
    terms: str
    precision: str
    backend: str
    data: str
    """What it was measured on, as the user named it."""
    kinds: tuple[str, ...]
    """Which kinds of sample the levels hold: those with both labels."""
    score_hz: float
    duration_s: float | None
    threshold_source: str
    """Where the thresholds are from."""
    levels: tuple[Level, ...]
    factors: tuple[FactorRow, ...]
    unscored: tuple[str, ...]
    """Samples without a score, and why."""
    draws: int
    """Of the bootstrap."""
    machine: str
    program: str
    measured_on: str


def read_evaluation(path: Path) -> Evaluation:
    """Read what `engine_build evaluate` wrote.

    Raises:
        ModelError: it is missing, or something else.
    """
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"cannot read {path}: {error.strerror}; make it with engine_build evaluate"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ModelError(
            f"{path.name} is no evaluation: {field}: {first['msg']}; make it again with engine_build evaluate"
        ) from error
