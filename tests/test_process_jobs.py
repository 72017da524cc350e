"""Work in processes: every item is answered once, whatever becomes of its process."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from engine_build.process_jobs import ProcessDied, run_jobs
from stream_detector.errors import SourceError, UsageError


def squared(number: int, *, deadly: tuple[int, ...] = (), wrong: int = -1) -> int:
    if number in deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == wrong:
        raise SourceError(f"cannot read {number}")
    return number * number


def test_every_item_is_answered_once() -> None:
    assert sorted(run_jobs(squared, range(20), jobs=2)) == [(n, n * n) for n in range(20)]
    assert list(run_jobs(squared, [], jobs=2)) == []


def test_an_item_that_kills_its_process_is_the_only_one_to_fail() -> None:
    results = dict(run_jobs(partial(squared, deadly=(0, 3)), range(6), jobs=2))
    assert sorted(results) == list(range(6))
    assert [n for n, result in results.items() if isinstance(result, ProcessDied)] in ([0, 3], [3, 0])
    assert results[5] == 25


def test_an_error_of_ours_ends_the_work_and_reaches_the_caller() -> None:
    with pytest.raises(SourceError, match="cannot read 2"):
        list(run_jobs(partial(squared, wrong=2), range(100), jobs=2))


def test_less_than_one_process_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot work with 0 processes"):
        list(run_jobs(squared, [1], jobs=0))


def processes_of(group: int) -> list[Path]:
    """Processes of a process group that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(stat.parent)
    return found


def ends(group: int, within_s: float = 20.0) -> bool:
    """Whether every process of the group ends."""
    deadline_s = time.monotonic() + within_s
    while processes_of(group) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return not processes_of(group)
