"""How long the program takes from its start to the first verdict on a file, and what that costs."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loopback import ROOT

STEPS = {
    "imported": "the program is imported",
    "model": "the model is ready",
    "found": "the first face is found",
    "verdict": "the first verdict",
}
"""In their order, but for the face, which may be found before the model is ready."""
BOUND_S = 2.5
"""From a cold start to the first verdict, at most."""
_DROP = Path("/proc/sys/vm/drop_caches")


def measure_start(clip: Path | None, *, rounds: int) -> dict[str, Any]:
    """Start the program `rounds` times cold, where that is permitted, and warm, in turns.

    Cold: the system has forgotten every file that it had read, those of other programs too.

    Args:
        clip: a file with a face in its first picture; None: the demo, encoded for the purpose.
    """
    with tempfile.TemporaryDirectory() as folder:
        if clip is None:
            from benchmarks.clips import encode_demo

            clip = Path(folder) / "demo.mp4"
            encode_demo(clip, seconds=5, rate_hz=30)
        _start(clip)  # whoever starts it the first time may also have to compile its Python files
        runs: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
        for _ in range(rounds):
            if _forget_files():
                runs["cold"].append(_start(clip))
            runs["warm"].append(_start(clip))
    return {
        "clip": clip.name,
        "rounds": rounds,
        "runs": runs,
        "median": {
            kind: {key: float(np.median([run[key] for run in found])) for key in found[0]}
            for kind, found in runs.items()
            if found
        },
    }


def start_table(result: dict[str, Any]) -> str:
    """The figures as Markdown, against their bound."""
    median = result["median"]
    head = "".join(f" {kind}: s | CPU s |" for kind in median)
    lines = [f"| from the start of the process until |{head}", "|---|" + "--:|--:|" * len(median)]
    for step, told in STEPS.items():
        cells = (
            f" {row[f'{step}_s']:.2f} | " + (f"{row[cpu]:.2f} |" if (cpu := f"{step}_cpu_s") in row else "|")
            for row in median.values()
        )
        lines.append(f"| {told} |" + "".join(cells))
    kind = "cold" if "cold" in median else "warm"
    missing = "" if kind == "cold" else "; a cold start could not be measured, for want of permission"
    return "\n".join(lines) + (
        f"\n\nThe first verdict comes {median[kind]['verdict_s']:.2f} s after a {kind} start (bound for a "
        f"cold one: {BOUND_S:g}){missing}. {result['clip']}; medians of {result['rounds']} rounds, each in a "
        "process of its own; CPU time is that of all its threads."
    )


def _forget_files() -> bool:
    """Whether the system could be made to forget the files that it had read."""
    if hasattr(os, "sync"):
        os.sync()
    try:
        _DROP.write_text("3\n")
    except OSError:
        return False
    return True


def _start(clip: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.start", str(clip), str(time.monotonic())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _main(clip: str, began_s: float) -> None:
    """One start, in this process; `began_s`: time.monotonic() when it was to begin."""
    import stream_detector.commands.app
    import stream_detector.commands.watch  # noqa: F401
    from stream_detector.optional import load_media_libraries

    load_media_libraries()
    from stream_detector.pipeline import Pipeline
    from stream_detector.records import FaceScore
    from stream_detector.settings import make_settings
    from stream_detector.sources.reader import quiet_ffmpeg

    found: dict[str, float] = {}

    def note(step: str) -> None:
        found[f"{step}_s"] = time.monotonic() - began_s
        # What a process costs that it started, too: looking for a library takes one.
        found[f"{step}_cpu_s"] = sum(os.times()[:4])

    note("imported")
    quiet_ffmpeg()
    with Pipeline(make_settings(sources=(clip,))) as run:
        note("model")
        for record in run.records():
            if isinstance(record, FaceScore) and record.stamps is not None:
                note("verdict")
                found["found_s"] = record.stamps.found_at_s - began_s
                break
        else:
            sys.exit(f"no face was found in {clip}; give a file with a face in its first picture")
    print(json.dumps(found))


if __name__ == "__main__":
    _main(sys.argv[1], float(sys.argv[2]))
