"""The whole route with the real face finder and the real model."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.clips import encode_demo
from stream_detector.errors import BackendError, ModelError, SourceError
from stream_detector.model_spec import read_sidecar
from stream_detector.pipeline import Pipeline
from stream_detector.records import (
    EventKind,
    FaceScore,
    Image,
    Record,
    RunSummary,
    Scores,
    State,
    StreamEvent,
)
from stream_detector.scorers.choice import packaged_models
from stream_detector.settings import make_settings
from stream_detector.sources.demo import DemoSource
from tests.frozen import FrozenAfter
from tests.media import write_clip


def run(*sources: str, **options: object) -> tuple[list[Record], RunSummary]:
    with Pipeline(make_settings(sources=sources, **options)) as pipeline:
        records = [record for record in pipeline.records() if record is not None]
    return records, pipeline.summary()


def scores(records: Sequence[Record]) -> list[FaceScore]:
    return [record for record in records if isinstance(record, FaceScore)]


def events(records: Sequence[Record], stream: int = 0) -> list[EventKind]:
    return [r.event for r in records if isinstance(r, StreamEvent) and r.stream == stream]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("clip") / "demo.mp4"
    encode_demo(path, seconds=4, rate_hz=20)
    return str(path)


def test_a_file_is_watched_whole_in_order_and_every_score_carries_its_evidence(clip: str) -> None:
    records, summary = run(clip, score_hz=10)
    assert 40 <= summary.frames < 80  # of 20 a second 10 are looked at
    assert summary.media_s == pytest.approx(79 / 20, abs=0.1)
    assert summary.dropped == {"decode": 0, "find": 0, "score": 0}
    assert events(records) == [
        EventKind.STREAM_STARTED,
        EventKind.FACE_FOUND,
        EventKind.FACE_LOST,
        EventKind.STREAM_ENDED,
    ]
    times = [record.pts_s for record in scores(records)]
    assert times == sorted(times)
    assert len(times) >= 38
    for record in scores(records):
        assert record.p_fake is not None
        assert record.evidence is not None
        assert 0 <= record.p_fake <= 1
        assert record.age_ms > 0


def test_the_score_rate_is_the_one_that_was_asked_for(clip: str) -> None:
    records, _ = run(clip, score_hz=2)
    assert len(scores(records)) == pytest.approx(8, abs=1)


def test_a_stream_without_a_face_says_so_and_gets_no_score() -> None:
    records, summary = run("lavfi:testsrc2=size=640x360:rate=25:duration=2")
    assert scores(records) == []
    assert events(records) == [EventKind.STREAM_STARTED, EventKind.NO_FACE, EventKind.STREAM_ENDED]
    assert summary.latency_ms is None


def test_a_face_below_the_smallest_size_has_a_state_and_no_score(clip: str) -> None:
    records, summary = run(clip, min_face_px=4000)
    assert summary.scores == 0
    assert {(r.state, r.p_fake, r.p_fake_rolling) for r in scores(records)} == {(State.TOO_SMALL, None, None)}


def test_of_twenty_faces_as_many_are_scored_as_were_asked_for(tmp_path: Path) -> None:
    with closing(DemoSource().frames()) as frames:
        portrait = next(frames).picture.rgb()
    head = cv2.resize(portrait[100:500, 400:840], (264, 240), interpolation=cv2.INTER_AREA)
    crowd = np.tile(np.asarray(head, np.uint8), (4, 5, 1))
    height_px, width_px = crowd.shape[:2]
    clip = write_clip(
        tmp_path / "crowd.mp4",
        frames=10,
        width_px=width_px,
        height_px=height_px,
        paint=lambda *_: crowd,
    )
    for most, expected in ((20, 20), (3, 3)):
        records, summary = run(str(clip), max_faces=most, score_hz=5)
        assert summary.faces_seen == expected
        assert len({record.face_id for record in scores(records)}) == expected


def test_two_streams_share_one_scorer_and_each_keeps_its_order(clip: str) -> None:
    records, summary = run(clip, clip, max_batch=4)
    alone, _ = run(clip)
    for stream in (0, 1):
        of_stream = [(r.pts_s, r.p_fake) for r in scores(records) if r.stream == stream]
        assert of_stream == [(r.pts_s, r.p_fake) for r in scores(alone)]
        assert events(records, stream) == events(alone)
    assert summary.faces_seen == 2


def test_a_file_played_at_its_own_speed_drops_late_frames_rather_than_lag(clip: str) -> None:
    _, summary = run(clip, realtime=True, score_hz=20, precision="fp32")
    assert summary.wall_s >= 3.9
    assert summary.scores > 5


def test_the_only_source_that_fails_is_raised_after_its_records(tmp_path: Path) -> None:
    with Pipeline(make_settings(sources=(str(tmp_path / "none.mp4"),))) as pipeline:
        seen: list[Record | None] = []
        with pytest.raises(SourceError, match=r"none\.mp4"):
            seen.extend(pipeline.records())
    assert len(pipeline.failures) == 1


def test_of_several_sources_the_one_that_fails_ends_alone(clip: str, tmp_path: Path) -> None:
    records, summary = run(str(tmp_path / "none.mp4"), clip)
    assert events(records, 0) == [EventKind.STREAM_FAILED]
    assert events(records, 1)[-1] is EventKind.STREAM_ENDED
    assert len(scores(records)) > 10
    assert len(summary.failures) == 1


def test_a_model_that_is_not_there_is_refused_before_any_thread_starts(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx"):
        Pipeline(make_settings(sources=("demo:",), model=tmp_path / "none.onnx"))


def test_leaving_early_stops_every_thread(clip: str) -> None:
    with Pipeline(make_settings(sources=(clip, "demo:"))) as pipeline:
        for record in pipeline.records():
            if isinstance(record, FaceScore):
                break
    # the fixture that watches threads fails this test if one is left


def test_stop_ends_the_sources_and_what_they_delivered_is_still_scored() -> None:
    with Pipeline(make_settings(sources=("demo:",), realtime=True)) as pipeline:
        records: list[Record] = []
        for record in pipeline.records(tick_s=0.1):
            if record is not None:  # a slow machine may take more than a tick to end after the last record
                records.append(record)
            if isinstance(record, FaceScore):
                pipeline.stop()
    assert isinstance(records[-1], StreamEvent)
    assert records[-1].event is EventKind.STREAM_ENDED
    assert pipeline.summary().media_s < 5


def test_a_live_source_that_falls_silent_turns_its_faces_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live picture that freezes: the demo's first second, then nothing until it is stopped."""
    source = FrozenAfter(DemoSource(duration_s=4.0), media_s=1.0)
    monkeypatch.setattr("stream_detector.stream_watch._make_source", lambda *_: source)
    pipeline = Pipeline(make_settings(sources=("demo:",)))
    states = []
    with pipeline:
        for record in pipeline.records(tick_s=0.1):
            if isinstance(record, FaceScore):
                states.append((record.state, record.p_fake_rolling))
                if record.state is State.STALE:
                    source.stop()
    assert states[-1] == (State.STALE, None)
    assert [state for state, _ in states].count(State.STALE) == 1


def test_a_face_that_is_no_longer_looked_at_turns_stale_though_frames_still_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A camera whose clock stands still: every frame after the first second has the same time."""
    source = FrozenAfter(DemoSource(duration_s=8.0), media_s=1.0, keep_sending=True)
    monkeypatch.setattr("stream_detector.stream_watch._make_source", lambda *_: source)
    pipeline = Pipeline(make_settings(sources=("demo:",)))
    states = []
    with pipeline:
        for record in pipeline.records(tick_s=0.1):
            if isinstance(record, FaceScore):
                states.append(record.state)
                if record.state is State.STALE:
                    source.stop()
    assert states[-1] is State.STALE


def test_a_model_that_gives_no_number_ends_the_run_with_a_sentence(
    clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        backend, precision, max_batch, best_batch = "broken", "fp32", 8, 8

        def __init__(self) -> None:
            self.spec = read_sidecar(packaged_models()[0])

        def score(self, faces: Image) -> Scores:
            count = len(faces)
            return Scores(np.full(count, np.nan, np.float32), np.zeros((count, 7, 7), np.float32))

        def close(self) -> None:
            self.spec = read_sidecar(packaged_models()[0])

    monkeypatch.setattr("stream_detector.pipeline.choose_scorer", lambda **_: Broken())
    with pytest.raises(BackendError, match="gave a score that is no number"):
        run(clip)


def test_scores_on_real_people_come_at_nine_of_ten_instants(research_data: Path) -> None:
    clip = research_data / "clips" / "again.mkv"
    records, summary = run(str(clip), score_hz=10)
    scored = [r for r in scores(records) if r.p_fake is not None]
    instants = summary.media_s * 10
    assert len(scored) >= 0.9 * instants
