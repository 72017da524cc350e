"""The model card: what the packaged model is, written from what was measured."""

from engine_build.about import About
from engine_build.operating_range import OperatingRange
from engine_build.parity import Parity
from stream_detector.model_spec import ModelSpec


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

Rolling scores from {band.low:g} to {band.high:g} are "uncertain". Chosen as: {band.source}.

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


def _bullets(sentences: tuple[str, ...]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
