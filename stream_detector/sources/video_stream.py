"""Which stream of a container is watched, and how its decoder is set up."""

from fractions import Fraction

from av.codec.context import Flags
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from stream_detector.errors import SourceError
from stream_detector.records import Reason
from stream_detector.sources.address import SourceAddress

_MAX_PIXELS = 16384 * 8192
"""Four times 8K. A damaged header that claims more must not take all memory."""
_MAX_RATE_HZ = 1000
"""Above it the stated rate is a clock rate (90000) that somebody wrote into the wrong field."""

_SPARSE_CODECS = frozenset({"h264", "hevc"})
"""Whose decoders in FFmpeg leave out pictures by what the bitstream says of them, and no others."""
_PLENTY = 2
_REORDERED_S = Fraction(1)
"""A picture comes out of a decoder at most so long, in media time, after its packet went in."""
_TEXT_CODECS = frozenset({"ansi", "bintext", "idf", "xbin"})
"""FFmpeg plays a .txt as a terminal would show it. An error page of a server is no camera."""


def choose_video(container: InputContainer, address: SourceAddress) -> VideoStream:
    """The main video; all else is discarded, so that it costs nothing and cannot hide a stall.

    Raises:
        SourceError: there is none, it has no decoder here, or its pictures are absurdly large.
    """
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    moving = [stream for stream in container.streams.video if not stream.disposition & still]
    if not moving:
        if container.streams.video:
            found = "only a cover picture"
        elif container.streams.audio:
            found = "only sound"
        else:
            found = "no stream at all"
        raise SourceError(
            f"cannot watch {address.shown}: it holds {found}; expected video", Reason.UNSUPPORTED
        )
    best = container.streams.best("video")
    video = next((stream for stream in moving if stream is best), moving[0])
    if video.codec_context is None:
        raise SourceError(
            f"cannot decode {address.shown}: this FFmpeg has no decoder for its video; convert it to H.264",
            Reason.UNSUPPORTED,
        )
    if video.codec_context.name in _TEXT_CODECS:
        raise SourceError(f"cannot watch {address.shown}: it is text; expected video", Reason.DAMAGED)
    if video.codec_context.width * video.codec_context.height > _MAX_PIXELS:
        raise SourceError(
            f"cannot watch {address.shown}: its pictures are {video.codec_context.width}x"
            f"{video.codec_context.height}, expected at most {_MAX_PIXELS} pixels; scale it down",
            Reason.UNSUPPORTED,
        )
    for stream in container.streams:
        if stream.index != video.index:
            stream.discard = Discard.all
    return video


def set_up_decoder(video: VideoStream, *, live: bool, threads: int) -> None:
    """Before the first packet.

    Args:
        live: decode without frame threads, which would each hold a picture back: on a stream without
            B-frames one packet in is one picture out.
        threads: for decoding; 0 = as many as there are processors.
    """
    context = video.codec_context
    context.thread_count = threads
    context.thread_type = "SLICE" if live else "AUTO"
    if live:
        context.flags |= Flags.low_delay
    context.flags |= Flags.copy_opaque  # each picture keeps the stamp of its packet
    context.options = {"max_pixels": str(_MAX_PIXELS)}


class SparseDecoding:
    """Leaves pictures undecoded that no other is decoded from, as long as enough others are left.

    Which they are, the bitstream says; how many are left, only decoding shows. So where the stated rate
    is twice what is needed, as half are left of what encoders usually make, it begins by leaving them out,
    and decodes everything from the first gap on that is too long, or where a time is missing.
    One for one decoder, in the thread that owns it; times are the stream's own, in seconds.
    """

    def __init__(self, video: VideoStream, needed_hz: float) -> None:
        """Before the first packet.

        Args:
            needed_hz: pictures per second of media time that somebody looks at.
        """
        self._context = video.codec_context
        self._longest_s = Fraction(1) / Fraction(needed_hz)
        self._last_s: Fraction | None = None
        rate_hz = believable_rate(video)
        plenty = rate_hz is not None and rate_hz >= _PLENTY * Fraction(needed_hz)
        self._sparse = plenty and self._context.name in _SPARSE_CODECS
        if self._sparse:
            self._context.skip_frame = "NONREF"

    def demuxed(self, time_s: Fraction | None) -> None:
        """A packet came, in order of decoding: it must not be long since a picture came out."""
        self._judge(time_s, _REORDERED_S)

    def decoded(self, time_s: Fraction | None) -> None:
        """A picture came out, in order of time."""
        self._judge(time_s, Fraction(0))
        self._last_s = time_s

    def _judge(self, time_s: Fraction | None, late_s: Fraction) -> None:
        if not self._sparse:
            return
        if self._last_s is None:
            self._last_s = time_s
        if time_s is None or self._last_s is None or time_s - self._last_s > self._longest_s + late_s:
            self._sparse = False
            self._context.skip_frame = "DEFAULT"


def believable_rate(video: VideoStream) -> Fraction | None:
    """The stated frame rate in Hz; None where nothing believable is stated."""
    for rate in (video.average_rate, video.guessed_rate):
        if rate is not None and 0 < rate <= _MAX_RATE_HZ:
            return rate
    return None
