"""Run a pipeline and hand its records to a sink, until it ends or somebody stops it."""

import os
import signal
import sys
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console

from stream_detector.errors import ShutdownError, SourceError
from stream_detector.optional import load_media_libraries
from stream_detector.settings import Settings
from stream_detector.sinks.json_lines import JsonLines
from stream_detector.sinks.terminal import Terminal
from stream_detector.stages import Sink

if TYPE_CHECKING:
    from stream_detector.pipeline import Pipeline

INTERRUPTED = 130
"""What a shell expects after Ctrl-C: 128 + SIGINT."""
_LOOK_AROUND_S = 0.2
"""How often to look for a signal while nothing happens."""
_GRACE_S = 1.0
"""How long an interrupted run waits for a thread that is stuck in a source."""


def run(settings: Settings, *, as_json: bool) -> int:
    """Watch until the end; returns the exit code.

    Raises:
        StreamDetectorError: nothing could be watched, or the run broke. What was recorded until
            then has been written, its summary included.
    """
    load_media_libraries()
    from stream_detector.pipeline import Pipeline
    from stream_detector.sources.reader import quiet_ffmpeg

    quiet_ffmpeg()
    with ExitStack() as stack:
        signals = stack.enter_context(_Signals())
        pipeline = Pipeline(settings)
        sink: Sink = JsonLines(sys.stdout) if as_json else stack.enter_context(Terminal(Console()))
        try:
            return _drive(pipeline, sink, signals)
        except BrokenPipeError:  # the reader, say `head`, has had enough
            # Python flushes stdout once more at exit, and must find somewhere to flush it to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


def _drive(pipeline: "Pipeline", sink: Sink, signals: "_Signals") -> int:
    begun = False
    stopping = False
    try:
        with pipeline:
            sink.begin(pipeline.header)
            begun = True
            for record in pipeline.records(tick_s=_LOOK_AROUND_S):
                if record is not None:
                    sink.take(record)
                if signals.interrupted:
                    pipeline.patience_s = _GRACE_S
                    break
                if signals.terminated and not stopping:
                    stopping = True
                    pipeline.stop()
    except ShutdownError:
        # Whoever presses Ctrl-C while a host does not answer should not have to wait for it: the
        # thread that still does is a daemon, and goes with the process.
        if not signals.interrupted:
            raise
    finally:
        if begun:
            sink.end(pipeline.summary())
    if signals.interrupted:
        return INTERRUPTED
    for failure in pipeline.failures:  # of several streams; a single one's is raised
        sys.stderr.write(f"stream-detector: {failure}\n")
    return SourceError.exit_code if pipeline.failures else 0


class _Signals:
    """Turns SIGINT and SIGTERM into flags while it is entered.

    A handler that raised could cut a JSON line in two. A second Ctrl-C ends the process at once.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.terminated = False

    def __enter__(self) -> Self:
        self._before = {
            signal.SIGINT: signal.signal(signal.SIGINT, self._interrupt),
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._terminate),
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self.interrupted:
            os._exit(INTERRUPTED)
        self.interrupted = True

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self.terminated = True
