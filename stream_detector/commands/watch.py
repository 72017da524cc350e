"""Run a pipeline and hand its records to a sink, until it ends or somebody stops it."""

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console

from stream_detector.commands.reload import Reload
from stream_detector.commands.signals import INTERRUPTED, Signals
from stream_detector.errors import ShutdownError, SourceError
from stream_detector.optional import load_media_libraries
from stream_detector.settings import Settings
from stream_detector.sinks.json_lines import JsonLines
from stream_detector.sinks.terminal import Terminal
from stream_detector.stages import Sink

if TYPE_CHECKING:
    from stream_detector.pipeline import Pipeline

_LOOK_AROUND_S = 0.2
"""How often to look for a signal while nothing happens."""
_GRACE_S = 1.0
"""How long an interrupted run waits for a thread that is stuck in a source."""
_DRAIN_S = 5.0
"""How long a run that was asked to end may take to score what it already has."""


def run(settings: Settings, *, as_json: bool, reload: Reload | None = None) -> int:
    """Watch until the end; returns the exit code.

    Args:
        reload: what to do on SIGHUP; None: SIGHUP ends the process.

    Raises:
        StreamDetectorError: nothing could be watched, or the run broke. What was recorded until
            then has been written, its summary included.
    """
    load_media_libraries()
    from stream_detector.pipeline import Pipeline
    from stream_detector.sources.reader import quiet_ffmpeg

    quiet_ffmpeg()
    with ExitStack() as stack:
        signals = stack.enter_context(Signals(hang_up=reload is not None))
        pipeline = Pipeline(settings)
        sink: Sink = JsonLines(sys.stdout) if as_json else stack.enter_context(Terminal(Console()))
        return _drive(pipeline, sink, signals, reload)


def _drive(pipeline: "Pipeline", sink: Sink, signals: Signals, reload: Reload | None) -> int:
    begun = False
    drained_by_s: float | None = None
    try:
        with pipeline:
            sink.begin(pipeline.header)
            begun = True
            for record in pipeline.records(tick_s=_LOOK_AROUND_S):
                if record is not None:
                    sink.take(record)
                if reload is not None and drained_by_s is None:
                    reload.look(pipeline, asked=signals.take_hang_up())
                if signals.terminated and drained_by_s is None:
                    drained_by_s = time.monotonic() + _DRAIN_S
                    pipeline.stop()
                late = drained_by_s is not None and time.monotonic() > drained_by_s
                if signals.interrupted or late:
                    pipeline.patience_s = _GRACE_S
                    break
    except ShutdownError:
        # Whoever ends a run while a host does not answer should not have to wait for the host: the
        # thread that still does is a daemon, and goes with the process.
        if not (signals.interrupted or signals.terminated):
            raise
    finally:
        if begun:
            sink.end(pipeline.summary())
    if signals.interrupted:
        return INTERRUPTED
    for failure in pipeline.failures:  # of several streams; a single one's is raised
        sys.stderr.write(f"stream-detector: {failure}\n")
    return SourceError.exit_code if pipeline.failures else 0
