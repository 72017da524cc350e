"""What a person at a terminal sees."""

import dataclasses
import io

import pytest
from rich.console import Console

from stream_detector.records import Box, EventKind, FaceScore, Reason, State, StreamEvent
from stream_detector.sinks import terminal
from stream_detector.sinks.terminal import Terminal
from tests.test_alarm import design
from tests.test_json_lines import HEADER, SUMMARY


def score(state: State, rolling: float | None, face: int = 1, pts_s: float = 1.0) -> FaceScore:
    return FaceScore(0, pts_s, face, Box(0, 0, 50, 50), rolling, rolling, state, 40.0)


def screen(sink: Terminal) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(sink.picture())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def sink() -> Terminal:
    sink = Terminal(Console(file=io.StringIO(), width=120, force_terminal=True))
    sink.begin(HEADER)
    return sink


def test_every_state_is_a_word_not_only_a_colour(sink: Terminal) -> None:
    for face, state in enumerate(State, start=1):
        sink.take(score(state, 0.5, face))
    shown = screen(sink).lower()
    for word in ("too small", "blurred", "cut off", "warming up", "uncertain", "likely real", "likely fake"):
        assert word in shown


def test_a_face_has_one_line_with_its_bar_score_rate_and_age(sink: Terminal) -> None:
    for i in range(11):
        sink.take(score(State.LIKELY_FAKE, 0.75, pts_s=i / 5))
    lines = screen(sink).splitlines()
    assert len(lines) == 1
    assert "█" * 15 + "░" * 5 in lines[0]
    assert "0.75" in lines[0]
    assert "LIKELY FAKE" in lines[0]
    assert "5.0/s" in lines[0]
    assert "ms old" in lines[0]


def test_a_face_whose_alarm_holds_says_so_whatever_its_state_and_the_end_says_when_it_was_raised(
    sink: Terminal,
) -> None:
    sink.take(dataclasses.replace(score(State.LIKELY_REAL, 0.1), alarm_level=0.8, alarmed=True))
    assert "ALARM" in screen(sink)
    assert "likely real" not in screen(sink)
    sink.take(dataclasses.replace(score(State.STALE, None), alarmed=True))
    assert "stale ALARM" in screen(sink)
    file = io.StringIO()
    ending = Terminal(Console(file=file, width=120, force_terminal=False))
    (face,) = SUMMARY.faces
    ending.end(dataclasses.replace(SUMMARY, faces=(dataclasses.replace(face, alarms=2, first_alarm_s=7.25),)))
    assert "2, first at 7.2 s" in file.getvalue()


def test_the_start_says_what_the_alarm_promises_or_that_there_is_none() -> None:
    for header, says in (
        (HEADER, "no alarm: the model states no false-alarm rate"),
        (
            dataclasses.replace(HEADER, alarm=design()),
            "at most 1 false alarm per day for each of the 200 real faces measured",
        ),
    ):
        file = io.StringIO()
        Terminal(Console(file=file, width=120, force_terminal=False)).begin(header)
        assert says in file.getvalue()


def test_a_lost_face_leaves_the_screen_and_an_empty_stream_says_so(sink: Terminal) -> None:
    sink.take(score(State.LIKELY_REAL, 0.1))
    sink.take(StreamEvent(0, 2.0, EventKind.FACE_LOST, 1))
    sink.take(StreamEvent(0, 2.0, EventKind.NO_FACE))
    assert "face 1" not in screen(sink)
    assert "no face in view" in screen(sink)


def test_a_lost_source_says_so_until_its_pictures_come_again(sink: Terminal) -> None:
    sink.take(score(State.LIKELY_REAL, 0.1))
    sink.take(StreamEvent(0, 2.0, EventKind.RECONNECTING, detail="it hung up", reason=Reason.ENDED))
    sink.take(score(State.STALE, None))
    assert "stale" in screen(sink)
    assert "lost, trying again: it hung up" in screen(sink)
    sink.take(StreamEvent(0, 5.0, EventKind.RESUMED))
    assert "trying again" not in screen(sink)


def test_a_screen_without_news_does_not_stay_green(sink: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    sink.take(score(State.LIKELY_REAL, 0.1))
    assert "likely real" in screen(sink)
    monkeypatch.setattr(terminal, "STALE_AFTER_S", -1.0)
    assert "likely real" not in screen(sink)
    assert "stale" in screen(sink)
    assert "0.10" not in screen(sink)


def test_the_end_leaves_a_table_of_all_faces_and_what_was_dropped() -> None:
    out = io.StringIO()
    with Terminal(Console(file=out, width=120, force_terminal=False)) as sink:
        sink.begin(HEADER)
        sink.end(SUMMARY)
    assert "uncertain" in out.getvalue()
    assert "1 at find" in out.getvalue()
    assert "p50 1 ms" in out.getvalue()


def test_a_stream_that_has_a_name_is_shown_by_it() -> None:
    out = io.StringIO()
    with Terminal(Console(file=out, width=120, force_terminal=False)) as sink:
        sink.begin(HEADER)
        sink.take(score(State.LIKELY_REAL, 0.1))
        sink.take(StreamEvent(4, None, EventKind.STREAM_ADDED, detail="hall: demo:", name="hall"))
        shown = screen(sink)
        sink.end(SUMMARY)
    assert "door face 1" in shown
    assert "hall: added: hall: demo:" in shown
    assert "0: door: a.mp4" in out.getvalue()
    assert "door" in out.getvalue().splitlines()[-2]


def test_what_was_dropped_is_told_by_stream_where_there_are_several() -> None:
    two = dataclasses.replace(
        SUMMARY,
        streams=(SUMMARY.streams[0], dataclasses.replace(SUMMARY.streams[0], stream=1, name=None)),
    )
    out = io.StringIO()
    with Terminal(Console(file=out, width=120, force_terminal=False)) as sink:
        sink.end(two)
    assert "1 at find (door 1, stream 1 1)" in " ".join(out.getvalue().split())


def test_a_stream_that_lagged_is_told_at_the_end() -> None:
    late = dataclasses.replace(SUMMARY.streams[0], lag_ms=1200.0, lag_ms_peak=3400.0)
    out = io.StringIO()
    with Terminal(Console(file=out, width=120, force_terminal=False)) as sink:
        sink.end(dataclasses.replace(SUMMARY, streams=(late,)))
    assert "door: pictures came up to 3.4 s late, 1.2 s at the end" in out.getvalue()
