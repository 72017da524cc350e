"""Wires every stage and owns every thread of a run.

thread           owns                       takes from               gives to
read    (1/live) the source's container     network, device          frames: the capture thread
capture (1/str.) files; else the watchdog   file, or read            frames: Handoff(1); live: newest wins
find    (1/str.) MediaPipe, the tracker     frames                   crops and notices: one CropExchange
score   (1)      the model, the verdicts    crops of ALL streams     records: one Handoff
caller           stdout, or a window        records                  the world

Stopping runs down the table: stop the source, close the hand-off, join the thread, next. An error
travels the way of the data and is raised in the caller; one stream's failure ends only that stream.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from types import TracebackType
from typing import Self

import av  # noqa: F401  (before OpenCV, see optional.load_media_libraries)
import numpy as np

from stream_detector import __version__
from stream_detector.batching import FaceBatcher
from stream_detector.errors import BackendError, ShutdownError, SourceError
from stream_detector.exchange import CropExchange, Notice, Work
from stream_detector.faces import MediaPipeFaceFinder
from stream_detector.handoff import Closed, Handoff
from stream_detector.ledger import Ledger
from stream_detector.look import Look
from stream_detector.records import (
    EventKind,
    FaceCrop,
    FaceScore,
    Frame,
    Reason,
    Record,
    RunHeader,
    RunSummary,
    StreamEvent,
    UnscoredFace,
)
from stream_detector.scorers.choice import choose_scorer, read_spec
from stream_detector.settings import (
    OPEN_TIMEOUT_S,
    READ_TIMEOUT_S,
    STALE_AFTER_S,
    Settings,
)
from stream_detector.sources.address import SourceAddress, SourceKind, parse_address
from stream_detector.sources.demo import DemoSource
from stream_detector.sources.pacing import Paced
from stream_detector.sources.reader import Reader
from stream_detector.sources.reconnect import ReconnectingSource
from stream_detector.stages import Scorer, Source
from stream_detector.verdict import Verdicts
from stream_detector.worker import Worker

_TICK_S = 0.25
_NOTICED_WITHIN_S = 0.4
"""By so much a silent stream must be noticed early to be `stale` in time: a look, and the batch before it."""
"""How often the score thread looks for streams that fell silent while nothing else happens."""
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

    Belongs to the thread that made it, but for `stop`.
    """

    def __init__(self, settings: Settings) -> None:
        """Check the addresses and read the model's sidecar; nothing is opened and no thread runs yet.

        Raises:
            SourceError: an address makes no sense.
            ModelError: the model's files are missing, damaged or edited.
        """
        self._settings = settings
        self._addresses = [parse_address(text) for text in settings.sources]
        self._sources = [
            _make_source(address, stream, settings) for stream, address in enumerate(self._addresses)
        ]
        streams = len(self._sources)
        self._ledger = Ledger(streams)
        self._frames: list[Handoff[Frame]] = [Handoff(1, lossless=True) for _ in range(streams)]
        self._exchange = CropExchange(
            FaceBatcher(max_batch=settings.max_batch, max_wait_s=settings.max_wait_ms / 1000),
            streams=streams,
            capacity=settings.max_batch,
        )
        self._spec = read_spec(settings.model, backend=settings.backend, precision=settings.precision)
        self._verdicts = Verdicts(half_life_s=settings.half_life_s, band=self._spec.band)
        self._ready: Handoff[RunHeader] = Handoff(1)
        self._records: Handoff[Record] = Handoff(_RESULTS_HELD, lossless=True)
        self._failures: dict[int, SourceError] = {}
        self._workers: list[Worker] = []
        self.patience_s = _PATIENCE_S
        """How long leaving waits for a thread that is stuck in a source."""
        self.header: RunHeader
        """What the run is made with; there once the run is entered."""

    def __enter__(self) -> Self:
        """Start every thread and load the model.

        Raises:
            ModelError, BackendError, MissingDependency: the model cannot be run.
        """
        streams = range(len(self._sources))
        ends = _RunEnd(self._records, self._ready, self._exchange)
        self._workers = [
            *(Worker(f"capture-{i}", partial(self._capture, i), self._frames[i]) for i in streams),
            *(Worker(f"find-{i}", partial(self._find, i), _StreamEnd(self._exchange, i)) for i in streams),
            Worker("score", self._score, ends),
        ]
        # Cameras, the face finder and the model are all slow to open: let them open side by side. Only
        # a file played at its own speed waits for the model: it would lose its beginning.
        paced = [
            w for w, source in zip(self._workers, self._sources, strict=False) if isinstance(source, Paced)
        ]
        for worker in self._workers:
            if worker not in paced:
                worker.start()
        try:
            self.header = self._ready.take()
        except BaseException:
            self.patience_s = _HURRIED_S  # why the model does not run must not wait for a silent host
            with suppress(ShutdownError):
                self._shut_down()
            raise
        for worker in paced:
            worker.start()
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
        if self._failures and len(self._sources) == 1:
            raise self._failures[0]

    def stop(self) -> None:
        """Make the sources end; what they delivered is still scored and yielded. Any thread."""
        for source in self._sources:
            source.stop()

    @property
    def failures(self) -> list[SourceError]:
        """What broke the streams that broke, in order of stream."""
        return [error for _, error in sorted(self._failures.items())]

    def summary(self) -> RunSummary:
        """What the run did so far."""
        damaged = sum(source.damaged_packets for source in self._sources)
        return RunSummary(
            frames=self._ledger.frames,
            scores=self._ledger.scores,
            dropped={
                "decode": damaged,
                "find": sum(frames.dropped for frames in self._frames),
                "score": self._exchange.dropped,
            },
            latency_ms=self._ledger.latency_ms(),
            media_s=self._ledger.media_s,
            wall_s=self._ledger.wall_s,
            faces_seen=self._verdicts.faces_seen,
            faces=tuple(self._verdicts.summaries()),
            failures=tuple(str(error) for error in self.failures),
        )

    # One method per thread; each opens, uses and closes what it owns.

    def _capture(self, stream: int) -> None:
        source, frames, settings = self._sources[stream], self._frames[stream], self._settings
        count = 0
        with closing(source.frames()) as delivered:
            for item in delivered:
                if count == 0:  # before the first frame, live sources already have news
                    frames.set_lossless(not source.live)
                    self._exchange.set_lossless(stream, not source.live)
                if isinstance(item, StreamEvent):
                    self._exchange.put(stream, [item])
                    continue
                count += 1
                if settings.duration_s is not None and item.pts_s >= settings.duration_s:
                    return
                self._ledger.decoded(stream, item.pts_s)
                frames.put(item)
                if count == settings.max_frames:
                    return

    def _find(self, stream: int) -> None:
        finder = MediaPipeFaceFinder(self._settings.face_model)
        with closing(finder):
            look = Look(stream, finder, self._spec, self._settings)
            try:
                while True:
                    frame = self._frames[stream].take()
                    if look.due(frame):
                        self._exchange.put(stream, look.at(frame))
            except Closed:
                self._exchange.put(stream, look.end(EventKind.STREAM_ENDED))
            except SourceError as error:
                self._failures[stream] = error
                reason = None if error.reason is None else Reason(error.reason)
                self._exchange.put(stream, look.end(EventKind.STREAM_FAILED, str(error), reason))
            finally:
                self._frames[stream].close()  # a picture that cannot be converted must free its decoder

    def _score(self) -> None:
        settings = self._settings
        scorer = choose_scorer(
            model=settings.model,
            backend=settings.backend,
            precision=settings.precision,
            max_batch=settings.max_batch,
        )
        with closing(scorer):
            self._ready.put(self._header_for(scorer))
            looked_at_s = time.monotonic()
            while True:
                late = False
                with suppress(TimeoutError):
                    for record in self._judge(scorer, self._exchange.take(_TICK_S)):
                        self._records.put(record)
                        # A picture that waited for the scorer may be of a stream that fell silent since.
                        late |= isinstance(record, FaceScore) and record.age_ms >= 1000 * _TICK_S
                if late or time.monotonic() - looked_at_s >= _TICK_S:
                    looked_at_s = time.monotonic()
                    self._report_staleness()

    def _judge(self, scorer: Scorer, work: Work) -> Iterator[Record]:
        """The records of one turn, each stream's in the order of its frames."""
        items: list[tuple[int, FaceCrop | Notice, int]] = [
            (order, notice, -1) for order, notice in work.notices
        ]
        items += [(order, crop, row) for row, (order, crop) in enumerate(work.crops)]
        scores = scorer.score(np.stack([crop.pixels for _, crop in work.crops])) if work.crops else None
        if scores is not None and not np.isfinite(scores.logit).all():
            raise BackendError(
                f"the model {scorer.spec.name} gave a score that is no number on {scorer.backend} "
                f"{scorer.precision}; try another --precision or --backend"
            )
        now_s = time.monotonic()
        for _, item, row in sorted(items, key=lambda numbered: numbered[0]):
            if isinstance(item, StreamEvent):
                self._verdicts.noticed(item)
                yield item
            elif isinstance(item, UnscoredFace):
                yield self._verdicts.unscored(item, now_s)
            elif scores is not None:
                self._ledger.scored(now_s - item.captured_at_s)
                yield self._verdicts.scored(item, float(scores.logit[row]), scores.evidence[row], now_s)

    def _report_staleness(self) -> None:
        """Turn faces of which no new picture comes to `stale`, whatever the reason: never leave them green.

        Files are read as fast as they can be scored, so there an old picture is only a slow computer.
        """
        now_s = time.monotonic()
        between_s = 2.5 / self._settings.score_hz
        for stream, (address, source) in enumerate(zip(self._addresses, self._sources, strict=True)):
            if not source.live and address.kind is not SourceKind.NETWORK:
                continue
            silent_s = self._ledger.silent_for_s(stream)
            silent = silent_s is not None and silent_s > STALE_AFTER_S - _NOTICED_WITHIN_S
            limit_s = 0.0 if silent else max(STALE_AFTER_S, between_s)
            for record in self._verdicts.stale(stream, now_s, older_than_s=limit_s):
                self._records.put(record)

    def _header_for(self, scorer: Scorer) -> RunHeader:
        band = scorer.spec.band
        return RunHeader(
            program=f"stream-detector {__version__}",
            model=scorer.spec.name,
            model_sha256=scorer.spec.model_sha256,
            spec_sha256=scorer.spec.sha256,
            backend=scorer.backend,
            precision=scorer.precision,
            sources=tuple(address.shown for address in self._addresses),
            score_hz=self._settings.score_hz,
            half_life_s=self._settings.half_life_s,
            band=(band.low, band.high),
        )

    def _shut_down(self) -> None:
        self.stop()
        for frames in self._frames:
            frames.close()
        self._exchange.close()
        self._records.close()
        for worker in self._workers:
            worker.join(self.patience_s)


class _StreamEnd:
    """What a find thread closes: its stream, or the whole run where the error is our own."""

    def __init__(self, exchange: CropExchange, stream: int) -> None:
        self._exchange = exchange
        self._stream = stream

    def close(self, error: BaseException | None = None) -> None:
        if error is None:
            self._exchange.end(self._stream)
        else:
            self._exchange.close(error)


class _RunEnd:
    """What the score thread closes: everything that waits for it."""

    def __init__(self, *ends: Handoff[RunHeader] | Handoff[Record] | CropExchange) -> None:
        self._ends = ends

    def close(self, error: BaseException | None = None) -> None:
        for end in self._ends:
            end.close(error)


def _make_source(address: SourceAddress, stream: int, settings: Settings) -> Source:
    source: Source
    match address.kind:
        case SourceKind.DEMO:
            source = DemoSource(stream=stream)
        case SourceKind.FILE | SourceKind.LAVFI:
            source = Reader(address, stream=stream, hwaccel=settings.hwaccel)
        case _:
            source = ReconnectingSource(
                address,
                stream=stream,
                give_up_after_s=settings.give_up_after_s,
                hwaccel=settings.hwaccel,
            )
    return Paced(source) if settings.realtime and not address.live else source
