"""Run a pipeline and hand its records to its outputs, until it ends or somebody stops it."""

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console

from stream_detector.commands.outputs import Outputs, open_outputs
from stream_detector.commands.reload import Reload
from stream_detector.commands.signals import INTERRUPTED, Signals
from stream_detector.commands.systemd import Systemd
from stream_detector.errors import ShutdownError, SourceError, UsageError
from stream_detector.health import RunStatus, problems
from stream_detector.optional import load_media_libraries
from stream_detector.records import EventKind, Record, StreamEvent
from stream_detector.settings import Settings
from stream_detector.sinks.fan_out import FanOut
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
_STATUS_EVERY_S = 2.0
"""How often systemd's status line is written anew, at most."""
_STDOUT = "stdout"
ALARMED = 10
"""What a run exits with that was to end at its first alarm, and did."""


def run(
    settings: Settings, *, as_json: bool, outputs: Outputs | None = None, reload: Reload | None = None
) -> int:
    """Watch until the end; returns the exit code.

    Args:
        outputs: where records go besides stdout. With one or more of them an stdout that fails ends
            the run no more than they do.
        reload: what to do on SIGHUP; None: SIGHUP ends the process.

    Raises:
        StreamDetectorError: nothing could be watched, or the run broke. What was recorded until
            then has been written, its summary included.
    """
    load_media_libraries()
    from stream_detector.pipeline import Pipeline
    from stream_detector.recording import recorder_of
    from stream_detector.sources.reader import quiet_ffmpeg

    quiet_ffmpeg()
    wanted = outputs or Outputs()
    with ExitStack() as stack:
        signals = stack.enter_context(Signals(hang_up=reload is not None))
        pipeline = Pipeline(settings)
        if wanted.exit_on_alarm and pipeline.alarm is None:
            raise UsageError(
                "--exit-on-alarm makes no sense with this model: its sidecar holds no facts to state a "
                "false-alarm rate by, so no alarm is ever raised; see stream-detector doctor"
            )
        others = stack.enter_context(
            open_outputs(wanted, pipeline.status, lambda options: recorder_of(pipeline, settings, options))
        )
        sink: Sink = JsonLines(sys.stdout) if as_json else stack.enter_context(Terminal(Console()))
        systemd = _ToSystemd(Systemd(), pipeline, wanted.max_frame_age_s)
        until_alarm = wanted.exit_on_alarm
        if not others:
            return _drive(pipeline, sink, signals, systemd, reload, until_alarm=until_alarm)
        fan_out = FanOut({_STDOUT: sink, **others})
        code = _drive(pipeline, fan_out, signals, systemd, reload, until_alarm=until_alarm)
        error = fan_out.error_of(_STDOUT)
        if error is not None:
            raise error
        return code


class _ToSystemd:
    """Keeps systemd told how the run stands."""

    def __init__(self, systemd: Systemd, pipeline: "Pipeline", max_frame_age_s: float) -> None:
        self._systemd = systemd
        self._pipeline = pipeline
        self._max_frame_age_s = max_frame_age_s
        self._looked_at_s = self._written_at_s = float("-inf")
        self._line = ""
        self._stopping = False

    def ready(self) -> None:
        self._systemd.ready()

    def alive(self) -> None:
        now_s = time.monotonic()
        if not self._systemd.asks or now_s - self._looked_at_s < _LOOK_AROUND_S:
            return
        self._looked_at_s = now_s
        status = self._pipeline.status()
        if now_s - self._written_at_s >= _STATUS_EVERY_S:
            self._written_at_s = now_s
            self._line = _status_line(status, self._max_frame_age_s)
        self._systemd.alive(status.turns, self._line)

    def stopping(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._systemd.stopping()


def _status_line(status: RunStatus, max_frame_age_s: float) -> str:
    found = problems(status, max_frame_age_s=max_frame_age_s)
    count = sum(not stream.ended and not stream.failed for stream in status.streams)
    watched = "1 stream" if count == 1 else f"{count} streams"
    return f"watching {watched}; " + ("; ".join(found) if found else "all is well")


def _is_alarm(record: Record) -> bool:
    return isinstance(record, StreamEvent) and record.event is EventKind.ALARM


def _drive(
    pipeline: "Pipeline",
    sink: Sink,
    signals: Signals,
    systemd: _ToSystemd,
    reload: Reload | None,
    *,
    until_alarm: bool,
) -> int:
    begun = alarmed = False
    drained_by_s: float | None = None
    try:
        with pipeline:
            sink.begin(pipeline.header)
            begun = True
            systemd.ready()
            for record in pipeline.records(tick_s=_LOOK_AROUND_S):
                if record is not None:
                    sink.take(record)
                    alarmed = alarmed or (until_alarm and _is_alarm(record))
                systemd.alive()
                if reload is not None and drained_by_s is None:
                    reload.look(pipeline, asked=signals.take_hang_up())
                if signals.terminated and drained_by_s is None:
                    drained_by_s = time.monotonic() + _DRAIN_S
                    systemd.stopping()
                    pipeline.stop()
                late = drained_by_s is not None and time.monotonic() > drained_by_s
                if signals.interrupted or late or alarmed:
                    pipeline.patience_s = _GRACE_S
                    break
            systemd.stopping()
    except ShutdownError:
        # Whoever ends a run while a host does not answer should not have to wait for the host: the
        # thread that still does is a daemon, and goes with the process.
        if not (signals.interrupted or signals.terminated or alarmed):
            raise
    finally:
        if begun:
            sink.end(pipeline.summary())
    if signals.interrupted:
        return INTERRUPTED
    if alarmed:
        return ALARMED
    for failure in pipeline.failures:  # of several streams; a single one's is raised
        sys.stderr.write(f"stream-detector: {failure}\n")
    return SourceError.exit_code if pipeline.failures else 0
