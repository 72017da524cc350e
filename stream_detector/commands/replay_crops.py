"""Score the crops that a record keeps again: do other back-ends say the same?"""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from stream_detector.commands.replay import only_log, whole_records
from stream_detector.errors import UsageError
from stream_detector.evidence.chain import Entry
from stream_detector.evidence.log_records import parse_score
from stream_detector.evidence.verifying import logs_of
from stream_detector.records import Image
from stream_detector.scorers.choice import choose_scorer
from stream_detector.settings import Backend, RunPrecision

_BATCH = 8


def run(path: Path, *, model: Path | None, backend: Backend, precision: RunPrecision) -> int:
    """Score the crops that a record keeps again, and say how far the logits are from the recorded ones.

    Raises:
        UsageError: there is no record, or it keeps no crops.
        ModelError, BackendError, MissingDependency: the model cannot be run.
    """
    (log,) = only_log(logs_of(path))
    entries, cut = whole_records(log)
    kept = list(_crops(log, entries))
    if not kept:
        raise UsageError(
            f"the record {log.parent.name} keeps no crops: it has no alarm, or was made with --no-faces"
        )
    with closing(
        choose_scorer(model=model, backend=backend, precision=precision, max_batch=_BATCH)
    ) as scorer:
        size = scorer.spec.contract.input_px
        if any(crop.shape != (size, size, 3) for _, _, crop in kept):
            raise UsageError(
                f"the crops of {log.parent.name} do not fit the model: expected {size} px a side"
            )
        logits = np.concatenate(
            [
                scorer.score(np.stack([crop for _, _, crop in kept[at : at + _BATCH]])).logit
                for at in range(0, len(kept), _BATCH)
            ]
        )
        ran_on = f"{scorer.backend} {scorer.precision}"
    recorded = np.array([logit for _, logit, _ in kept])
    by = np.abs(logits.astype(np.float64) - recorded)
    header = entries[0].content
    recorded_on = f"{header.get('backend')} {header.get('precision')}"
    lines = [cut] if cut else []
    lines += [
        f"{len(kept)} crops recorded with {recorded_on}, scored with {ran_on}",
        f"difference of the logits: mean {by.mean():.4f}, most {by.max():.4f} ({kept[int(by.argmax())][0]})",
        f"{int(((logits > 0) != (recorded > 0)).sum())} change their side",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _crops(log: Path, entries: Sequence[Entry]) -> list[tuple[str, float, Image]]:
    """(name, recorded logit, crop) of every crop that was kept, each once."""
    logits: dict[tuple[object, object, str], float] = {}
    for entry in entries:
        if entry.kind == "score":
            score = parse_score(entry.content, f"record {entry.number}")
            if score.logit is not None:
                logits[score.stream, score.face_id, f"face-{score.pts_s:09.3f}.png"] = score.logit
    found = []
    for entry in entries:
        content = entry.content
        files, folder = content.get("files"), content.get("folder")
        if entry.kind != "files" or not isinstance(files, dict) or not isinstance(folder, str):
            continue
        for name in files:
            logit = logits.get((content.get("stream"), content.get("face"), name))
            path = log.parent / Path(folder).name / Path(name).name
            if logit is None or not path.is_file():
                continue
            bgr = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
            if bgr is None:
                raise UsageError(
                    f"cannot read the crop {folder}/{name}: expected a PNG; see stream-detector verify"
                )
            found.append(
                (f"{folder}/{name}", logit, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))
            )
    return found
