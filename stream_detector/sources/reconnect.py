"""A network or live source that is watched, given up when it hangs, and opened again when it is lost."""

import logging
import random
import threading
import time
from collections.abc import Callable, Generator

from stream_detector.errors import SourceError
from stream_detector.handoff import Closed
from stream_detector.records import EventKind, Frame, Reason, StreamEvent
from stream_detector.settings import STALE_AFTER_S
from stream_detector.sources.address import SourceAddress, SourceKind
from stream_detector.sources.backoff import Backoff
from stream_detector.sources.failures import ended
from stream_detector.sources.reader import Phase
from stream_detector.sources.seams import Seams
from stream_detector.sources.session import Limits, Session
from stream_detector.stages import PacketSink

AUTH_TRIES = 3
"""So often in a row a password may be refused: cameras lock users out after five or so."""
AUTH_INTERVAL_S = 30.0
"""Between these tries: a camera that starts may refuse a right password until its clock is set."""
_LASTING_S = 10.0
"""Pictures for so long end an outage; a camera that comes and goes is not tried as if it were new."""
_SLOW_INTERVALS = 3.0
"""A stream that sends rarely has stalled only after so many of its own intervals."""
_TICK_S = 0.25
_MOST_LEFT_BEHIND = 4
"""Reading threads that do not come back; with so many, nothing more is opened until one does."""
_PASSING = frozenset({Reason.TIMEOUT, Reason.REFUSED, Reason.UNREACHABLE})
"""What may pass without the address being wrong."""

_log = logging.getLogger("stream_detector.sources")


class ReconnectingSource:
    """A `stages.Source` over everything that comes by network or from a device.

    `frames` waits in its own thread for a `Session`, which reads in another: it is the watchdog, and
    FFmpeg cannot stop it.

        connecting ──► live ──► stalled ──► resumed              pictures paused, same connection
                        │          │
                        └──────────┴──► reconnecting ──► resumed     lost, and opened again
                                            │   ▲
                             auth_failed ◄──┘   └ waits 0.4 s … 30 s, see backoff.py
                                  │
                                  └──► gave_up, and SourceError

    Live sources are tried again for ever, or until `give_up_after_s`; so is a network source that
    cannot be reached at first, since whatever serves it may still be starting. Not tried again are
    what cannot be read here, a device that was never there, a recording once it has begun, and an
    http(s) address that answers with anything but live video: it may be a recording.
    """

    def __init__(
        self,
        address: SourceAddress,
        *,
        stream: int = 0,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        give_up_after_s: float | None = None,
        hwaccel: str = "off",
        auth_interval_s: float = AUTH_INTERVAL_S,
        chance: Callable[[], float] = random.random,
        packet_sink: PacketSink | None = None,
    ) -> None:
        """Opens nothing yet.

        Args:
            stream: `Frame.stream` of every frame.
            limits: of the phases of each session.
            give_up_after_s: without a picture for so long, the next failure is the last; None: never.
            hwaccel: which hardware decodes; see `hwaccel.choose_hwaccel`.
            auth_interval_s: between tries of a refused password.
            chance: gives numbers in [0, 1); shortens the waits.
            packet_sink: sees the packets of every session.
        """
        self._address = address
        self._stream = stream
        self._limits = limits
        self._give_up_after_s = give_up_after_s
        self._hwaccel = hwaccel
        self._auth_interval_s = auth_interval_s
        self._packet_sink = packet_sink
        self._live = address.live
        self._stopped = threading.Event()
        self._session: Session | None = None
        self._seams = Seams()
        self._damaged_before = 0
        self._left_behind: list[Session] = []
        self._backoff = Backoff(chance)
        self._lost_at_s: float | None = None  # when the present outage began
        self._pictured_at_s = 0.0  # the last frame, or the start
        self._told: Reason | None = None
        self._refusals = 0
        self._ever_live = False

    @property
    def live(self) -> bool:
        """Pictures come whether or not anybody reads. For http(s) right from the first frame on."""
        return self._live

    @property
    def damaged_packets(self) -> int:
        """How many packets could not be decoded so far, over all sessions."""
        session = self._session
        return self._damaged_before + (0 if session is None else session.reader.damaged_packets)

    @property
    def readers_left_behind(self) -> int:
        """Reading threads that were given up and have not come back yet."""
        self._left_behind = [session for session in self._left_behind if session.running]
        return len(self._left_behind)

    def stop(self) -> None:
        """Make `frames` end at once. Any thread, twice too, before the start too."""
        self._stopped.set()
        session = self._session
        if session is not None:
            session.close()

    def frames(self) -> Generator[Frame | StreamEvent]:
        """The frames of all sessions as one stream, and what happens to it.

        Raises:
            SourceError: it is not tried any more; a `gave_up` event has said so where it was tried.
        """
        if self._stopped.is_set():
            return
        self._pictured_at_s = time.monotonic()
        yield self._event(EventKind.CONNECTING)
        while True:
            failure = yield from self._watch_once()
            if failure is None:
                return
            wait_s = yield from self._answer(failure)
            if self._stopped.wait(wait_s):
                return
            while self.readers_left_behind >= _MOST_LEFT_BEHIND:
                if self._given_up():
                    yield self._event(EventKind.GAVE_UP, failure)
                    raise failure
                if self._stopped.wait(_TICK_S):
                    return

    def _watch_once(self) -> Generator[Frame | StreamEvent, None, SourceError | None]:
        """One session from opening to end. Returns what ended it; None where that is no failure."""
        session = Session(
            self._address,
            stream=self._stream,
            limits=self._limits,
            hwaccel=self._hwaccel,
            packet_sink=self._packet_sink,
        )
        self._session = session
        self._seams.begin()
        began_s: float | None = None
        stalled = doubted = False
        interval_s = 0.0
        try:
            while not self._stopped.is_set():
                try:
                    frame = session.take(_TICK_S)
                except TimeoutError:
                    patience_s = max(STALE_AFTER_S, _SLOW_INTERVALS * interval_s)
                    between = self._live and session.phase is Phase.BETWEEN_FRAMES
                    if between and not stalled and session.waited_s > patience_s:
                        stalled = True
                        detail = f"no picture from {self._address.shown} for {session.waited_s:.1f} s"
                        yield self._event(EventKind.STALLED, reason=Reason.TIMEOUT, detail=detail)
                    continue
                except Closed:
                    if self._stopped.is_set() or not session.reader.live:
                        return None
                    return ended(self._address, at_s=self._seams.now_s or 0.0)
                except SourceError as error:
                    return None if self._stopped.is_set() else error
                if began_s is None:
                    self._live = session.reader.live
                if stalled and not doubted:
                    # FFmpeg holds back a picture until the next one begins, and lets go of it when it
                    # gives up: the first after a silence is as old as the silence.
                    doubted = True
                    continue
                joined = self._seams.join(frame)
                silent_s = frame.captured_at_s - self._pictured_at_s
                if self._live and (began_s is None or stalled):
                    yield self._came(joined.pts_s, silent_s)
                if began_s is None:
                    began_s = frame.captured_at_s
                else:
                    interval_s = 0.0 if stalled else silent_s
                stalled = doubted = False
                self._pictured_at_s = frame.captured_at_s
                yield joined
            return None
        finally:
            if began_s is not None:
                self._refusals = 0
                if self._pictured_at_s - began_s >= _LASTING_S:
                    self._lost_at_s = None
                    self._backoff.reset()
            self._damaged_before += session.reader.damaged_packets
            self._session = None
            session.leave()
            if session.running:
                self._left_behind.append(session)
                _log.info(
                    "a thread that reads %s did not come back; it ends with FFmpeg's own time-out",
                    self._address.shown,
                )

    def _answer(self, failure: SourceError) -> Generator[StreamEvent, None, float]:
        """Say what a failure means. Returns how long to wait before the next try.

        Raises:
            SourceError: there is none.
        """
        reason = None if failure.reason is None else Reason(failure.reason)
        if reason is Reason.AUTH:
            self._refusals += 1
            yield self._event(EventKind.AUTH_FAILED, failure)
        elif not self._worth_retrying(reason):
            raise failure
        now_s = time.monotonic()
        if self._lost_at_s is None:
            self._lost_at_s = self._pictured_at_s
            self._told = None
        if self._given_up() or self._refusals >= AUTH_TRIES:
            yield self._event(EventKind.GAVE_UP, failure)
            raise failure
        if reason is Reason.AUTH:
            wait_s = self._auth_interval_s
        else:
            wait_s = self._backoff.wait_s(now_s - self._lost_at_s)
            if reason is not self._told:
                yield self._event(EventKind.RECONNECTING, failure)
        self._told = reason
        if self._give_up_after_s is not None:
            # The last try comes when the time is up, not some time before it.
            wait_s = min(wait_s, max(0.0, self._pictured_at_s + self._give_up_after_s - now_s))
        return wait_s

    def _worth_retrying(self, reason: Reason | None) -> bool:
        if self._ever_live:
            return True
        if reason is Reason.UNSUPPORTED:
            return False
        if self._seams.now_s is not None:  # a recording has begun: it would begin anew
            return False
        return self._address.kind is SourceKind.NETWORK and (self._address.live or reason in _PASSING)

    def _given_up(self) -> bool:
        silent_s = time.monotonic() - self._pictured_at_s
        return self._give_up_after_s is not None and silent_s >= self._give_up_after_s

    def _came(self, pts_s: float, silent_s: float) -> StreamEvent:
        kind = EventKind.RESUMED if self._ever_live else EventKind.LIVE
        self._ever_live, self._told = True, None
        detail = f"after {silent_s:.1f} s without a picture" if kind is EventKind.RESUMED else ""
        return StreamEvent(self._stream, pts_s, kind, detail=detail)

    def _event(
        self,
        kind: EventKind,
        failure: SourceError | None = None,
        *,
        reason: Reason | None = None,
        detail: str = "",
    ) -> StreamEvent:
        if failure is not None:
            reason = None if failure.reason is None else Reason(failure.reason)
            detail = str(failure)
        return StreamEvent(self._stream, self._seams.now_s, kind, detail=detail, reason=reason)
