"""`engine_build evaluate` and its options."""

import platform
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from engine_build.about import read_about
from engine_build.evaluation import Evaluation
from engine_build.evaluation_figures import (
    Clip,
    best_threshold,
    clips_of,
    comparable,
    factor_table,
    level,
)
from engine_build.evaluation_media import Sample, crop_samples, find_samples
from engine_build.evaluation_plots import draw_reliability, draw_roc
from engine_build.evaluation_scores import FACE_MODEL, ScoreFile, Way, score_all
from engine_build.explain import (
    Explanation,
    blurred,
    deletion_changes,
    explained,
    hidden_cells,
    summarised,
)
from engine_build.face_crops import read_faces
from engine_build.filmed_faces import filmed_faces
from engine_build.model_card import evaluation_section
from engine_build.onnx_export import export_onnx
from engine_build.operating_range import logits, p_fake
from engine_build.package import base_spec
from engine_build.steps import SILENT, Steps, shown_steps
from engine_build.training_data import ValidationPairs, usable_faces
from engine_build.training_state import write_whole
from engine_build.weights import CHECKPOINT_SUFFIXES, build_detector, read_weights
from stream_detector import __version__
from stream_detector.calibration import log_odds
from stream_detector.errors import UsageError
from stream_detector.model_spec import ModelSpec
from stream_detector.scorers.choice import choose_scorer
from stream_detector.settings import Backend, RunPrecision

_BATCH = 16
_STORED_FACE_PX = 222
"""Of the faces in stored crops, which are 400 px wide."""


def evaluate_command(
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Gets evaluation.json, roc.png, reliability.png.")
    ],
    clips: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Tree with real/ and fake/, or a .csv (path, label, …)."),
    ] = None,
    crops: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Face crops with index.csv, as train takes them.")
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Which split of --crops, and of a table made by index.")
    ] = "test",
    real: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A folder below --clips that is all real.")
    ] = None,
    fake: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A folder below --clips that is all fake.")
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Crops whose split val chooses a threshold; blends where no fakes."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With its sidecar; or a checkpoint with its about.json, which runs in FP32.  "
            "[default: the packaged model]",
        ),
    ] = None,
    about: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of a checkpoint.  [default: about.json beside it]")
    ] = None,
    backend: Annotated[Backend, typer.Option(help="As in stream-detector.")] = "auto",
    precision: Annotated[RunPrecision, typer.Option(help="As in stream-detector.")] = "auto",
    score_hz: Annotated[float, typer.Option(metavar="HZ", help="Scores per second of a clip.")] = 2.0,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Of each clip.  [default: all of it]")
    ] = None,
    draws: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of the bootstrap behind the intervals.")
    ] = 1000,
    data: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What it is measured on, for the card.")
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Crops whose split val, blended into itself, tells whether the evidence map points at what "
            "the score rests on: explain.json.",
        ),
    ] = None,
) -> None:
    """Measure a model on clips and crops: figures with intervals, per factor, at several thresholds."""
    samples: list[Sample] = []
    if clips is not None:
        samples += find_samples(clips, reals=real or (), fakes=fake or (), split=split)
    if crops is not None:
        samples += crop_samples(crops, split)
    if not samples and explain is None:
        raise UsageError(
            "there is nothing to measure on: give --clips, --crops, --explain or several of them"
        )
    with ExitStack() as stack:
        steps = stack.enter_context(shown_steps())
        if model is not None and model.suffix in CHECKPOINT_SUFFIXES:
            steps.begin("exporting the checkpoint")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="engine-build-")))
            model = _exported(model, about or model.with_name("about.json"), folder)
        way = Way(model, backend, precision, score_hz, duration)
        if explain is not None:
            explanation = _explanation(explain, way, draws, steps)
            text = explanation.model_dump_json(indent=1) + "\n"
            out.mkdir(parents=True, exist_ok=True)
            write_whole(out / "explain.json", lambda draft: draft.write_text(text, encoding="utf-8"))
            typer.echo(explained(explanation))
        if not samples:
            return
        names = [str(path.name) for path in (clips, crops) if path is not None]
        found, both = evaluate(
            samples,
            way,
            scores=out / "scores.jsonl",
            validation=validation,
            data=data or " and ".join(names),
            draws=draws,
            steps=steps,
        )
        write_whole(
            out / "evaluation.json",
            lambda draft: draft.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8"),
        )
        write_whole(out / "roc.png", lambda draft: draw_roc(both, draft))
        write_whole(out / "reliability.png", lambda draft: draw_reliability(both, draft))
    typer.echo(evaluation_section(found))


def evaluate(
    samples: Sequence[Sample],
    way: Way,
    *,
    scores: Path,
    validation: Path | None = None,
    data: str,
    draws: int,
    steps: Steps = SILENT,
) -> tuple[Evaluation, list[Clip]]:
    """Score samples, clips through the whole pipeline, and say what follows.

    Args:
        scores: where each score is kept as it comes; what this file knows is not scored again.
        validation: crops whose split val chooses one more threshold.
        data: what the samples are.
        draws: of the bootstrap.

    Returns:
        The figures, and the clips behind them.

    Raises:
        ModelError: the model is damaged, or no kind of sample has scores of both labels.
        StreamDetectorError: the model cannot run.
    """
    spec, running = _opened(way)
    header: dict[str, object] = {
        "spec": spec.sha256,
        "backend": running[0],
        "precision": running[1],
        "score_hz": way.score_hz,
        "duration_s": way.duration_s,
    }
    scored = score_all(samples, way, keep=ScoreFile(scores, header), steps=steps)
    thresholds = {"one half": 0.5, "top of the uncertain band": spec.band.high}
    if spec.band.mean_high is not None:
        thresholds["top of the band for means"] = spec.band.mean_high
    source = f"tops of the uncertain band: {spec.band.source}"
    if validation is not None:
        thresholds["validation"], how = _validation_threshold(validation, way, steps)
        source += f"; validation: {how}"
    every = clips_of(scored)
    both = comparable(every)
    return Evaluation(
        model=spec.name,
        weights_sha256=spec.source_weights_sha256,
        spec_sha256=spec.sha256,
        terms=spec.terms,
        backend=running[0],
        precision=running[1],
        data=data,
        kinds=tuple(sorted({clip.kind for clip in both})),
        score_hz=way.score_hz,
        duration_s=way.duration_s,
        threshold_source=source,
        levels=(
            level("clip", both, thresholds, frames=False, draws=draws, steps=steps),
            level("frame", both, thresholds, frames=True, draws=draws, steps=steps),
        ),
        factors=tuple(factor_table(every, draws=draws, steps=steps)),
        unscored=tuple(f"{s.sample.clip}: {s.why_not}" for s in scored if not s.p),
        draws=draws,
        machine=f"{platform.system()} {platform.machine()}",
        program=f"stream-detector {__version__}",
        measured_on=datetime.now(UTC).date().isoformat(),
    ), both


def _exported(checkpoint: Path, about: Path, folder: Path) -> Path:
    """A checkpoint as the model file that the detector runs, in FP32."""
    weights = read_weights(checkpoint)
    path = folder / "checkpoint.onnx"
    export_onnx(build_detector(weights), path, base_spec(weights, read_about(about)))
    return path


def _opened(way: Way) -> tuple[ModelSpec, tuple[str, str]]:
    """The model's spec, and the back-end and precision it runs in."""
    scorer = choose_scorer(model=way.model, backend=way.backend, precision=way.precision, max_batch=_BATCH)
    with closing(scorer):
        return scorer.spec, (scorer.backend, scorer.precision)


def _explanation(folder: Path, way: Way, draws: int, steps: Steps) -> Explanation:
    """The deletion test on filmed self-blends of the real faces of the split val."""
    faces = [f for f in read_faces(folder) if f.split == "val" and f.label == 0 and f.points_px is not None]
    if not faces:
        raise UsageError(
            f"there is nothing to explain in {folder}: expected real faces of the split val with landmarks; "
            "make the crops with --landmarker"
        )
    scorer = choose_scorer(model=way.model, backend=way.backend, precision=way.precision, max_batch=_BATCH)
    with closing(scorer):
        spec = scorer.spec
        pairs = filmed_faces(faces, streams=1, margin=spec.margin(FACE_MODEL), size_px=spec.contract.input_px)
        clips = list(pairs)
        real = np.stack([clip.crops[1] for clip in clips if clip.label == 0])
        fake = np.stack([clip.crops[1] for clip in clips if clip.label == 1])
        people = [clip.identity for clip in clips if clip.label == 1]
        restored = deletion_changes(scorer, fake, real, steps=steps)
        dulled = deletion_changes(scorer, fake, blurred(fake), steps=steps)
        return Explanation(
            model=spec.name,
            weights_sha256=spec.source_weights_sha256,
            precision=scorer.precision,
            data="self-blends of held-out faces, filmed: a P-frame of H.264 each",
            faces=len(fake),
            cells=hidden_cells(scorer),
            restored=summarised(restored, people, draws),
            blurred=summarised(dulled, people, draws),
            draws=draws,
            measured_on=datetime.now(UTC).date().isoformat(),
        )


def _validation_threshold(folder: Path, way: Way, steps: Steps) -> tuple[float, str]:
    """The threshold that tells the faces of the split val best, and a sentence on how it was found."""
    faces = read_faces(folder)
    fakes = [face for face in faces if face.split == "val" and face.label == 1]
    share = 0.0 if fakes else 1.0
    reals, fakes = usable_faces(faces, "val", blend_share=share)
    scorer = choose_scorer(model=way.model, backend=way.backend, precision=way.precision, max_batch=_BATCH)
    with closing(scorer):
        pairs = ValidationPairs(
            reals,
            fakes,
            size_px=scorer.spec.contract.input_px,
            margin=scorer.spec.margin(FACE_MODEL),
            blend_share=share,
        )
        steps.begin("choosing a threshold", 2 * len(pairs))
        every = [logits(scorer, pairs[number].numpy(), steps) for number in range(len(pairs))]
        calibration = scorer.spec.calibration
        odds = [log_odds(calibration, float(logit), _STORED_FACE_PX) for logit in np.concatenate(every)]
        found: Sequence[float] = p_fake(np.array(odds)).tolist()
    threshold = best_threshold([0, 1] * len(pairs), found)
    against = "listed fakes" if fakes else "their self-blends"
    return threshold, (
        f"where calling {len(pairs)} held-out real faces and as many of {against}, degraded like video, is "
        "right most often"
    )
