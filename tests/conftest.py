"""Fixtures for every test, and the rule that no test leaves a thread or a child process behind."""

import os
import re
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
RESEARCH_DATA = Path(os.environ.get("STREAM_DETECTOR_DATA", REPOSITORY.parent / "shared" / "data"))
"""Research data that is not part of the project; tests that need it skip where it is absent."""

if find_spec("torch") is None:
    # Who only watches installs none of the builder's packages; its tests cannot even be imported then.
    _BUILDER = re.compile(r"^(from|import) (engine_build|torch|tests\.checkpoints)\b", re.MULTILINE)
    collect_ignore = [
        path.name
        for path in sorted(Path(__file__).parent.glob("test_*.py"))
        if _BUILDER.search(path.read_text(encoding="utf-8"))
    ]


@pytest.fixture(scope="session")
def research_data() -> Path:
    """The folder of research data, or a skip that says what is missing."""
    if not (RESEARCH_DATA / "README.md").is_file():
        pytest.skip("needs the research data, which is not part of the project (set STREAM_DETECTOR_DATA)")
    return RESEARCH_DATA


@pytest.fixture(autouse=True)
def _leave_no_thread_behind() -> Iterator[None]:
    """Fail a test whose threads still run a moment after it ended."""
    before = set(threading.enumerate())
    yield
    deadline_s = time.monotonic() + 5.0
    while True:
        left = [t for t in threading.enumerate() if t not in before and t.is_alive()]
        if not left or time.monotonic() > deadline_s:
            break
        time.sleep(0.02)
    assert not left, f"threads left running: {[t.name for t in left]}"
