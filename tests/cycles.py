"""Open and close sources many times and count what is left: `python -m tests.cycles --cycles 1000`.

The servers run in this process; the sources in another, so that only theirs is counted.
"""

import argparse
import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

_WARM_UP = 20
"""Cycles before the first count: libraries fill their caches."""
_SETTLE_S = 10.0
"""For reading threads that were left behind to come back: longer than any limit here."""


@dataclass(frozen=True)
class Left:
    """What one count found."""

    threads: int
    files: int
    """Open file descriptors."""
    rss_mb: float


def run(cycles: int) -> tuple[Left, Left]:
    """What was there after the warm-up, and after `cycles` more cycles."""
    from tests import media, rtsp, servers

    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as name:
        clip = media.write_clip(Path(name) / "clip.mp4")
        camera = stack.enter_context(servers.serving(rtsp.playing(rtsp.camera())))
        silent = stack.enter_context(servers.serving(servers.silent))
        guarded = stack.enter_context(servers.serving(servers.unauthorized))
        sources = [
            f"rtsp://127.0.0.1:{camera.port}/cam",
            str(clip),
            f"rtsp://127.0.0.1:{silent.port}/cam",
            f"rtsp://watcher:x@127.0.0.1:{guarded.port}/cam",
            f"rtsp://127.0.0.1:{servers.closed_port()}/cam",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "tests.cycles", "--child", "--cycles", str(cycles), *sources],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=60 + cycles,
        )
    before, after = json.loads(done.stdout)
    return Left(**before), Left(**after)


def _be_child(cycles: int, sources: list[str]) -> None:
    for source in _in_turn(sources, _WARM_UP):
        _cycle(source)
    before = _count()
    for source in _in_turn(sources, cycles):
        _cycle(source)
    sys.stdout.write(json.dumps([before, _count()]))


def _in_turn(sources: list[str], count: int) -> Iterator[str]:
    return (sources[index % len(sources)] for index in range(count))


def _cycle(source: str) -> None:
    from stream_detector.errors import SourceError
    from stream_detector.records import Frame
    from stream_detector.sources.address import parse_address
    from stream_detector.sources.reader import Reader
    from stream_detector.sources.reconnect import ReconnectingSource
    from stream_detector.sources.session import Limits
    from stream_detector.stages import Source

    address = parse_address(source)
    limits = Limits(open_s=0.2, first_frame_s=0.2, between_frames_s=0.2)
    opened: Source = (
        ReconnectingSource(address, limits=limits, give_up_after_s=0, auth_interval_s=0.01)
        if address.live
        else Reader(address)
    )
    with contextlib.suppress(SourceError), closing(opened.frames()) as items:
        for frame in islice((item for item in items if isinstance(item, Frame)), 3):
            frame.picture.rgb()


def _count() -> dict[str, float]:
    deadline_s = time.monotonic() + _SETTLE_S
    while threading.active_count() > 1 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    gc.collect()
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "threads": threading.active_count(),
        "files": files,
        "rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Open and close sources many times.")
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("sources", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _be_child(options.cycles, options.sources)
        return
    before, after = run(options.cycles)
    sys.stdout.write(f"after the warm-up: {before}\nafter {options.cycles} more: {after}\n")


if __name__ == "__main__":
    main()
