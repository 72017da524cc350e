"""`engine_build calibrate` and its options."""

import hashlib
import platform
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from engine_build.alarm_facts import LEAST_SCORES, Series, alarm_facts
from engine_build.calibrate import (
    Bounds,
    Method,
    apply,
    as_calibration,
    bounds_of_video,
    conformal_bounds,
    cross_fitted,
    figures,
    fit_maps,
    log_loss,
    most_careful,
    over_identities,
    uncertain_band,
)
from engine_build.calibration_report import CalibrationReport, ModelRow, PrecisionRow, draw_reliability
from engine_build.evaluation import Estimate
from engine_build.evaluation_scores import FACE_MODEL
from engine_build.face_crops import StoredFace, held_out_faces, read_faces
from engine_build.filmed_faces import CRF, FACES_PX, ClipScores, Floats, filmed_faces
from engine_build.steps import Steps, shown_steps
from engine_build.training_state import write_whole
from stream_detector import __version__
from stream_detector.calibration import log_odds
from stream_detector.errors import BackendError, ModelError
from stream_detector.faces import MediaPipeFaceFinder
from stream_detector.model_spec import (
    Calibration,
    ModelSpec,
    file_sha256,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from stream_detector.optional import load_media_libraries
from stream_detector.quality import turn
from stream_detector.records import FaceScore
from stream_detector.scorers.choice import choose_scorer, packaged_models
from stream_detector.settings import RunPrecision, Settings, make_settings
from stream_detector.stages import Scorer

_BATCH = 16
_STREAMS = 2
_FILMED = "filmed faces, version 1"
"""Changes whenever filming does."""
_TURN_FACES = 400
_TURN_SHARE = 0.99
_BELOW_BAND = 0.95
"""Of the instants of each real face in --clips, how many must not be called fake."""
_VIDEOS = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"}


def calibrate_command(
    faces: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Real faces with index.csv and landmarks.npz; the split val is used."
        ),
    ],
    clips: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Videos of real people: how their scores vary in time.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Gets calibration.json and calibration-reliability.png.")
    ],
    models: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[MODEL]...", help="Files with sidecars.  [default: the packaged ones]"),
    ] = None,
    method: Annotated[Method, typer.Option(help="How logits become log-odds.")] = "platt",
    coverage_real: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Share of real faces that must not be called fake.")
    ] = 0.98,
    coverage_fake: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Share of fakes that must not be called real.")
    ] = 0.9,
    draws: Annotated[
        int, typer.Option(metavar="N", min=10, help="Of the bootstrap behind the intervals.")
    ] = 1000,
) -> None:
    """Say what a model's scores are worth: calibration, uncertain band and facts for alarms, in its sidecar.

    The model's files stay as they are. Figures are of faces that were not fitted on.
    """
    load_media_libraries()
    held_out = held_out_faces(faces)
    people = len({face.identity or face.clip for face in held_out})
    with shown_steps() as steps:
        max_turn, turn_source = _largest_turn(faces, steps)
        rows: list[ModelRow] = []
        specs: list[tuple[Path, ModelSpec]] = []
        careful: list[Bounds] = []
        first: tuple[str, Calibration] | None = None
        drawn: list[tuple[str, ClipScores, Floats]] = []
        for model in models or packaged_models():
            spec = read_sidecar(model)
            found = _scored(model, spec, held_out, out, steps)
            name, scores = next(iter(found.items()))
            steps.begin(f"fitting {model.name}", None)
            by_size, gain = _by_size(scores, method, draws)
            odds = cross_fitted(scores, method, by_size=by_size)
            bounds = conformal_bounds(scores, odds, real=coverage_real, fake=coverage_fake)
            source = (
                f"{people} held-out people, each real and blended into itself, in {_STREAMS} clips each with "
                f"motion, faces of {FACES_PX[0]} to {FACES_PX[1]} px and H.264 with P-frames (x264 CRF "
                f"{CRF[0]} to {CRF[1]}), 3 P-frames of a clip; figures are cross-fitted by person in 10 "
                f"folds. {gain}"
            )
            measured = figures(scores, odds, draws=draws)
            calibration = as_calibration(
                fit_maps(scores, np.ones(len(scores.label), bool), method, by_size=by_size),
                method=method,
                coverage=(coverage_real, coverage_fake),
                figures=measured,
                source=source,
            )
            series, clip_source = _real_series(model, name, calibration, clips, steps)
            of_video = bounds_of_video(series, half_life_s=Settings().half_life_s, share=_BELOW_BAND)
            careful += [bounds, of_video]
            facts = alarm_facts(
                scores,
                odds,
                series,
                f"means: {people} held-out people, real and blended into themselves, one filmed clip each; "
                f"sigma and correlation_s: {clip_source}",
            )
            quality = spec.quality.model_copy(update={"max_turn": max_turn, "turn_source": turn_source})
            specs.append(
                (
                    model,
                    spec.model_copy(update={"calibration": calibration, "alarm": facts, "quality": quality}),
                )
            )
            if first is None:
                first = (f"{model.name}, {name}", calibration)
            rows.append(
                ModelRow(
                    model=model.name,
                    weights_sha256=spec.source_weights_sha256,
                    method=method,
                    band=(spec.band.low, spec.band.high),
                    mean_high=spec.band.mean_high,
                    sigma=facts.sigma,
                    correlation_s=facts.correlation_s,
                    by_size=gain,
                    precisions=tuple(
                        PrecisionRow.of(
                            precision,
                            before=figures(each, each.logit, draws=draws),
                            own=figures(each, cross_fitted(each, method, by_size=by_size), draws=draws),
                            files=_figures_with(each, calibration, draws),
                            first=_figures_with(each, first[1], draws),
                        )
                        for precision, each in found.items()
                    ),
                )
            )
            drawn += [
                (f"{model.name}, {name}, uncalibrated", scores, scores.logit),
                (f"{model.name}, {name}, calibrated", scores, odds),
            ]
        assert first is not None
        # One band for all: a verdict must not depend on which of the files a machine runs.
        band = uncertain_band(
            most_careful(careful),
            source=(
                f"split-conformal, per class, on the mean calibrated score of a clip: at least "
                f"{coverage_real:.0%} of real faces do not score above mean_high, at least "
                f"{coverage_fake:.0%} of self-blends not below low; {people} held-out people, real and "
                f"blended, under {_STREAMS} video-like degradations; scores cross-fitted by person. No real "
                f"face in the videos of real people has a higher mean, or a rolling score above high in more "
                f"than {1 - _BELOW_BAND:.0%} of its instants. Of degradations, videos and the files "
                "calibrated together the most careful bounds count"
            ),
        )
        specs = [(model, spec.model_copy(update={"band": band})) for model, spec in specs]
        shared = {"band": (band.low, band.high), "mean_high": band.mean_high}
        rows = [row.model_copy(update=shared) for row in rows]
        report = CalibrationReport(
            people=people,
            coverage_real=coverage_real,
            coverage_fake=coverage_fake,
            first=first[0],
            models=tuple(rows),
            draws=draws,
            machine=f"{platform.system()} {platform.machine()}",
            program=f"stream-detector {__version__}",
            measured_on=datetime.now(UTC).date().isoformat(),
        )
        # Only now, when nothing can fail any more, are the models' sidecars touched.
        for model, spec in specs:
            _write(model, spec)
        write_whole(
            out / "calibration.json",
            lambda draft: draft.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8"),
        )
        write_whole(out / "calibration-reliability.png", lambda draft: draw_reliability(drawn, draft))
    typer.echo(report.as_markdown())


def _write(model: Path, spec: ModelSpec) -> None:
    """The sidecar, and its hash in the notice beside it, where there is one."""
    sidecar, notice = sidecar_path(model), model.parent / "NOTICE.md"
    before = file_sha256(sidecar)
    write_sidecar(model, spec, [model.parent / file for file in spec.files])
    if notice.is_file():
        text = notice.read_text(encoding="utf-8").replace(before, file_sha256(sidecar))
        write_whole(notice, lambda draft: draft.write_text(text, encoding="utf-8"))


def _largest_turn(folder: Path, steps: Steps) -> tuple[float, str]:
    """How far heads are turned in training, and a clause on how that was measured.

    Raises:
        ModelError: no face was found again in the training pictures.
    """
    training = [f for f in read_faces(folder) if f.split == "train" and f.label == 0][:_TURN_FACES]
    steps.begin("how far heads turn", len(training))
    turns = []
    with closing(MediaPipeFaceFinder(FACE_MODEL)) as finder:
        for face in training:
            found = finder.find(face.picture())
            if found and (turned := turn(found[0].key_points)) is not None:
                turns.append(turned)
            steps.advance()
    if not turns:
        raise ModelError(f"no face was found in {len(training)} training pictures of {folder}; check --faces")
    limit = round(float(np.quantile(turns, _TURN_SHARE)), 3)
    return limit, f"{_TURN_SHARE:.0%} of {len(turns)} training faces are turned no further"


def _scored(
    model: Path, spec: ModelSpec, faces: Sequence[StoredFace], keep: Path, steps: Steps
) -> dict[str, ClipScores]:
    """Precision -> scores, for each in which this machine can run the model on the CPU; the default first.

    Scores are kept in the folder `keep`, under what they were made from, so that a killed run goes on.
    """
    found: dict[str, ClipScores] = {}
    for precision in _precisions(spec):
        try:
            scorer = choose_scorer(model=model, backend="openvino", precision=precision, max_batch=_BATCH)
        except BackendError:
            if not found:
                raise
            continue  # bf16 needs a processor that has it
        with closing(scorer):
            made_from = [_FILMED, spec.model_sha256, precision, *(str(face.path.name) for face in faces)]
            key = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:16]
            kept = keep / f"scores-{key}.npz"
            if not kept.is_file():
                steps.begin(f"scoring filmed faces: {model.name}, {precision}", 2 * _STREAMS * len(faces))
                keep.mkdir(parents=True, exist_ok=True)
                write_whole(kept, partial(_store, _score(scorer, faces, steps)))
            with np.load(kept) as stored:
                found[scorer.precision] = ClipScores(**stored)
    return found


def _score(scorer: Scorer, faces: Sequence[StoredFace], steps: Steps) -> ClipScores:
    spec = scorer.spec
    rows = []
    for clip in filmed_faces(
        faces, streams=_STREAMS, margin=spec.margin(FACE_MODEL), size_px=spec.contract.input_px
    ):
        logit = scorer.score(clip.crops).logit.astype(np.float64)
        rows.append((clip.identity, clip.label, clip.stream, clip.face_px, logit))
        steps.advance()
    identity, label, stream, face_px, logits = zip(*rows, strict=True)
    return ClipScores(
        np.array(identity), np.array(label), np.array(stream), np.array(face_px), np.stack(logits)
    )


def _store(scores: ClipScores, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **asdict(scores))


def _precisions(spec: ModelSpec) -> Iterator[RunPrecision]:
    if spec.precision == "int8":
        yield "int8"
        return
    yield "fp32"
    yield "bf16"


def _by_size(scores: ClipScores, method: Method, draws: int) -> tuple[bool, str]:
    """Whether a fit per bin of face size tells more than one for all, and the sentence that says so."""
    one = cross_fitted(scores, method, by_size=False)
    bins = cross_fitted(scores, method, by_size=True)
    if np.allclose(one, bins):
        return False, "Not by the face's size: too few people in any bin"
    paired = np.stack([one, bins], axis=-1).reshape(len(one), -1)

    def gained(labels: np.ndarray, flat: Floats) -> float:
        pairs = flat.reshape(-1, 2)
        y = labels[::2]
        return log_loss(y, pairs[:, 0]) - log_loss(y, pairs[:, 1])

    gain = over_identities(scores, paired, gained, draws=draws)
    if gain.low > 0:
        return True, f"By the face's size: that lowers the log-loss by {gain}"
    change = f"{-gain.value:+.4f} [{-gain.high:+.4f}, {-gain.low:+.4f}]"
    return False, f"Not by the face's size: that would change the log-loss by {change}"


def _figures_with(
    scores: ClipScores, calibration: Calibration, draws: int
) -> tuple[Estimate, Estimate, Estimate]:
    maps = (calibration.everywhere, calibration.by_face_px)
    return figures(scores, apply(maps, scores, np.ones(len(scores.label), bool)), draws=draws)


def _real_series(
    model: Path, precision: str, calibration: Calibration, folder: Path, steps: Steps
) -> tuple[list[Series], str]:
    """Calibrated scores of real video as the pipeline gives them, and a clause on what they are of."""
    from stream_detector.pipeline import Pipeline

    videos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _VIDEOS)
    steps.begin(f"scoring real video: {model.name}", len(videos))
    series: list[Series] = []
    for video in videos:
        settings = make_settings(
            sources=(str(video),), model=model, backend="openvino", precision=precision, score_hz=5.0
        )
        seen: dict[int, list[tuple[float, float]]] = {}
        with Pipeline(settings) as run:
            for record in run.records():
                if isinstance(record, FaceScore) and record.logit is not None:
                    odds = log_odds(calibration, record.logit, record.box.side_px)
                    seen.setdefault(record.face_id, []).append((record.pts_s, odds))
        for scores in seen.values():
            pts_s, odds = np.array(scores).T
            series.append(Series(video.name, pts_s, odds))
        steps.advance()
    series = [each for each in series if len(each.log_odds) >= LEAST_SCORES]
    count = sum(len(each.log_odds) for each in series)
    lengths_s = [float(each.pts_s[-1] - each.pts_s[0]) for each in series] or [0.0]
    return series, (
        f"restricted maximum likelihood over {count} scores, 5 a second, of {len(series)} faces in "
        f"{len(videos)} real clips of {min(lengths_s):.1f} to {max(lengths_s):.1f} s; what changes more "
        "slowly than a clip lasts is not in it"
    )
