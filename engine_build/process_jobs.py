"""Work on many videos in several processes: one file that kills its process is the only one to fail."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

import cv2

from stream_detector.errors import UsageError
from stream_detector.sources.reader import quiet_ffmpeg

Item = TypeVar("Item")
Result = TypeVar("Result")


class ProcessDied:
    """Stands in for a result: native code crashed on this item, or the system ran out of memory."""


def run_jobs(
    work: Callable[[Item], Result], items: Iterable[Item], *, jobs: int
) -> Generator[tuple[Item, Result | ProcessDied]]:
    """`work` done on every item, in the order in which they are finished.

    The processes are new ones (spawned), so `work`, items and results travel by pickle. They ignore
    Ctrl-C, which is the caller's to handle, write nothing to stderr, and end with the caller, even
    where it is killed.

    Args:
        work: a function of a module, or a `functools.partial` of one.
        jobs: how many processes, 1 or more.

    Raises:
        UsageError: less than one job.
        Exception: whatever `work` raises; what has begun is finished first, and nothing more is done.
    """
    if jobs < 1:
        raise UsageError(f"cannot work with {jobs} processes: expected 1 or more; choose another --jobs")
    waiting = iter(items)
    while True:
        suspects: list[Item] = []
        yield from _until_one_dies(work, waiting, jobs, suspects)
        if not suspects:
            return
        for item in suspects:
            yield item, _alone(work, item)


def _until_one_dies(
    work: Callable[[Item], Result], waiting: Iterator[Item], jobs: int, suspects: list[Item]
) -> Generator[tuple[Item, Result]]:
    """The results of one pool; if a process dies, all the items then at work are added to `suspects`."""
    running: dict[Future[Result], Item] = {}
    with _pool(jobs) as pool:

        def hand_out() -> None:
            # Not more than there are processes, so that there are few suspects.
            for item in islice(waiting, 0 if suspects else jobs - len(running)):
                try:
                    running[pool.submit(work, item)] = item
                except BrokenProcessPool:
                    suspects.append(item)

        hand_out()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                item = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    suspects.append(item)
                    continue
                yield item, result
            hand_out()


def _alone(work: Callable[[Item], Result], item: Item) -> Result | ProcessDied:
    """`work` done in a process of its own."""
    with _pool(1) as pool:
        try:
            return pool.submit(work, item).result()
        except BrokenProcessPool:
            return ProcessDied()


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_set_up_process
    )


def _set_up_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quiet_ffmpeg()
    cv2.setNumThreads(1)  # the processes share the processors
    # Native libraries chat on stderr, which would tear the progress bar; exceptions travel another way.
    sys.stderr.flush()
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    os.close(silent)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot tell its processes to stop; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
