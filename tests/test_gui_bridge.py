import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from benchmarks.clips import encode_demo
from gui.bridge import CLOSE_WITHIN_S, Bridge, title_of
from gui.tuning import Tuning
from gui.view import Status, View
from stream_detector.config import read_config
from stream_detector.errors import SourceError
from stream_detector.evidence.options import RecordOptions
from stream_detector.evidence.verifying import verify_log
from stream_detector.records import State
from stream_detector.settings import make_settings
from stream_detector.sources.address import parse_address
from tests import gui_parts
from tests.media import write_clip
from tests.servers import serving, silent

_ = gui_parts


@pytest.fixture
def bridge(qtbot: QtBot) -> Iterator[Bridge]:
    made = Bridge()
    yield made
    assert made.close()
    made.deleteLater()


def seen(bridge: Bridge) -> list[View]:
    views: list[View] = []
    bridge.updated.connect(views.append)
    return views


def test_the_demo_is_shown_judged_and_tuned_while_it_runs(bridge: Bridge, qtbot: QtBot) -> None:
    views = seen(bridge)
    states: set[State] = set()

    def turned_fake() -> bool:
        if views:
            for face in views[-1].streams[0].faces:
                states.add(face.record.state)
                if State.LIKELY_REAL in states:
                    # With a band this low the real half is called fake: the record's own state says so.
                    bridge.tune(Tuning(low=0.001, high=0.01, half_life_s=1.0))
        return State.LIKELY_FAKE in states

    bridge.start(make_settings(sources=("demo:",), realtime=True))
    qtbot.waitUntil(turned_fake, timeout=60_000)
    view = views[-1]
    assert State.LIKELY_REAL in states
    assert view.running
    assert view.header is not None
    assert view.streams[0].frame is not None
    assert view.streams[0].media_s < 6.0, "the demo was still real"
    assert bridge.crop_margin > 1.0
    assert bridge.incidents.count == 0, "an incident is an alarm, and a band raises none"
    history = bridge.history(0)
    assert history is not None
    assert len(history.faces[1]) > 2
    bridge.stop()
    assert not views[-1].running
    assert views[-1].streams[0].status is Status.ENDED
    assert views[-1].streams[0].faces == ()


def test_a_source_that_breaks_says_why_once_and_shows_it(bridge: Bridge, qtbot: QtBot) -> None:
    views, sentences = seen(bridge), list[str]()
    bridge.failed.connect(sentences.append)
    with qtbot.waitSignal(bridge.ended, timeout=60_000):
        bridge.start(make_settings(sources=("/no/such/file.mp4",), realtime=True))
    assert len(sentences) == 1
    assert "/no/such/file.mp4" in sentences[0]
    assert views[-1].streams[0].status is Status.FAILED
    assert views[-1].streams[0].detail == sentences[0]
    assert not bridge.running


def test_a_model_that_cannot_run_says_why(bridge: Bridge, qtbot: QtBot, tmp_path: Path) -> None:
    sentences: list[str] = []
    bridge.failed.connect(sentences.append)
    with qtbot.waitSignal(bridge.ended, timeout=60_000):
        bridge.start(make_settings(sources=("demo:",), model=tmp_path / "none.onnx"))
    assert len(sentences) == 1
    assert "none.onnx" in sentences[0]


def test_an_address_that_makes_no_sense_leaves_what_is_watched_alone(bridge: Bridge) -> None:
    with pytest.raises(SourceError):
        bridge.start(make_settings(sources=("nonsense://x",)))
    assert bridge.sources == ()
    assert not bridge.running


def test_closing_does_not_wait_for_a_server_that_says_nothing(qtbot: QtBot) -> None:
    bridge = Bridge()
    with serving(silent) as server:
        bridge.start(make_settings(sources=(f"http://127.0.0.1:{server.port}/x",)))
        qtbot.waitUntil(lambda: server.connections > 0 and bridge.header is not None, timeout=60_000)
        bridge.stop()
        assert not bridge.running
        began_s = time.monotonic()
        bridge.close()
        assert time.monotonic() - began_s < 5
    # A thread that FFmpeg held on to comes back by itself now that the server has hung up.


def test_another_source_takes_the_place_of_what_is_watched(
    bridge: Bridge, qtbot: QtBot, tmp_path: Path
) -> None:
    clips = [
        write_clip(tmp_path / f"{name}.mp4", frames=250, width_px=320, height_px=240) for name in ("a", "b")
    ]
    views = seen(bridge)
    bridge.start(make_settings(sources=(str(clips[0]),), realtime=True))
    bridge.start(make_settings(sources=(str(clips[0]), str(clips[1])), realtime=True))
    qtbot.waitUntil(
        lambda: [s.status for s in views[-1].streams] == [Status.NO_FACE, Status.NO_FACE], timeout=60_000
    )
    assert [stream.title for stream in views[-1].streams] == ["a.mp4", "b.mp4"]
    watching = [thread for thread in threading.enumerate() if thread.name == "watch"]
    assert len(watching) == 1


def test_streams_of_a_file_keep_their_names_and_options_when_one_is_tried_again(
    bridge: Bridge, qtbot: QtBot, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=2000, width_px=320, height_px=240)
    config = tmp_path / "streams.toml"
    config.write_text(
        f'[[stream]]\nname = "door"\nurl = "{clip}"\n\n'
        f'[[stream]]\nname = "call"\nurl = "{clip}"\ncrop = "640x480+0+0"\n'
    )
    views, sentences = seen(bridge), list[str]()
    bridge.failed.connect(sentences.append)
    bridge.start(read_config(config, {"realtime": True}))
    expected = [("door", Status.NO_FACE), ("call", Status.FAILED)]  # its region is larger than the picture

    def statuses() -> list[tuple[str, Status]]:
        return [(stream.title, stream.status) for stream in views[-1].streams]

    qtbot.waitUntil(lambda: statuses() == expected, timeout=60_000)
    bridge.retry(1)
    qtbot.waitUntil(lambda: len(sentences) == 2, timeout=60_000)
    qtbot.waitUntil(lambda: statuses() == expected, timeout=60_000)
    assert sentences[0] == sentences[1]
    assert "the region 640x480+0+0 of stream 'call'" in sentences[0]


def test_a_source_is_added_beside_another_and_one_that_failed_is_tried_again(
    bridge: Bridge, qtbot: QtBot, tmp_path: Path
) -> None:
    first = write_clip(tmp_path / "first.mp4", frames=2000, width_px=320, height_px=240)
    late = tmp_path / "late.mp4"
    views, sentences = seen(bridge), list[str]()
    bridge.failed.connect(sentences.append)

    def statuses() -> list[Status]:
        return [stream.status for stream in views[-1].streams]

    bridge.start(make_settings(sources=(str(first),), realtime=True))
    qtbot.waitUntil(lambda: statuses() == [Status.NO_FACE], timeout=60_000)
    bridge.add(str(late))
    qtbot.waitUntil(lambda: statuses() == [Status.NO_FACE, Status.FAILED], timeout=60_000)
    assert len(sentences) == 1
    assert "late.mp4" in sentences[0]
    assert bridge.running, "the other goes on"
    write_clip(late, frames=500, width_px=320, height_px=240)
    bridge.retry(1)
    qtbot.waitUntil(lambda: statuses() == [Status.NO_FACE, Status.NO_FACE], timeout=60_000)
    assert [stream.title for stream in views[-1].streams] == ["first.mp4", "late.mp4"]
    assert bridge.sources == (str(first), str(late))


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("demo:", "Demo"),
        ("/a/b/talk.mp4", "talk.mp4"),
        ("webcam:0", "Camera 0"),
        ("screen:", "Screen"),
        ("rtsp://u:secret@host/x", "rtsp://***@host/x"),
    ],
)
def test_a_source_is_called_by_few_words_without_secrets(source: str, title: str) -> None:
    assert title_of(parse_address(source)) == title


def test_closing_is_bounded() -> None:
    assert CLOSE_WITHIN_S < 5


def test_a_run_is_recorded_from_when_it_is_asked_for_until_it_is_not(
    bridge: Bridge, qtbot: QtBot, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    encode_demo(clip, seconds=12, rate_hz=10)
    recorded, sentences = list[Path | None](), list[str]()
    bridge.recording.connect(recorded.append)
    bridge.failed.connect(sentences.append)
    bridge.start(make_settings(sources=(str(clip),), realtime=True))
    qtbot.waitUntil(lambda: bridge.header is not None, timeout=60_000)
    bridge.record(RecordOptions(tmp_path / "records"))
    qtbot.waitUntil(lambda: len(recorded) == 1, timeout=60_000)
    assert recorded[0] is not None
    assert recorded[0].parent == tmp_path / "records"
    bridge.tune(Tuning(low=0.2, high=0.6, half_life_s=1.0))
    log = recorded[0] / "log.jsonl"
    qtbot.waitUntil(lambda: '"kind":"tuned"' in log.read_text(), timeout=60_000)
    bridge.record(None)
    qtbot.waitUntil(lambda: recorded[1:] == [None], timeout=60_000)
    assert verify_log(log).records > 3
    assert sentences == []
    (tmp_path / "taken").write_text("a file")
    bridge.record(RecordOptions(tmp_path / "taken"))
    qtbot.waitUntil(lambda: len(sentences) == 1, timeout=60_000)
    assert "cannot record in" in sentences[0]
    assert recorded[2:] == [None]
    assert bridge.running, "the run goes on without its record"
