"""Words on stderr: where they go, and what they must not hold."""

import io
import logging
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest
from rich.console import Console

from stream_detector.commands.logs import LogLevel, log_to_stderr
from stream_detector.sinks.terminal import Terminal
from tests.test_json_lines import HEADER


@pytest.fixture(autouse=True)
def _leave_the_logger_as_it_was() -> Iterator[None]:
    logger = logging.getLogger("stream_detector")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate


def test_a_line_goes_to_what_stderr_is_at_that_moment() -> None:
    log_to_stderr(LogLevel.warning)
    with redirect_stderr(io.StringIO()) as said:
        logging.getLogger("stream_detector.x").warning("now")
    assert said.getvalue() == "WARNING stream_detector.x: now\n"


def test_a_line_holds_no_secret_whoever_writes_it() -> None:
    log_to_stderr(LogLevel.warning)
    with redirect_stderr(io.StringIO()) as said:
        logging.getLogger("stream_detector.x").warning("rtsp://me:%s@host/x?token=%s", "sesame", "hunter2")
    assert "rtsp://***@host/x" in said.getvalue()
    assert "sesame" not in said.getvalue()
    assert "hunter2" not in said.getvalue()


def test_a_line_scrolls_by_above_the_live_view() -> None:
    log_to_stderr(LogLevel.warning)
    screen = io.StringIO()
    with redirect_stderr(io.StringIO()) as beside:
        with Terminal(Console(file=screen, width=120, force_terminal=True)) as terminal:
            terminal.begin(HEADER)
            logging.getLogger("stream_detector.x").warning("the broker has gone")
        logging.getLogger("stream_detector.x").warning("afterwards")
    assert "the broker has gone" in screen.getvalue()
    assert beside.getvalue() == "WARNING stream_detector.x: afterwards\n"
