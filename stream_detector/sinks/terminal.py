"""One live line per face, for a person at a terminal."""

import time
from collections import deque
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream_detector.records import (
    EventKind,
    FaceScore,
    FaceSummary,
    Record,
    RunHeader,
    RunSummary,
    State,
    StreamSnapshot,
)
from stream_detector.settings import STALE_AFTER_S

_BAR_CELLS = 20
_TOLD = {
    EventKind.CONNECTING: "connecting …",
    EventKind.STALLED: "stalled",
    EventKind.RECONNECTING: "lost, trying again",
    EventKind.AUTH_FAILED: "refused, trying again later",
    EventKind.GAVE_UP: "given up",
    EventKind.STREAM_ENDED: "ended",
    EventKind.STREAM_FAILED: "failed",
}
"""What is said of a stream without a picture, before the sentence of the event."""
_RATE_WINDOW = 16
_DRAWS_PER_S = 8
_LAG_WORTH_TELLING_MS = 500
"""More than any network's ordinary jitter."""

_LOOK = {
    State.NO_FACE: ("·", "no face", "dim"),
    State.TOO_SMALL: ("·", "too small", "dim"),
    State.BLURRED: ("·", "too blurred", "dim"),
    State.CUT_OFF: ("·", "cut off", "dim"),
    State.WARMING_UP: ("…", "warming up", "cyan"),
    State.UNCERTAIN: ("?", "uncertain", "yellow"),
    State.LIKELY_REAL: ("✓", "likely real", "green"),
    State.LIKELY_FAKE: ("▲", "LIKELY FAKE", "bold red"),
    State.STALE: ("✕", "stale", "dim"),
}
"""State -> sign, word, colour: whoever sees no colour reads the word."""
_ALARM = ("⚑", "ALARM", "bold white on red")
"""In place of the state while an alarm holds: nothing about that face is green then."""


@dataclass
class _Line:
    record: FaceScore
    came_at_s: float
    stamps: deque[float] = field(default_factory=lambda: deque(maxlen=_RATE_WINDOW))


class Terminal:
    """Draws on a rich console while it is entered.

    Rich redraws from a thread of its own, so the age of a verdict keeps growing on the screen even
    when nothing comes any more. All other methods belong to one thread.
    """

    def __init__(self, console: Console) -> None:
        """Draws on `console`, which should be a terminal."""
        self._console = console
        self._lock = Lock()
        self._header: RunHeader | None = None
        self._lines: dict[tuple[int, int], _Line] = {}
        self._said: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._live = Live(
            console=console,
            get_renderable=self.picture,
            refresh_per_second=_DRAWS_PER_S,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def begin(self, header: RunHeader) -> None:
        """Says what the run is made with."""
        with self._lock:
            self._header = header
            self._names = {stream: name for stream, name in enumerate(header.names) if name}
        self._console.print(
            f"{header.program}: {header.model}, {header.backend} {header.precision}, "
            f"model {header.model_sha256[:12]}",
            highlight=False,
            markup=False,
        )
        alarm = header.alarm
        self._console.print(
            "no alarm: the model states no false-alarm rate"
            if alarm is None
            else f"alarm: at most {alarm.rate} per day for each of the "
            f"{alarm.real_faces} real faces measured",
            highlight=False,
            markup=False,
        )
        for stream, source in enumerate(header.sources):
            name = f"{self._names[stream]}: " if stream in self._names else ""
            self._console.print(f"  {stream}: {name}{source}", highlight=False, markup=False)

    def take(self, record: Record) -> None:
        """Takes one record; the next redraw shows it."""
        with self._lock:
            if isinstance(record, FaceScore):
                key = (record.stream, record.face_id)
                line = self._lines.get(key)
                if line is None:
                    line = self._lines[key] = _Line(record, time.monotonic())
                line.record, line.came_at_s = record, time.monotonic()
                if record.p_fake is not None:
                    line.stamps.append(record.pts_s)
                if record.state is not State.STALE:
                    self._said.pop(record.stream, None)
            elif record.event is EventKind.FACE_LOST and record.face_id is not None:
                self._lines.pop((record.stream, record.face_id), None)
            elif record.event is EventKind.STREAM_ADDED:
                if record.name:
                    self._names[record.stream] = record.name
                self._said[record.stream] = f"added: {record.detail}"
            elif record.event is EventKind.NO_FACE:
                self._said[record.stream] = "no face in view"
            elif record.event in _TOLD:
                self._said[record.stream] = ": ".join(filter(None, (_TOLD[record.event], record.detail)))
            elif record.event in (EventKind.LIVE, EventKind.RESUMED):
                self._said.pop(record.stream, None)

    def end(self, summary: RunSummary) -> None:
        """Leaves a last table on the screen, one line per face."""
        with self._lock:
            self._lines.clear()
            self._said.clear()
        self._live.stop()
        self._console.print(_final_table(summary))
        dropped = ", ".join(f"{count} at {stage}" for stage, count in summary.dropped.items() if count)
        if dropped and len(summary.streams) > 1:
            dropped += f" ({', '.join(_dropped_of(s) for s in summary.streams if any(s.dropped.values()))})"
        latency = summary.latency_ms
        age = f"; verdict after p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms" if latency else ""
        for stream in summary.streams:
            if stream.lag_ms_peak is not None and stream.lag_ms_peak > _LAG_WORTH_TELLING_MS:
                self._console.print(
                    f"{stream.name or f'stream {stream.stream}'}: pictures came up to "
                    f"{stream.lag_ms_peak / 1000:.1f} s late, {(stream.lag_ms or 0) / 1000:.1f} s at the end",
                    highlight=False,
                    markup=False,
                )
        self._console.print(
            f"{summary.frames} frames, {summary.media_s:.1f} s of video in {summary.wall_s:.1f} s; "
            f"{summary.scores} scores; dropped: {dropped or 'none'}{age}",
            highlight=False,
        )

    def picture(self) -> RenderableType:
        """What the screen shows now; called by the drawing thread."""
        now_s = time.monotonic()
        with self._lock:
            if self._header is None:
                return Text("loading the model and opening the source …", style="dim")
            lines = [self._row(key, line, now_s) for key, line in sorted(self._lines.items())]
            notes = [
                Text(f"{self._label(stream)}: {said}", style="dim") for stream, said in self._said.items()
            ]
        if not lines and not notes:
            return Text("waiting for the first picture …", style="dim")
        table = Table.grid(padding=(0, 1))
        for row in lines:
            table.add_row(*row)
        return Group(table, *notes)

    def _label(self, stream: int) -> str:
        return self._names.get(stream, f"stream {stream}")

    def _row(self, key: tuple[int, int], line: _Line, now_s: float) -> tuple[Text, ...]:
        record = line.record
        waited_s = now_s - line.came_at_s
        # The screen must not stay green when records stop, whatever stopped them.
        state = State.STALE if waited_s > STALE_AFTER_S else record.state
        score = None if state is State.STALE else record.p_fake_rolling
        sign, word, colour = _LOOK[state]
        if state is State.UNCERTAIN and record.doubt is not None:
            word = record.doubt
        if record.alarmed:
            sign, word, colour = ("✕", "stale ALARM", "dim") if state is State.STALE else _ALARM
        rate = ""
        if len(line.stamps) > 1 and line.stamps[-1] > line.stamps[0]:
            rate = f"{(len(line.stamps) - 1) / (line.stamps[-1] - line.stamps[0]):.1f}/s"
        return (
            Text(f"{self._label(key[0])} face {key[1]}"),
            _bar(score, colour),
            Text("  –  " if score is None else f"{score:5.2f}"),
            Text(f"{sign} {word:<11}", style=colour),
            Text(f"{rate:>7}"),
            Text(f"{record.age_ms + waited_s * 1000:6.0f} ms old", style="dim"),
            Text(f"at {record.pts_s:.1f} s", style="dim"),
        )


def _bar(score: float | None, colour: str) -> Text:
    full = 0 if score is None else round(score * _BAR_CELLS)
    return Text("█" * full, style=colour) + Text("░" * (_BAR_CELLS - full), style="dim")


def _final_table(summary: RunSummary) -> RenderableType:
    if not summary.faces:
        return Text("no face was seen")
    table = Table(box=None, pad_edge=False)
    for name in ("stream", "face", "seen", "scores", "rolling fake score", "peak", "alarms", "last state"):
        table.add_column(name, justify="left" if name == "last state" else "right")
    names = {stream.stream: stream.name for stream in summary.streams}
    for face in summary.faces:
        table.add_row(names.get(face.stream) or str(face.stream), *_final_row(face))
    return table


def _dropped_of(stream: StreamSnapshot) -> str:
    return f"{stream.name or f'stream {stream.stream}'} {sum(stream.dropped.values())}"


def _final_row(face: FaceSummary) -> tuple[str | Text, ...]:
    sign, word, colour = _LOOK[face.state]
    return (
        str(face.face_id),
        f"{face.first_s:.1f}–{face.last_s:.1f} s",
        str(face.scores),
        "–" if face.p_fake_rolling is None else f"{face.p_fake_rolling:.2f}",
        "–" if face.p_fake_rolling_peak is None else f"{face.p_fake_rolling_peak:.2f}",
        "–" if face.first_alarm_s is None else f"{face.alarms}, first at {face.first_alarm_s:.1f} s",
        Text(f"{sign} {word}", style=colour),
    )
