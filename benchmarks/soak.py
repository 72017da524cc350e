"""Whether the window grows while it is open: memory and buffers over time."""

import resource
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.clips import encode_demo
from benchmarks.gui import off_screen, open_window

_CLIP_S = 12.0
_RATE_HZ = 25
_SAMPLES = 60


def soak_gui(*, minutes: float) -> dict[str, Any]:
    """Watch the demo over and over as one stream with the window open.

    Returns:
        Samples over time, and the trend of the second half in MB per minute.
    """
    application = off_screen()
    samples: list[dict[str, float]] = []
    with TemporaryDirectory() as folder:
        clip = Path(folder, "demo.mp4")
        encode_demo(clip, seconds=_CLIP_S, rate_hz=_RATE_HZ)
        window = open_window(Path(folder))
        window.actions_["evidence"].setChecked(True)
        window.watch(f"lavfi:movie=filename={clip}:loop=0,setpts=N/({_RATE_HZ}*TB)")
        every_s = max(1.0, 60 * minutes / _SAMPLES)
        begun_s = time.monotonic()
        due_s = begun_s + every_s
        while (now_s := time.monotonic()) < begun_s + 60 * minutes and window.bridge.running:
            application.processEvents()
            time.sleep(0.01)
            if now_s >= due_s:
                due_s += every_s
                samples.append(_sample(window, now_s - begun_s))
                sys.stderr.write(f"{samples[-1]}\n")
        broke = window.error_bar.sentence
        window.close()
    return {"minutes": minutes, "broke": broke, "samples": samples, "mb_per_minute": _trend(samples)}


def soak_table(result: dict[str, Any]) -> str:
    """A few of the samples as Markdown, and the trend."""
    samples = result["samples"]
    columns = ("minute", "rss_mb", "timeline_points", "history_points", "moments", "incidents", "threads")
    lines = ["| " + " | ".join(columns) + " |", "|" + "--:|" * len(columns)]
    for sample in samples[:: max(1, len(samples) // 10)]:
        lines.append("| " + " | ".join(f"{sample[column]:g}" for column in columns) + " |")
    trend = result["mb_per_minute"]
    told = "too few samples" if trend is None else f"{trend:+.2f} MB per minute in the second half"
    return "\n".join([*lines, "", f"{result['minutes']:g} minutes: {told}. {result['broke']}".strip()])


def _sample(window: Any, at_s: float) -> dict[str, float]:
    history = window.bridge.history(0)
    faces = list(history.faces.values()) if history is not None else []
    return {
        "minute": round(at_s / 60, 2),
        "rss_mb": round(_rss_mb(), 1),
        "timeline_points": window.timeline.points(),
        "history_points": sum(len(face) for face in faces),
        "moments": sum(len(face.moments) for face in faces),
        "incidents": len(window.bridge.incidents.newest_first),
        "threads": threading.active_count(),
    }


def _rss_mb() -> float:
    """What the process holds now; its peak where the system does not say."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _trend(samples: list[dict[str, float]]) -> float | None:
    """MB per minute over the second half: the first fills what is kept for minutes."""
    half = samples[len(samples) // 2 :]
    if len(half) < 3:
        return None
    slope = np.polyfit([s["minute"] for s in half], [s["rss_mb"] for s in half], 1)[0]
    return round(float(slope), 3)
