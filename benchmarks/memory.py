"""How much memory one live stream takes, and each further one."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.loopback import ROOT, cameras

WIDTH_PX, HEIGHT_PX, RATE_HZ = 640, 360, 15
ONE_STREAM_MB, FURTHER_STREAM_MB = 700, 25
"""The most that one stream, and each further one, should take."""


def measure_memory(*, streams: int, seconds: float) -> dict[str, Any]:
    """The peak with one live stream, then with `streams` more, each run in a process of its own.

    Args:
        seconds: to go on for once every stream has had a verdict.
    """
    rows = []
    for count in (1, 1 + streams):
        with cameras(count, width_px=WIDTH_PX, height_px=HEIGHT_PX, rate_hz=RATE_HZ) as urls:
            command = [sys.executable, "-m", "benchmarks.memory", str(seconds), *urls]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
        rows.append({"streams": count, **json.loads(done.stdout.splitlines()[-1])})
    return {
        "seconds": seconds,
        "rows": rows,
        "further_stream_mb": (rows[1]["peak_mb"] - rows[0]["peak_mb"]) / streams,
    }


def memory_table(result: dict[str, Any]) -> str:
    """The figures as Markdown, against their bounds."""
    one, many = result["rows"]
    return (
        "| live streams | peak memory, MB |\n|--:|--:|\n"
        f"| {one['streams']} | {one['peak_mb']:.0f} |\n"
        f"| {many['streams']} | {many['peak_mb']:.0f} |\n\n"
        f"One stream takes {one['peak_mb']:.0f} MB (bound: {ONE_STREAM_MB}), each further one "
        f"{result['further_stream_mb']:.1f} MB (bound: {FURTHER_STREAM_MB}). {WIDTH_PX}x{HEIGHT_PX} at "
        f"{RATE_HZ} frames/s, one face, 1 score/s, {result['seconds']:g} s after all had a verdict."
    )


def peak_mb() -> float:
    """The most memory that this process ever had resident."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would tell that of the parent, where it had more before this began
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    )


def _main(seconds: float, urls: list[str]) -> None:
    from stream_detector.optional import load_media_libraries

    load_media_libraries()
    from benchmarks.capture import watch
    from stream_detector.settings import make_settings

    watch(make_settings(sources=tuple(urls), score_hz=1.0), seconds=seconds)
    print(json.dumps({"peak_mb": peak_mb()}))


if __name__ == "__main__":
    _main(float(sys.argv[1]), sys.argv[2:])
