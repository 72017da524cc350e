"""Which records a person must act on."""

import dataclasses

from stream_detector.records import EventKind, Record, State, StreamEvent
from stream_detector.sinks.alerts import Alerts
from tests.test_alarm import design
from tests.test_json_lines import HEADER, SCORE


def states(*states: State) -> list[tuple[object, object]]:
    """(from, to) of the alerts that one face with these states gives."""
    alerts = Alerts(HEADER)
    found = []
    for state in states:
        found += alerts.take(dataclasses.replace(SCORE, state=state, p_fake_rolling=0.5))
    return [(alert["from"], alert["to"]) for alert in found]


def test_only_turns_to_and_from_fake_are_alerts() -> None:
    assert states(State.WARMING_UP, State.LIKELY_REAL, State.UNCERTAIN, State.LIKELY_REAL) == []
    assert states(State.LIKELY_FAKE, State.LIKELY_FAKE) == [(None, "likely_fake")]
    assert states(State.UNCERTAIN, State.LIKELY_FAKE, State.UNCERTAIN) == [
        ("uncertain", "likely_fake"),
        ("likely_fake", "uncertain"),
    ]
    assert states(State.LIKELY_FAKE, State.STALE) == [(None, "likely_fake"), ("likely_fake", "stale")]


def test_a_picture_that_could_not_be_judged_changes_no_verdict() -> None:
    turning = (State.LIKELY_FAKE, State.BLURRED, State.TOO_SMALL, State.CUT_OFF, State.LIKELY_FAKE)
    assert states(*turning) == [(None, "likely_fake")]


def test_a_suspicious_face_that_leaves_is_an_alert_and_another_is_not() -> None:
    alerts = Alerts(HEADER)
    alerts.take(dataclasses.replace(SCORE, state=State.LIKELY_FAKE))
    alerts.take(dataclasses.replace(SCORE, face_id=2, state=State.LIKELY_REAL))
    assert alerts.take(StreamEvent(0, 1.0, EventKind.FACE_LOST, 2)) == []
    (left,) = alerts.take(StreamEvent(0, 1.0, EventKind.FACE_LOST, 1))
    assert (left["type"], left["face"], left["from"], left["to"]) == ("state", 1, "likely_fake", "lost")
    assert (left["source"], left["name"]) == ("a.mp4", "door")


def test_where_the_model_raises_alarms_they_are_alerts_and_verdicts_that_turn_are_not() -> None:
    alerts = Alerts(dataclasses.replace(HEADER, alarm=design()))

    def alerts_of(record: Record) -> list[tuple[object, object]]:
        return [(alert["face"], alert["alarm"]) for alert in alerts.take(record)]

    fake = dataclasses.replace(SCORE, state=State.LIKELY_FAKE, alarm_level=0.5)
    raised = dataclasses.replace(fake, alarm_level=1.0, alarmed=True)
    assert alerts_of(fake) == []
    assert alerts_of(dataclasses.replace(SCORE, alarm_level=0.1)) == []
    assert alerts_of(raised) == []  # the event right after it is the alert
    assert alerts_of(StreamEvent(0, 1.0, EventKind.ALARM, 1, "why")) == [(1, "raised")]
    assert alerts_of(StreamEvent(0, 1.0, EventKind.ALARM, 2, "why")) == [(2, "raised")]
    assert alerts_of(dataclasses.replace(fake, face_id=2, alarmed=True)) == []
    assert alerts_of(dataclasses.replace(fake, face_id=2, alarmed=False)) == []
    assert alerts_of(StreamEvent(0, 2.0, EventKind.ALARM_CLEARED, 2, "why")) == [(2, "cleared")]
    assert alerts_of(StreamEvent(0, 3.0, EventKind.FACE_LOST, 2)) == []
    assert alerts_of(StreamEvent(0, 3.0, EventKind.SCENE_CUT)) == [(1, "lost")]


def test_a_stream_that_was_added_on_the_way_is_named() -> None:
    alerts = Alerts(HEADER)
    added = StreamEvent(3, None, EventKind.STREAM_ADDED, detail="door: rtsp://camera/x", name="door")
    (alert,) = alerts.take(added)
    assert (alert["stream"], alert["name"], alert["source"]) == (3, "door", "rtsp://camera/x")


def test_what_happens_to_a_stream_is_an_alert_once_in_a_row_and_what_happens_to_faces_is_none() -> None:
    alerts = Alerts(HEADER)
    taken = []
    for kind in (
        *(EventKind.STREAM_STARTED, EventKind.FACE_FOUND, EventKind.NO_FACE, EventKind.SCENE_CUT),
        *(EventKind.STREAM_FAILED, EventKind.STREAM_FAILED),
    ):
        taken += [alert["event"] for alert in alerts.take(StreamEvent(0, 1.0, kind, detail="why"))]
    assert taken == ["stream_started", "stream_failed"]
