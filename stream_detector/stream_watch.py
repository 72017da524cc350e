"""One stream of a run: its source, and the two threads that bring what it shows to the exchange."""

import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from functools import partial

import av  # noqa: F401  (before OpenCV, see optional.load_media_libraries)

from stream_detector.errors import SourceError
from stream_detector.evidence.packets import PacketRing
from stream_detector.exchange import CropExchange, Notice
from stream_detector.face_detectors import FaceDetectors
from stream_detector.faces import MediaPipeFaceFinder
from stream_detector.handoff import Closed, Handoff
from stream_detector.health import StreamStatus
from stream_detector.ledger import Ledger
from stream_detector.look import Look
from stream_detector.model_spec import ModelSpec
from stream_detector.records import EventKind, Frame, Reason, StreamEvent, StreamSnapshot, StreamState
from stream_detector.rest import rest_s, usable_processors
from stream_detector.settings import StreamSettings
from stream_detector.sources.address import SourceAddress, SourceKind
from stream_detector.sources.demo import DemoSource
from stream_detector.sources.pacing import Paced
from stream_detector.sources.reader import Reader
from stream_detector.sources.reconnect import ReconnectingSource
from stream_detector.sources.selftest import SelfTest
from stream_detector.stages import Source
from stream_detector.worker import Worker

_DRAWN = (SourceKind.DEMO, SourceKind.SELFTEST, SourceKind.LAVFI, SourceKind.SCREEN)
"""Sources whose packets, if any, are raw pictures: nobody has room for them."""


class StreamWatch:
    """Captures and looks, in two threads of its own, from `start` until its source ends or `end`.

    `Pipeline` makes and joins it; any thread may call the rest.
    """

    def __init__(
        self,
        number: int,
        settings: StreamSettings,
        address: SourceAddress,
        *,
        exchange: CropExchange,
        ledger: Ledger,
        spec: ModelSpec,
        detectors: FaceDetectors,
        neighbours: Callable[[], int],
        decoder_threads: int,
        on_failure: Callable[[SourceError], None],
    ) -> None:
        """Opens nothing and starts nothing yet; the ledger gets its account.

        Args:
            number: the stream's; `exchange` knows it.
            address: of `settings.url`.
            spec: of the model that will score.
            detectors: used, not closed; from `faces.shared_detectors`.
            neighbours: how many streams are watched now, this one among them.
            decoder_threads: for a file; 0 = as many as FFmpeg thinks right.
            on_failure: told when the source breaks, before STREAM_FAILED goes out.
        """
        self.number = number
        self.settings = settings
        self.address = address
        self.packets = PacketRing() if address.kind not in _DRAWN else None
        """The newest packets, kept only once it is told to reach back; None where the source has none."""
        self.source = _make_source(address, number, settings, self.packets, decoder_threads)
        self.newest: Frame | None = None
        """What was decoded last; any thread may look."""
        self._exchange, self._ledger = exchange, ledger
        self._spec, self._detectors = spec, detectors
        self._neighbours, self._on_failure = neighbours, on_failure
        self._frames: Handoff[Frame] = Handoff(1, lossless=True)
        self._looks_left_out = 0  # due, but they would have taken the scorer's time; counted by find
        self._end_detail = ""
        self._begun_at_s = time.monotonic()
        self._capturing = Worker(f"capture-{number}", self._capture, self._frames)
        self._finding = Worker(f"find-{number}", self._find, _StreamEnd(exchange, number))
        self._started: set[Worker] = set()
        ledger.begin(
            number,
            name=settings.name,
            source=address.shown,
            drops={
                "decode": lambda: self.source.damaged_packets,
                "find": lambda: self._frames.dropped + self._looks_left_out,
                "score": partial(exchange.dropped_of, number),
            },
        )

    @property
    def paced(self) -> bool:
        """Whether it is a file played at its own speed, which would lose its beginning by an early start."""
        return isinstance(self.source, Paced)

    @property
    def may_go_stale(self) -> bool:
        """Whether an old picture means that nobody sees what is there: not so for a file."""
        return self.source.live or self.address.kind is SourceKind.NETWORK

    @property
    def ended(self) -> bool:
        """Whether both threads have ended."""
        return self._capturing.ended and self._finding.ended

    def start(self, *, capture: bool = True) -> None:
        """Start what has not been started; without `capture` only the thread that looks."""
        for worker in (self._capturing, self._finding) if capture else (self._finding,):
            if worker not in self._started:
                self._started.add(worker)
                worker.start()

    def stop(self) -> None:
        """Make the source end; what it delivered is still looked at."""
        self.source.stop()

    def end(self, why: str) -> None:
        """The same, without waiting for a source that is stuck; `why` goes into STREAM_ENDED."""
        self._end_detail = why
        self.source.stop()
        self._frames.close()

    def close(self) -> None:
        """Look at nothing more."""
        self._frames.close()

    def join(self, timeout_s: float) -> None:
        """Wait for both threads.

        Raises:
            ShutdownError: one still runs after so long.
        """
        self._capturing.join(timeout_s)
        self._finding.join(timeout_s)

    # One method per thread; each opens, uses and closes what it owns.

    def _capture(self) -> None:
        source, frames, settings = self.source, self._frames, self.settings
        count = 0
        with closing(source.frames()) as delivered:
            for item in delivered:
                if count == 0:  # before the first frame, live sources already have news
                    frames.set_lossless(not source.live)
                    self._exchange.set_lossless(self.number, not source.live)
                if isinstance(item, StreamEvent):
                    self._exchange.put(self.number, [item])
                    continue
                count += 1
                if settings.duration_s is not None and item.pts_s >= settings.duration_s:
                    return
                if count == 1:
                    self._ledger.opened(self.number, live=source.live)
                self._ledger.decoded(item)
                self.newest = item
                frames.put(item)
                if count == settings.max_frames:
                    return

    def _find(self) -> None:
        processors, rested_at_s = usable_processors(), 0.0
        finder = MediaPipeFaceFinder(self._detectors.face_model, detectors=self._detectors)
        with closing(finder):
            look = Look(self.number, finder, self._spec, self.settings)
            try:
                while True:
                    frame = self._frames.take()
                    if not look.due(frame):
                        continue
                    began_s = time.monotonic()
                    if self.source.live and began_s < rested_at_s:
                        self._looks_left_out += 1
                        continue
                    items = look.at(frame)
                    ended_s = time.monotonic()
                    rested_at_s = ended_s + rest_s(
                        ended_s - began_s, streams=self._neighbours(), processors=processors
                    )
                    self._exchange.put(self.number, items)
            except Closed:
                self._finish(StreamState.ENDED, look.end(EventKind.STREAM_ENDED, self._end_detail))
            except SourceError as error:
                self._on_failure(error)
                reason = None if error.reason is None else Reason(error.reason)
                self._finish(StreamState.FAILED, look.end(EventKind.STREAM_FAILED, str(error), reason))
            finally:
                self._frames.close()  # a picture that cannot be converted must free its decoder

    def _finish(self, state: StreamState, last: list[Notice]) -> None:
        try:
            self._exchange.put(self.number, last)
        finally:
            self._ledger.ended(self.number, state)

    @property
    def running_s(self) -> float:
        """Since it was to be opened."""
        return time.monotonic() - self._begun_at_s


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


def stream_status(snapshot: StreamSnapshot, stream: StreamWatch | None) -> StreamStatus:
    """What `health` judges.

    Args:
        stream: None where it ended long ago.
    """
    live, running_s = False, 0.0
    if stream is not None:
        # Whether an http:// address is live shows only once it is open; until then it owes a frame.
        owes_frame = stream.address.kind is SourceKind.NETWORK and snapshot.frame_age_s is None
        live, running_s = stream.source.live or owes_frame, stream.running_s
    return StreamStatus(
        stream=snapshot.stream,
        name=snapshot.name or str(snapshot.stream),
        shown=snapshot.source,
        live=live,
        failed=snapshot.state is StreamState.FAILED,
        ended=snapshot.state is StreamState.ENDED,
        running_s=running_s,
        frames=snapshot.frames,
        frame_age_s=snapshot.frame_age_s,
        dropped=snapshot.dropped,
        alarmed=snapshot.alarmed,
    )


def _make_source(
    address: SourceAddress,
    stream: int,
    settings: StreamSettings,
    packets: PacketRing | None,
    threads: int,
) -> Source:
    source: Source
    match address.kind:
        case SourceKind.DEMO:
            source = DemoSource(stream=stream)
        case SourceKind.SELFTEST:
            source = SelfTest(stream=stream, rate=Fraction(address.text or 25))
        case SourceKind.FILE | SourceKind.LAVFI:
            # Of a file that is read as fast as it can be scored, nobody sees what nobody looks for faces in.
            whole = settings.realtime or settings.max_frames is not None
            source = Reader(
                address,
                stream=stream,
                threads=threads,
                hwaccel=settings.hwaccel,
                packet_sink=packets,
                needed_hz=None if whole else settings.find_hz,
            )
        case _:
            source = ReconnectingSource(
                address,
                stream=stream,
                give_up_after_s=settings.give_up_after_s,
                hwaccel=settings.hwaccel,
                packet_sink=packets,
            )
    return Paced(source) if settings.realtime and not address.live else source
