"""Streams that come, go, change and break while others run."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_detector.commands.reload import Reload
from stream_detector.config import read_config
from stream_detector.errors import SourceError
from stream_detector.handoff import Closed
from stream_detector.pipeline import Pipeline
from stream_detector.records import (
    EventKind,
    FaceScore,
    Frame,
    Record,
    RgbPicture,
    StreamEvent,
    StreamState,
)
from stream_detector.settings import Settings, StreamSettings, make_settings
from stream_detector.sources.address import SourceAddress
from stream_detector.sources.demo import DemoSource
from stream_detector.sources.reader import Reader
from stream_detector.stages import Source
from tests.conftest import REPOSITORY
from tests.servers import serving, silent
from tests.test_cli import HANG_S, PROGRAM


class Endless:
    """A live camera: the demo again and again, until it is stopped or its time to break has come."""

    live = True
    damaged_packets = 0

    def __init__(self, stream: int, *, breaks_after: int | None = None) -> None:
        self._stream = stream
        self._breaks_after = breaks_after
        self._stopped = threading.Event()

    def frames(self) -> Generator[Frame]:
        picture = next(iter(DemoSource().frames())).picture
        index = 0
        while not self._stopped.wait(0.04):
            if index == self._breaks_after:
                raise SourceError(f"camera {self._stream} lost its lens; screw it on again")
            yield Frame(self._stream, index, index / 25, time.monotonic(), picture)
            index += 1

    def stop(self) -> None:
        self._stopped.set()


def cameras(monkeypatch: pytest.MonkeyPatch, make: Callable[[int], Source] = Endless) -> None:
    def make_source(address: SourceAddress, stream: int, settings: StreamSettings, *_: object) -> Source:
        return make(stream)

    monkeypatch.setattr("stream_detector.stream_watch._make_source", make_source)


def camera(name: str) -> StreamSettings:
    return StreamSettings(url="demo:", name=name)


def until(records: Iterator[Record | None], wanted: Callable[[Record], bool]) -> list[Record]:
    """The records up to the first that is wanted."""
    seen = []
    deadline_s = time.monotonic() + HANG_S
    for record in records:
        assert time.monotonic() < deadline_s, "it never came"
        if record is not None:
            seen.append(record)
            if wanted(record):
                return seen
    raise AssertionError("the run ended before it came")


def is_event(kind: EventKind, stream: int) -> Callable[[Record], bool]:
    return lambda r: isinstance(r, StreamEvent) and r.event is kind and r.stream == stream


def is_score(stream: int) -> Callable[[Record], bool]:
    return lambda r: isinstance(r, FaceScore) and r.stream == stream


def test_of_three_streams_one_dies_and_two_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras(monkeypatch, lambda stream: Endless(stream, breaks_after=10 if stream == 1 else None))
    with Pipeline(make_settings(sources=("demo:",) * 3)) as pipeline:
        records = pipeline.records(tick_s=0.1)
        before = until(records, is_event(EventKind.STREAM_FAILED, 1))
        for stream in (0, 2, 0, 2):
            before += until(records, is_score(stream))
        assert [s.state for s in pipeline.snapshot()] == [
            StreamState.RUNNING,
            StreamState.FAILED,
            StreamState.RUNNING,
        ]
        pipeline.stop()
        after = [r for r in records if r is not None]
    ends = [(r.stream, r.event) for r in after if isinstance(r, StreamEvent) and r.face_id is None]
    assert sorted(ends) == [(0, EventKind.STREAM_ENDED), (2, EventKind.STREAM_ENDED)]
    assert len(pipeline.failures) == 1
    assert {r.face_id for r in before if isinstance(r, FaceScore) and r.stream == 0} == {1}


def test_a_stream_added_on_the_way_is_announced_and_the_others_do_not_notice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cameras(monkeypatch)
    with Pipeline(make_settings(sources=("demo:",))) as pipeline:
        records = pipeline.records(tick_s=0.1)
        until(records, is_score(0))
        assert pipeline.add_stream(camera("hall")) == 1
        seen = until(records, is_score(1)) + until(records, is_score(0))
        first = next(r for r in seen if r.stream == 1)
        pipeline.stop()
        seen += [r for r in records if r is not None]
    assert isinstance(first, StreamEvent)
    assert (first.event, first.name, first.detail) == (EventKind.STREAM_ADDED, "hall", "hall: demo:")
    assert {r.face_id for r in seen if isinstance(r, FaceScore) and r.stream == 0} == {1}
    assert [s.name for s in pipeline.summary().streams] == [None, "hall"]


def test_numbers_are_never_used_again_and_whoever_ended_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cameras(monkeypatch)
    with Pipeline(make_settings(stay=True)) as pipeline:
        records = pipeline.records(tick_s=0.1)
        for number in range(5):
            assert pipeline.add_stream(camera("door")) == number
            until(records, is_event(EventKind.STREAM_STARTED, number))
            pipeline.remove_stream(number, "no longer wanted")
            ended = until(records, is_event(EventKind.STREAM_ENDED, number))[-1]
            assert isinstance(ended, StreamEvent)
            assert ended.detail == "no longer wanted"
        assert len(pipeline._streams) <= 2
        pipeline.remove_stream(0)  # ended long ago
        pipeline.remove_stream(99)  # never was
        pipeline.stop()
        assert [r for r in records if r is not None] == []
        with pytest.raises(Closed):
            pipeline.add_stream(camera("late"))


def test_removing_a_stream_whose_host_is_silent_does_not_wait_for_the_host() -> None:
    with serving(silent) as server:
        pipeline = Pipeline(make_settings(sources=(f"tcp://127.0.0.1:{server.port}",), stay=True))
        pipeline.patience_s = 30
        with pipeline:
            records = pipeline.records(tick_s=0.1)
            began_s = time.monotonic()
            pipeline.remove_stream(0)
            until(records, is_event(EventKind.STREAM_ENDED, 0))
            assert time.monotonic() - began_s < 9  # its time-outs alone take 10 s
            pipeline.stop()


def test_a_region_outside_the_picture_fails_that_stream_with_a_sentence() -> None:
    settings = Settings(
        configured=(StreamSettings(url="demo:", name="door", crop="640x480+800+0"),)  # type: ignore[arg-type]
    )
    with Pipeline(settings) as pipeline, pytest.raises(SourceError) as failure:
        list(pipeline.records())
    assert str(failure.value) == (
        "cannot look at the region 640x480+800+0 of stream 'door': its pictures are 1280x720; "
        "choose a crop that lies inside"
    )


def test_drops_are_counted_by_stage_and_by_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    class Burst(Endless):
        """Stream 0 sends a hundred pictures at once, stream 1 takes its time."""

        def frames(self) -> Generator[Frame]:
            if self._stream == 1:
                yield from super().frames()
                return
            picture = RgbPicture(np.zeros((72, 128, 3), np.uint8))
            for index in range(100):
                yield Frame(0, index, index / 25, time.monotonic(), picture)
            self._stopped.wait(HANG_S)

    cameras(monkeypatch, Burst)
    with Pipeline(make_settings(sources=("demo:",) * 2)) as pipeline:
        until(pipeline.records(tick_s=0.1), is_score(1))
        burst, steady = pipeline.snapshot()
    assert 50 < burst.dropped["find"] < burst.frames == 100
    # A slow computer drops some of the steady one's pictures as well; each stream's account is its own.
    assert steady.dropped["find"] < steady.frames


class Running:
    """What `Reload` needs of a pipeline, with a list of what was asked of it."""

    def __init__(self, first: int) -> None:
        self.asked: list[str] = []
        self.next = first
        self.failed: set[int] = set()

    def add_stream(self, settings: StreamSettings) -> int:
        self.asked.append(f"+{self.next} {settings.name}")
        self.next += 1
        return self.next - 1

    def remove_stream(self, number: int, why: str = "") -> None:
        self.asked.append(f"-{number} {why}")

    def snapshot(self) -> list[Any]:
        return [type("Snapshot", (), {"stream": n, "state": StreamState.FAILED})() for n in self.failed]


def stream_table(name: str, score_hz: float = 5) -> str:
    return f'[[stream]]\nname = "{name}"\nurl = "demo:"\nscore_hz = {score_hz}\n'


def test_a_reload_touches_only_what_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "streams.toml"
    path.write_text("".join(map(stream_table, "abc")))
    typed = {"sources": ("typed.mp4",)}
    reload = Reload(path, lambda: read_config(path, typed), read_config(path, typed), watch_file=False)
    pipeline: Any = Running(first=4)

    def asked(text: str) -> list[str]:
        pipeline.asked = []
        path.write_text(text)
        reload.look(pipeline, asked=True)
        return list(pipeline.asked)

    assert asked("".join(map(stream_table, "cab"))) == []
    assert asked(stream_table("a") + stream_table("c", 2) + stream_table("d")) == [
        "-2 no longer in streams.toml",
        "-3 changed in streams.toml; it begins anew",
        "+4 c",
        "+5 d",
    ]
    assert asked("score_hz = oops") == []
    assert "it is not TOML" in caplog.text
    assert "the streams that run go on as they are" in caplog.text
    assert asked(stream_table("a") + stream_table("d")) == ["-4 no longer in streams.toml"]
    pipeline.failed = {1}
    assert asked(stream_table("a") + stream_table("d")) == ["+6 a"]
    assert asked('backend = "onnx"\n' + stream_table("a") + stream_table("d")) == []
    assert "backend in streams.toml has changed, which takes a new start" in caplog.text


def test_a_watched_file_is_taken_over_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_detector.commands.reload._LOOK_EVERY_S", 0.0)
    path = tmp_path / "streams.toml"
    path.write_text(stream_table("a"))
    reload = Reload(path, lambda: read_config(path, {}), read_config(path, {}), watch_file=True)
    pipeline: Any = Running(first=1)
    reload.look(pipeline, asked=False)
    assert pipeline.asked == []
    path.write_text(stream_table("a") + stream_table("bb"))
    reload.look(pipeline, asked=False)
    reload.look(pipeline, asked=False)
    assert pipeline.asked == ["+1 bb"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_sighup_adds_and_ends_streams_of_a_running_program(tmp_path: Path) -> None:
    def table(name: str) -> str:
        return f'[[stream]]\nname = "{name}"\nurl = "lavfi:testsrc2=size=320x240:rate=10"\nrealtime = true\n'

    path = tmp_path / "streams.toml"
    path.write_text(table("one") + table("two"))
    said = tmp_path / "stderr"
    with said.open("w") as stderr:
        program = subprocess.Popen(
            [*PROGRAM, "watch", "--config", str(path), "--json"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=REPOSITORY,
        )
    last_resort = threading.Timer(HANG_S, program.kill)
    last_resort.start()
    try:
        assert program.stdout is not None
        wait_for(program.stdout, '"name":"two"', "no_face")
        path.write_text("nonsense")
        program.send_signal(signal.SIGHUP)
        until_told(said, "the streams that run go on as they are")
        path.write_text(table("two") + table("three"))
        program.send_signal(signal.SIGHUP)
        wait_for(program.stdout, '"name":"one"', "stream_ended", "no longer in streams.toml")
        wait_for(program.stdout, '"stream":2,"name":"three"', "no_face")
        program.send_signal(signal.SIGTERM)
        out, _ = program.communicate(timeout=HANG_S)
    finally:
        last_resort.cancel()
        last_resort.join()
        program.kill()
        program.wait()
    assert program.returncode == 0, said.read_text()
    assert len(said.read_text().splitlines()) == 1
    assert '"name":"two","pts_s":null' not in out
    assert '"type":"summary"' in out.splitlines()[-1]


def until_told(path: Path, words: str) -> None:
    deadline_s = time.monotonic() + HANG_S
    while words not in path.read_text():
        assert time.monotonic() < deadline_s, f"it never said {words!r}"
        time.sleep(0.02)


def wait_for(lines: Any, *words: str) -> None:
    for line in lines:
        if all(word in line for word in words):
            return
    raise AssertionError(f"the program ended before it said {words}")


def test_paced_streams_added_on_the_way_start_too() -> None:
    added = StreamSettings(url="demo:", name="late", realtime=True, duration_s=1.0)
    with Pipeline(make_settings(stay=True)) as pipeline:
        number = pipeline.add_stream(added)
        records = pipeline.records(tick_s=0.1)
        until(records, is_event(EventKind.STREAM_ENDED, number))
        pipeline.stop()
    assert pipeline.summary().frames == 25


def test_files_that_are_read_together_share_the_processors_for_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Noted(Reader):
        def __init__(self, address: SourceAddress, *, threads: int = 0, **rest: Any) -> None:
            asked.append(threads)
            super().__init__(address, threads=threads, **rest)

    monkeypatch.setattr("stream_detector.stream_watch.Reader", Noted)
    monkeypatch.setattr("stream_detector.pipeline.usable_processors", lambda: 8)
    for files, threads in ((1, 0), (3, 2), (16, 1)):
        asked.clear()
        Pipeline(make_settings(sources=(str(tmp_path / "clip.mp4"),) * files))
        assert asked == [threads] * files
