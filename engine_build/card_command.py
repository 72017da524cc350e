"""`engine_build card` and its options."""

from pathlib import Path
from typing import Annotated

import typer

from engine_build.about import read_about
from engine_build.evaluation import read_evaluation
from engine_build.model_card import described_card, with_evaluation
from engine_build.training_state import write_whole
from stream_detector import assets
from stream_detector.errors import ModelError, UsageError


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
    write_whole(out or path, lambda draft: draft.write_text(whole, encoding="utf-8"))
