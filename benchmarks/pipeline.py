"""Where the time of the pipeline goes: every stage alone, then the whole."""

import resource
import time
from contextlib import closing
from typing import Any

import numpy as np

from benchmarks.harness import Stopwatch
from stream_detector.batching import Clock
from stream_detector.crops import cut_face
from stream_detector.faces import MediaPipeFaceFinder
from stream_detector.pipeline import Pipeline
from stream_detector.quality import blurred, judge
from stream_detector.records import Box, FaceCrop, FaceScore, Sighting, TrackedFace
from stream_detector.scene_cuts import SceneCuts
from stream_detector.scorers.choice import choose_scorer
from stream_detector.settings import FACE_LOST_AFTER_S, Settings
from stream_detector.sources.address import parse_address
from stream_detector.sources.reader import Reader
from stream_detector.tracks import Tracker, largest
from stream_detector.verdict import Verdicts

STAGES = ("decode", "convert", "find faces", "cuts and tracks", "crop and judge", "score", "verdict")
MODEL_STAGE = "score"


def measure_pipeline(settings: Settings, *, rounds: int) -> dict[str, Any]:
    """Measure one lossless source.

    The stages run one after the other on one thread, the decoder without threads of its own, so that
    the CPU time of the process belongs to the stage that runs. The whole is the program itself.
    """
    watches = {stage: Stopwatch() for stage in STAGES}
    media_s, frames, faces = 0.0, 0, 0
    wholes = []
    for _ in range(rounds):
        media_s, frames, faces = _stages_once(settings, watches)
        wholes.append(_whole_once(settings))
    stage_cpu_s = {stage: sum(watch.cpu_s) / rounds for stage, watch in watches.items()}
    total_cpu_s = sum(stage_cpu_s.values())
    whole = sorted(wholes, key=lambda one: one["wall_s"])[len(wholes) // 2]
    return {
        "clip": parse_address(settings.sources[0]).shown.rpartition("/")[2],
        "score_hz": settings.score_hz,
        "rounds": rounds,
        "media_s": media_s,
        "frames": frames,
        "scores": faces,
        "stages": [
            {
                "stage": stage,
                "calls": watch.calls // rounds,
                "calls_per_s": watch.calls / sum(watch.wall_s) if watch.wall_s else 0.0,
                "ms_p50": watch.percentile_ms(50),
                "ms_p95": watch.percentile_ms(95),
                "cpu_ms_per_media_s": stage_cpu_s[stage] * 1000 / media_s,
                "cpu_share": stage_cpu_s[stage] / total_cpu_s,
            }
            for stage, watch in watches.items()
        ],
        "all_but_model_over_model_cpu": (total_cpu_s - stage_cpu_s[MODEL_STAGE]) / stage_cpu_s[MODEL_STAGE],
        "whole": whole,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _stages_once(settings: Settings, watches: dict[str, Stopwatch]) -> tuple[float, int, int]:
    """One pass over the source; returns its media seconds, frames decoded and faces scored."""
    scorer = choose_scorer(
        model=settings.model,
        backend=settings.backend,
        precision=settings.precision,
        max_batch=settings.max_batch,
    )
    finder = MediaPipeFaceFinder(settings.face_model)
    find_hz = settings.streams[0].find_hz
    reader = Reader(parse_address(settings.sources[0]), threads=1, needed_hz=find_hz)
    with closing(scorer), closing(finder), closing(reader.frames()) as decoded:
        spec = scorer.spec
        margin, size_px = spec.margin(finder.face_model), spec.contract.input_px
        scorer.score(np.zeros((1, size_px, size_px, 3), np.uint8))  # the first call also allocates
        verdicts = Verdicts(half_life_s=settings.half_life_s, band=spec.band)
        tracker, cuts, clock = Tracker(FACE_LOST_AFTER_S), SceneCuts(), Clock(find_hz)
        face_clocks: dict[int, Clock] = {}
        frames, scored, pts_s = 0, 0, 0.0
        while True:
            with watches["decode"].call():
                frame = next(decoded, None)
            if frame is None:
                break
            frames, pts_s = frames + 1, frame.pts_s
            if not clock.due(pts_s):
                continue
            with watches["convert"].call():
                image = frame.picture.rgb()
            with watches["find faces"].call():
                found = finder.find(image)
            with watches["cuts and tracks"].call():
                if cuts.is_cut(image):
                    tracker.cut()
                seen = largest(tracker.update(pts_s, found).faces, settings.max_faces)
            due = [f for f in seen if face_clocks.setdefault(f.face_id, Clock(settings.score_hz)).due(pts_s)]
            crops: list[tuple[TrackedFace, Any]] = []
            with watches["crop and judge"].call():
                for face in due:
                    box: Box = face.found.box
                    if judge(
                        box,
                        frame.picture.width_px,
                        frame.picture.height_px,
                        min_face_px=spec.quality.min_face_px,
                    ):
                        continue
                    pixels = cut_face(image, box, margin=margin, size_px=size_px)
                    if not blurred(pixels, min_sharpness=spec.quality.min_sharpness):
                        crops.append((face, pixels))
            if not crops:
                continue
            with watches["score"].call():
                scores = scorer.score(np.stack([pixels for _, pixels in crops]))
            with watches["verdict"].call():
                for row, (face, pixels) in enumerate(crops):
                    captured_at_s = frame.captured_at_s
                    crop = FaceCrop(
                        0,
                        frame.index,
                        pts_s,
                        captured_at_s,
                        face.face_id,
                        face.found.box,
                        pixels,
                        Sighting(captured_at_s, captured_at_s, captured_at_s, captured_at_s),
                    )
                    verdicts.scored(crop, float(scores.logit[row]), scores.evidence[row], time.monotonic())
            scored += len(crops)
    return pts_s, frames, scored


def _whole_once(settings: Settings) -> dict[str, float]:
    """The program itself over the source, its start not counted: wall and CPU seconds."""
    with Pipeline(settings) as run:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        first_after_s = 0.0
        for record in run.records():
            if isinstance(record, FaceScore) and record.p_fake is not None and not first_after_s:
                first_after_s = time.perf_counter() - wall_s
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        summary = run.summary()
    return {
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "frames_per_s": summary.frames / wall_s,
        "scores": summary.scores,
        "times_realtime": summary.media_s / wall_s,
        "cpu_s_per_media_s": cpu_s / summary.media_s,
        "first_score_after_s": first_after_s,
    }


def pipeline_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table and two sentences."""
    lines = [
        "| stage | calls/s | ms p50 | ms p95 | CPU ms per s of video | CPU share |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in result["stages"]:
        lines.append(
            f"| {row['stage']} | {row['calls_per_s']:.0f} | {row['ms_p50']:.2f} | {row['ms_p95']:.2f} "
            f"| {row['cpu_ms_per_media_s']:.1f} | {row['cpu_share']:.0%} |"
        )
    whole = result["whole"]
    lines += [
        "",
        f"{result['clip']}: {result['media_s']:.1f} s, {result['frames']} frames, {result['scores']} scores "
        f"at {result['score_hz']:g}/s. The whole program: {whole['frames_per_s']:.0f} frames/s, "
        f"{whole['times_realtime']:.1f} times real time, {whole['cpu_s_per_media_s']:.2f} "
        f"CPU seconds per second of video.",
        f"Everything but the model costs {result['all_but_model_over_model_cpu']:.2f} times the model's CPU; "
        f"peak memory of the measuring process, which loads all of it twice, {result['peak_rss_mb']:.0f} MB.",
    ]
    return "\n".join(lines)
