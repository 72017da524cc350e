"""How fast each back-end scores faces, how exactly, and what share of the machine it uses."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, runtime_checkable

import numpy as np

from benchmarks.harness import Stopwatch, int8_peak
from stream_detector import assets
from stream_detector.errors import StreamDetectorError
from stream_detector.model_spec import read_sidecar
from stream_detector.records import Image
from stream_detector.scorers.choice import choose_scorer
from stream_detector.settings import Backend, RunPrecision
from stream_detector.sources.selftest import demo_pictures
from stream_detector.stages import Scorer

BATCHES = (1, 2, 4, 8, 16, 32, 64)
LARGEST = max(BATCHES)
_WARM_UP = 3


@runtime_checkable
class Replays(Protocol):
    """A scorer on a GPU that can compute without copying."""

    def replay(self, faces: int) -> None:
        """Score so many faces that lie on the GPU already, and wait for the end."""


@dataclass(frozen=True)
class Way:
    """One way of scoring."""

    name: str
    open: Callable[[], Scorer]


def _packaged(backend: Backend, precision: RunPrecision) -> Way:
    def opened() -> Scorer:
        return choose_scorer(model=None, backend=backend, precision=precision, max_batch=LARGEST)

    return Way(backend if precision == "auto" else f"{backend} {precision}", opened)


def _torch(device: str) -> Way:
    def opened() -> Scorer:
        import torch

        from benchmarks.torch_scorer import TorchCudaScorer, TorchScorer

        if device == "cuda":
            if not torch.cuda.is_available():
                raise StreamDetectorError("torch finds no GPU here")
            return TorchCudaScorer()
        return TorchScorer("cpu")

    return Way("torch-cuda fp16, CUDA graph" if device == "cuda" else "torch-cpu fp32", opened)


def ways() -> list[Way]:
    """Every way there is, whether it can run here or not; the reference first."""
    return [
        _packaged("onnx", "auto"),
        _packaged("openvino", "fp32"),
        _packaged("openvino", "bf16"),
        _packaged("openvino", "int8"),
        _torch("cpu"),
        _torch("cuda"),
        _packaged("onnx-cuda", "auto"),
        _packaged("tensorrt", "auto"),
        _packaged("tensorrt-rtx", "auto"),
    ]


def measure_scoring(*, seconds: float, rounds: int, batches: tuple[int, ...]) -> dict[str, Any]:
    """Score the same faces every way, in turns.

    Args:
        seconds: how long each way is timed at each batch size, in each round.
        rounds: how often; the order turns round every time.
    """
    faces = _faces()
    every = ways()
    watches: dict[str, dict[int, Stopwatch]] = {}
    alone: dict[str, dict[int, Stopwatch]] = {}
    unusable: dict[str, str] = {}
    logits: dict[str, Any] = {}
    for turn in range(rounds):
        for way in every if turn % 2 == 0 else reversed(every):
            if way.name in unusable:
                continue
            try:
                scorer = way.open()
            except (StreamDetectorError, ImportError) as error:
                # The reason alone, without the folder of whoever measured.
                unusable[way.name] = str(error).partition(";")[0].replace(str(Path.home()), "~")
                continue
            with closing(scorer):
                logits[way.name] = np.concatenate(
                    [scorer.score(faces[at : at + 1]).logit for at in range(LARGEST)]
                ).astype(np.float64)
                for batch in batches:
                    _time(
                        watches.setdefault(way.name, {}).setdefault(batch, Stopwatch()),
                        partial(scorer.score, faces[:batch]),
                        seconds,
                    )
                    if isinstance(scorer, Replays):  # what a GPU takes without the copies
                        _time(
                            alone.setdefault(way.name, {}).setdefault(batch, Stopwatch()),
                            partial(scorer.replay, batch),
                            seconds,
                        )
    reference = logits[every[0].name]
    return {
        "seconds": seconds,
        "rounds": rounds,
        "reference": every[0].name,
        "rows": [
            {
                "way": name,
                "batches": {str(batch): _row(watch, batch) for batch, watch in by_batch.items()},
                "without_copies": {
                    str(batch): _row(watch, batch) for batch, watch in alone.get(name, {}).items()
                },
                "mean_dlogit": float(np.abs(logits[name] - reference).mean()),
                "max_dlogit": float(np.abs(logits[name] - reference).max()),
            }
            for name, by_batch in watches.items()
        ],
        "unusable": unusable,
        "macs": macs(),
        "peak": int8_peak(),
        "bare": measure_bare(seconds=max(5.0, seconds * rounds)),
    }


def measure_bare(*, seconds: float) -> dict[str, Any] | None:
    """What OpenVINO's own benchmark_app and our scorer make of the packaged INT8 file, in turns.

    Returns:
        Faces per second of both, medians of three rounds; None where benchmark_app is not installed.
    """
    program = Path(sys.executable).with_name("benchmark_app")
    if not program.exists():
        return None
    faces = _faces()
    theirs: list[float] = []
    ours: list[float] = []
    for _ in range(3):
        theirs.append(_benchmark_app(program, seconds / 3))
        watch = Stopwatch()
        with closing(_packaged("openvino", "int8").open()) as scorer:
            _time(watch, partial(scorer.score, faces[:1]), seconds / 3)
        ours.append(watch.calls / sum(watch.wall_s))
    return {"benchmark_app": float(np.median(theirs)), "ours": float(np.median(ours))}


def macs() -> int:
    """Multiply-adds of the packaged network for one face: its convolutions."""
    import onnx
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(onnx.load(str(assets.xception_fp16()))).graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in graph.value_info
    }
    return sum(
        int(np.prod(weights[node.input[1]])) * int(np.prod(shapes[node.output[0]][2:]))
        for node in graph.node
        if node.op_type == "Conv"
    )


def scoring_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    batches = list(next(iter(result["rows"]))["batches"])
    lines = [
        "| back-end | "
        + " | ".join(f"faces/s, batch {batch}" for batch in batches)
        + " | ms p50 / p95 / p99, batch 1 | mean, max Δlogit |",
        "|---|" + "--:|" * (len(batches) + 2),
    ]
    for row in result["rows"]:
        rates = " | ".join(f"{found['faces_per_s']:.1f}" for found in row["batches"].values())
        one = row["batches"][batches[0]]
        lines.append(
            f"| {row['way']} | {rates} | {one['ms_p50']:.1f} / {one['ms_p95']:.1f} / {one['ms_p99']:.1f} | "
            f"{row['mean_dlogit']:.3f}, {row['max_dlogit']:.3f} |"
        )
        if row["without_copies"]:
            rates = " | ".join(f"{found['faces_per_s']:.1f}" for found in row["without_copies"].values())
            lines.append(f"| … without copies to and from the GPU | {rates} | | |")
    told = [
        f"One call at a time; the median of all calls of {result['rounds']} rounds; Δlogit against "
        f"{result['reference']}."
    ]
    bare = result["bare"]
    if bare is not None:
        share, rate = bare["ours"] / bare["benchmark_app"], bare["ours"] * result["macs"] / 1e9
        told.append(
            f"INT8 through this program's scorer: {bare['ours']:.1f} faces/s, {share:.2f} times what "
            f"OpenVINO's benchmark_app makes of the same file ({bare['benchmark_app']:.1f}): {rate:.0f} "
            "billion multiply-adds a second."
        )
        if result["peak"] is not None:
            used = rate * 1e9 / result["peak"]["macs_per_s"]
            told.append(f"{result['peak']['says']}; {used:.0%} of it is used.")
    told += [f"Not here: {name}: {why}." for name, why in result["unusable"].items()]
    return "\n".join(lines) + "\n\n" + "\n".join(told)


def _faces() -> Image:
    """The demo's face in its first pictures, (LARGEST, S, S, 3): what is computed does not depend on them."""
    size = read_sidecar(assets.xception_fp16()).contract.input_px
    return np.stack(list(islice(demo_pictures((size, size), Fraction(25)), LARGEST)))


def _time(watch: Stopwatch, call: Callable[[], object], seconds: float) -> None:
    for _ in range(_WARM_UP):
        call()
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        with watch.call():
            call()


def _row(watch: Stopwatch, batch: int) -> dict[str, float]:
    return {
        "calls": watch.calls,
        "faces_per_s": batch * 1000 / watch.percentile_ms(50),
        "ms_p50": watch.percentile_ms(50),
        "ms_p95": watch.percentile_ms(95),
        "ms_p99": watch.percentile_ms(99),
        "cpu_ms_per_face": 1000 * sum(watch.cpu_s) / watch.calls / batch,
    }


def _benchmark_app(program: Path, seconds: float) -> float:
    with TemporaryDirectory() as folder:
        # It reports home unless told so, in a file in the user's folder.
        refusal = Path(folder, "intel", "openvino_telemetry")
        refusal.parent.mkdir()
        refusal.write_text("0")
        model = str(assets.xception_int8())
        size = read_sidecar(assets.xception_int8()).contract.input_px
        subprocess.run(
            [
                program,
                "-m",
                model,
                "-d",
                "CPU",
                "-hint",
                "latency",
                "-t",
                str(max(1, round(seconds))),
                "-shape",
                f"[1,{size},{size},3]",
                "-report_type",
                "no_counters",
                "-report_folder",
                folder,
                "-json_stats",
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            env={**os.environ, "HOME": folder},
        )
        report = json.loads(next(Path(folder).glob("*.json")).read_text())
    return float(report["execution_results"]["throughput"])
