"""Servers that lie: whatever they do, a source meets its limit, says why, and comes back when they do.

Every test names the bound it asserts; the limits are short so that the tests are.
"""

import itertools
import random
import socket
import threading
import time
from contextlib import ExitStack

import pytest

from stream_detector.records import EventKind, Frame, Reason, StreamEvent
from stream_detector.sources.address import parse_address
from stream_detector.sources.reconnect import AUTH_TRIES, ReconnectingSource
from stream_detector.sources.session import Limits
from tests import rtsp, servers
from tests.watching import Watching

LIMITS = Limits(open_s=1.0, first_frame_s=2.0, between_frames_s=1.0)
SLACK_S = 0.5
"""What the promise allows on top of a limit."""
NOISE_S = 1.0
"""What a busy machine may add to that."""
HANG_S = 15.0


def source(port: int, scheme: str = "rtsp", user: str = "", **options: object) -> ReconnectingSource:
    address = parse_address(f"{scheme}://{user}127.0.0.1:{port}/cam")
    return ReconnectingSource(address, limits=LIMITS, **options)  # type: ignore[arg-type]


def outcome(
    handler: servers.Handler, scheme: str = "rtsp", limits: Limits = LIMITS
) -> tuple[float, StreamEvent, Watching]:
    """How long one try lasts against `handler`, and the event that ends it."""
    with servers.serving(handler) as server:
        address = parse_address(f"{scheme}://127.0.0.1:{server.port}/cam")
        with Watching(ReconnectingSource(address, limits=limits, give_up_after_s=0)) as seen:
            took_s = seen.end(within_s=HANG_S)
    assert seen.failure is not None
    assert seen.kinds[-1] is EventKind.GAVE_UP
    assert seen.failure.reason == seen.events[-1].reason
    return took_s, seen.events[-1], seen


def is_frame(item: Frame | StreamEvent) -> bool:
    return isinstance(item, Frame)


def one_byte_at_a_time(text: bytes, every_s: float) -> servers.Handler:
    def handler(connection: socket.socket, ended: threading.Event) -> None:
        for byte in itertools.cycle(text):
            connection.sendall(bytes([byte]))
            if ended.wait(every_s):
                return

    return handler


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp", "tcp"])
def test_a_server_that_accepts_and_stays_silent_is_a_time_out_within_the_open_limit(scheme: str) -> None:
    took_s, event, _ = outcome(servers.silent, scheme)
    assert event.reason is Reason.TIMEOUT
    assert "time-out" in event.detail
    assert took_s < LIMITS.open_s + SLACK_S + NOISE_S


def test_a_silence_after_the_handshake_is_a_time_out_within_the_open_limit() -> None:
    limits = Limits(open_s=1.0, first_frame_s=5.0, between_frames_s=5.0)
    took_s, event, _ = outcome(rtsp.playing(rtsp.Wire.silence), limits=limits)
    assert event.reason is Reason.TIMEOUT
    assert took_s < LIMITS.open_s + SLACK_S + NOISE_S


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_an_answer_of_one_byte_at_a_time_is_a_time_out_within_the_open_limit(scheme: str) -> None:
    answer = b"RTSP/1.0 200 OK\r\n" if scheme == "rtsp" else b"HTTP/1.1 200 OK\r\nX: " + b"x" * 4096
    took_s, event, seen = outcome(one_byte_at_a_time(answer, 0.2), scheme)
    assert event.reason is Reason.TIMEOUT
    assert took_s < LIMITS.open_s + SLACK_S + NOISE_S
    assert isinstance(seen.source, ReconnectingSource)


def test_pictures_that_trickle_in_bytes_are_a_time_out_within_the_limit_between_frames() -> None:
    def script(wire: rtsp.Wire) -> None:
        wire.stream(rtsp.coded(10))
        while not wire.ended.wait(0.2):
            wire.connection.sendall(b"$")

    with servers.serving(rtsp.playing(script)) as server, Watching(source(server.port)) as seen:
        lost = seen.event(EventKind.RECONNECTING, within_s=HANG_S)
        assert lost.reason is Reason.TIMEOUT
        at_s = seen.came_at_s(lambda item: item is lost, within_s=0)
        silent_s = at_s - seen.frames[-1].captured_at_s
        assert LIMITS.between_frames_s <= silent_s < LIMITS.between_frames_s + SLACK_S + NOISE_S


def test_a_stream_that_falls_silent_is_told_stalled_and_then_opened_again() -> None:
    def script(wire: rtsp.Wire) -> None:
        wire.stream(rtsp.coded(10))
        wire.silence()

    patient = Limits(open_s=1.0, first_frame_s=2.0, between_frames_s=3.0)
    with servers.serving(rtsp.playing(script)) as server:
        watched = ReconnectingSource(parse_address(f"rtsp://127.0.0.1:{server.port}/cam"), limits=patient)
        with Watching(watched) as seen:
            seen.event(EventKind.RESUMED, within_s=HANG_S)
            assert seen.kinds[:5] == [
                EventKind.CONNECTING,
                EventKind.LIVE,
                EventKind.STALLED,
                EventKind.RECONNECTING,
                EventKind.RESUMED,
            ]
            assert seen.events[2].reason is Reason.TIMEOUT


def test_a_pause_on_the_same_connection_is_stalled_and_resumed_without_opening_again() -> None:
    def script(wire: rtsp.Wire) -> None:
        timestamp = wire.stream(rtsp.coded(10))
        if not wire.ended.wait(2.6):
            wire.stream(itertools.cycle(rtsp.coded(30)), start=timestamp + int(2.6 * rtsp.CLOCK_HZ))

    patient = Limits(open_s=1.0, first_frame_s=2.0, between_frames_s=8.0)
    with servers.serving(rtsp.playing(script)) as server:
        watched = ReconnectingSource(parse_address(f"rtsp://127.0.0.1:{server.port}/cam"), limits=patient)
        with Watching(watched) as seen:
            resumed = seen.event(EventKind.RESUMED, within_s=HANG_S)
            seen.came_at_s(lambda item: is_frame(item) and item.index == 15, within_s=HANG_S)  # type: ignore[union-attr]
        assert server.connections == 1
    assert seen.kinds == [
        EventKind.CONNECTING,
        EventKind.LIVE,
        EventKind.STALLED,
        EventKind.RESUMED,
    ]
    assert resumed.pts_s == pytest.approx(10 * 0.04 + 2.6, abs=0.1)
    assert {frame.segment for frame in seen.frames} == {0}


@pytest.mark.parametrize("half", [False, True], ids=["hangs up", "half-closes"])
def test_a_drop_mid_gop_is_opened_again_and_nobody_inherits_a_face(half: bool) -> None:
    """Bound: pictures again within a second, since the server is there."""

    def script(wire: rtsp.Wire) -> None:
        wire.stream(rtsp.coded(8, key_every=30))
        if half:
            wire.connection.shutdown(socket.SHUT_WR)
            wire.silence()

    with servers.serving(rtsp.playing(script)) as server, Watching(source(server.port)) as seen:
        lost = seen.event(EventKind.RECONNECTING, within_s=HANG_S)
        assert lost.reason is Reason.ENDED
        seen.event(EventKind.RESUMED, within_s=HANG_S)
        seen.came_at_s(lambda item: is_frame(item) and item.index == 10, within_s=HANG_S)  # type: ignore[union-attr]
    frames = seen.frames[:11]
    assert [frame.index for frame in frames] == list(range(11))
    assert [frame.segment for frame in frames] == [0] * 8 + [1] * 3
    gap_s = frames[8].captured_at_s - frames[7].captured_at_s
    assert gap_s < 1.0 + NOISE_S
    assert frames[8].pts_s - frames[7].pts_s == pytest.approx(gap_s, abs=0.01)
    assert [frame.pts_s for frame in frames] == sorted(frame.pts_s for frame in frames)


def test_garbage_instead_of_pictures_is_bounded_by_the_limit_for_the_first_frame() -> None:
    def script(wire: rtsp.Wire) -> None:
        rng = random.Random(0)
        while not wire.ended.wait(0.01):
            wire.connection.sendall(rng.randbytes(1000))

    took_s, event, _ = outcome(rtsp.playing(script))
    assert event.reason in (Reason.TIMEOUT, Reason.NO_DATA, Reason.DAMAGED)
    assert took_s < LIMITS.open_s + LIMITS.first_frame_s + SLACK_S + NOISE_S


def test_packets_that_hold_no_picture_are_told_as_no_data_within_the_limit_for_the_first_frame() -> None:
    def script(wire: rtsp.Wire) -> None:
        sound = [rtsp.Picture((picture.units[-1][:1] + b"\xff" * 40,), False) for picture in rtsp.coded(5)]
        wire.stream(itertools.cycle(sound))

    took_s, event, _ = outcome(rtsp.playing(script))
    assert event.reason is Reason.NO_DATA
    assert took_s < LIMITS.open_s + LIMITS.first_frame_s + SLACK_S + NOISE_S


def test_pictures_that_turn_to_noise_are_told_as_no_data_within_the_limit_between_frames() -> None:
    def script(wire: rtsp.Wire) -> None:
        rng = random.Random(3)
        timestamp = wire.stream(rtsp.coded(10))
        noise = (rtsp.Picture((b"\x65" + rng.randbytes(200),), True) for _ in itertools.count())
        wire.stream(noise, start=timestamp)

    with servers.serving(rtsp.playing(script)) as server, Watching(source(server.port)) as seen:
        lost = seen.event(EventKind.RECONNECTING, within_s=HANG_S)
        at_s = seen.came_at_s(lambda item: item is lost, within_s=0)
        before = [frame.captured_at_s for frame in seen.frames if frame.captured_at_s < at_s]
    assert lost.reason is Reason.NO_DATA
    assert at_s - before[-1] < LIMITS.between_frames_s + SLACK_S + NOISE_S


def test_garbage_between_the_packets_of_a_connection_is_left_behind_by_opening_another() -> None:
    """Bound: the limit between frames, then a new connection at once."""

    def script(wire: rtsp.Wire) -> None:
        timestamp = wire.stream(rtsp.coded(10))
        wire.connection.sendall(random.Random(1).randbytes(3000))
        wire.stream(itertools.cycle(rtsp.coded(30)), start=timestamp)

    with servers.serving(rtsp.playing(script)) as server, Watching(source(server.port)) as seen:
        wait_s = LIMITS.between_frames_s + SLACK_S + 1.0 + NOISE_S
        seen.event(EventKind.RESUMED, within_s=2.0 + wait_s)
    gaps_s = [b.captured_at_s - a.captured_at_s for a, b in itertools.pairwise(seen.frames)]
    assert max(gaps_s) < wait_s


def test_damaged_pictures_cost_pictures_and_no_connection() -> None:
    def script(wire: rtsp.Wire) -> None:
        rng = random.Random(2)
        noisy = [
            rtsp.Picture(tuple(unit[:2] + rng.randbytes(len(unit)) for unit in picture.units), picture.key)
            for picture in rtsp.coded(5)
        ]
        wire.stream([*rtsp.coded(10), *noisy, *rtsp.coded(15)])
        wire.silence()

    with servers.serving(rtsp.playing(script)) as server, Watching(source(server.port)) as seen:
        seen.event(EventKind.RECONNECTING, within_s=HANG_S)
        assert seen.kinds == [EventKind.CONNECTING, EventKind.LIVE, EventKind.RECONNECTING]
        assert 20 <= len(seen.frames) <= 30


def test_time_stamps_that_jump_by_hours_cost_nothing_but_the_tracks() -> None:
    def script(wire: rtsp.Wire) -> None:
        pictures = rtsp.coded(20)
        timestamp = wire.stream(pictures[:10])
        wire.stream(pictures[10:], start=timestamp + 5 * 3600 * rtsp.CLOCK_HZ)
        wire.silence()

    with servers.serving(rtsp.playing(script)) as server, Watching(source(server.port)) as seen:
        seen.came_at_s(lambda item: is_frame(item) and item.index == 19, within_s=HANG_S)  # type: ignore[union-attr]
    assert seen.kinds == [EventKind.CONNECTING, EventKind.LIVE]
    assert [frame.segment for frame in seen.frames] == [0] * 10 + [1] * 10
    assert seen.frames[-1].pts_s == pytest.approx(19 / 25, abs=0.05)


def test_a_change_of_resolution_costs_nothing_but_the_tracks() -> None:
    def script(wire: rtsp.Wire) -> None:
        timestamp = wire.stream(rtsp.coded(10))
        wire.stream(rtsp.coded(10, width_px=96, height_px=64), start=timestamp)
        wire.silence()

    with servers.serving(rtsp.playing(script)) as server, Watching(source(server.port)) as seen:
        seen.came_at_s(lambda item: is_frame(item) and item.index == 19, within_s=HANG_S)  # type: ignore[union-attr]
    assert seen.kinds == [EventKind.CONNECTING, EventKind.LIVE]
    sizes = [(frame.picture.width_px, frame.picture.height_px, frame.segment) for frame in seen.frames]
    assert sizes == [(64, 48, 0)] * 10 + [(96, 64, 1)] * 10


def test_a_picture_comes_when_the_next_one_begins() -> None:
    """Bound: one frame interval. FFmpeg's H.264 parser lets go of a picture when it sees the next."""
    pictures, sent_at_s = rtsp.coded(15), list[float]()

    def script(wire: rtsp.Wire) -> None:
        for index, picture in enumerate(pictures):
            sent_at_s.append(time.monotonic())
            wire.send(picture, rtsp.CLOCK_HZ + index * 3600)
            wire.ended.wait(0.1)
        wire.silence()

    with servers.serving(rtsp.playing(script)) as server, Watching(source(server.port)) as seen:
        seen.came_at_s(lambda item: is_frame(item) and item.index == 13, within_s=HANG_S)  # type: ignore[union-attr]
    # The first wait for the opening; half of the others may be late on a busy machine.
    delays_s = sorted(f.captured_at_s - sent_at_s[f.index + 1] for f in seen.frames[3:13])
    assert delays_s[5] < 0.05


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_refused_password_is_tried_a_few_times_and_shown_nowhere(scheme: str) -> None:
    with servers.serving(servers.unauthorized) as server:
        watched = source(server.port, scheme, "watcher:hunter2@", auth_interval_s=0.3)
        with Watching(watched) as seen:
            took_s = seen.end(within_s=HANG_S)
    assert seen.kinds == [EventKind.CONNECTING, *[EventKind.AUTH_FAILED] * AUTH_TRIES, EventKind.GAVE_UP]
    assert {event.reason for event in seen.events[1:]} == {Reason.AUTH}
    assert server.connections <= 2 * AUTH_TRIES
    assert took_s > 0.3 * (AUTH_TRIES - 1)
    assert "hunter2" not in f"{seen.events} {seen.failure}"


def test_a_right_password_is_let_in() -> None:
    handler = rtsp.playing(rtsp.camera(), password="sesame")
    with servers.serving(handler) as server, Watching(source(server.port, user="watcher:sesame@")) as seen:
        seen.event(EventKind.LIVE, within_s=HANG_S)


@pytest.mark.parametrize("away_s", [1.0, 5.0])
def test_a_camera_that_comes_back_is_seen_within_a_second(away_s: float) -> None:
    """Bound: 1 s from the return to the first picture, in the first minute of an outage."""
    camera = rtsp.playing(rtsp.camera())
    with ExitStack() as first:
        port = first.enter_context(servers.serving(camera)).port
        with Watching(source(port, chance=lambda: 1.0)) as seen:
            seen.event(EventKind.LIVE, within_s=HANG_S)
            first.close()
            lost = seen.event(EventKind.RECONNECTING, within_s=HANG_S)
            time.sleep(away_s)
            back_at_s = time.monotonic()
            with servers.serving(camera, port):
                seen.event(EventKind.RESUMED, within_s=HANG_S)
                picture_at_s = next(f.captured_at_s for f in seen.frames if f.segment == 1)
    assert lost.reason is Reason.ENDED
    assert picture_at_s - back_at_s < 1.0 + NOISE_S
    assert {event.reason for event in seen.events if event.event is EventKind.RECONNECTING} == {
        Reason.ENDED,
        Reason.REFUSED,
    }


def test_stop_ends_at_once_whatever_the_server_does() -> None:
    """Bound: 1 s, though the limits are 60 s."""
    endless = Limits(open_s=60.0, first_frame_s=60.0, between_frames_s=60.0)
    for handler in (servers.silent, rtsp.playing(rtsp.Wire.silence), rtsp.playing(rtsp.camera(0.5))):
        with servers.serving(handler) as server:
            watched = ReconnectingSource(parse_address(f"rtsp://127.0.0.1:{server.port}/x"), limits=endless)
            with Watching(watched) as seen:
                time.sleep(0.3)
                asked_at_s = time.monotonic()
                watched.stop()
                seen.end(within_s=HANG_S)
                assert seen.ended_at_s is not None
                assert seen.ended_at_s - asked_at_s < 1.0 + NOISE_S
            assert seen.failure is None
