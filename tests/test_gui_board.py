from datetime import UTC, datetime

import pytest

from gui.board import Board
from gui.incident_log import INCIDENTS_KEPT, IncidentLog
from gui.palette import LOOKS, Tone
from gui.view import Status, View
from stream_detector.records import EventKind, FaceScore, Frame, Record, State
from stream_detector.settings import STALE_AFTER_S
from tests.gui_parts import event, frame, moved, score

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW_S = 1000.0


def board_of(*records: Record, log: IncidentLog | None = None) -> Board:
    board = Board(log or IncidentLog())
    board.begin({0: "Demo"})
    for record in records:
        board.take(record, frame=None, now_s=NOW_S, at=AT)
    return board


def view_of(board: Board, *, later_s: float = 0.0, newest: Frame | None = None) -> View:
    return board.view(lambda _stream: newest, now_s=NOW_S + later_s, running=True)


def newest(captured_at_s: float, index: int = 0) -> Frame:
    made = frame(index=index)
    return Frame(0, index, index / 25, captured_at_s, made.picture)


STARTED = event(EventKind.STREAM_STARTED)


def test_a_stream_connects_until_its_first_picture_and_says_so() -> None:
    assert view_of(board_of()).streams[0].status is Status.CONNECTING
    assert view_of(board_of(STARTED)).streams[0].status is Status.LIVE


def test_a_face_is_shown_as_its_record_says() -> None:
    record = score(State.UNCERTAIN, rolling=0.6)
    (face,) = view_of(board_of(STARTED, record)).streams[0].faces
    assert face.record is record


def test_a_face_turns_stale_and_loses_its_score_when_records_stop() -> None:
    board = board_of(STARTED, score(State.LIKELY_REAL))
    (face,) = view_of(board, later_s=STALE_AFTER_S + 0.1).streams[0].faces
    assert (face.record.state, face.record.p_fake_rolling) == (State.STALE, None)
    assert face.record.evidence is None
    assert LOOKS[face.record.state].tone is Tone.NONE


def test_a_face_is_stale_as_soon_as_pictures_stop_though_records_still_come() -> None:
    board = board_of(STARTED, score(State.LIKELY_REAL))
    view = view_of(board, newest=newest(NOW_S - STALE_AFTER_S - 1))
    assert view.streams[0].status is Status.STALLED
    assert "no new picture for 3 s" in view.streams[0].detail
    assert view.streams[0].faces[0].record.state is State.STALE


@pytest.mark.parametrize("kind", [EventKind.STREAM_ENDED, EventKind.STREAM_FAILED])
def test_nothing_is_said_of_faces_when_their_stream_is_over(kind: EventKind) -> None:
    view = view_of(board_of(STARTED, score(), event(kind, detail="why")))
    assert view.streams[0].faces == ()
    assert view.streams[0].status.over
    assert view.streams[0].detail == "why"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (EventKind.CONNECTING, Status.CONNECTING),
        (EventKind.STALLED, Status.STALLED),
        (EventKind.RECONNECTING, Status.RECONNECTING),
        (EventKind.AUTH_FAILED, Status.REFUSED),
        (EventKind.GAVE_UP, Status.GAVE_UP),
    ],
)
def test_a_source_that_does_not_deliver_says_why_and_leaves_no_face_green(
    kind: EventKind, status: Status
) -> None:
    view = view_of(board_of(STARTED, score(State.LIKELY_REAL), event(kind, detail="why")))
    (stream,) = view.streams
    assert (stream.status, stream.detail) == (status, "why")
    assert not stream.status.current
    assert all(LOOKS[face.record.state].tone is Tone.NONE for face in stream.faces)


def test_a_source_that_comes_back_is_watched_again() -> None:
    board = board_of(STARTED, event(EventKind.RECONNECTING), event(EventKind.RESUMED))
    assert view_of(board).streams[0].status is Status.LIVE


def test_that_a_source_gave_up_is_not_hidden_by_its_end() -> None:
    board = board_of(STARTED, event(EventKind.GAVE_UP, detail="why"), event(EventKind.STREAM_FAILED))
    assert view_of(board).streams[0].status is Status.GAVE_UP
    assert [stream for stream, _ in board.failed] == [0]


def test_the_last_picture_of_a_stream_that_ended_stays() -> None:
    board, last = board_of(STARTED), newest(NOW_S)
    view_of(board, newest=last)
    assert view_of(board).streams[0].frame is last


def test_a_stream_that_is_forgotten_is_shown_no_more() -> None:
    board = board_of(STARTED, score(State.LIKELY_FAKE, rolling=0.95))
    board.forget(0)
    assert view_of(board).streams == ()


def test_nothing_is_said_of_faces_when_the_run_breaks() -> None:
    board = board_of(STARTED, score(State.LIKELY_REAL))
    board.end()
    assert view_of(board).streams[0].faces == ()
    assert view_of(board).streams[0].status is Status.ENDED


def test_a_lost_face_goes_and_a_picture_without_faces_says_so() -> None:
    board = board_of(STARTED, score(), event(EventKind.FACE_LOST, face_id=1), event(EventKind.NO_FACE))
    assert view_of(board).streams[0].faces == ()
    assert view_of(board).streams[0].status is Status.NO_FACE


def test_the_best_evidence_is_the_highest_single_score_and_keeps_its_crop() -> None:
    records = [score(p_fake=p, pts_s=t) for t, p in enumerate((0.2, 0.9, 0.4))]
    (face,) = view_of(board_of(STARTED, *records)).streams[0].faces
    assert face.best is records[1]
    assert face.crop is records[2].pixels
    assert (face.scores, face.first_s) == (3, 0)


def test_the_capture_rate_counts_frames_that_were_never_drawn() -> None:
    board = board_of(STARTED)
    for index in (0, 10, 20):
        view = view_of(board, later_s=index / 25, newest=newest(NOW_S + index / 25, index))
    assert view.streams[0].capture_hz == pytest.approx(25.0)


def test_the_score_rate_falls_to_nothing_when_scores_stop() -> None:
    board = board_of(STARTED, *(score(pts_s=t) for t in (0.0, 0.2, 0.4)))
    assert view_of(board).streams[0].score_hz == pytest.approx(1.0)
    assert view_of(board, later_s=10).streams[0].score_hz == 0.0


def test_an_incident_is_each_turn_to_likely_fake_with_its_peak_and_its_end() -> None:
    log = IncidentLog()
    fake = score(State.LIKELY_FAKE, rolling=0.91, p_fake=0.95)
    board_of(
        score(State.UNCERTAIN, rolling=0.5),
        fake,
        score(State.LIKELY_FAKE, rolling=0.97, pts_s=2.0),
        score(State.UNCERTAIN, rolling=0.8, pts_s=3.0),
        score(State.LIKELY_FAKE, rolling=0.92, pts_s=4.0),
        log=log,
    )
    second, first = log.newest_first
    assert (first.number, first.record, first.peak, first.last_s, first.lasting) == (
        1,
        fake,
        0.97,
        2.0,
        False,
    )
    assert (second.number, second.lasting, second.title, second.at) == (2, True, "Demo", AT)


def test_where_the_model_raises_alarms_an_incident_is_an_alarm_and_lasts_as_long() -> None:
    log = IncidentLog()
    board_of(
        score(State.LIKELY_FAKE, rolling=0.95, alarm_level=0.8),
        score(State.LIKELY_FAKE, rolling=0.96, alarm_level=1.0, alarmed=True, pts_s=2.0),
        score(State.LIKELY_REAL, rolling=0.2, alarm_level=0.6, alarmed=True, pts_s=3.0),
        score(State.LIKELY_REAL, rolling=0.1, alarm_level=0.0, pts_s=9.0),
        log=log,
    )
    (incident,) = log.newest_first
    assert (incident.record.pts_s, incident.last_s, incident.lasting) == (2.0, 3.0, False)


def test_an_incident_ends_with_its_face_and_with_its_stream() -> None:
    fake = score(State.LIKELY_FAKE, rolling=0.95)
    for last in (event(EventKind.FACE_LOST, face_id=1), event(EventKind.STREAM_FAILED)):
        log = IncidentLog()
        board_of(fake, last, log=log)
        assert [incident.lasting for incident in log.newest_first] == [False]


def test_incidents_do_not_fill_the_memory() -> None:
    log = IncidentLog()
    for face_id in range(1, INCIDENTS_KEPT + 50):
        fake = score(State.LIKELY_FAKE, rolling=0.95, face_id=face_id)
        log.take(fake, title="Demo", frame=frame(), at=AT)
    kept = log.newest_first
    assert (len(kept), log.count) == (INCIDENTS_KEPT, INCIDENTS_KEPT + 49)
    assert kept[0].picture_jpeg is not None
    assert kept[-1].picture_jpeg is None
    assert sum(incident.picture_jpeg is not None for incident in kept) == 40


def test_records_of_a_stream_nobody_began_change_nothing() -> None:
    board = board_of(score(stream=7))
    assert [stream.stream for stream in view_of(board).streams] == [0]


def test_a_record_is_never_changed_by_growing_old() -> None:
    record: FaceScore = moved(score(), pts_s=2.0)
    view_of(board_of(STARTED, record), later_s=60)
    assert record.state is State.LIKELY_REAL
