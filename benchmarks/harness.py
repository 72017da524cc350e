"""How things are timed, and on which machine."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stream_detector.optional import installed_version

_PACKAGES = (
    "stream-detector",
    "av",
    "mediapipe",
    "opencv-contrib-python",
    "numpy",
    "openvino",
    "onnxruntime",
    "py-spy",
)
_VNNI_MACS = 64
"""Multiply-adds of one 512-bit VNNI instruction on bytes; two such units a core are assumed."""
_TELLING_FLAGS = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
)


@dataclass
class Stopwatch:
    """Wall and CPU time of many calls of one thing. CPU time is that of the whole process."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Times what stands inside."""
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        yield
        self.wall_s.append(time.perf_counter() - wall_s)
        self.cpu_s.append(time.process_time() - cpu_s)

    @property
    def calls(self) -> int:
        """How often."""
        return len(self.wall_s)

    def percentile_ms(self, percent: float) -> float:
        """Wall time that `percent` % of the calls stay within; 0 where there was none."""
        return float(np.percentile(self.wall_s, percent)) * 1000 if self.wall_s else 0.0


def machine() -> dict[str, object]:
    """What the figures depend on: processor, cores, versions, commit."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "flags": _flags(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := installed_version(name))},
        "commit": _commit(),
    }


def write_result(path: Path, name: str, result: dict[str, object], command: str) -> None:
    """Write `result` with the machine and the command that made it."""
    content = {"name": name, "command": command, "machine": machine(), "result": result}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def int8_peak() -> dict[str, object] | None:
    """Multiply-adds of bytes that the cores can begin in a second; None where that is not known.

    From the clock that the system states: a core that runs faster, or has one such unit, is not seen.
    """
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    clocks = [float(line.partition(":")[2]) for line in text.splitlines() if line.startswith("cpu MHz")]
    if not clocks or "avx512_vnni" not in _flags():
        return None
    per_s = 2 * _VNNI_MACS * 1e6 * sum(clocks)
    return {
        "macs_per_s": per_s,
        "says": (
            f"At the stated clock this machine can begin {per_s / 1e9:.0f} billion multiply-adds of bytes a "
            f"second ({len(clocks)} cores at {clocks[0]:.0f} MHz, two 512-bit VNNI units each assumed)"
        ),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _flags() -> list[str]:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return []
    for line in info.read_text().splitlines():
        if line.startswith(("flags", "Features")):
            present = set(line.partition(":")[2].split())
            return [flag for flag in _TELLING_FLAGS if flag in present]
    return []


def _commit() -> str | None:
    """Commit of the checkout, marked where files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changed else "")
