"""The program itself in a process of its own, its scores counted as they come."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stream_detector.errors import SourceError

_SCORED_WITHIN_S = 120.0
_END_WITHIN_S = 20.0
_TASK_NAME = re.compile(rb"^\d+ \((.*)\) ", re.DOTALL)


@dataclass
class Running:
    """`stream-detector watch`, running. Belongs to the thread that started it."""

    process: "subprocess.Popen[str]"
    errors: Path
    """What it says on stderr."""
    scores: dict[int, int] = field(default_factory=dict)
    """Of each stream, so far."""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self.process.poll() is not None

    def count(self) -> int:
        """Scores of all streams, so far."""
        return sum(dict(self.scores).values())

    def wait_for_scores(self, streams: int) -> None:
        """Until every stream was scored.

        Raises:
            SourceError: it ended before, or took more than two minutes.
        """
        deadline_s = time.monotonic() + _SCORED_WITHIN_S
        while len(self.scores) < streams:
            if self.ended:
                said = self.errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                why = said[-1] if said else "it showed no face that can be scored"
                raise SourceError(f"the program ended before every source had a score: {why}")
            if time.monotonic() > deadline_s:
                raise SourceError(
                    f"the program scored {len(self.scores)} of {streams} sources within "
                    f"{_SCORED_WITHIN_S:g} s; choose a clip that shows a face, or fewer streams"
                )
            time.sleep(0.05)

    def cpu_s(self) -> dict[int, float] | None:
        """CPU seconds of each thread that lives, by its number in the system; None where it is no Linux."""
        tasks = Path(f"/proc/{self.pid}/task")
        if not tasks.is_dir():
            return None
        ticks_s = 1 / os.sysconf("SC_CLK_TCK")
        found = {}
        for task in tasks.iterdir():
            try:
                stat = _TASK_NAME.sub(b"", (task / "stat").read_bytes()).split()
            except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                continue
            found[int(task.name)] = (int(stat[11]) + int(stat[12])) * ticks_s
        return found

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            record = json.loads(line)
            if record["type"] == "score" and record["p_fake"] is not None:
                self.scores[record["stream"]] = self.scores.get(record["stream"], 0) + 1


@contextmanager
def running(sources: Sequence[str], *options: str) -> Iterator[Running]:
    """Start `watch` on `sources` as a user would, and end it as a user would, with Ctrl-C."""
    command = [sys.executable, "-m", "stream_detector", "watch", "--json", *options, "--", *sources]
    with (
        tempfile.NamedTemporaryFile(suffix=".log") as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        run = Running(process, Path(errors.name))
        reading = threading.Thread(target=run._read, name="records")
        reading.start()
        try:
            yield run
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
            reading.join()
