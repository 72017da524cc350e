"""A camera of our own, to measure with: encoded, sent over the loopback, and stamped in its pixels."""

import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from itertools import count

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from stream_detector.handoff import Handoff
from stream_detector.records import Frame, Image, StreamEvent
from stream_detector.sources.address import parse_address
from stream_detector.sources.demo import DemoSource
from stream_detector.sources.reader import Reader
from stream_detector.sources.timecode import TimeCoded, paint
from stream_detector.worker import Worker

_LOOP_S = 12.0
"""The demo begins anew after so long."""
_LOOK_UP_S = 0.1


class SelfTest:
    """The demo as a live stream: drawn, H.264, MPEG-TS over TCP to this very process, decoded.

    Each frame carries the time when it was drawn, through the encoder, the socket, the demuxer and the
    decoder, so that the ledger's `true` is the whole delay from picture to verdict.
    """

    live = True

    def __init__(
        self, *, stream: int = 0, width_px: int = 640, height_px: int = 360, rate: Fraction = Fraction(25)
    ) -> None:
        """Opens nothing yet.

        Args:
            stream: `Frame.stream` of every frame.
            width_px, height_px: even.
        """
        self._stream = stream
        self._size_px = width_px, height_px
        self._rate = rate
        self._stopped = threading.Event()
        self._reader: TimeCoded | None = None
        self._lock = threading.Lock()

    @property
    def damaged_packets(self) -> int:
        """Of the stream as it is read."""
        with self._lock:
            return 0 if self._reader is None else self._reader.damaged_packets

    def frames(self) -> Generator[Frame | StreamEvent]:
        """Serve the stream and read it, until `stop`.

        Raises:
            SourceError: it cannot be read.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = parse_address(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
            with self._lock:
                reader = self._reader = TimeCoded(Reader(address, stream=self._stream))
            if self._stopped.is_set():
                return
            sending = Worker("self-test camera", lambda: self._send(listener), Handoff[None](1))
            sending.start()
            try:
                with closing(reader.frames()) as frames:
                    yield from frames
            finally:
                self._stopped.set()
                sending.join(10.0)

    def stop(self) -> None:
        """Make `frames` end soon. Any thread may call it, twice too, before the start too."""
        self._stopped.set()
        with self._lock:
            if self._reader is not None:
                self._reader.stop()

    def _send(self, listener: socket.socket) -> None:
        """Wait for the reader, and send it what the camera sees until one of the two has enough."""
        listener.settimeout(_LOOK_UP_S)
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                viewer, _ = listener.accept()
                with viewer:
                    broadcast(viewer, self._pictures(), self._rate)
                return

    def _pictures(self) -> Iterator[Image]:
        started_s = time.monotonic()
        pictures = demo_pictures(self._size_px, self._rate)
        for index in count():
            due_in_s = started_s + float(index / self._rate) - time.monotonic()
            picture = next(pictures)
            if self._stopped.wait(max(0.0, due_in_s)):
                return
            paint(picture, time.monotonic())
            yield picture


def demo_pictures(size_px: tuple[int, int], rate: Fraction) -> Iterator[Image]:
    """The demo without end, as fresh (height, width, 3) uint8 RGB arrays of `size_px` (width, height)."""
    while True:
        with closing(DemoSource(duration_s=_LOOP_S, rate=rate).frames()) as frames:
            for frame in frames:
                small = cv2.resize(frame.picture.rgb(), size_px, interpolation=cv2.INTER_AREA)
                yield np.asarray(small, np.uint8)


class Wire:
    """Where a muxer writes what a viewer shall get; a viewer that has gone is an end, not an error."""

    def __init__(self, viewer: socket.socket) -> None:
        """Writes to `viewer`, which stays open."""
        self._viewer = viewer
        self.cut = False
        """Whether the viewer has gone: nothing arrives any more."""

    def write(self, data: bytes) -> int:
        """Send all of it; an error inside the muxer could not be told from one of its own."""
        if not self.cut:
            try:
                self._viewer.sendall(data)
            except OSError:
                self.cut = True
        return len(data)

    def muxer(self) -> "av.container.OutputContainer":
        """MPEG-TS over this wire, each packet sent at once."""
        return av.open(self, "w", format="mpegts", container_options={"flush_packets": "1"})


def broadcast(viewer: socket.socket, pictures: Iterator[Image], rate: Fraction) -> None:
    """Encode `pictures` as they come and send them to `viewer`, as H.264 without delay, until it has gone."""
    wire = Wire(viewer)
    with wire.muxer() as container:
        video = container.add_stream("libx264", rate=rate)
        assert isinstance(video, VideoStream)
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(round(rate))}
        for index, picture in enumerate(pictures):
            if index == 0:
                video.height, video.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(video.encode(frame))
            if wire.cut:
                return
