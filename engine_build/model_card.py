"""The model card: what the packaged model is, written from what was measured."""

import json
import re

from engine_build.about import About
from engine_build.calibration_report import CalibrationReport
from engine_build.evaluation import Estimate, Evaluation, FactorRow
from engine_build.explain import Explanation, explained
from engine_build.operating_range import OperatingRange
from engine_build.parity import Parity
from stream_detector.errors import ModelError
from stream_detector.model_spec import ModelSpec, UncertainBand

_BEGIN, _END = "<!-- evaluation -->", "<!-- /evaluation -->"
_CALIBRATED = "<!-- calibration -->", "<!-- /calibration -->"
_EXPLAINED = "<!-- explain -->", "<!-- /explain -->"
_METRICS = {"auc": "roc_auc", "eer": "eer", "log_loss": "log_loss", "ece": "ece"}
"""Figure -> its name in a model index."""


def model_card(about: About, spec: ModelSpec, found: OperatingRange, parity: Parity) -> str:
    """Markdown; every number comes from the arguments.

    Args:
        spec: of the INT8 model.
    """
    contract, band, quality = spec.contract, spec.band, spec.quality
    cells = contract.evidence_cells
    margins = ", ".join(f"{margin:g} with {name}" for name, margin in sorted(contract.margins.items()))
    missed = [row.name for row in parity.rows if row.passed is False]
    verdict = f"Missed: {'; '.join(missed)}." if missed else "Every gate holds."
    histograms = "\n".join(
        f"| {kind} | {' | '.join(str(n) for n in counts)} |" for kind, counts in found.histograms.items()
    )
    return f"""# Model card: {about.name}

An Xception (Chollet, CVPR 2017) that says of one face crop how likely it was manipulated, and where in
the crop the evidence lies. Made from the checkpoint with sha256 `{spec.source_weights_sha256}`.

| | |
|---|---|
| trained on | {about.trained_on} |
| terms | {about.terms} |
| input | {contract.input_px}x{contract.input_px} RGB, uint8; normalised inside the graph |
| crop | a square, its side a multiple of the face box: {margins} |
| output | one logit, positive = fake; {cells}x{cells} evidence map in logit units |
| contract | sha256 `{contract.sha256}` |

## When it says nothing

{_band_sentence(band)}

Faces smaller than {quality.min_face_px} px, or less sharp than {quality.min_sharpness:g}, are not scored.
{quality.source}.

Scores of held-out faces under the INT8 model, how many in each tenth of the range:

| | 0-.1 | .1-.2 | .2-.3 | .3-.4 | .4-.5 | .5-.6 | .6-.7 | .7-.8 | .8-.9 | .9-1 |
|---|---|---|---|---|---|---|---|---|---|---|
{histograms}

## Agreement between precisions

{parity.real_crops} real crops, none of them used for calibration, against the network in torch FP32; the AUC
sets them against {parity.fake_crops} self-blends (torch: {parity.reference_auc:.4f}). Measured
{parity.measured_on} on {parity.machine}. {verdict}

{parity.as_markdown()}
## Reported by the training run, not measured again here

{_bullets(about.reported)}

## Limits

{_bullets(about.limits)}
"""


def described_card(about: About, weights_sha256: str) -> str:
    """Markdown: the card of a checkpoint that was not packaged: nothing but its description is known."""
    return f"""# Model card: {about.name}

An Xception (Chollet, CVPR 2017) that says of one face crop how likely it was manipulated, and where in
the crop the evidence lies. The checkpoint has the sha256 `{weights_sha256}`.

| | |
|---|---|
| trained on | {about.trained_on} |
| terms | {about.terms} |
| input | {about.input_px}x{about.input_px} RGB, uint8 |
| output | one logit, positive = fake |

## Reported by the training run, not measured again here

{_bullets(about.reported)}

## Limits

- Its uncertain band and its limits of quality were not measured: `engine_build package` does that.
{_bullets(about.limits)}
"""


def _bullets(sentences: tuple[str, ...]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def with_evaluation(card: str, found: Evaluation) -> str:
    """`card` with front matter for Hugging Face and a section of what `engine_build evaluate` found.

    Doing it again replaces both.

    Raises:
        ModelError: the card is of another checkpoint.
    """
    if f"`{found.weights_sha256}`" not in card:
        raise ModelError(
            f"the card does not name the checkpoint {found.weights_sha256[:12]}… that was evaluated: "
            "expected the card of the same model; evaluate that model, or give its card with --card"
        )
    body = re.sub(r"\A---\n.*?\n---\n+", "", card, flags=re.DOTALL)
    body = re.sub(rf"{_BEGIN}.*?{_END}\n*", "", body, flags=re.DOTALL)
    section = f"{_BEGIN}\n{evaluation_section(found)}{_END}\n\n"
    before, limits, after = body.partition("## Limits\n")
    return f"{_front_matter(found)}\n{before}{section}{limits}{after}"


def with_calibration(card: str, spec: ModelSpec, found: CalibrationReport) -> str:
    """`card` with the band of a calibrated model, and a section of what `engine_build calibrate` found.

    Args:
        spec: of the model that runs by default.

    Raises:
        ModelError: the card is of another checkpoint.
    """
    _check_card(card, found.models[0].weights_sha256)
    band = spec.band
    card = re.sub(r"Rolling scores from .*\. Chosen as: .*\n", lambda _: f"{_band_sentence(band)}\n", card)
    text = f"## What a score is worth\n\n{calibration_section(spec, found)}\n"
    return _with_section(card, _CALIBRATED, text)


def _band_sentence(band: UncertainBand) -> str:
    """What the band is, and how it was chosen."""
    of_files = "" if band.mean_high is None else f", and mean scores of whole files up to {band.mean_high:g}"
    ends = f'Rolling scores from {band.low:g} to {band.high:g} are "uncertain"{of_files}.'
    return f"{ends} Chosen as: {band.source}."


def with_explanation(card: str, found: Explanation) -> str:
    """`card` with what the deletion test found.

    Raises:
        ModelError: the card is of another checkpoint.
    """
    _check_card(card, found.weights_sha256)
    return _with_section(card, _EXPLAINED, f"## What the evidence map is worth\n\n{explained(found)}\n")


def _check_card(card: str, weights_sha256: str) -> None:
    if f"`{weights_sha256}`" not in card:
        raise ModelError(
            f"the card does not name the checkpoint {weights_sha256[:12]}… that was measured: expected the "
            "card of the same model; measure that model, or give its card with --card"
        )


def _with_section(card: str, marks: tuple[str, str], text: str) -> str:
    """`card` with `text` between its marks, before the limits; doing it again replaces it."""
    begin, end = marks
    body = re.sub(rf"{begin}.*?{end}\n*", "", card, flags=re.DOTALL)
    before, limits, after = body.partition("## Limits\n")
    return f"{before}{begin}\n{text}{end}\n\n{limits}{after}"


def calibration_section(spec: ModelSpec, found: CalibrationReport) -> str:
    """Markdown: the tables and how they came about; every number comes from the arguments."""
    calibration, alarm = spec.calibration, spec.alarm
    if calibration is None or alarm is None:
        raise ModelError(f"{spec.name} holds no calibration: calibrate it with engine_build calibrate")
    return (
        f"{found.as_markdown()}\n"
        f"Fitted ({calibration.method}) on {calibration.source}. In brackets 95 % bootstrap intervals over "
        f"people; drawing them again raises the ECE, so that its interval can lie above the value. "
        f"Self-blends are the fakes here: how probable a fake of another kind is, no one measured. Measured "
        f"{found.measured_on} by `python -m engine_build calibrate` of {found.program} on {found.machine}."
        "\n\n"
        f"For alarms: one face's scores vary by {alarm.sigma:.2f} and correlate over "
        f"{alarm.correlation_s:.2f} s. {alarm.source[0].upper()}{alarm.source[1:]}.\n"
    )


def evaluation_section(found: Evaluation) -> str:
    """Markdown: what was found, over all and by factor; every number comes from `found`."""
    part = "all" if found.duration_s is None else f"the first {found.duration_s:g} s"
    head = "| | " + " | ".join(f"per {each.name}" for each in found.levels) + " |"
    lines = [head, "|---" * (1 + len(found.levels)) + "|"]
    counts = " | ".join(f"{each.reals}, {each.fakes}" for each in found.levels)
    lines.append(f"| real, fake | {counts} |")
    for name, title in (("auc", "AUC"), ("eer", "EER"), ("log_loss", "log-loss"), ("ece", "ECE")):
        cells = " | ".join(str(getattr(each, name)) for each in found.levels)
        lines.append(f"| {title} | {cells} |")
    for row, at in enumerate(found.levels[0].at):
        for name, title in (
            ("accuracy", "accuracy"),
            ("f1", "F1"),
            ("false_alarms", "reals called fake"),
            ("missed", "fakes missed"),
        ):
            cells = " | ".join(str(getattr(each.at[row], name)) for each in found.levels)
            lines.append(f"| {title} at {at.threshold:.3f} ({at.name}) | {cells} |")
    factors = "\n".join(
        f"| {row.factor} | {row.value} | {row.reals} | {row.fakes} | {row.mean_p} | {row.over} | "
        f"{row.auc or '–'} |"
        for row in found.factors
    )
    unscored = f"Not scored:\n\n{_bullets(found.unscored)}\n\n" if found.unscored else ""
    return f"""## Evaluation

On {found.data}, {part} of each clip, {found.score_hz:g} scores a second, {found.precision} under
{found.backend}. A clip's score is the mean over its frames, of the face scored most often. In brackets 95 %
bootstrap intervals over clips ({found.draws} draws). Over all: {" and ".join(found.kinds)}s, the kinds that
have both labels. Measured {found.measured_on} by `engine_build evaluate` of {found.program} on
{found.machine}.

{chr(10).join(lines)}

The thresholds besides one half: {found.threshold_source}. Drawing clips again raises the ECE, so that its
interval can lie above the value.

By factor, per clip; a value of one label is set against the clips of the other, of its kind where there
are any:

| factor | value | real | fake | mean score | share over 0.5 | AUC |
|---|---|---|---|---|---|---|
{factors}

{unscored}What follows from these figures:

{_bullets(_findings(found))}

"""


def _findings(found: Evaluation) -> tuple[str, ...]:
    """What the figures say against the model, a sentence each."""
    clips = found.levels[0]
    half = next(at for at in clips.at if at.threshold == 0.5)
    sentences = [
        f"Of {clips.reals} real clips {half.false_alarms.value:.0%} score over 0.5; of {clips.fakes} fakes "
        f"{half.missed.value:.0%} stay below."
    ]
    for row in found.factors:
        if row.auc is not None and row.fakes and not row.reals:
            sentences += _against_chance(row, row.auc)
    if not any(row.factor == "identity group" for row in found.factors):
        sentences.append("No groups of people were named, so it was not measured how groups differ.")
    return tuple(sentences)


def _against_chance(row: FactorRow, auc: Estimate) -> list[str]:
    if auc.high < 0.5:
        return [f"{row.value} ({row.factor}) looks more real than real faces do: AUC {auc}."]
    if auc.low <= 0.5:
        return [f"{row.value} ({row.factor}) is not told from real faces better than by chance: AUC {auc}."]
    return []


def _front_matter(found: Evaluation) -> str:
    """The YAML that Hugging Face reads; JSON strings are YAML strings."""
    lines = [
        "---",
        "license: other",
        "license_name: see-terms",
        f"license_description: {json.dumps(found.terms, ensure_ascii=False)}",
        "pipeline_tag: image-classification",
        "tags:",
        "- deepfake-detection",
        "- xception",
        "metrics:",
        "- accuracy",
        "- f1",
        "- roc_auc",
        "model-index:",
        f"- name: {json.dumps(found.model)}",
        "  results:",
    ]
    for each in found.levels:
        half = next(at for at in each.at if at.threshold == 0.5)
        figures = {"accuracy": half.accuracy, "f1": half.f1}
        figures |= {title: getattr(each, name) for name, title in _METRICS.items()}
        lines += [
            "  - task:",
            "      type: image-classification",
            f"      name: deepfake detection, per {each.name}",
            "    dataset:",
            f"      name: {json.dumps(found.data, ensure_ascii=False)}",
            f"      type: {json.dumps(re.sub(r'[^a-z0-9]+', '-', found.data.lower()).strip('-'))}",
            "    metrics:",
        ]
        for name, estimate in figures.items():
            title = f"{name} per {each.name}, 95 % interval {estimate.low:.3f} to {estimate.high:.3f}"
            lines += [
                f"    - type: {name}",
                f"      value: {round(estimate.value, 4)}",
                f"      name: {json.dumps(title)}",
            ]
    return "\n".join([*lines, "---"]) + "\n"
