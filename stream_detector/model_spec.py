"""The contract between whoever builds a model and whoever runs it, and the sidecar that carries it."""

import hashlib
import json
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream_detector.errors import ModelError

INPUT_NAME = "faces"
"""uint8 (n, S, S, 3) RGB; values 0..255. Normalisation lies inside the graph."""
LOGIT_NAME = "logit"
"""float32 (n,), positive = fake."""
EVIDENCE_NAME = "evidence"
"""float32 (n, h, w), the class activation map in logit units."""
METADATA_KEY = "stream_detector.spec"
"""Where an ONNX file (metadata_props) carries its spec."""

Precision = Literal["int8", "bf16", "fp16", "fp32"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Contract(_Frozen):
    """What goes in and what comes out. Two models with the same contract are interchangeable."""

    version: Literal[1] = 1
    input_px: Annotated[int, Field(ge=64, le=1024)]
    """S: side of the square the model was trained on and takes."""
    colour: Literal["RGB"] = "RGB"
    normalisation: Literal["(x - 127.5) / 127.5"] = "(x - 127.5) / 127.5"
    """Done inside the graph, after the cast from uint8."""
    resize: Literal["area-down linear-up"] = "area-down linear-up"
    """How `crops.cut_face` scales."""
    border: Literal["reflect-101"] = "reflect-101"
    """How `crops.cut_face` fills what lies outside the picture."""
    margins: dict[str, Annotated[float, Field(ge=1.0, le=3.0)]]
    """Face model -> side of the crop / larger side of the face box. Boxes differ by face model."""
    evidence_cells: Annotated[int, Field(ge=1)]
    """Rows, and columns, of the evidence map."""

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON: the identity of the contract."""
        return sha256_of_json(self.model_dump(mode="json"))


class UncertainBand(_Frozen):
    """Rolling scores from `low` to `high` say nothing: the face is `uncertain`."""

    low: Annotated[float, Field(ge=0.0, le=1.0)]
    high: Annotated[float, Field(ge=0.0, le=1.0)]
    source: str
    """How they were chosen, and on which data."""
    mean_high: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """A mean score of a whole clip above this says fake; at most `high`. None: not measured, so that `high`
    holds for means too."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must lie below high, got {self.low} and {self.high}")
        if self.mean_high is not None and not self.low < self.mean_high <= self.high:
            raise ValueError(
                "mean_high must lie above low and not above high, got "
                f"{self.mean_high} beside {self.low} and {self.high}"
            )
        return self


class Quality(_Frozen):
    """What the training data covered; a face that is smaller or less sharp is not scored."""

    min_face_px: Annotated[int, Field(ge=8)]
    """Smallest larger-side of a face box that training covered."""
    min_sharpness: Annotated[float, Field(ge=0.0)]
    """Smallest `quality.sharpness` of a crop that training covered."""
    max_turn: Annotated[float, Field(gt=0.0)] | None = None
    """Largest `FaceQuality.turn` that training covered: a face turned further is scored, and its score is no
    evidence. None: not measured. In sidecars only."""
    turn_source: str | None = None
    """How `max_turn` was measured. In sidecars only."""
    source: str
    """How the first two were measured, and on which data."""


class Interval(_Frozen):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class LogitMap(_Frozen):
    """From a logit to calibrated log-odds: piecewise linear through the knots, its ends continued.

    A temperature or Platt fit has two knots; isotonic regression has more.
    """

    logit: Annotated[tuple[float, ...], Field(min_length=2)]
    """Rising."""
    log_odds: Annotated[tuple[float, ...], Field(min_length=2)]
    """Of fake against real, where both are equally likely beforehand: the log-likelihood ratio. Never
    falling."""

    @model_validator(mode="after")
    def _monotone(self) -> Self:
        if len(self.logit) != len(self.log_odds):
            raise ValueError("logit and log_odds must have as many knots")
        if any(b <= a for a, b in pairwise(self.logit)):
            raise ValueError("logit must rise from knot to knot")
        if any(b < a for a, b in pairwise(self.log_odds)):
            raise ValueError("log_odds must never fall from knot to knot")
        return self


class Calibration(_Frozen):
    """What the logits of one precision are worth."""

    method: Literal["temperature", "platt", "isotonic"]
    everywhere: LogitMap
    """Where no bin of quality applies."""
    by_face_px: tuple[tuple[Annotated[int, Field(ge=1)], LogitMap], ...] = ()
    """(smallest face, in pixels, that it is for, map), rising; faces smaller than the first: `everywhere`."""
    coverage_real: Annotated[float, Field(gt=0.0, lt=1.0)]
    """At least this part of real faces is not called likely fake, where they are like those fitted on."""
    coverage_fake: Annotated[float, Field(gt=0.0, lt=1.0)]
    """At least this part of fake faces is not called likely real."""
    ece: Interval
    """Expected calibration error, 15 bins of equal mass, on faces that were not fitted on."""
    brier: Interval
    log_loss: Interval
    source: str
    """On which data, under which degradation, how many faces."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if any(b[0] <= a[0] for a, b in pairwise(self.by_face_px)):
            raise ValueError("by_face_px must rise from bin to bin")
        return self


class AlarmFacts(_Frozen):
    """What the calibrated log-likelihood ratios of faces do in time: what a false-alarm rate rests on."""

    real_means: Annotated[tuple[float, ...], Field(min_length=20)]
    """The mean of each real face measured, rising: faces differ, and a face keeps its difference."""
    fake_means: Annotated[tuple[float, ...], Field(min_length=20)]
    sigma: Annotated[float, Field(gt=0.0)]
    """Standard deviation of one real face's scores about its mean."""
    correlation_s: Annotated[float, Field(ge=0.0)]
    """Scores t seconds of media time apart correlate as exp(-t / correlation_s)."""
    source: str
    """On which data, how many faces and scores."""


class ModelSpec(_Frozen):
    """Everything that travels with a model file: the sidecar, and the metadata of an ONNX file."""

    schema_version: Literal[1] = 1
    name: str
    """For people: which network, which training."""
    format: Literal["onnx", "openvino", "tensorrt", "tensorrt-rtx"]
    precision: Literal["int8", "fp16", "fp32"]
    """Of the weights in the file."""
    contract: Contract
    band: UncertainBand
    quality: Quality
    source_weights_sha256: Sha256
    """Of the checkpoint the model was made from."""
    trained_on: str
    terms: str
    """Under which the weights may be used."""
    calibration: Calibration | None = None
    """None: logits are taken as log-odds as they are. In sidecars only: a file of weights may be calibrated
    again without being written again."""
    alarm: AlarmFacts | None = None
    """None: no false-alarm rate can be stated, and no alarm raised. In sidecars only."""
    files: dict[str, Sha256] = Field(default_factory=dict)
    """File name -> hash, for every file of the model. Empty in ONNX metadata (a file cannot hold
    its own hash)."""

    @property
    def model_sha256(self) -> str:
        """One hash for the model: that of its file, or of the list of hashes where it has several."""
        if len(self.files) == 1:
            return next(iter(self.files.values()))
        return sha256_of_json(dict(sorted(self.files.items())))

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON of everything above; the sidecar holds it as `spec_sha256`."""
        return sha256_of_json(self.model_dump(mode="json", exclude_none=True))

    def margin(self, face_model: str) -> float:
        """The crop margin for boxes drawn by `face_model`.

        Raises:
            ModelError: this model was never measured with that face model.
        """
        try:
            return self.contract.margins[face_model]
        except KeyError:
            known = ", ".join(sorted(self.contract.margins)) or "none"
            raise ModelError(
                f"model {self.name!r} has no crop margin for the face model {face_model!r}; "
                f"it knows {known}; choose one of these, or export the model again with a margin for it"
            ) from None

    def without_files(self) -> "ModelSpec":
        """The same spec as it stands inside an ONNX file."""
        quality = self.quality.model_copy(update={"max_turn": None, "turn_source": None})
        return self.model_copy(update={"files": {}, "calibration": None, "alarm": None, "quality": quality})


def sidecar_path(model: Path) -> Path:
    """Where the sidecar of `model` lies: the same name with the suffix .json."""
    return model.with_suffix(".json")


def is_file(path: Path) -> bool:
    """Whether `path` is a file; Path.is_file raises where the name is too long for one."""
    return os.path.isfile(path)  # noqa: PTH113


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes, as 64 hexadecimal digits.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; check that it may be read") from error


def write_sidecar(model: Path, spec: ModelSpec, files: list[Path]) -> ModelSpec:
    """Hash `files`, write the sidecar beside `model`, and return the spec with the hashes."""
    complete = spec.model_copy(update={"files": {f.name: file_sha256(f) for f in sorted(files)}})
    content = {**complete.model_dump(mode="json", exclude_none=True), "spec_sha256": complete.sha256}
    sidecar_path(model).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return complete


def read_sidecar(model: Path) -> ModelSpec:
    """Read the sidecar of `model` and check it against every file it names.

    Raises:
        ModelError: no model, no sidecar, a sidecar that was edited or is of another version, or a
            file whose hash is not the one stated.
    """
    if not is_file(model):
        raise ModelError(f"cannot find the model {model}: expected a file; check the path given to --model")
    path = sidecar_path(model)
    if not path.is_file():
        raise ModelError(
            f"cannot load {model.name}: its sidecar {path.name} is missing from {path.parent}; "
            f"copy it from where the model came from, or export the model again"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(
            f"cannot read the sidecar {path}: expected JSON, found {error}; restore it or "
            f"export the model again"
        ) from error
    if not isinstance(content, Mapping):
        raise ModelError(
            f"cannot read the sidecar {path}: expected a JSON object, found {type(content).__name__}; "
            f"restore it or export the model again"
        )
    stated = content.get("spec_sha256")
    spec = parse_spec({k: v for k, v in content.items() if k != "spec_sha256"}, path.name)
    if stated != spec.sha256:
        raise ModelError(
            f"the sidecar {path.name} was edited: its contents hash to {spec.sha256[:12]}…, it states "
            f"{str(stated)[:12]}…; restore it or export the model again"
        )
    if model.name not in spec.files:
        raise ModelError(
            f"the sidecar {path.name} is for {', '.join(sorted(spec.files)) or 'no file'}, not for "
            f"{model.name}; give each model its own sidecar"
        )
    if spec.format == "openvino" and model.with_suffix(".bin").name not in spec.files:
        raise ModelError(
            f"the sidecar {path.name} states no hash for the weights {model.with_suffix('.bin').name}; "
            f"restore it or export the model again"
        )
    for name, expected in spec.files.items():
        file = model.parent / name
        if Path(name).name != name or not file.is_file():
            raise ModelError(
                f"cannot load {model.name}: its part {name} is missing from {model.parent}; restore it"
            )
        found = file_sha256(file)
        if found != expected:
            raise ModelError(
                f"{name} is not the file its sidecar was written for: its hash is {found[:12]}…, expected "
                f"{expected[:12]}…; restore it or export the model again"
            )
    return spec


def parse_spec(content: Mapping[str, object], where: str) -> ModelSpec:
    """Check `content` against the schema; `where` names its source in the error.

    Raises:
        ModelError: a field is missing, unknown or out of range.
    """
    try:
        return ModelSpec.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ModelError(
            f"the model spec in {where} does not fit this program: field {field}: {first['msg']} "
            f"(found {str(first.get('input'))[:60]!r}); export the model again with this version"
        ) from error


def check_graph(
    spec: ModelSpec,
    where: str,
    inputs: Mapping[str, tuple[str, tuple[int | None, ...]]],
    outputs: Mapping[str, tuple[str, tuple[int | None, ...]]],
) -> None:
    """Hold a loaded graph against the contract.

    Args:
        where: names the file in the error.
        inputs: name -> (numpy dtype name, shape), with None for a free dimension.
        outputs: likewise.

    Raises:
        ModelError: a tensor is missing, or has another dtype or shape.
    """
    size, cells = spec.contract.input_px, spec.contract.evidence_cells
    expected_inputs = {INPUT_NAME: ("uint8", (None, size, size, 3))}
    expected_outputs = {
        LOGIT_NAME: ("float32", (None,)),
        EVIDENCE_NAME: ("float32", (None, cells, cells)),
    }
    for kind, found, expected in (
        ("input", inputs, expected_inputs),
        ("output", outputs, expected_outputs),
    ):
        if dict(found) != expected:
            raise ModelError(
                f"{where} does not fit its contract: {kind}s are {_tensors(found)}, expected "
                f"{_tensors(expected)}; export it with engine_build"
            )


def _tensors(named: Mapping[str, tuple[str, tuple[int | None, ...]]]) -> str:
    """ "faces uint8 (n, 224, 224, 3)"."""
    return "; ".join(
        f"{name} {dtype} ({', '.join('n' if d is None else str(d) for d in shape)})"
        for name, (dtype, shape) in named.items()
    )


def sha256_of_json(content: object) -> str:
    """Hash of the canonical JSON of `content`, as 64 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
