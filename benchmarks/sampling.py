"""py-spy: a running Python program looked at from outside, so many times a second."""

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

from stream_detector.errors import BackendError, MissingDependency

_GRACE_S = 120.0
"""Beyond the window: with --native it first reads the symbols of every library."""
_THREAD = re.compile(r"thread \((\w+)\)(?:: (.*))?")
_BOX = re.compile(r"<title>(thread \(\w+\)(?:: [^<]*)?) \(([\d,]+) samples?, [\d.]+%\)</title>")
_SVG_TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*')
_ERRORS = re.compile(r"Errors: (\d+)")


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one window brought."""

    looks: int
    """At the program, without those that failed. Each finds one holder of the GIL or none, and any number of
    threads that run."""
    of_thread: Mapping[int, int]
    """Samples by the thread's number in the system."""
    names: Mapping[int, str] = field(repr=False)
    errors: int
    """Looks that could not read a stack."""
    behind: bool
    """Whether they came more than a second late at some time, and so bunch."""

    @property
    def samples(self) -> int:
        """Of all threads."""
        return sum(self.of_thread.values())


class PySpy:
    """Looks at one process. What it does takes as long as the window; any thread may wait for it."""

    def __init__(self, *, seconds: int) -> None:
        """Find the executable: beside the interpreter, else on the path.

        Args:
            seconds: of each window.

        Raises:
            MissingDependency: it is not installed.
        """
        found = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
        if found is None:
            raise MissingDependency(
                "profiling needs py-spy, which is not installed; install it with: "
                "pip install 'stream-detector[dev]'"
            )
        self._executable = found
        self._seconds = seconds

    def gil(self, pid: int, draft: Path, *, sample_hz: int) -> Sampled:
        """Which thread holds the interpreter lock.

        Args:
            sample_hz: looks per second, here and below.
            draft: written over.

        Raises:
            BackendError: the system does not let it look.
        """
        said = self._record(pid, draft, sample_hz, "--gil", "--format", "raw")
        counts = []
        for line in draft.read_text(encoding="utf-8").splitlines():
            stack, _, count = line.rpartition(" ")
            counts.append((stack.partition(";")[0], int(count)))
        return self._sampled(said, counts, sample_hz)

    def flame(self, pid: int, out: Path, *, sample_hz: int, native: bool, title: str) -> Sampled:
        """Which functions run, as a flame graph. Threads that wait are left out.

        Args:
            native: also the functions of C, C++ and Rust that those of Python call.
            title: of the picture.

        Raises:
            BackendError: the system does not let it look, or not so.
        """
        options = ("--format", "flamegraph", *(("--native",) if native else ()))
        said = self._record(pid, out, sample_hz, *options)
        drawn = out.read_text(encoding="utf-8")
        # It would name the folders of whoever drew it.
        out.write_text(_SVG_TITLE.sub(lambda found: found[1] + title, drawn, count=1), encoding="utf-8")
        boxes = [(unescape(name), int(count.replace(",", ""))) for name, count in _BOX.findall(drawn)]
        return self._sampled(said, boxes, sample_hz)

    def _record(self, pid: int, out: Path, sample_hz: int, *options: str) -> str:
        done = subprocess.run(
            [
                *(self._executable, "record", "--pid", str(pid), "--threads"),
                *("--rate", str(sample_hz), "--duration", str(self._seconds)),
                *("--output", str(out), *options),
            ],
            capture_output=True,
            text=True,
            timeout=self._seconds + _GRACE_S,
            check=False,
        )
        said = done.stdout + done.stderr
        if done.returncode != 0:
            reasons = [line.strip().removeprefix("Error: ") for line in said.splitlines() if line.strip()]
            raise BackendError(
                f"py-spy cannot look into a running program here ({'; '.join(reasons[:2]) or 'no reason'}); "
                "run it as root, in a container with --cap-add SYS_PTRACE, or where "
                "kernel.yama.ptrace_scope is 0"
            )
        return said

    def _sampled(self, said: str, counts: list[tuple[str, int]], sample_hz: int) -> Sampled:
        of_thread: dict[int, int] = defaultdict(int)
        names: dict[int, str] = {}
        for root, count in counts:
            found = _THREAD.fullmatch(root)
            assert found is not None, root
            number = int(found[1], 0)
            of_thread[number] += count
            names[number] = found[2] or names.get(number, "")
        errors = _ERRORS.search(said)
        failed = int(errors[1]) if errors else 0
        # With a duration it stops by count, at the last look, which it throws away.
        looks = self._seconds * sample_hz - 1 - failed
        return Sampled(looks, dict(of_thread), names, failed, "behind in sampling" in said)
