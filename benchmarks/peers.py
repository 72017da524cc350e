"""This program beside the published way of judging a video, on the same clip and machine, in turns."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from stream_detector.optional import load_media_libraries
from stream_detector.records import Image

WAYS = {
    "ffpp": "FaceForensics++ procedure (every frame, 299 px), torch FP32",
    "ffpp-openvino": "the same, OpenVINO FP32",
    "ours": "this program",
}
_SCALE = 1.3
"""Side of the crop / larger side of the face box (Rössler et al., ICCV 2019, section 4)."""
_INPUT_PX = 299
"""Side of the published network's input."""
ROOT = Path(__file__).resolve().parent.parent


def measure_peers(clip: Path, *, rounds: int, score_hz: float) -> dict[str, Any]:
    """Judge `clip` every way, each time in a process of its own, the order turning round every time.

    Args:
        score_hz: scores per face and second of this program; the others judge every frame.
    """
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    order = list(WAYS)
    for turn in range(rounds):
        for way in order if turn % 2 == 0 else reversed(order):
            sys.stderr.write(f"round {turn + 1} of {rounds}: {WAYS[way]}\n")
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.peers", way, str(clip), str(score_hz)],
                capture_output=True,
                text=True,
                check=True,
                cwd=ROOT,
            )
            runs[way].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        "clip": clip.name,
        "score_hz": score_hz,
        "rounds": rounds,
        "runs": runs,
        "median": {
            way: {key: float(np.median([run[key] for run in found])) for key in found[0]}
            for way, found in runs.items()
        },
    }


def peers_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| way | verdicts | CPU s per s of video | verdicts per CPU s | s per s of video | first verdict, s "
        "| peak memory, MB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for way, name in WAYS.items():
        found = result["median"][way]
        lines.append(
            f"| {name} | {found['verdicts']:.0f} | {found['cpu_s'] / found['video_s']:.2f} | "
            f"{found['verdicts'] / found['cpu_s']:.1f} | {found['wall_s'] / found['video_s']:.2f} | "
            f"{found['first_s']:.1f} | {found['peak_mb']:.0f} |"
        )
    first, ours = result["median"]["ffpp"], result["median"]["ours"]
    cpu = first["cpu_s"] / ours["cpu_s"]
    per_cpu = (ours["verdicts"] / ours["cpu_s"]) / (first["verdicts"] / first["cpu_s"])
    pairs = zip(result["runs"]["ffpp"], result["runs"]["ours"], strict=True)
    spread = [theirs["cpu_s"] / mine["cpu_s"] for theirs, mine in pairs]
    return "\n".join(lines) + (
        f"\n\n{result['clip']}, {ours['video_s']:.0f} s of it; medians of {result['rounds']} rounds in "
        f"turns, start-up included. The published procedure costs {cpu:.1f} times this program's CPU time at "
        f"{result['score_hz']:g} scores a second ({min(spread):.1f}–{max(spread):.1f} from round to round); "
        f"a CPU second here brings {per_cpu:.1f} times its verdicts."
    )


def _judge_every_frame(clip: Path, logit_of: Callable[[Image], float]) -> list[float]:
    """The published procedure: find the face in every frame, cut 1.3 times its box, judge it, one by one.

    What it costs is measured; its scores mean nothing, as these weights were trained for another side.

    Returns:
        When each verdict came, time.perf_counter().
    """
    import cv2

    from stream_detector.crops import cut_face
    from stream_detector.faces import MediaPipeFaceFinder

    at_s: list[float] = []
    video = cv2.VideoCapture(str(clip))
    # dlib, as published, would be slower than the face finder that this program uses.
    with closing(MediaPipeFaceFinder(tiles=False)) as finder:
        while True:
            going, bgr = video.read()
            if not going:
                break
            picture = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            found = finder.find(picture)
            if found:
                largest = max(found, key=lambda face: face.box.side_px)
                logit_of(cut_face(picture, largest.box, margin=_SCALE, size_px=_INPUT_PX))
                at_s.append(time.perf_counter())
    video.release()
    return at_s


def _ffpp(clip: Path) -> list[float]:
    from benchmarks.torch_scorer import TorchScorer

    with closing(TorchScorer("cpu")) as scorer:
        return _judge_every_frame(clip, lambda crop: float(scorer.score(crop[None]).logit[0]))


def _ffpp_openvino(clip: Path) -> list[float]:
    from benchmarks.sizes import request_at
    from stream_detector import assets
    from stream_detector.model_spec import INPUT_NAME, LOGIT_NAME

    request = request_at(assets.xception_fp16(), _INPUT_PX)
    return _judge_every_frame(
        clip, lambda crop: float(request.infer({INPUT_NAME: crop[None]})[LOGIT_NAME][0])
    )


def _ours(clip: Path, score_hz: float) -> list[float]:
    from stream_detector.pipeline import Pipeline
    from stream_detector.records import FaceScore
    from stream_detector.settings import make_settings

    at_s = []
    with Pipeline(make_settings(sources=(str(clip),), score_hz=score_hz)) as run:
        for record in run.records():
            if isinstance(record, FaceScore) and record.p_fake is not None:
                at_s.append(time.perf_counter())
    return at_s


def _main(way: str, clip: Path, score_hz: float) -> None:
    began_s = time.perf_counter()
    load_media_libraries()
    at_s = {
        "ffpp": lambda: _ffpp(clip),
        "ffpp-openvino": lambda: _ffpp_openvino(clip),
        "ours": lambda: _ours(clip, score_hz),
    }[way]()
    wall_s = time.perf_counter() - began_s
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "verdicts": len(at_s),
                "video_s": _video_s(clip),
                "wall_s": wall_s,
                "cpu_s": used.ru_utime + used.ru_stime,
                "first_s": at_s[0] - began_s if at_s else float("nan"),
                "peak_mb": used.ru_maxrss / 1000,
            }
        )
    )


def _video_s(clip: Path) -> float:
    import av

    with av.open(str(clip)) as container:
        return float(container.duration or 0) / 1e6


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
