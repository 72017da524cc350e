"""Wires every stage and owns every thread of a run.

thread           owns                       takes from               gives to
read    (1/live) the source's container     network, device          frames: the capture thread
capture (1/str.) files; else the watchdog   file, or read            frames: Handoff(1); live: newest wins
find    (1/str.) the tracker                frames                   crops and notices: one CropExchange
score   (1)      the model, the verdicts    crops of ALL streams     records: one Handoff
caller           stdout, or a window        records                  the world

The find threads share MediaPipe's detectors; a look has one to itself.

Streams come and go while the run lasts. Stopping runs down the table: stop the source, close the
hand-off, join the thread, next. An error travels the way of the data and is raised in the caller; one
stream's failure ends only that stream.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from types import TracebackType
from typing import Self

import av  # noqa: F401  (before OpenCV, see optional.load_media_libraries)

from stream_detector import __version__
from stream_detector.alarm_design import design_alarm
from stream_detector.batching import FaceBatcher
from stream_detector.errors import ShutdownError, SourceError
from stream_detector.evidence.log_records import Judging, StreamJudging
from stream_detector.evidence.packets import PacketRing
from stream_detector.exchange import CropExchange
from stream_detector.faces import shared_detectors
from stream_detector.handoff import Closed, Handoff
from stream_detector.health import RunStatus
from stream_detector.judging import Judge
from stream_detector.ledger import Ledger
from stream_detector.model_spec import UncertainBand
from stream_detector.records import (
    AlarmDesign,
    EventKind,
    FaceScore,
    Frame,
    Record,
    RunHeader,
    RunSummary,
    StreamEvent,
    StreamSnapshot,
)
from stream_detector.rest import usable_processors
from stream_detector.scorers.choice import choose_scorer, read_spec
from stream_detector.settings import (
    OPEN_TIMEOUT_S,
    READ_TIMEOUT_S,
    STALE_AFTER_S,
    Settings,
    StreamSettings,
)
from stream_detector.sources.address import parse_address
from stream_detector.stages import Scorer
from stream_detector.stream_watch import StreamWatch, stream_status
from stream_detector.verdict import Verdicts
from stream_detector.worker import Worker

_TICK_S = 0.25
"""How often the score thread looks for streams that fell silent while nothing else happens."""
_NOTICED_WITHIN_S = 0.4
"""By so much a silent stream must be noticed early to be `stale` in time: a look, and the batch before it."""
_RESULTS_HELD = 16
"""Records a slow reader may be behind before the scorer waits for it: 3 s of one face at 5 Hz."""
_PATIENCE_S = 2 * OPEN_TIMEOUT_S + READ_TIMEOUT_S
"""Longer than the longest native wait (an open connects, then looks), so that a thread can notice."""

_HURRIED_S = 1.0
"""The same, when there is bad news to tell; the thread that is left is a daemon."""

_log = logging.getLogger("stream_detector.pipeline")


class Pipeline:
    """One run: a context manager that yields records.

        with Pipeline(settings) as run:
            print(run.header)
            for record in run.records():
                ...
        print(run.summary())

    Belongs to the thread that made it, but for `add_stream`, `remove_stream`, `newest_frame`, `tune`,
    `snapshot` and `stop`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        open_scorer: Callable[[Settings], Scorer] | None = None,
    ) -> None:
        """Check the addresses and read the model's sidecar; nothing is opened and no thread runs yet.

        Args:
            settings: its streams get the numbers from 0 on.
            open_scorer: called once, in the score thread; None: the back-end that the settings ask for.

        Raises:
            SourceError: an address makes no sense.
            ModelError: the model's files are missing, damaged or edited.
        """
        self._settings = settings
        self._open_scorer = open_scorer or _choose_scorer
        self._ledger = Ledger()
        self._exchange = CropExchange(
            FaceBatcher(max_batch=settings.max_batch, max_wait_s=settings.max_wait_ms / 1000),
            capacity=settings.max_batch,
            stays=settings.stay,
        )
        self._detectors = shared_detectors(settings.face_model, most=usable_processors())
        self._spec = read_spec(settings.model, backend=settings.backend, precision=settings.precision)
        self.alarm = self._design(settings.false_alarms_per_day)
        """By what streams without a false-alarm rate of their own raise alarms; None: nothing ever does."""
        self._half_life_of: dict[int, float] = {}
        self._alarm_of: dict[int, AlarmDesign] = {}
        self._verdicts = Verdicts(
            half_life_s=settings.half_life_s,
            band=self._spec.band,
            of_stream=self._half_life_of,
            alarm_of=self._alarm_of,
            calibration=self._spec.calibration,
            max_turn=self._spec.quality.max_turn,
        )
        self._ready: Handoff[RunHeader] = Handoff(1)
        self._records: Handoff[Record] = Handoff(_RESULTS_HELD, lossless=True)
        self._failures: dict[int, SourceError] = {}
        self._packets_reach_s: float | None = None
        self._turns = 0
        self._turned_at_s: float | None = None
        self._lock = threading.Lock()
        """Guards the three below: streams come and go from any thread."""
        self._streams: dict[int, StreamWatch] = {}
        self._stopping = False
        self._next_number = 0
        self._scoring = Worker("score", self._score, _RunEnd(self._records, self._ready, self._exchange))
        self.patience_s = _PATIENCE_S
        """How long leaving waits for a thread that is stuck in a source."""
        self.header: RunHeader
        """What the run is made with; there once the run is entered."""
        for stream in settings.streams:
            self._new_stream(stream)

    def __enter__(self) -> Self:
        """Start every thread and load the model.

        Raises:
            ModelError, BackendError, MissingDependency: the model cannot be run.
        """
        # Cameras, the face finder and the model are all slow to open: let them open side by side. Only
        # a file played at its own speed waits for the model: it would lose its beginning.
        begin = list(self._streams.values())
        for stream in begin:
            stream.start(capture=not stream.paced)
        self._scoring.start()
        try:
            self.header = self._ready.take()
        except BaseException:
            self.patience_s = _HURRIED_S  # why the model does not run must not wait for a silent host
            with suppress(ShutdownError):
                self._shut_down()
            raise
        for stream in begin:
            stream.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._shut_down()
        except ShutdownError as stuck:
            if error is None:
                raise
            _log.warning("%s", stuck)  # and let the error that ended the run be the one that is raised

    def records(self, tick_s: float | None = None) -> Iterator[Record | None]:
        """What happens, in order, until every stream has ended.

        Args:
            tick_s: yield None whenever nothing happened for so long, so that the caller can look
                around; None: wait for as long as it takes.

        Raises:
            StreamDetectorError: the run broke. The failure of an only source is raised at its end;
                of several, `failures` tells.
        """
        while True:
            try:
                yield self._records.take(tick_s)
            except TimeoutError:
                yield None
            except Closed:
                break
        if self._failures and self._next_number == 1:
            raise self._failures[0]

    def add_stream(self, settings: StreamSettings) -> int:
        """Begin to watch one more stream, in a run that was entered. Any thread.

        Its records begin with STREAM_ADDED.

        Returns:
            Its number; numbers are never used again.

        Raises:
            SourceError: its address makes no sense.
            Closed: the run is over.
        """
        stream = self._new_stream(settings)
        detail = f"{settings.name}: {stream.address.shown}" if settings.name else stream.address.shown
        added = StreamEvent(stream.number, None, EventKind.STREAM_ADDED, detail=detail, name=settings.name)
        self._exchange.put(stream.number, [added])
        stream.start()
        return stream.number

    def remove_stream(self, number: int, why: str = "") -> None:
        """Stop watching a stream; its last record is STREAM_ENDED. Any thread; never waits.

        What it delivered is still scored. Nothing happens to one that has ended, or never was.

        Args:
            why: `detail` of the event.
        """
        with self._lock:
            stream = self._streams.get(number)
        if stream is None:
            return
        stream.end(why)

    def stop(self) -> None:
        """Make the sources end; what they delivered is still scored and yielded. Any thread."""
        with self._lock:
            self._stopping = True
        self._exchange.finish()
        for stream in self._present():
            stream.stop()

    def newest_frame(self, stream: int) -> Frame | None:
        """The frame that `stream` decoded last; None before the first, or when it has ended. Any thread.

        Nothing is copied, and nothing converted until somebody looks at its picture.
        """
        found = self._streams.get(stream)
        return None if found is None else found.newest

    def tune(self, *, half_life_s: float, low: float, high: float) -> None:
        """Judge by another half-life and band from the next scores on. Any thread.

        The header keeps saying what the run began with.

        Args:
            half_life_s: in seconds of media time, > 0.
            low, high: rolling scores from `low` to `high` are `uncertain`; 0 <= low < high <= 1.
        """
        band = UncertainBand(low=low, high=high, source="set while the run lasted")
        self._verdicts.tune(half_life_s=half_life_s, band=band)

    def keep_packets(self, reach_s: float | None) -> None:
        """Hold the newest packets of every stream so far back, for `packets`; None: hold none. Any thread."""
        self._packets_reach_s = reach_s
        for stream in self._present():
            if stream.packets is not None:
                stream.packets.reach(reach_s)

    def packets(self, stream: int) -> PacketRing | None:
        """The newest packets of `stream`; None where it has none, or is forgotten. Any thread."""
        found = self._streams.get(stream)
        return None if found is None else found.packets

    @property
    def judging(self) -> Judging:
        """By what scores are judged now: with them, enough to judge again without the model."""
        return Judging(
            band=self._verdicts.band,
            calibration=self._spec.calibration,
            max_turn=self._spec.quality.max_turn,
            alarm_facts=self._spec.alarm,
            streams={number: self.judged_by(number) for number in list(self._half_life_of)},
        )

    def judged_by(self, stream: int) -> StreamJudging:
        """By what the faces of one stream are judged now."""
        half_life_s = self._verdicts.tuned_half_life_s or self._half_life_of[stream]
        return StreamJudging(half_life_s=half_life_s, alarm=self._alarm_of.get(stream))

    @property
    def crop_margin(self) -> float:
        """Side of the crop that is scored / larger side of the face's box."""
        return self._spec.margin(self._settings.face_model)

    @property
    def failures(self) -> list[SourceError]:
        """What broke the streams that broke, in order of stream."""
        return [error for _, error in sorted(self._failures.items())]

    def snapshot(self) -> tuple[StreamSnapshot, ...]:
        """How every stream fares now, those that ended included. Any thread, as often as wanted."""
        return self._ledger.snapshot()

    def status(self) -> RunStatus:
        """How the run stands now. Any thread, at any time."""
        present = {stream.number: stream for stream in self._present()}
        turned_at_s = self._turned_at_s
        return RunStatus(
            streams=tuple(
                stream_status(snapshot, present.get(snapshot.stream)) for snapshot in self.snapshot()
            ),
            turns=self._turns,
            turned_ago_s=None if turned_at_s is None else time.monotonic() - turned_at_s,
        )

    def summary(self) -> RunSummary:
        """What the run did so far."""
        streams = self.snapshot()
        return RunSummary(
            frames=sum(stream.frames for stream in streams),
            scores=sum(stream.scores for stream in streams),
            dropped={
                stage: sum(stream.dropped[stage] for stream in streams)
                for stage in ("decode", "find", "score")
            },
            latency_ms=self._ledger.latency_ms(),
            media_s=max((stream.media_s for stream in streams), default=0.0),
            wall_s=self._ledger.wall_s,
            faces_seen=self._verdicts.faces_seen,
            faces=tuple(self._verdicts.summaries()),
            failures=tuple(str(error) for error in self.failures),
            stages_ms=self._ledger.stages_ms(),
            streams=streams,
        )

    def _new_stream(self, settings: StreamSettings) -> StreamWatch:
        """A stream with a number of its own, known to everybody and not yet started."""
        address = parse_address(settings.url)
        with self._lock:
            if self._stopping:
                raise Closed
            number = self._next_number
            self._exchange.begin(number)
            self._next_number += 1
            # Whoever has ended is forgotten here, so that a run of months does not collect threads.
            self._streams = {n: s for n, s in self._streams.items() if not s.ended}
            stream = self._streams[number] = StreamWatch(
                number,
                settings,
                address,
                exchange=self._exchange,
                ledger=self._ledger,
                spec=self._spec,
                detectors=self._detectors,
                neighbours=lambda: len(self._present()),
                decoder_threads=_decoder_threads(max(len(self._streams) + 1, len(self._settings.streams))),
                on_failure=partial(self._failures.__setitem__, number),
            )
        if stream.packets is not None:
            stream.packets.reach(self._packets_reach_s)
        self._half_life_of[number] = settings.half_life_s
        design = self._design(settings.false_alarms_per_day)
        if design is not None:
            self._alarm_of[number] = design
        return stream

    def _design(self, false_alarms_per_day: float) -> AlarmDesign | None:
        facts = self._spec.alarm
        return None if facts is None else design_alarm(facts, false_alarms_per_day)

    def _present(self) -> list[StreamWatch]:
        with self._lock:
            return list(self._streams.values())

    # The score thread; it opens, uses and closes the model.

    def _score(self) -> None:
        with closing(self._open_scorer(self._settings)) as scorer:
            self._exchange.limit_batch(scorer.best_batch)
            judge = Judge(scorer, self._verdicts, self._ledger)
            self._ready.put(self._header_for(scorer))
            looked_at_s = time.monotonic()
            while True:
                self._turns, self._turned_at_s = self._turns + 1, time.monotonic()
                late = False
                with suppress(TimeoutError):
                    for record in judge.records(self._exchange.take(_TICK_S)):
                        self._records.put(record)
                        # A picture that waited for the scorer may be of a stream that fell silent since.
                        late |= isinstance(record, FaceScore) and record.age_ms >= 1000 * _TICK_S
                if late or time.monotonic() - looked_at_s >= _TICK_S:
                    looked_at_s = time.monotonic()
                    self._report_staleness()

    def _report_staleness(self) -> None:
        """Turn faces of which no new picture comes to `stale`, whatever the reason: never leave them green.

        Files are read as fast as they can be scored, so there an old picture is only a slow computer.
        """
        now_s = time.monotonic()
        for stream in self._present():
            if not stream.may_go_stale:
                continue
            between_s = 2.5 / stream.settings.score_hz
            silent_s = self._ledger.silent_for_s(stream.number)
            silent = silent_s is not None and silent_s > STALE_AFTER_S - _NOTICED_WITHIN_S
            limit_s = 0.0 if silent else max(STALE_AFTER_S, between_s)
            for record in self._verdicts.stale(stream.number, now_s, older_than_s=limit_s):
                self._records.put(record)
                for event in self._verdicts.events():
                    self._records.put(event)

    def _header_for(self, scorer: Scorer) -> RunHeader:
        band = scorer.spec.band
        begin = self._present()
        return RunHeader(
            program=f"stream-detector {__version__}",
            model=scorer.spec.name,
            model_sha256=scorer.spec.model_sha256,
            spec_sha256=scorer.spec.sha256,
            backend=scorer.backend,
            precision=scorer.precision,
            sources=tuple(stream.address.shown for stream in begin),
            score_hz=self._settings.score_hz,
            half_life_s=self._settings.half_life_s,
            band=(band.low, band.high),
            names=tuple(stream.settings.name for stream in begin),
            alarm=self.alarm,
        )

    def _shut_down(self) -> None:
        self.stop()
        streams = self._present()
        for stream in streams:
            stream.close()
        self._exchange.close()
        self._records.close()
        try:
            for stream in streams:
                stream.join(self.patience_s)
            self._scoring.join(self.patience_s)
        finally:
            self._detectors.close()


class _RunEnd:
    """What the score thread closes: everything that waits for it."""

    def __init__(self, *ends: Handoff[RunHeader] | Handoff[Record] | CropExchange) -> None:
        self._ends = ends

    def close(self, error: BaseException | None = None) -> None:
        for end in self._ends:
            end.close(error)


def _decoder_threads(streams: int) -> int:
    """For a file among so many streams: each frame thread holds pictures, and all share the processors.

    Returns:
        0 for as many as FFmpeg thinks right.
    """
    return 0 if streams == 1 else max(1, usable_processors() // streams)


def _choose_scorer(settings: Settings) -> Scorer:
    return choose_scorer(
        model=settings.model,
        backend=settings.backend,
        precision=settings.precision,
        max_batch=settings.max_batch,
    )
