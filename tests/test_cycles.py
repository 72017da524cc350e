"""A part of the open-and-close cycles; all of them: `python -m tests.cycles --cycles 1000`."""

from pathlib import Path

import pytest

from tests import cycles


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="counts through /proc")
def test_opening_and_closing_leaves_no_thread_no_file_and_no_memory() -> None:
    before, after = cycles.run(50)
    assert (after.threads, after.files) == (before.threads, before.files)
    assert after.rss_mb - before.rss_mb < 10
