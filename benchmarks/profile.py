"""Where the time goes in the running program: a flame graph, and who holds the interpreter lock (GIL).

The program runs as a user runs it, in a process of its own, and py-spy looks at it from outside, stopping
it for a moment each time. Three windows of equal length follow one another, once every stream was scored:

    alone    nobody looks: scores per second, and CPU seconds of each thread as the kernel counts them
    GIL      a look counts for the thread that holds the lock at that moment, if one does
    flame    a look counts for every thread of Python that runs at that moment, or seems to: py-spy also takes
             some for running that wait inside a library, so believe the kernel's CPU time where they differ

Threads that belong to libraries alone are in the CPU time only: they have no frame of Python to show, and
never hold the lock.
"""

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.capture import HEIGHT_PX, WIDTH_PX
from benchmarks.clips import encode_demo, repeat_clip
from benchmarks.loopback import cameras
from benchmarks.running import Running, running
from benchmarks.sampling import PySpy, Sampled
from benchmarks.scan import wilson
from stream_detector.errors import BackendError, SourceError, UsageError

GIL_TARGET = 0.10
"""Of the wall time, at capacity: what all threads together should stay below."""
SETTLE_S = 5.0
_FLAME_SELDOM = 4
"""The flame graph's looks are rarer by so much: each walks every stack, native functions included, which
takes longer than 10 ms where streams are many."""
_SAMPLERS_START_S = 15.0
_TIMES_REALTIME = 30
"""A clip is repeated so often that a program so many times faster than its pictures finds no end."""
_DEMO_S = 10.0
_T = TypeVar("_T")
_NUMBER = re.compile(r"-\d+(_\d+)?$")
NATIVE = "threads of libraries"


def measure_profile(
    clip: Path | None,
    *,
    streams: int | None,
    score_hz: float,
    rate_hz: int,
    seconds: int,
    sample_hz: int,
    out: Path,
) -> dict[str, Any]:
    """Profile the program on live streams at their own pace, or on a clip as fast as it goes.

    Args:
        clip: repeated without end; None: the demo.
        streams: so many cameras on the loopback instead, as `load.measure_capacity` has them.
        rate_hz: frames per second of each camera.
        seconds: of each window.
        sample_hz: looks per second.
        out: where the flame graph goes.

    Raises:
        UsageError: `out` cannot be written.
        MissingDependency: no py-spy.
        BackendError: the system does not let it look into another process.
        SourceError: the clip is none, shows no face, or ended before the last window.
    """
    if not out.parent.is_dir():
        raise UsageError(f"cannot write {out.name}: there is no folder {out.parent}; make it first")
    spy = PySpy(seconds=seconds)
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        draft = Path(folder) / "gil"
        with (
            _sources(clip, streams, rate_hz, seconds, Path(folder)) as sources,
            running(sources, "--score-hz", f"{score_hz:g}") as run,
        ):
            run.wait_for_scores(len(sources))
            time.sleep(SETTLE_S)
            cpu_before_s = run.cpu_s()
            alone_hz, _ = _window(run, lambda: time.sleep(seconds))
            cpu_s = _spent(cpu_before_s, run.cpu_s())
            gil_hz, gil = _window(run, lambda: spy.gil(run.pid, draft, sample_hz=sample_hz))
            flame_hz = max(1, sample_hz // _FLAME_SELDOM)
            flamed_hz, (flame, why_not_native) = _window(run, lambda: _flame(spy, run.pid, out, flame_hz))
    return {
        "clip": None if streams else (clip.name if clip else "the demo"),
        "streams": streams,
        "rate_hz": rate_hz if streams else None,
        "score_hz": score_hz,
        "seconds": seconds,
        "sample_hz": sample_hz,
        "scores_per_s": {"alone": alone_hz, "gil": gil_hz, "flame": flamed_hz},
        "cpu_s_per_s": None if cpu_s is None else sum(cpu_s.values()) / seconds,
        "gil": {**_facts(gil), "share": wilson(gil.samples, gil.looks), "target": GIL_TARGET},
        "flame": {
            **_facts(flame),
            "sample_hz": flame_hz,
            "file": out.name,
            "native": why_not_native is None,
            "why_not_native": why_not_native,
        },
        "threads": thread_rows(gil, flame, cpu_s),
    }


def thread_rows(gil: Sampled, flame: Sampled, cpu_s: Mapping[int, float] | None) -> list[dict[str, Any]]:
    """The shares of every thread, those of one kind together, the busiest first.

    Args:
        cpu_s: CPU seconds by thread; None where nobody counts them.
    """
    names = {**gil.names, **flame.names}
    kinds: dict[str, set[int]] = defaultdict(set)
    for number in {*names, *(cpu_s or ())}:
        kinds[_NUMBER.sub("", names.get(number, "")) or NATIVE].add(number)
    all_cpu_s = sum((cpu_s or {}).values())

    def share(of: Mapping[int, float], numbers: set[int], whole: float) -> float:
        return sum(of.get(number, 0) for number in numbers) / whole if whole else 0.0

    rows = [
        {
            "thread": kind,
            "count": len(numbers),
            "gil_share": share(gil.of_thread, numbers, gil.looks),
            "sample_share": share(flame.of_thread, numbers, flame.samples),
            "cpu_share": None if cpu_s is None else share(cpu_s, numbers, all_cpu_s),
        }
        for kind, numbers in kinds.items()
    ]
    return sorted(rows, key=lambda row: (-(row["cpu_share"] or 0.0), -row["sample_share"], row["thread"]))


def profile_table(result: Mapping[str, Any]) -> str:
    """The figures as Markdown, with how they were counted."""
    lines = [
        "| threads | wall time with the GIL | CPU samples | CPU time |",
        "|---|--:|--:|--:|",
    ]
    for row in result["threads"]:
        cpu = "–" if row["cpu_share"] is None else f"{row['cpu_share']:.1%}"
        # py-spy cannot look into what is no thread of Python, and such a thread never holds the lock.
        seen = "– | –" if row["thread"] == NATIVE else f"{row['gil_share']:.1%} | {row['sample_share']:.1%}"
        lines.append(f"| {row['thread']} ({row['count']}) | {seen} | {cpu} |")
    gil, flame, scores = result["gil"], result["flame"], result["scores_per_s"]
    share = gil["share"]
    lines += [
        f"| **all** | **{share['value']:.1%}** | 100% | {'–' if result['cpu_s_per_s'] is None else '100%'} |",
        "",
        f"{_watched(result)}, {result['seconds']} s each for CPU time, the GIL and the flame graph: "
        f"{scores['alone']:.1f} scores/s, then {scores['gil']:.1f} with py-spy looking {result['sample_hz']} "
        f"and {scores['flame']:.1f} with it looking {flame['sample_hz']} times a second.",
        f"The GIL was held in {gil['samples']} of {gil['looks']} looks: {share['value']:.1%} of wall time "
        f"[{share['low']:.1%}, {share['high']:.1%}] (Wilson's 95 % interval, as if looks were independent); "
        f"the target at capacity is below {gil['target']:.0%}.",
        f"{flame['samples']} samples of running threads of Python in {flame['file']}, "
        + (
            "with the native functions they call."
            if flame["native"]
            else f"WITHOUT native functions: {flame['why_not_native']}."
        )
        + " CPU time is the kernel's, of all threads.",
    ]
    for name, window in (("GIL", gil), ("flame", flame)):
        if window["behind"] or window["errors"]:
            late = ", and others came more than a second late" if window["behind"] else ""
            lines.append(
                f"In the {name} window {window['errors']} looks failed{late}; ask for fewer a second."
            )
    return "\n".join(lines)


def _watched(result: Mapping[str, Any]) -> str:
    if result["streams"]:
        return (
            f"{result['streams']} live streams of {WIDTH_PX}x{HEIGHT_PX} at {result['rate_hz']}/s, one face "
            f"each, {result['score_hz']:g} scores/s asked for"
        )
    return f"{result['clip']} over and over as fast as it goes, at {result['score_hz']:g} scores/s of video"


def _facts(sampled: Sampled) -> dict[str, object]:
    return {
        "samples": sampled.samples,
        "looks": sampled.looks,
        "errors": sampled.errors,
        "behind": sampled.behind,
    }


def _window(run: Running, work: Callable[[], _T]) -> tuple[float, _T]:
    """Scores per second while `work` lasted, and what it brought.

    Raises:
        SourceError: the program ended meanwhile.
    """
    began_s, count = time.monotonic(), run.count()
    ended = SourceError("the program ended before it was measured; give a longer clip, or fewer --seconds")
    try:
        done = work()
    except BackendError as error:
        raise (ended if run.ended else error) from None
    if run.ended:
        raise ended
    return (run.count() - count) / (time.monotonic() - began_s), done


def _flame(spy: PySpy, pid: int, out: Path, sample_hz: int) -> tuple[Sampled, str | None]:
    """The flame graph, and why it shows no native functions; None where it does."""
    title = f"stream-detector, {sample_hz} looks a second"
    try:
        return spy.flame(pid, out, sample_hz=sample_hz, native=True, title=title), None
    except BackendError as error:
        return spy.flame(pid, out, sample_hz=sample_hz, native=False, title=title), str(error)


def _spent(
    before_s: Mapping[int, float] | None, after_s: Mapping[int, float] | None
) -> dict[int, float] | None:
    if before_s is None or after_s is None:
        return None
    return {thread: cpu_s - before_s.get(thread, 0.0) for thread, cpu_s in after_s.items()}


@contextmanager
def _sources(
    clip: Path | None, streams: int | None, rate_hz: int, seconds: int, folder: Path
) -> Iterator[list[str]]:
    if streams:
        with cameras(streams, width_px=WIDTH_PX, height_px=HEIGHT_PX, rate_hz=rate_hz) as urls:
            yield urls
        return
    if clip is None:
        clip = folder / "demo.mp4"
        encode_demo(clip, seconds=_DEMO_S, rate_hz=30)
    long = folder / "clip.mkv"
    repeat_clip(clip, long, media_s=_TIMES_REALTIME * (3 * seconds + SETTLE_S + _SAMPLERS_START_S))
    yield [str(long)]
