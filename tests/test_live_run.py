"""A whole run on a camera that is lost and comes back: what is said of the face in view meanwhile."""

import itertools
import socket
import threading
import time
from contextlib import closing

from stream_detector.pipeline import Pipeline
from stream_detector.records import EventKind, FaceScore, Image, Record, State, StreamEvent
from stream_detector.settings import STALE_AFTER_S, make_settings
from stream_detector.sources.demo import DemoSource
from tests import rtsp, servers

RATE_HZ = 10
AWAY_S = 3.5
NOISE_S = 1.0
"""What a busy machine may add to a bound."""
GREEN = {State.LIKELY_REAL, State.LIKELY_FAKE, State.UNCERTAIN}


def test_a_face_is_stale_within_two_seconds_of_the_last_frame_and_a_new_one_afterwards() -> None:
    """Bound: STALE_AFTER_S from the last frame, whether the connection is open, lost or being tried."""
    with closing(DemoSource(duration_s=6.0).frames()) as frames:
        portrait: list[Image] = [frame.picture.rgb() for frame in itertools.islice(frames, 0, 50, 2)]
    pictures = rtsp.coded(
        len(portrait),
        width_px=1280,
        height_px=720,
        rate_hz=RATE_HZ,
        paint=lambda index, *_: portrait[index],
    )
    judged = threading.Event()
    last_sent_at_s: list[float] = []

    def script(wire: rtsp.Wire) -> None:
        endless = itertools.cycle(pictures)
        if not last_sent_at_s:
            wire.stream(itertools.takewhile(lambda _: not judged.is_set(), endless), rate_hz=RATE_HZ)
            last_sent_at_s.append(time.monotonic())
        else:
            wire.stream(endless, rate_hz=RATE_HZ)

    play = rtsp.playing(script)

    def handler(connection: socket.socket, ended: threading.Event) -> None:
        """Between the two, it accepts and hangs up."""
        if not last_sent_at_s or time.monotonic() > last_sent_at_s[0] + AWAY_S:
            play(connection, ended)

    records: list[tuple[float, Record]] = []
    with servers.serving(handler) as server:
        settings = make_settings(sources=(f"rtsp://127.0.0.1:{server.port}/cam",), half_life_s=2.0)
        with Pipeline(settings) as pipeline:
            deadline_s = time.monotonic() + 60
            for record in pipeline.records(tick_s=0.1):
                if record is not None:
                    records.append((time.monotonic(), record))
                    if isinstance(record, FaceScore) and record.state in GREEN:
                        judged.set()
                again = [r for _, r in records if isinstance(r, FaceScore) and r.face_id > 1]
                if len(again) >= 3 or time.monotonic() > deadline_s:
                    break

    lost_at_s = last_sent_at_s[0]
    scores = [(at_s, record) for at_s, record in records if isinstance(record, FaceScore)]
    assert judged.is_set()
    stale_at_s = next(at_s for at_s, record in scores if record.state is State.STALE)
    assert stale_at_s - lost_at_s < STALE_AFTER_S + NOISE_S
    meanwhile = [record for at_s, record in scores if at_s > stale_at_s and record.face_id == 1]
    assert not [record for record in meanwhile if record.state in GREEN]

    new = [record for _, record in scores if record.face_id > 1]
    assert new, [record for _, record in records if isinstance(record, StreamEvent)]
    assert new[0].state is State.WARMING_UP
    old = [record for _, record in scores if record.face_id == 1]
    assert new[0].pts_s > old[-1].pts_s + AWAY_S - NOISE_S
    kinds = [record.event for _, record in records if isinstance(record, StreamEvent)]
    order = [
        EventKind.LIVE,
        EventKind.RECONNECTING,
        EventKind.RESUMED,
        EventKind.SCENE_CUT,
        EventKind.FACE_LOST,
    ]
    assert [kind for kind, _ in itertools.groupby(kind for kind in kinds if kind in order)] == order
