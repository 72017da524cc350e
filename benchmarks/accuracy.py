"""How well real and fake clips are told apart through the real pipeline, by `engine_build`'s evaluator."""

import tempfile
from pathlib import Path
from typing import Any

from engine_build.evaluate_command import evaluate
from engine_build.evaluation import Evaluation, FactorRow, Level
from engine_build.evaluation_media import find_samples
from engine_build.evaluation_scores import Way
from engine_build.steps import shown_steps
from stream_detector.settings import Backend, RunPrecision

_FIGURES = {"auc": "AUC", "eer": "EER", "ece": "ECE", "log_loss": "log-loss"}


def measure_accuracy(
    folder: Path,
    *,
    model: Path | None,
    backend: Backend,
    precision: RunPrecision,
    score_hz: float,
    duration_s: float | None,
    draws: int,
) -> dict[str, Any]:
    """Judge every clip of `folder`, which holds real/ and fake/, each with a folder per kind.

    Args:
        model: None: the packaged one.
        score_hz: per second of a clip.
        duration_s: of each clip; None: all of it.
        draws: of the bootstrap behind the intervals.

    Returns:
        An `Evaluation` under "evaluation", without the names of clips; how many files there are, and how
        many could not be scored.

    Raises:
        UsageError: a folder whose label nobody states.
        ModelError: nothing to score, the model is damaged, or no clip of one label has a score.
        StreamDetectorError: the model cannot run.
    """
    samples = find_samples(folder)
    way = Way(model, backend, precision, score_hz, duration_s)
    with tempfile.TemporaryDirectory(prefix="accuracy-") as kept, shown_steps() as steps:
        found, _ = evaluate(
            samples,
            way,
            scores=Path(kept) / "scores.jsonl",
            data=folder.resolve().name,
            draws=draws,
            steps=steps,
        )
    return {
        "evaluation": found.model_copy(update={"unscored": ()}).model_dump(mode="json"),
        "files": len(samples),
        "unscored": len(found.unscored),
    }


def accuracy_table(result: dict[str, Any]) -> str:
    """The figures as Markdown: over all, and every way of making a fake against the real clips."""
    found = Evaluation.model_validate(result["evaluation"])
    lines = [
        "| per | real, fake | " + " | ".join(_FIGURES.values()) + " | reals over 0.5 | fakes below |",
        "|---|--:|" + "--:|" * (len(_FIGURES) + 2),
        *(_level_row(each) for each in found.levels),
        "",
        "| fakes | clips | mean score | AUC |",
        "|---|--:|--:|--:|",
        *(_method_row(row) for row in found.factors if row.factor == "method" and row.fakes),
    ]
    part = "all" if found.duration_s is None else f"the first {found.duration_s:g} s"
    return "\n".join(lines) + (
        f"\n\n{found.data}: {result['files']} files, of which {result['unscored']} could not be scored; "
        f"{part} of each, {found.score_hz:g} scores a second, {found.model} in {found.precision} under "
        f"{found.backend}. A clip's score is the mean over its frames, of the face scored most often. In "
        f"brackets 95 % bootstrap intervals over clips, {found.draws} draws; drawing clips again raises the "
        "ECE, so that its interval can lie above the value."
    )


def _level_row(level: Level) -> str:
    half = next(at for at in level.at if at.threshold == 0.5)
    cells = " | ".join(str(getattr(level, name)) for name in _FIGURES)
    return f"| {level.name} | {level.reals}, {level.fakes} | {cells} | {half.false_alarms} | {half.missed} |"


def _method_row(row: FactorRow) -> str:
    return f"| {row.value} | {row.fakes} | {row.mean_p} | {row.auc or '–'} |"
