"""Read damaged copies of small files, in a process of its own: `python -m tests.fuzz --cases 2000`.

Every case must end within 10 s, with frames or a SourceError. A crash, a hang or any other exception
is a failure, named with the number that repeats it: `python -m tests.fuzz --first NUMBER --cases 1`.
"""

import argparse
import json
import random
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

PYTHON = sys.executable
HANG_S = 10.0
_START_S = 60.0
"""For the process to start and encode the files."""
_FILES = (
    ("h264.mp4", "libx264"),
    ("mpeg4.mp4", "mpeg4"),
    ("h264.mkv", "libx264"),
    ("vp9.mkv", "libvpx-vp9"),
    ("h264.ts", "libx264"),
    ("mpeg2.ts", "mpeg2video"),
)
_HEADER_BYTES = 1500
_MOST_FRAMES = 200
"""A damaged file may claim to be endless."""


@dataclass
class Outcome:
    """What became of the cases."""

    counts: Counter[str] = field(default_factory=Counter)
    """By kind: "frames" and "refused" are fine."""
    failures: list[str] = field(default_factory=list)
    """One sentence each."""
    slowest_s: float = 0.0


def fuzz(*, first: int = 0, cases: int) -> Outcome:
    """Run the cases `first` to `first + cases - 1`; a crash or a hang costs one case."""
    outcome = Outcome()
    at = first
    while at < first + cases:
        at = _run_child(at, first + cases - at, outcome)
    return outcome


def mutate(whole: bytes, case: int) -> bytes:
    """The damage of `case`: up to 30 bytes changed, half the time in the headers; a quarter is cut off."""
    rng = random.Random(case)
    mutated = bytearray(whole)
    reach = len(mutated) if rng.random() < 0.5 else min(len(mutated), _HEADER_BYTES)
    for _ in range(rng.randrange(1, 31)):
        mutated[rng.randrange(reach)] = rng.randrange(256)
    if rng.random() < 0.25:
        del mutated[rng.randrange(len(mutated)) :]
    return bytes(mutated)


def _run_child(first: int, cases: int, outcome: Outcome) -> int:
    """Let one process do the cases until it is through, dies or hangs; the first case not done."""
    command = [PYTHON, "-m", "tests.fuzz", "--child", "--first", str(first), "--cases", str(cases)]
    # Unbuffered: what lies in a buffer, select does not see.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        at = first
        patience_s = _START_S
        while at < first + cases:
            began_s = time.monotonic()
            line = b""
            if select.select([child.stdout], [], [], patience_s)[0]:
                line = child.stdout.readline()
            if not line:
                hung = child.poll() is None and time.monotonic() - began_s >= patience_s
                child.kill()
                words = child.stderr.read().decode(errors="replace").strip().splitlines()
                how = f"hung for {patience_s:g} s" if hung else f"died with {child.wait()}"
                outcome.failures.append(f"case {at} {how}: {words[-1] if words else 'no words'}")
                return at + 1
            patience_s = HANG_S
            report = json.loads(line)
            outcome.counts[report["outcome"]] += 1
            outcome.slowest_s = max(outcome.slowest_s, report["took_s"])
            at += 1
        return at


def _be_child(first: int, cases: int) -> None:
    """Do the cases, and print a line for each."""
    from stream_detector.errors import SourceError
    from stream_detector.sources.address import parse_address
    from stream_detector.sources.reader import Reader
    from tests import media

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wholes = [
            (file, media.write_clip(folder / file, paint=media.noise, codec=codec, frames=10).read_bytes())
            for file, codec in _FILES
        ]
        for case in range(first, first + cases):
            file, whole = wholes[case % len(wholes)]
            path = folder / f"case{Path(file).suffix}"
            path.write_bytes(mutate(whole, case))
            began_s = time.monotonic()
            outcome = "frames"
            try:
                with closing(Reader(parse_address(str(path))).frames()) as frames:
                    for frame in islice(frames, _MOST_FRAMES):
                        frame.picture.rgb()
            except SourceError as error:
                outcome = "refused"
                if not str(error).isprintable():
                    raise ValueError(f"an unprintable sentence: {error!r}") from error
            took_s = time.monotonic() - began_s
            sys.stdout.write(json.dumps({"outcome": outcome, "took_s": took_s}) + "\n")
            sys.stdout.flush()


def main() -> int:
    """Run from the command line; 1 where a case failed."""
    parser = argparse.ArgumentParser(description="Read damaged copies of small files.")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _be_child(options.first, options.cases)
        return 0
    began_s = time.monotonic()
    outcome = fuzz(first=options.first, cases=options.cases)
    for failure in outcome.failures:
        sys.stdout.write(failure + "\n")
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.counts.items()))
    sys.stdout.write(
        f"{options.cases} cases: {counts}; {len(outcome.failures)} failed; slowest "
        f"{outcome.slowest_s:.2f} s, all {time.monotonic() - began_s:.0f} s\n"
    )
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
