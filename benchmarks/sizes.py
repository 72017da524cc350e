"""What a face costs by the side of the network's input, and which of its layers take the time."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import Stopwatch, int8_peak
from stream_detector import assets
from stream_detector.model_spec import INPUT_NAME, read_sidecar
from stream_detector.optional import require

SIZES_PX = (160, 192, 224, 299)
_FACES = 50
"""Scored at each side in each round."""
_KINDS = {"Convolution": "convolutions across channels", "GroupConvolution": "convolutions within a channel"}
_REST = "everything else"


def measure_sizes(*, rounds: int, faces: Path | None) -> dict[str, Any]:
    """Run the packaged INT8 model at several sides, in turns.

    Only its time means anything at another side than its own: its head counts the cells of the map.

    Args:
        rounds: how often.
        faces: crops whose split "val", with self-blends of them, says how well the same weights do at
            each side, in torch and FP32; None: not asked.
    """
    path = assets.xception_int8()
    spec = read_sidecar(path)
    trained_px = spec.contract.input_px
    requests = {size: request_at(path, size) for size in sorted({*SIZES_PX, trained_px})}
    watches = {size: Stopwatch() for size in requests}
    for turn in range(rounds + 1):
        for size in requests if turn % 2 else reversed(requests):
            noise = _noise(size)
            for _ in range(_FACES):
                with (Stopwatch() if turn == 0 else watches[size]).call():
                    requests[size].infer({INPUT_NAME: noise})
    return {
        "model": spec.name,
        "trained_px": trained_px,
        "rounds": rounds,
        "peak": int8_peak(),
        "rows": [
            {
                "size_px": size,
                "macs": sum(_macs(path, size).values()),
                "ms_p50": watches[size].percentile_ms(50),
                "ms_p95": watches[size].percentile_ms(95),
                "auc": None if faces is None else _auc(size, spec.margin("full-range-sparse"), faces),
            }
            for size in requests
        ],
        "layers": _layers(path, trained_px),
    }


def sizes_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    own = next(row for row in result["rows"] if row["size_px"] == result["trained_px"])
    lines = [
        "| side, px | multiply-adds, billions | ms a face p50 / p95 | faces/s | cost "
        "| AUC of the same weights, FP32 |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["rows"]:
        auc = "" if row["auc"] is None else f"{row['auc']:.3f}"
        lines.append(
            f"| {row['size_px']} | {row['macs'] / 1e9:.2f} | {row['ms_p50']:.1f} / {row['ms_p95']:.1f} | "
            f"{1000 / row['ms_p50']:.0f} | {row['ms_p50'] / own['ms_p50']:.2f} | {auc} |"
        )
    whole_ms = sum(row["ms"] for row in result["layers"])
    lines += ["", "| layers | number | runs in | ms | share of time | multiply-adds | billions a second |"]
    lines += ["|---|--:|---|--:|--:|--:|--:|"]
    whole = sum(row["macs"] for row in result["layers"])
    for row in result["layers"]:
        rate = f"{row['macs'] / row['ms'] / 1e6:.0f}" if row["macs"] else ""
        lines.append(
            f"| {row['layers']} | {row['count']:.0f} | {row['runs_in']} | {row['ms']:.2f} | "
            f"{row['ms'] / whole_ms:.0%} | {row['macs'] / whole:.1%} | {rate} |"
        )
    text = "\n".join(lines) + (
        f"\n\n{result['model']} in INT8, trained for {result['trained_px']} px, one face at a time; medians "
        f"of {_FACES * result['rounds']} faces each, in turns. The layers are those at "
        f"{result['trained_px']} px, by OpenVINO's own counters."
    )
    if result["peak"] is not None:
        peak, dense = result["peak"]["macs_per_s"], result["layers"][0]
        text += (
            f" {result['peak']['says']}: {1000 * own['macs'] / own['ms_p50'] / peak:.0%} of it is used over "
            f"all, {1000 * dense['macs'] / dense['ms'] / peak:.0%} within the {dense['layers']}."
        )
    return text


def request_at(model: Path, size_px: int, *, counting: bool = False) -> Any:
    """A model file at another side than its own, compiled as the scorer compiles it."""
    openvino = require("openvino", why="measuring sizes")
    core = openvino.Core()
    compiled = core.compile_model(
        _reshaped(core, model, size_px),
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": openvino.Type.f32,
            "PERF_COUNT": counting,
        },
    )
    return compiled.create_infer_request()


def _reshaped(core: Any, model: Path, size_px: int) -> Any:
    graph = core.read_model(str(model))
    graph.reshape({INPUT_NAME: [1, size_px, size_px, 3]})
    return graph


def _noise(size_px: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (1, size_px, size_px, 3), np.uint8)


def _macs(model: Path, size_px: int) -> dict[str, int]:
    """Multiply-adds of each convolution for one face, by its name."""
    openvino = require("openvino", why="counting multiply-adds")
    graph = _reshaped(openvino.Core(), model, size_px)
    return {
        operation.get_friendly_name(): int(np.prod(list(operation.input(1).get_shape())))
        * int(np.prod(list(operation.output(0).get_shape())[2:]))
        for operation in graph.get_ops()
        if operation.get_type_name() in _KINDS
    }


def _layers(model: Path, size_px: int) -> list[dict[str, Any]]:
    """Time and work of the kinds of layers, the most costly first."""
    request, noise, macs = request_at(model, size_px, counting=True), _noise(size_px), _macs(model, size_px)
    ms: dict[tuple[str, str], float] = defaultdict(float)
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for _ in range(3):
        request.infer({INPUT_NAME: noise})
    for _ in range(_FACES):
        request.infer({INPUT_NAME: noise})
        for found in request.get_profiling_info():
            spent_ms = found.real_time.total_seconds() * 1000 / _FACES
            if spent_ms > 0:
                kind = _KINDS.get(found.node_type, _REST)
                # OpenVINO calls the arithmetic by the end of the kernel's name.
                key = kind, "" if kind == _REST else found.exec_type.rpartition("_")[2]
                ms[key] += spent_ms
                names[key].add(found.node_name)
    return [
        {
            "layers": kind,
            "runs_in": arithmetic,
            "count": len(names[kind, arithmetic]),
            "ms": spent_ms,
            "macs": sum(
                macs.get(name.partition("/")[0], macs.get(name, 0)) for name in names[kind, arithmetic]
            ),
        }
        for (kind, arithmetic), spent_ms in sorted(ms.items(), key=lambda item: -item[1])
    ]


def _auc(size_px: int, margin: float, faces: Path) -> float:
    """Of the packaged weights at this side, held-out faces against self-blends of them."""
    import torch

    from benchmarks.torch_scorer import packaged_network
    from engine_build.face_crops import read_faces
    from engine_build.training_data import ValidationPairs, usable_faces

    reals, fakes = usable_faces(read_faces(faces), "val", blend_share=1.0)
    pairs = ValidationPairs(reals, fakes, size_px=size_px, margin=margin, blend_share=1.0)
    network = packaged_network()
    logits = []
    with torch.inference_mode():
        for number in range(len(pairs)):
            pictures = pairs[number].permute(0, 3, 1, 2).float()
            logits += network((pictures - 127.5) / 127.5)[0].tolist()
    metrics = require("sklearn.metrics", why="measuring an AUC", extra="build")
    return float(metrics.roc_auc_score([0, 1] * len(pairs), logits))
