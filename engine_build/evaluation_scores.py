"""Scores of clips by the real pipeline and of stored crops by the model alone, kept as they come."""

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from engine_build.evaluation_media import Sample
from engine_build.face_crops import StoredFace, cut_stored, face_box
from engine_build.operating_range import logits, p_fake
from engine_build.steps import SILENT, Steps
from stream_detector.calibration import log_odds
from stream_detector.errors import ModelError, SourceError
from stream_detector.face_detectors import FaceModel
from stream_detector.optional import load_media_libraries
from stream_detector.records import FaceScore
from stream_detector.scorers.choice import choose_scorer
from stream_detector.settings import Backend, RunPrecision, make_settings
from stream_detector.stages import Scorer

FACE_MODEL: FaceModel = "full-range-sparse"
"""Draws the boxes, of stored crops too."""
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Way:
    """With what, and how, clips are scored."""

    model: Path | None
    """None: the packaged one."""
    backend: Backend
    precision: RunPrecision
    score_hz: float
    """Of clips, in media time."""
    duration_s: float | None
    """How much of each clip; None: all of it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What the model said of one sample."""

    sample: Sample
    p: tuple[float, ...]
    """Of each scored frame of the face that was scored most often; empty where none was."""
    face_px: float | None
    """Median larger side of its box in the clip; None for a stored crop."""
    why_not: str = ""
    """Why nothing was scored."""


class ScoreFile:
    """Scores on disk, a line each, so that a killed evaluation goes on where it was."""

    def __init__(self, path: Path, header: dict[str, object]) -> None:
        """Read what is there.

        Args:
            header: says with what the scores are made; the file's first line.

        Raises:
            ModelError: the file was made with something else.
        """
        self._path = path
        self._known: dict[str, tuple[tuple[float, ...], float | None, str]] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        whole = [entry for line in lines if (entry := _parsed(line)) is not None]
        if whole and whole[0] != header:
            raise ModelError(
                f"{path} holds scores made with another model or in another way; delete it, or "
                "give another --out"
            )
        try:
            for entry in whole[1:]:
                p = tuple(float(value) for value in entry["p"])
                self._known[entry["path"]] = (p, entry["face_px"], entry["why_not"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{path} is no file of scores ({error}); delete it, or give another --out"
            ) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        # A line cut in two by a kill is dropped here.
        path.write_text("".join(json.dumps(each) + "\n" for each in whole or [header]), encoding="utf-8")

    def get(self, sample: Sample) -> Scored | None:
        """What the file knows of `sample`."""
        known = self._known.get(str(sample.path))
        return None if known is None else Scored(sample, *known)

    def add(self, scored: Scored) -> None:
        """Remember one more, on disk too."""
        self._known[str(scored.sample.path)] = (scored.p, scored.face_px, scored.why_not)
        entry = {
            "path": str(scored.sample.path),
            "p": scored.p,
            "face_px": scored.face_px,
            "why_not": scored.why_not,
        }
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(entry) + "\n")


def score_all(
    samples: Sequence[Sample],
    way: Way,
    *,
    keep: ScoreFile,
    steps: Steps = SILENT,
) -> list[Scored]:
    """Score every sample that `keep` does not know.

    Clips go through the pipeline as `stream-detector watch` runs it. A sample that cannot be read is
    listed with the reason.

    Args:
        steps: told of each sample that is done.

    Raises:
        StreamDetectorError: the model cannot run.
    """
    load_media_libraries()
    stills = [s for s in samples if s.kind == "still" and keep.get(s) is None]
    if stills:
        scorer = choose_scorer(
            model=way.model, backend=way.backend, precision=way.precision, max_batch=_BATCH
        )
        steps.begin("scoring stills", len(stills))
        with closing(scorer):
            for start in range(0, len(stills), _BATCH):
                part = stills[start : start + _BATCH]
                for scored in _score_stills(scorer, part):
                    keep.add(scored)
                steps.advance(len(part))
    steps.begin("scoring clips", sum(keep.get(sample) is None for sample in samples))
    result = []
    for sample in samples:
        known = keep.get(sample)
        if known is None:
            known = _score_clip(sample, way)
            keep.add(known)
            steps.advance()
        result.append(known)
    return result


def _score_stills(scorer: Scorer, samples: Sequence[Sample]) -> list[Scored]:
    contract = scorer.spec.contract
    margin = scorer.spec.margin(FACE_MODEL)
    crops, faces_px, readable, result = [], [], [], []
    for sample in samples:
        try:
            picture = StoredFace(sample.path, "", sample.clip, None).picture()
        except ModelError as error:
            result.append(Scored(sample, (), None, str(error)))
            continue
        crops.append(cut_stored(picture, margin=margin, size_px=contract.input_px))
        faces_px.append(face_box(picture.shape[0]).side_px)
        readable.append(sample)
    if crops:
        odds = [
            log_odds(scorer.spec.calibration, float(logit), side_px)
            for logit, side_px in zip(logits(scorer, np.stack(crops)), faces_px, strict=True)
        ]
        found = p_fake(np.array(odds))
        result += [Scored(sample, (float(p),), None) for sample, p in zip(readable, found, strict=True)]
    return result


def _score_clip(sample: Sample, way: Way) -> Scored:
    from stream_detector.pipeline import Pipeline

    settings = make_settings(
        sources=(str(sample.path),),
        model=way.model,
        backend=way.backend,
        precision=way.precision,
        score_hz=way.score_hz,
        duration_s=way.duration_s,
    )
    p: dict[int, list[float]] = defaultdict(list)
    sides_px: dict[int, list[int]] = defaultdict(list)
    try:
        with Pipeline(settings) as run:
            for record in run.records():
                if isinstance(record, FaceScore) and record.p_fake is not None:
                    p[record.face_id].append(record.p_fake)
                    sides_px[record.face_id].append(record.box.side_px)
    except SourceError as error:
        if not p:
            return Scored(sample, (), None, str(error))
    if not p:
        return Scored(sample, (), None, "no face in it could be scored")
    face = max(p, key=lambda face_id: len(p[face_id]))
    return Scored(sample, tuple(p[face]), float(median(sides_px[face])))


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
