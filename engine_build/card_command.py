"""`engine_build card` and its options."""

from pathlib import Path
from typing import Annotated

import typer

from engine_build.about import read_about
from engine_build.calibration_report import read_calibration
from engine_build.evaluation import read_evaluation
from engine_build.explain import read_explanation
from engine_build.model_card import described_card, with_calibration, with_evaluation, with_explanation
from engine_build.training_state import write_whole
from stream_detector import assets
from stream_detector.errors import ModelError, UsageError
from stream_detector.model_spec import read_sidecar


def card_command(
    evaluation: Annotated[
        Path, typer.Argument(metavar="EVALUATION.json", help="From engine_build evaluate.")
    ],
    card: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Made by package.  [default: the packaged MODEL_CARD.md]"),
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of a checkpoint without a card: begin one from its about.json."),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(metavar="FILE", help="calibration.json, from engine_build calibrate.")
    ] = None,
    explanation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="explain.json, from engine_build evaluate --explain.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the result goes.  [default: over --card]")
    ] = None,
) -> None:
    """Write what was measured into a model card: front matter for Hugging Face, results, factors, limits."""
    found = read_evaluation(evaluation)
    if about is not None:
        if card is not None or out is None:
            raise UsageError(
                "--about begins a new card: give the file it goes to with --out, and leave --card out"
            )
        text, path = described_card(read_about(about), found.weights_sha256), out
    else:
        path = card or Path(assets.__file__).parent / "MODEL_CARD.md"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"cannot read {path}: {error}; make it with engine_build package") from error
    whole = with_evaluation(text, found)
    if calibration is not None:
        # The card lies beside the model whose sidecar holds the calibration.
        spec = read_sidecar(path.parent / (report := read_calibration(calibration)).models[0].model)
        whole = with_calibration(whole, spec, report)
    if explanation is not None:
        whole = with_explanation(whole, read_explanation(explanation))
    write_whole(out or path, lambda draft: draft.write_text(whole, encoding="utf-8"))
