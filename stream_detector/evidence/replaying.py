"""Judge a recorded run again from its scores: the same verdicts, or what other thresholds would have said."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from stream_detector.alarm_design import design_alarm
from stream_detector.errors import UsageError
from stream_detector.evidence.chain import Entry
from stream_detector.evidence.log_records import (
    Judging,
    StreamJudging,
    parse_event,
    parse_judging,
    parse_score,
    parse_stream,
)
from stream_detector.model_spec import UncertainBand
from stream_detector.records import (
    AlarmDesign,
    EventKind,
    FaceCrop,
    FaceScore,
    Sighting,
    State,
    StreamEvent,
    UnscoredFace,
)
from stream_detector.verdict import Verdicts

_NO_PIXELS = np.zeros((1, 1, 3), np.uint8)
_NO_EVIDENCE = np.zeros((1, 1), np.float32)
_NOWHEN = Sighting(0.0, 0.0, 0.0, 0.0)
ALARMS = frozenset({EventKind.ALARM, EventKind.ALARM_CLEARED})


@dataclass(frozen=True, slots=True)
class Otherwise:
    """Thresholds to judge by instead of the recorded ones; None: as recorded."""

    low: float | None = None
    high: float | None = None
    half_life_s: float | None = None
    false_alarms_per_day: float | None = None

    def __bool__(self) -> bool:
        return any(v is not None for v in (self.low, self.high, self.half_life_s, self.false_alarms_per_day))


@dataclass(slots=True)
class Replay:
    """What came of judging again."""

    scores: int = 0
    """Records judged again, those without a score counted."""
    alarms: list[StreamEvent] = field(default_factory=list)
    """As judged again."""
    recorded_alarms: list[StreamEvent] = field(default_factory=list)
    states: dict[State, int] = field(default_factory=dict)
    """How many records have each state, as judged again."""
    recorded_states: dict[State, int] = field(default_factory=dict)
    first_difference: str = ""
    """Where the two part; empty where they are equal, bit for bit."""
    skipped: int = 0
    """Scores of faces that were in view before the recording began: their past is not known."""
    until: str = ""
    """Why not all of it was judged again; empty where it was."""


def replay(entries: Iterable[Entry], otherwise: Otherwise) -> Replay:
    """Judge a log again.

    Every record and every alarm follows from the thresholds, and from time, logit and quality of the
    scores, in their order: nothing else is used, no model, no clock.

    Raises:
        UsageError: the log holds what makes no sense.
        BrokenLog: it is not as it was written.
    """
    entries = iter(entries)
    first = next(entries, None)
    if first is None:
        raise UsageError("the log is empty: expected the log of a run recorded with --record")
    judging = parse_judging(first.content.get("judging"), "the header's judging")
    run = _Run(judging, otherwise)
    for entry in entries:
        where = f"record {entry.number}"
        match entry.kind:
            case "score":
                run.score(parse_score(entry.content, where), where)
            case "event":
                run.event(parse_event(entry.content, where), where)
            case "stream":
                number = entry.content.get("stream")
                if not isinstance(number, int):
                    raise UsageError(f"{where} makes no sense: it names no stream")
                run.stream(number, parse_stream(entry.content.get("judging"), where))
            case "tuned" | "lost":
                what = "the thresholds were changed by hand" if entry.kind == "tuned" else "records were lost"
                run.replay.until = f"at {where} {what}: what follows is not judged again"
                break
    return run.replay


class _Run:
    def __init__(self, judging: Judging, otherwise: Otherwise) -> None:
        self.replay = Replay()
        self._judging = judging
        self._otherwise = otherwise
        self._half_life_of: dict[int, float] = {}
        self._alarm_of: dict[int, AlarmDesign] = {}
        band = judging.band
        if otherwise.low is not None or otherwise.high is not None:
            low = band.low if otherwise.low is None else otherwise.low
            high = band.high if otherwise.high is None else otherwise.high
            if not 0 <= low < high <= 1:
                raise UsageError(
                    f"--low {low:g} and --high {high:g} make no sense: expected 0 to 1, low below high"
                )
            band = UncertainBand(low=low, high=high, source="asked for")
        for number, stream in judging.streams.items():
            self.stream(number, stream)
        self._verdicts = Verdicts(
            half_life_s=1.0,
            band=band,
            of_stream=self._half_life_of,
            alarm_of=self._alarm_of,
            calibration=judging.calibration,
            max_turn=judging.max_turn,
        )
        self._known: set[tuple[int, int]] = set()
        self._due: list[StreamEvent] = []

    def stream(self, number: int, judging: StreamJudging) -> None:
        other = self._otherwise
        self._half_life_of[number] = other.half_life_s or judging.half_life_s
        if other.false_alarms_per_day is not None:
            if self._judging.alarm_facts is None:
                raise UsageError(
                    "--false-alarms-per-day makes no sense here: the model of this run states no rate"
                )
            self._alarm_of[number] = design_alarm(self._judging.alarm_facts, other.false_alarms_per_day)
        elif judging.alarm is not None:
            self._alarm_of[number] = judging.alarm

    def score(self, recorded: FaceScore, where: str) -> None:
        self._none_due(where)
        if (recorded.stream, recorded.face_id) not in self._known:
            self.replay.skipped += 1
            return
        again = self._again(recorded)
        self.replay.scores += 1
        for states, record in ((self.replay.states, again), (self.replay.recorded_states, recorded)):
            states[record.state] = states.get(record.state, 0) + 1
        for name in (
            "p_fake",
            "p_fake_rolling",
            "p_fake_slow",
            "scores_worth",
            "state",
            "doubt",
            "alarm_level",
            "alarmed",
        ):
            was, now = getattr(recorded, name), getattr(again, name)
            if was != now:
                self._differs(f"{where}: {name} was {was}, and is {now} now")
        self._due = self._verdicts.events()
        self.replay.alarms += self._due

    def event(self, recorded: StreamEvent, where: str) -> None:
        if recorded.event in ALARMS:
            self.replay.recorded_alarms.append(recorded)
            if (recorded.stream, recorded.face_id or 0) not in self._known:
                return
            if not self._due or self._due.pop(0) != recorded:
                self._differs(f"{where}: {recorded.event} of face {recorded.face_id} does not come now")
            return
        self._none_due(where)
        if recorded.event is EventKind.FACE_FOUND and recorded.face_id is not None:
            self._known.add((recorded.stream, recorded.face_id))
        self._verdicts.noticed(recorded)

    def _again(self, recorded: FaceScore) -> FaceScore:
        if recorded.logit is None:
            seen = UnscoredFace(
                recorded.stream, 0, recorded.pts_s, 0.0, recorded.face_id, recorded.box, recorded.state
            )
            return self._verdicts.unscored(seen, 0.0)
        crop = FaceCrop(
            stream=recorded.stream,
            frame_index=0,
            pts_s=recorded.pts_s,
            captured_at_s=0.0,
            face_id=recorded.face_id,
            box=recorded.box,
            pixels=_NO_PIXELS,
            sighting=_NOWHEN,
            quality=recorded.quality,
        )
        return self._verdicts.scored(crop, recorded.logit, _NO_EVIDENCE, 0.0)

    def _none_due(self, where: str) -> None:
        for event in self._due:
            self._differs(f"before {where}: {event.event} of face {event.face_id} comes now, and did not")
        self._due = []

    def _differs(self, sentence: str) -> None:
        self.replay.first_difference = self.replay.first_difference or sentence
