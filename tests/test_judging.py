"""The first verdict of a run comes before those of the crops that gathered behind it, all in order."""

import time
from pathlib import Path

from benchmarks.clips import encode_demo
from stream_detector.pipeline import Pipeline
from stream_detector.records import FaceScore, Image, Scores
from stream_detector.scorers.choice import choose_scorer
from stream_detector.settings import Settings, make_settings
from stream_detector.stages import Scorer

PATIENCE_S = 60.0


class Counted:
    """A scorer that remembers how many crops each call held."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.calls: list[int] = []
        self.spec, self.max_batch = scorer.spec, scorer.max_batch
        self.backend, self.precision = scorer.backend, scorer.precision

    def score(self, faces: Image) -> Scores:
        self.calls.append(len(faces))
        return self._scorer.score(faces)

    def close(self) -> None:
        self._scorer.close()


def test_the_first_verdict_does_not_wait_for_the_crops_that_gathered_while_the_model_was_loaded(
    tmp_path: Path,
) -> None:
    clip = tmp_path / "clip.mp4"
    encode_demo(clip, seconds=2, rate_hz=10)
    opened: list[Counted] = []

    def open_late(settings: Settings) -> Scorer:
        scorer = choose_scorer(model=None, backend="openvino", precision="auto", max_batch=settings.max_batch)
        opened.append(Counted(scorer))
        until_s = time.monotonic() + PATIENCE_S
        while (newest := run.newest_frame(0)) is None or newest.index < 8:
            assert time.monotonic() < until_s
            time.sleep(0.02)
        return opened[0]

    run = Pipeline(make_settings(sources=(str(clip),), score_hz=10.0), open_scorer=open_late)
    with run:
        scores = [record for record in run.records() if isinstance(record, FaceScore)]
    first, second, *_ = opened[0].calls
    assert first == 1
    assert second > 1
    assert sum(opened[0].calls) == len(scores) > 10
    times_s = [score.pts_s for score in scores]
    assert times_s == sorted(set(times_s))
