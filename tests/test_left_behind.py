"""Readings that never come back, as FFmpeg's may where no time-out of its own reaches."""

import threading
import time
from collections.abc import Generator

import pytest

from stream_detector.records import EventKind, Frame, StreamEvent
from stream_detector.sources import session
from stream_detector.sources.address import parse_address
from stream_detector.sources.reconnect import ReconnectingSource
from stream_detector.sources.session import Limits
from tests.watching import Watching


class StuckReader:
    """Never returns from its first native call, whatever is asked of it, until the test lets it go."""

    live = True
    damaged_packets = 0
    facts = None
    opened = 0
    release = threading.Event()

    def __init__(self, *arguments: object, **options: object) -> None:
        type(self).opened += 1

    def frames(self) -> Generator[Frame]:
        self.release.wait(60)
        yield from ()

    def stop(self) -> None:
        """In vain."""


def test_readers_that_never_come_back_are_left_behind_and_bounded_in_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "Reader", StuckReader)
    limits = Limits(open_s=0.05, grace_s=0.0)
    source = ReconnectingSource(parse_address("rtsp://camera/x"), limits=limits)
    try:
        with Watching(source) as seen:
            deadline_s = time.monotonic() + 15
            while source.readers_left_behind < 4 and time.monotonic() < deadline_s:
                time.sleep(0.05)
            time.sleep(1.0)  # as long as two more would take
            assert source.readers_left_behind == StuckReader.opened == 4
            StuckReader.release.set()
            while StuckReader.opened == 4 and time.monotonic() < deadline_s:
                time.sleep(0.05)
            assert StuckReader.opened > 4  # and on it goes
    finally:
        StuckReader.release.set()
    assert seen.kinds[:2] == [EventKind.CONNECTING, EventKind.RECONNECTING]
    assert all(isinstance(event, StreamEvent) for event in seen.events)
