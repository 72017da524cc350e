"""The only place where Qt meets threads.

thread            owns                takes from            gives to
watch (1)         the pipeline        the pipeline          records: one Handoff
Qt's own          board, widgets      that Handoff, by a    the screen
                                      timer, never waiting

The newest picture of a stream is looked up when it is drawn; nothing queues for the screen.
"""

import logging
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PyQt6.QtCore import QObject, Qt, QTimer, pyqtSignal

from gui.board import Board
from gui.history import StreamHistory
from gui.incident_log import IncidentLog
from gui.mistakes import mistake
from gui.tuning import Tuning
from stream_detector.errors import OutputError, ShutdownError, StreamDetectorError
from stream_detector.evidence.options import RecordOptions
from stream_detector.evidence.recorder import Recorder
from stream_detector.handoff import Closed, Handoff
from stream_detector.recording import recorder_of
from stream_detector.records import Frame, Record, RunHeader, StreamSnapshot
from stream_detector.settings import Settings, StreamOptions, StreamSettings
from stream_detector.sources.address import SourceAddress, SourceKind, parse_address
from stream_detector.worker import Worker

if TYPE_CHECKING:
    from stream_detector.pipeline import Pipeline

_POLL_MS = 33
"""How often the screen is drawn anew: 30 times a second."""
_INBOX = 4096
"""Records held while the window is busy, say with a file dialog of the system: minutes of several faces."""
_MOST_AT_ONCE = 256
"""Records taken per turn, so that catching up does not stop the drawing."""
_LOOK_AROUND_S = 0.1
"""How often the watching thread looks whether it shall stop."""
_GRACE_S = 1.0
"""How long a run that was stopped waits for a thread that is stuck in a source."""
_ACCOUNT_EVERY_S = 0.5
"""How often drops and lag are looked up."""
CLOSE_WITHIN_S = 4.0
"""Closing the window waits no longer than this for its threads."""

_log = logging.getLogger("stream_detector.gui")


class Bridge(QObject):
    """Starts and stops runs, and tells the window what to show. Belongs to Qt's thread."""

    updated = pyqtSignal(object)
    """What to show now: a `View`."""
    begun = pyqtSignal(object)
    """The model runs: a `RunHeader`."""
    failed = pyqtSignal(str)
    """Something broke: the sentence of the command line, without secrets."""
    recording = pyqtSignal(object)
    """The folder that the run is recorded in now, a `Path`; None: it is not."""
    ended = pyqtSignal()
    """The run is over."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.incidents = IncidentLog()
        self._settings: Settings | None = None
        self._streams: dict[int, StreamSettings] = {}
        """Every stream that is shown; their addresses may hold passwords."""
        self._accounts: dict[int, StreamSnapshot] = {}
        self._accounted_s = 0.0
        self._board = Board(self.incidents)
        self._run: _Run | None = None
        self._record: RecordOptions | None = None
        self._recorded: Path | None = None
        self._told: set[str] = set()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def running(self) -> bool:
        """Whether a run goes on."""
        return self._timer.isActive()

    @property
    def sources(self) -> tuple[str, ...]:
        """What is or was being watched, as the user typed it; may hold passwords."""
        return tuple(stream.url for stream in self._streams.values())

    @property
    def header(self) -> RunHeader | None:
        """What the run is made with; None until the model is loaded."""
        return self._board.header

    @property
    def crop_margin(self) -> float:
        """Side of the scored crop / larger side of the face's box."""
        pipeline = self._run.pipeline if self._run else None
        return 1.0 if pipeline is None else pipeline.crop_margin

    def start(self, settings: Settings) -> None:
        """Watch these sources, in place of what was watched.

        Raises:
            SourceError: an address makes no sense; what was watched goes on.
        """
        streams = dict(enumerate(settings.streams))
        titles = {number: _title(stream) for number, stream in streams.items()}
        self.stop()
        self._settings = settings.model_copy(update={"sources": (), "configured": settings.streams})
        self._streams = streams
        self._accounts = {}
        self._told.clear()
        self._board = Board(self.incidents)
        self._board.begin(titles)
        self._run = _Run(settings, after=self._run)
        self._run.record = self._record
        self._run.worker.start()
        self._timer.start()
        self._show()

    def add(self, source: str) -> None:
        """Watch one more beside the others, or these anew with it where the run is over.

        Raises:
            SourceError: the address makes no sense.
        """
        assert self._settings is not None, "something was watched before"
        options = {name: getattr(self._settings, name) for name in StreamOptions.model_fields}
        self._add(StreamSettings(url=source, **options))

    def again(self) -> None:
        """Watch all of them anew.

        Raises:
            SourceError: an address makes no sense.
        """
        assert self._settings is not None, "something was watched before"
        self.start(self._settings.with_streams(tuple(self._streams.values())))

    def retry(self, stream: int) -> None:
        """Try one stream again that is over: beside the others, or anew where the run is over."""
        if stream not in self._streams:
            return
        if not self.running:
            self.again()
            return
        settings = self._streams.pop(stream)
        self._board.forget(stream)
        self._told.clear()
        self._add(settings)

    def stop(self) -> None:
        """Stop watching; waits for nothing."""
        if self._run is None or not self.running:
            return
        self._run.stopping = True
        self._end()

    def close(self) -> bool:
        """Stop, and wait for every thread; returns whether all of them came back in time."""
        self.stop()
        if self._run is None:
            return True
        try:
            self._run.worker.join(CLOSE_WITHIN_S)
        except ShutdownError as stuck:
            _log.warning("%s", stuck)
            return False
        return not self._run.left_behind

    def tune(self, tuning: Tuning) -> None:
        """Judge by these from the next scores on."""
        pipeline = self._run.pipeline if self._run else None
        if pipeline is not None and self._run is not None:
            pipeline.tune(half_life_s=tuning.half_life_s, low=tuning.low, high=tuning.high)
            self._run.tuned = tuning

    def record(self, options: RecordOptions | None) -> None:
        """Record what is watched, from now on and in every run to come; None: no more."""
        self._record = options
        if self._run is not None:
            self._run.record = options

    def history(self, stream: int) -> StreamHistory | None:
        """The scores of a stream over time."""
        return self._board.history(stream)

    def _add(self, stream: StreamSettings) -> None:
        title = _title(stream)
        settings, pipeline = self._settings, self._run.pipeline if self._run else None
        assert settings is not None
        # Not a run that is over, has yet to load its model, or has lost its last stream just now.
        if pipeline is not None and self.running and self.header is not None:
            with suppress(Closed):
                number = pipeline.add_stream(stream)
                self._streams[number] = stream
                self._board.begin({number: title})
                return
        self.start(settings.with_streams((*self._streams.values(), stream)))

    def _poll(self) -> None:
        run = self._run
        assert run is not None
        try:
            self._take_all(run)
        except Closed:
            self._end()
        except StreamDetectorError as error:
            self._tell(str(error))
            self._end()
        except Exception as error:  # noqa: BLE001  (a mistake of our own: told, and the window stays)
            _log.exception("the run broke")
            self._tell(mistake(error))
            self._end()
        else:
            self._show()

    def _take_all(self, run: "_Run") -> None:
        with suppress(TimeoutError):
            for _ in range(_MOST_AT_ONCE):
                item = run.inbox.take(0.0)
                if isinstance(item, _Recording):
                    self._recorded = item.folder
                    self.recording.emit(item.folder)
                    if item.problem:
                        self._tell(item.problem)
                    continue
                if isinstance(item, RunHeader):
                    self._board.header = item
                    self.begun.emit(item)
                    continue
                at = datetime.now().astimezone()
                frame = self._newest(item.stream)
                self._board.take(item, frame=frame, now_s=time.monotonic(), at=at)
        while self._board.failed:
            _, sentence = self._board.failed.pop(0)
            self._tell(sentence)

    def _end(self) -> None:
        """Leave nothing on the screen that looks as if it were still watched."""
        self._timer.stop()
        if self._recorded is not None:
            self._recorded = None
            self.recording.emit(None)
        self._board.end()
        self._show()
        self.ended.emit()

    def _show(self) -> None:
        now_s = time.monotonic()
        pipeline = self._run.pipeline if self._run else None
        if pipeline is not None and now_s - self._accounted_s > _ACCOUNT_EVERY_S:
            self._accounted_s = now_s
            self._accounts = {account.stream: account for account in pipeline.snapshot()}
        view = self._board.view(self._newest, now_s=now_s, running=self.running, accounts=self._accounts)
        self.updated.emit(view)

    def _newest(self, stream: int) -> Frame | None:
        pipeline = self._run.pipeline if self._run else None
        return None if pipeline is None else pipeline.newest_frame(stream)

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told:  # a source's failure comes as an event, and ends the run as an error
            self._told.add(sentence)
            self.failed.emit(sentence)


@dataclass(frozen=True, slots=True)
class _Recording:
    """Recording has begun, ended, or failed."""

    folder: Path | None
    problem: str = ""


class _Run:
    """One pipeline, and the thread that drives it."""

    def __init__(self, settings: Settings, *, after: "_Run | None") -> None:
        """`after`: the run before, which may still be about to let go of the same camera."""
        self.inbox: Handoff[Record | RunHeader | _Recording] = Handoff(_INBOX)
        self.pipeline: Pipeline | None = None
        self.stopping = False
        """Written by Qt's thread, read by the watching one."""
        self.record: RecordOptions | None = None
        """What shall be recorded; written by Qt's thread, as is the next."""
        self.tuned: Tuning | None = None
        """Thresholds that were changed by hand since the recording was last told."""
        self.left_behind = False
        """Whether a thread did not stop in time."""
        self.worker = Worker("watch", partial(self._drive, settings, after), self.inbox)

    def _drive(self, settings: Settings, after: "_Run | None") -> None:
        if after is not None:
            with suppress(ShutdownError):
                after.worker.join(CLOSE_WITHIN_S)
        from stream_detector.pipeline import Pipeline
        from stream_detector.sources.reader import quiet_ffmpeg

        quiet_ffmpeg()
        pipeline = self.pipeline = Pipeline(settings)
        try:
            with pipeline, closing(_Tape(pipeline, settings, self.inbox)) as tape:
                self.inbox.put(pipeline.header)
                for record in pipeline.records(tick_s=_LOOK_AROUND_S):
                    tape.run(self.record)
                    if self.stopping:
                        pipeline.patience_s = _GRACE_S
                        return
                    tuned, self.tuned = self.tuned, None
                    if tuned is not None:
                        tape.tuned(tuned)
                    if record is not None:
                        tape.take(record)
                        self.inbox.put(record)
        except ShutdownError:
            # Whoever stops a run while a host does not answer should not have to wait for the host.
            self.left_behind = True
            if not self.stopping:
                raise


class _Tape:
    """Starts and stops recording while a run lasts. Belongs to the watching thread."""

    def __init__(
        self, pipeline: "Pipeline", settings: Settings, inbox: Handoff[Record | RunHeader | _Recording]
    ) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._inbox = inbox
        self._options: RecordOptions | None = None
        self._recorder: Recorder | None = None

    def run(self, options: RecordOptions | None) -> None:
        """Record so from now on; nothing happens where it does already."""
        if options is self._options:
            return
        self.close()
        self._options = options
        if options is None:
            return
        try:
            recorder = recorder_of(self._pipeline, self._settings, options)
            recorder.begin(self._pipeline.header)
        except StreamDetectorError as error:
            self._inbox.put(_Recording(None, str(error)))
            return
        self._recorder = recorder
        self._inbox.put(_Recording(recorder.run_folder))

    def take(self, record: Record) -> None:
        """The next record."""
        if self._recorder is not None:
            self._recorder.take(record)

    def tuned(self, tuning: Tuning) -> None:
        """The thresholds were changed by hand."""
        if self._recorder is not None:
            self._recorder.tuned(half_life_s=tuning.half_life_s, low=tuning.low, high=tuning.high)

    def close(self) -> None:
        """Stop; what was taken is still written."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        self._pipeline.keep_packets(None)
        problem = ""
        try:
            recorder.stop()
        except OutputError as error:
            problem = str(error)
        if recorder.lost:
            problem = problem or f"{recorder.lost} records could not be kept; see if the disk is full"
        with suppress(Closed):
            self._inbox.put(_Recording(None, problem))


def _title(stream: StreamSettings) -> str:
    """What the user calls a stream, or its source in few words.

    Raises:
        SourceError: its address makes no sense.
    """
    address = parse_address(stream.url)
    return stream.name or title_of(address)


def title_of(address: SourceAddress) -> str:
    """A source in few words, without secrets."""
    match address.kind:
        case SourceKind.DEMO:
            return "Demo"
        case SourceKind.FILE:
            return Path(address.shown).name
        case SourceKind.WEBCAM:
            return f"Camera {address.text}"
        case SourceKind.SCREEN:
            return f"Screen {address.text}".strip()
        case _:
            return address.shown
