"""One source read with PyAV, as a series of frames."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import av
import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

from stream_detector.errors import SourceError
from stream_detector.records import Frame, Reason
from stream_detector.sources.address import SourceAddress, SourceKind
from stream_detector.sources.failures import no_picture, open_failure, open_time_out, read_failure
from stream_detector.sources.hwaccel import choose_hwaccel
from stream_detector.sources.opening import openings
from stream_detector.sources.picture import DecodedPicture, RgbConverter
from stream_detector.sources.timeline import Timeline
from stream_detector.sources.video_stream import (
    SparseDecoding,
    believable_rate,
    choose_video,
    set_up_decoder,
)
from stream_detector.stages import PacketSink

_MAX_BREAKS = 100
"""So many times in a row the container may be unreadable before the rest is given up."""
_PICTURELESS_READ_TIMEOUTS = 3
"""A live source that sends data, but no picture, for so many read time-outs has failed."""
_RANGE_NAMES = {1: "limited", 2: "full"}


def quiet_ffmpeg() -> None:
    """Keep FFmpeg's own log off the terminal: it floods it when packets are damaged, and holds passwords.

    For the start of a program; it concerns the whole process.
    """
    av.logging.set_level(None)


class Phase(StrEnum):
    """How far the reading of a source has come; each phase has a time limit of its own."""

    OPEN = "open"
    """Connecting, and finding out what it sends."""
    FIRST_FRAME = "first_frame"
    """Open; no picture yet."""
    BETWEEN_FRAMES = "between_frames"
    END = "end"
    """Nothing more will come; it is being closed."""


def _ignore(_: Phase) -> None:
    """Nobody asked for the phases."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a source turned out to be, taken from its first picture."""

    container: str
    """FFmpeg's name of the format, such as "matroska,webm"."""
    codec: str
    pixel_format: str
    coded_width_px: int
    """As decoded, before the rotation."""
    coded_height_px: int
    width_px: int
    """Upright, as `Frame.picture` has it."""
    height_px: int
    rotation_deg: int
    """Clockwise turn that makes it upright: 0, 90, 180 or 270. Already done in every picture."""
    colour_range: str
    """ "limited", "full" or "unstated"."""
    pixel_aspect: Fraction
    """Width of a pixel / its height; 1 where none is stated."""
    average_rate_hz: Fraction | None
    """As stated; None where nothing believable is."""
    duration_s: float | None
    """As stated; None for what has no end."""
    live: bool
    """Pictures come whether or not anybody reads."""


class Reader:
    """Reads one source, once. Made anywhere; `frames` belongs to one thread, `stop` to any.

    Files and filter graphs are read as fast as the caller takes frames, and lose none that is needed.
    Live sources are decoded without frame threads, which would each hold a picture back.
    """

    def __init__(
        self,
        address: SourceAddress,
        *,
        stream: int = 0,
        open_timeout_s: float = 10.0,
        read_timeout_s: float = 10.0,
        threads: int = 0,
        hwaccel: str = "off",
        on_phase: Callable[[Phase], None] = _ignore,
        packet_sink: PacketSink | None = None,
        needed_hz: float | None = None,
    ) -> None:
        """Opens nothing yet.

        Args:
            stream: `Frame.stream` of every frame.
            open_timeout_s: longest time a network source may take to connect and to show what it sends;
                one that takes longer is refused, at the latest when each of the two has taken so long.
            read_timeout_s: longest silence of a live or network source after that.
            threads: for decoding; 0 = as many as there are processors.
            hwaccel: which hardware decodes; see `hwaccel.choose_hwaccel`.
            on_phase: told, in the reading thread, when FIRST_FRAME and END begin.
            packet_sink: sees every packet before it is decoded.
            needed_hz: pictures per second of media time that somebody looks at: of a file with more,
                pictures that no other is decoded from may be left out; None: all are decoded.

        Raises:
            ValueError: the address is `demo:` or `selftest:`, which is drawn, not read.
        """
        if address.kind in (SourceKind.DEMO, SourceKind.SELFTEST):
            raise ValueError(f"{address.shown} is drawn by the program, not read with FFmpeg")
        self.facts: SourceFacts | None = None
        """None until the first frame."""
        self.live = address.live
        """Pictures come whether or not anybody reads. For http(s) right from the first frame on."""
        self.damaged_packets = 0
        """Packets and pictures left out because they were damaged."""
        self.key_frame_interval_s: float | None = None
        """The longest distance of two key frames so far; None before the second."""
        self._address = address
        self._stream = stream
        self._open_timeout_s = open_timeout_s
        self._read_timeout_s = read_timeout_s
        self._threads = threads
        self._hwaccel = hwaccel
        self._on_phase = on_phase
        self._packet_sink = packet_sink
        self._needed_hz = needed_hz
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Make `frames` end soon, from any thread, also before it began.

        It ends at the next packet; where none comes, when the running time-out ends: PyAV offers no
        way to interrupt a wait.
        """
        self._stopped.set()

    def frames(self) -> Generator[Frame]:
        """Open the source and yield its frames; the container is closed however this ends.

        The thread that iterates owns the container. To give up early, close the generator in that
        thread (`contextlib.closing`).

        Raises:
            SourceError: it cannot be opened, holds no picture, broke off, or fell silent.
        """
        if self._stopped.is_set():
            return
        try:
            container = self._open()
        except SourceError:
            if self._stopped.is_set():  # whoever stopped it does not care why it did not open
                return
            raise
        try:
            self._on_phase(Phase.FIRST_FRAME)
            yield from self._read(container)
        finally:
            try:
                self._on_phase(Phase.END)
            finally:
                container.close()

    def _open(self) -> InputContainer:
        ways = openings(
            self._address, open_timeout_s=self._open_timeout_s, read_timeout_s=self._read_timeout_s
        )
        # Files have no time-outs: PyAV's take the interpreter lock at every read.
        local = self._address.kind in (SourceKind.FILE, SourceKind.LAVFI)
        hwaccel = choose_hwaccel(self._hwaccel)
        failure: Exception | None = None
        for way in ways:
            began_s = time.monotonic()
            try:
                container = av.open(
                    way.url,
                    mode="r",
                    format=way.format,
                    options=dict(way.options),
                    metadata_errors="replace",
                    timeout=None if local else (self._open_timeout_s, self._read_timeout_s),
                    hwaccel=hwaccel,
                )
            except (av.FFmpegError, ValueError) as error:
                failure = error
                elapsed_s = time.monotonic() - began_s
                continue
            # FFmpeg calls a source open of which it has not seen a packet when its time was up.
            if (
                self._address.kind is SourceKind.NETWORK
                and time.monotonic() - began_s >= self._open_timeout_s
            ):
                container.close()
                raise open_time_out(self._address, self._open_timeout_s)
            return container
        assert failure is not None
        # `from None`: FFmpeg's exceptions quote the address with its password.
        raise open_failure(
            self._address, failure, elapsed_s=elapsed_s, timeout_s=self._open_timeout_s
        ) from None

    def _read(self, container: InputContainer) -> Iterator[Frame]:
        video = choose_video(container, self._address)
        if self._packet_sink is not None:
            self._packet_sink.begin()
        duration_s = (
            container.duration / av.time_base if container.duration and container.duration > 0 else None
        )
        self.live = self._address.live or (self._address.kind is SourceKind.NETWORK and duration_s is None)
        set_up_decoder(video, live=self.live, threads=self._threads)
        rate_hz = believable_rate(video)
        timeline = Timeline(rate_hz)
        converter = RgbConverter()
        size_px: tuple[int, int] | None = None
        last_key_s: Fraction | None = None
        index = segment = 0
        with closing(self._decoded(container, video, timeline)) as decoded:
            for frame in decoded:
                captured_at_s = time.monotonic()
                pts_s, follows = timeline.place(_timestamp(frame))
                if frame.key_frame:
                    if last_key_s is not None:
                        self.key_frame_interval_s = max(
                            self.key_frame_interval_s or 0.0, float(pts_s - last_key_s)
                        )
                    last_key_s = pts_s
                coded_size_px = frame.width, frame.height
                pixel_format, colour_range = frame.format.name, frame.color_range
                packet_at_s = frame.opaque if isinstance(frame.opaque, float) else None
                picture = DecodedPicture(frame, converter)
                if self.facts is None:
                    self.facts = SourceFacts(
                        container=container.format.name,
                        codec=video.codec_context.name,
                        pixel_format=pixel_format,
                        coded_width_px=coded_size_px[0],
                        coded_height_px=coded_size_px[1],
                        width_px=picture.width_px,
                        height_px=picture.height_px,
                        rotation_deg=picture.rotation_deg,
                        colour_range=_RANGE_NAMES.get(colour_range, "unstated"),
                        pixel_aspect=video.sample_aspect_ratio or Fraction(1),
                        average_rate_hz=rate_hz,
                        duration_s=duration_s,
                        live=self.live,
                    )
                upright_px = picture.width_px, picture.height_px
                if size_px not in (None, upright_px):
                    follows = False
                segment += not follows
                size_px = upright_px
                yield Frame(
                    stream=self._stream,
                    index=index,
                    pts_s=float(pts_s),
                    captured_at_s=captured_at_s,
                    picture=picture,
                    segment=segment,
                    packet_at_s=packet_at_s,
                )
                index += 1
        if index == 0 and not self._stopped.is_set():
            found = f"{self.damaged_packets} damaged packets" if self.damaged_packets else "no data"
            raise SourceError(
                f"no picture of {self._address.shown} could be decoded: found {found}; "
                f"try to play it in another program",
                Reason.DAMAGED if self.damaged_packets else Reason.NO_DATA,
            )

    def _decoded(
        self, container: InputContainer, video: VideoStream, timeline: Timeline
    ) -> Generator[av.VideoFrame]:
        """Every sound picture of `video`; what is damaged is counted and left out."""
        sparse = None if self.live or self._needed_hz is None else SparseDecoding(video, self._needed_hz)
        patience_s = _PICTURELESS_READ_TIMEOUTS * self._read_timeout_s
        pictured_at_s = time.monotonic()
        for packet in self._packets(container, video, timeline):
            try:
                frames = packet.decode()
            except av.EOFError:
                return
            except av.FFmpegError:
                self.damaged_packets += 1
                frames = []
            if sparse is not None:
                sparse.demuxed(_timestamp(packet))
            for frame in frames:
                if sparse is not None:
                    sparse.decoded(_timestamp(frame))
                if frame.is_corrupt:
                    self.damaged_packets += 1
                    continue
                yield frame
                pictured_at_s = time.monotonic()
            if self.live and time.monotonic() - pictured_at_s > patience_s:
                raise no_picture(self._address, waited_s=patience_s, damaged_packets=self.damaged_packets)

    def _packets(
        self, container: InputContainer, video: VideoStream, timeline: Timeline
    ) -> Iterator["av.Packet[VideoStream]"]:
        """The packets of `video` until the end or `stop`; what is unreadable between them is skipped."""
        packets = container.demux(video)
        breaks = 0
        while not self._stopped.is_set():
            began_s = time.monotonic()
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                if self._stopped.is_set():
                    return
                waited_s = time.monotonic() - began_s if self.live else 0.0
                if isinstance(error, av.InvalidDataError) and waited_s < self._read_timeout_s:
                    self.damaged_packets += 1
                    breaks += 1
                    if breaks <= _MAX_BREAKS:
                        packets = container.demux(video)  # a generator that raised has ended
                        continue
                    if not self.live:
                        return
                raise read_failure(
                    self._address,
                    error,
                    at_s=timeline.now_s,
                    elapsed_s=waited_s,
                    timeout_s=self._read_timeout_s,
                ) from None
            if packet is None:
                return
            breaks = 0
            packet.opaque = at_s = time.monotonic()
            if self._packet_sink is not None:
                self._packet_sink.take(packet, at_s)
            yield packet


def _timestamp(timed: "av.VideoFrame | av.Packet[VideoStream]") -> Fraction | None:
    """The stream's own time of a picture or packet in seconds; None where it states none."""
    if timed.pts is None or timed.time_base is None:
        return None
    return timed.pts * timed.time_base
