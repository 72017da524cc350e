"""Cameras on the loopback, in a process of their own."""

import io
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import count, islice
from pathlib import Path

import av
from av.video.stream import VideoStream

from stream_detector.sources.selftest import Wire, demo_pictures

ROOT = Path(__file__).resolve().parent.parent
_LOOP_S = 10


@contextmanager
def cameras(streams: int, *, width_px: int, height_px: int, rate_hz: int) -> Iterator[list[str]]:
    """The addresses of `streams` live H.264 streams (MPEG-TS over TCP) that show the demo.

    They run in a process of their own, which encodes once and sends to each viewer at the stated rate,
    so that what is measured shares processor time with them, but no interpreter lock.
    """
    command = [
        sys.executable,
        "-m",
        "benchmarks.loopback",
        *map(str, (streams, width_px, height_px, rate_hz)),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ports = json.loads(process.stdout.readline())
            yield [f"tcp://127.0.0.1:{port}" for port in ports]
        finally:
            process.stdin.close()  # the sign to end
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def serve(streams: int, *, size_px: tuple[int, int], rate: Fraction) -> None:
    """Serve until stdin ends; the first line on stdout is the list of ports."""
    film = _encoded(size_px, rate)
    ended = threading.Event()
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(streams)]
    threads = [
        threading.Thread(target=_serve_one, args=(listener, film, rate, number / streams, ended))
        for number, listener in enumerate(listeners)
    ]
    for thread in threads:
        thread.start()
    sys.stdout.write(json.dumps([listener.getsockname()[1] for listener in listeners]) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


def _encoded(size_px: tuple[int, int], rate: Fraction) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        video = container.add_stream("libx264", rate=rate)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = *size_px, "yuv420p"
        video.options = {"preset": "veryfast", "tune": "zerolatency", "g": str(round(rate))}
        for index, picture in enumerate(islice(demo_pictures(size_px, rate), round(_LOOP_S * rate))):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return file.getvalue()


def _serve_one(
    listener: socket.socket, film: bytes, rate: Fraction, phase: float, ended: threading.Event
) -> None:
    listener.settimeout(0.1)
    while not ended.is_set():
        with suppress(TimeoutError):
            viewer, _ = listener.accept()
            with viewer:
                _send(viewer, film, rate, phase, ended)


def _send(viewer: socket.socket, film: bytes, rate: Fraction, phase: float, ended: threading.Event) -> None:
    """The film without end, each packet at its time. `phase`: part of a frame by which it comes later."""
    started_s = time.monotonic() + phase / float(rate)
    wire = Wire(viewer)
    with wire.muxer() as out:
        video = None
        number = count()
        while True:
            with av.open(io.BytesIO(film), "r") as container:
                if video is None:
                    video = out.add_stream_from_template(container.streams.video[0])
                for packet in container.demux(video=0):
                    if packet.dts is None:
                        continue
                    index = next(number)
                    if ended.wait(max(0.0, started_s + float(index / rate) - time.monotonic())) or wire.cut:
                        return
                    packet.pts = packet.dts = index
                    packet.time_base = 1 / rate
                    packet.stream = video
                    out.mux(packet)


if __name__ == "__main__":
    wanted, width, height, hz = map(int, sys.argv[1:])
    serve(wanted, size_px=(width, height), rate=Fraction(hz))
