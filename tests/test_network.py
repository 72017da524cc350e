"""What comes over the network besides RTSP: recordings, playlists, and what each address may reach."""

import itertools
import socket
import threading
import time
from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream

from stream_detector.errors import SourceError
from stream_detector.records import EventKind, Frame, Reason
from stream_detector.sources.address import Transport, parse_address
from stream_detector.sources.opening import openings
from stream_detector.sources.reconnect import ReconnectingSource
from stream_detector.sources.session import Limits
from stream_detector.sources.video_stream import set_up_decoder
from tests import media, rtsp, servers
from tests.watching import Watching

LIMITS = Limits(open_s=2.0, first_frame_s=3.0, between_frames_s=1.0)
HANG_S = 15.0


def source(url: str, **options: object) -> ReconnectingSource:
    return ReconnectingSource(parse_address(url), limits=LIMITS, **options)  # type: ignore[arg-type]


def test_a_recording_on_a_web_server_is_read_whole_and_just_ends(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "clip.mp4", muxer_options={"movflags": "faststart"})
    with (
        servers.serving(servers.files({"/clip.mp4": clip.read_bytes()})) as server,
        Watching(source(f"http://127.0.0.1:{server.port}/clip.mp4")) as seen,
    ):
        seen.end(within_s=HANG_S)
    assert seen.failure is None
    assert [frame.index for frame in seen.frames] == list(range(30))
    assert seen.kinds == [EventKind.CONNECTING]
    assert not seen.source.live


def test_an_http_address_that_answers_with_no_video_fails_at_once() -> None:
    with servers.serving(servers.files({"/a.txt": b"Dear diary,\n" * 100})) as server:
        for path, reason in (("a.txt", Reason.DAMAGED), ("none.mp4", Reason.NOT_FOUND)):
            with Watching(source(f"http://127.0.0.1:{server.port}/{path}")) as seen:
                seen.end(within_s=HANG_S)
            assert seen.failure is not None
            assert seen.failure.reason == reason
            assert seen.kinds == [EventKind.CONNECTING]


def test_a_camera_on_a_web_server_is_waited_for_and_opened_again_when_it_hangs_up() -> None:
    pictures = itertools.cycle([media.jpeg(index) for index in range(10)])
    port = servers.closed_port()

    def handler(connection: socket.socket, ended: threading.Event) -> None:
        parts = itertools.islice(pictures, 10)
        servers.pictures(parts, every_s=0.02, then_silent=False)(connection, ended)

    with Watching(source(f"http://127.0.0.1:{port}/camera")) as seen:
        lost = seen.event(EventKind.RECONNECTING, within_s=HANG_S)
        assert lost.reason is Reason.REFUSED
        with servers.serving(handler, port):
            seen.event(EventKind.RESUMED, within_s=HANG_S)
    assert seen.kinds[:5] == [
        EventKind.CONNECTING,
        EventKind.RECONNECTING,
        EventKind.LIVE,
        EventKind.RECONNECTING,
        EventKind.RESUMED,
    ]
    assert seen.events[3].reason is Reason.ENDED
    assert seen.source.live


def test_a_source_is_given_up_when_the_time_is_up_and_not_before() -> None:
    with Watching(source(f"rtsp://127.0.0.1:{servers.closed_port()}/x", give_up_after_s=1.0)) as seen:
        took_s = seen.end(within_s=HANG_S)
    assert seen.kinds == [EventKind.CONNECTING, EventKind.RECONNECTING, EventKind.GAVE_UP]
    assert seen.failure is not None
    assert 1.0 <= took_s < 2.5


@pytest.mark.parametrize("what", ["webcam:/dev/no-such-camera", "http://127.0.0.1:{port}/sound.m4a"])
def test_what_cannot_get_better_by_waiting_fails_at_once(tmp_path: Path, what: str) -> None:
    sound = media.write_sound(tmp_path / "sound.m4a").read_bytes()
    with (
        servers.serving(servers.files({"/sound.m4a": sound})) as server,
        Watching(source(what.format(port=server.port))) as seen,
    ):
        seen.end(within_s=HANG_S)
    assert seen.failure is not None
    assert seen.kinds == [EventKind.CONNECTING]


def test_a_live_playlist_is_shown_at_its_own_speed_though_it_comes_in_segments(tmp_path: Path) -> None:
    """Bound: no gap of half a segment between pictures; at once, a segment would be a burst and a pause."""
    segments = [
        media.write_clip(tmp_path / f"{n}.ts", muxer="mpegts", pts=[n * 50 + i for i in range(50)], frames=50)
        for n in range(12)
    ]
    began_s = time.monotonic()

    def handler(connection: socket.socket, ended: threading.Event) -> None:
        """A window of four segments of 2 s that moves with the time."""
        newest = min(len(segments), 4 + int((time.monotonic() - began_s) / 2.0))
        entries = "".join(f"#EXTINF:2.0,\n{n}.ts\n" for n in range(newest - 4, newest))
        head = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{newest - 4}\n"
        contents = {f"/{path.name}": path.read_bytes() for path in segments}
        servers.files({**contents, "/l.m3u8": (head + entries).encode()})(connection, ended)

    with (
        servers.serving(handler) as server,
        Watching(source(f"http://127.0.0.1:{server.port}/l.m3u8")) as seen,
    ):
        seen.came_at_s(lambda item: isinstance(item, Frame) and item.index == 200, within_s=HANG_S)
    assert seen.kinds == [EventKind.CONNECTING, EventKind.LIVE]
    gaps_s = [b.captured_at_s - a.captured_at_s for a, b in itertools.pairwise(seen.frames)]
    assert max(gaps_s) < 1.0
    assert seen.frames[200].captured_at_s - seen.frames[0].captured_at_s > 7.0


def _playlist(*entries: str) -> bytes:
    lines = "".join(f"#EXTINF:1.2,\n{entry}\n" for entry in entries)
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{lines}#EXT-X-ENDLIST\n".encode()


@pytest.mark.parametrize("prefix", ["file://", "file:", "", "crypto+file://", "subfile,,start,0,end,0,,:"])
def test_a_playlist_from_the_net_cannot_read_local_files(tmp_path: Path, prefix: str) -> None:
    """The segment from the server comes, which shows that the playlist works; the local one does not."""
    local = media.write_clip(tmp_path / "local.ts", muxer="mpegts", frames=20)
    served = media.write_clip(tmp_path / "served.ts", muxer="mpegts", frames=10)
    contents = {"/l.m3u8": _playlist("served.ts", f"{prefix}{local}"), "/served.ts": served.read_bytes()}
    with (
        servers.serving(servers.files(contents)) as server,
        Watching(source(f"http://127.0.0.1:{server.port}/l.m3u8")) as seen,
    ):
        seen.end(within_s=HANG_S)
    assert len(seen.frames) <= 10
    contents["/l.m3u8"] = _playlist("served.ts", "served.ts")
    with (
        servers.serving(servers.files(contents)) as server,
        Watching(source(f"http://127.0.0.1:{server.port}/l.m3u8")) as seen,
    ):
        seen.end(within_s=HANG_S)
    assert len(seen.frames) > 10


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\nfile://{local}\n#EXT-X-ENDLIST\n"),
        ("l.ffconcat", "ffconcat version 1.0\nfile 'file:{local}'\n"),
        ("l.ffconcat", "ffconcat version 1.0\nfile '{local}'\n"),
        ("l.sdp", "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 9 RTP/AVP 96\r\n"),
    ],
)
def test_other_lists_from_the_net_read_nothing_local_either(tmp_path: Path, name: str, text: str) -> None:
    local = media.write_clip(tmp_path / "local.ts", muxer="mpegts")
    contents = {f"/{name}": text.format(local=local).encode()}
    with (
        servers.serving(servers.files(contents)) as server,
        Watching(source(f"http://127.0.0.1:{server.port}/{name}", give_up_after_s=0)) as seen,
    ):
        seen.end(within_s=HANG_S)
    assert seen.frames == []
    assert seen.failure is not None


def test_the_same_playlist_on_this_machine_may_read_its_neighbour(tmp_path: Path) -> None:
    """So it is the whitelist that kept the others out."""
    local = media.write_clip(tmp_path / "local.ts", muxer="mpegts")
    (tmp_path / "l.m3u8").write_bytes(_playlist(f"file://{local}"))
    (way,) = openings(parse_address(str(tmp_path / "l.m3u8")), open_timeout_s=1, read_timeout_s=1)
    with av.open(way.url, options=dict(way.options)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://h/x",
        "rtsps://h/x",
        "http://h/x",
        "https://h/x",
        "rtmp://h/x",
        "rtmps://h/x",
        "srt://h:1",
        "udp://h:1",
        "tcp://h:1",
    ],
)
def test_no_network_address_may_reach_files_and_no_file_the_network(url: str, tmp_path: Path) -> None:
    (way,) = openings(parse_address(url), open_timeout_s=1, read_timeout_s=1)
    allowed = set(way.options["protocol_whitelist"].split(","))
    assert url.partition("://")[0] in allowed
    assert not allowed & {"file", "pipe", "fd", "concat", "subfile", "async", "cache"}
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    (local,) = openings(parse_address(str(clip)), open_timeout_s=1, read_timeout_s=1)
    assert set(local.options["protocol_whitelist"].split(",")) == {"file", "crypto", "data"}


@pytest.mark.parametrize(
    ("url", "asked", "carried"),
    [
        ("rtsp://h/x", "rtsp://h/x", "tcp"),
        ("rtsp://h/x?transport=udp", "rtsp://h/x", "udp"),
        ("rtsp://h/x?transport=TCP", "rtsp://h/x", "tcp"),
        ("rtsp://h/x?a=1&transport=udp&b=2", "rtsp://h/x?a=1&b=2", "udp"),
        ("rtsp://u:p?w@h/x?channel=1", "rtsp://u:p?w@h/x?channel=1", "tcp"),
        ("rtsps://u:p@h/x?transport=udp", "rtsps://u:p@h/x", "udp"),
        ("http://h/x?transport=udp", "http://h/x?transport=udp", None),
    ],
)
def test_the_transport_is_ours_and_no_server_sees_it(url: str, asked: str, carried: str | None) -> None:
    (way,) = openings(parse_address(url), open_timeout_s=1, read_timeout_s=1)
    assert way.url == asked
    assert way.options.get("rtsp_transport") == carried
    assert parse_address(url).transport is (Transport(carried) if carried else Transport.TCP)


def test_a_transport_that_does_not_exist_is_refused_without_a_secret() -> None:
    with pytest.raises(SourceError, match="transport=tcp or udp") as caught:
        parse_address("rtsp://u:hunter2@h/x?transport=hunter3")
    assert "hunter" not in str(caught.value)


def test_a_live_decoder_gives_one_picture_for_one_packet(tmp_path: Path) -> None:
    """On a zero-latency stream; frame threads, as files have them, hold pictures back."""
    pictures = rtsp.coded(12, width_px=320, height_px=240)
    raw = tmp_path / "zero.h264"
    raw.write_bytes(b"".join(b"\0\0\0\1" + unit for picture in pictures for unit in picture.units))

    def decoded(live: bool) -> list[int]:
        with av.open(str(raw), format="h264") as container:
            video = container.streams.video[0]
            assert isinstance(video, VideoStream)
            set_up_decoder(video, live=live, threads=4)
            return [len(packet.decode()) for packet in container.demux(video) if packet.size]

    assert decoded(live=True) == [1] * 12
    assert sum(decoded(live=False)[:4]) < 4
