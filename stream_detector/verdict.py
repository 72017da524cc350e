"""From a logit to what may be said of a face: probability, rolling score, state."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from stream_detector.alarm import CLEAR_AFTER_S, CLEAR_LEVEL, FaceAlarm
from stream_detector.calibration import log_odds
from stream_detector.model_spec import Calibration, UncertainBand
from stream_detector.records import (
    NOBODY_LEFT,
    AlarmDesign,
    Box,
    Doubt,
    EventKind,
    FaceCrop,
    FaceScore,
    FaceSummary,
    Stamps,
    State,
    StreamEvent,
    UnscoredFace,
)
from stream_detector.smoothing import SLOW, Rolling, RollingScore

WARM_UP_SCORES = 3
"""No verdict on fewer scores than this: one odd frame is not evidence."""
WARM_UP_S = 0.5
"""No verdict on less media time than this: scores of neighbouring frames repeat each other."""
LOST_FACES_KEPT = 1000
"""Lost faces remembered for the summary; a stream watched for months must not fill the memory."""


@dataclass
class _Face:
    rolling: RollingScore
    slow: RollingScore
    alarm: FaceAlarm | None
    box: Box
    first_s: float
    last_s: float
    scores: int = 0
    captured_at_s: float = 0.0
    frame_index: int = 0
    peak: float | None = None
    shown: float | None = None
    state: State = State.WARMING_UP
    states: dict[State, int] = field(default_factory=dict)
    lost: bool = False
    alarms: int = 0
    first_alarm_s: float | None = None


class Verdicts:
    """What is known of every face of every stream.

    Fed in the order of the stream: scores, faces that could not be scored, events. Pure: it is
    told the time, and belongs to one thread.
    """

    def __init__(
        self,
        *,
        half_life_s: float,
        band: UncertainBand,
        of_stream: Mapping[int, float] | None = None,
        alarm_of: Mapping[int, AlarmDesign] | None = None,
        calibration: Calibration | None = None,
        max_turn: float | None = None,
    ) -> None:
        """No faces yet.

        Args:
            half_life_s: of the rolling score, in media time.
            band: rolling scores inside say nothing.
            of_stream: half-lives of streams that have their own; asked when a face is first seen.
            alarm_of: by what faces of each stream raise an alarm, asked likewise; those of others never do.
            calibration: of the model's logits; None takes them as log-odds.
            max_turn: faces turned further are doubted, see `FaceQuality.turn`; None: none is.
        """
        self._half_life_s = half_life_s
        self._half_life_of = {} if of_stream is None else of_stream
        self._tuned_half_life_s: float | None = None
        self._band = band
        self._calibration = calibration
        self._max_turn = max_turn
        self._faces: dict[tuple[int, int], _Face] = {}
        self._alarm_of = {} if alarm_of is None else alarm_of
        self._alarmed: set[tuple[int, int]] = set()
        self._events: list[StreamEvent] = []
        self._lost: deque[tuple[int, int]] = deque()
        self.faces_seen = 0

    @property
    def band(self) -> UncertainBand:
        """Rolling scores inside say nothing."""
        return self._band

    @property
    def tuned_half_life_s(self) -> float | None:
        """Of every stream; None while each has its own."""
        return self._tuned_half_life_s

    def tune(self, *, half_life_s: float, band: UncertainBand) -> None:
        """Judge every face of every stream by these from its next record on. Any thread."""
        self._tuned_half_life_s, self._band = half_life_s, band

    def scored(
        self,
        crop: FaceCrop,
        logit: float,
        evidence: npt.NDArray[np.float32],
        now_s: float,
        stamps: Stamps | None = None,
    ) -> FaceScore:
        """The record for a face that was scored.

        Args:
            logit: the model's, positive = fake.
            evidence: (h, w) in logit units.
            now_s: time.monotonic() at the verdict.
            stamps: passed on.
        """
        face_px = crop.box.side_px if crop.quality is None else crop.quality.face_px
        odds = log_odds(self._calibration, logit, face_px)
        p_fake = probability(odds)
        face = self._face(crop)
        face.scores += 1
        doubt = self._doubt(crop)
        if doubt is None:
            face.rolling.add(crop.pts_s, p_fake)
            face.slow.add(crop.pts_s, p_fake)
        if face.alarm is not None:
            turned = face.alarm.score(crop.pts_s, odds) if doubt is None else face.alarm.no_score(crop.pts_s)
            if turned:
                self._note_alarm(face, face.alarm, crop)
        rolling = face.rolling.at(crop.pts_s)
        state = self._state(rolling) if doubt is None else State.UNCERTAIN
        scored = self._record(face, crop, p_fake, rolling, state, now_s)
        return replace(
            scored,
            evidence=evidence,
            pixels=crop.pixels,
            stamps=stamps,
            logit=logit,
            quality=crop.quality,
            doubt=doubt,
        )

    def unscored(self, seen: UnscoredFace, now_s: float) -> FaceScore:
        """The record for a face in view that could not be scored: its evidence only gets older."""
        face = self._face(seen)
        if face.alarm is not None and face.alarm.no_score(seen.pts_s):
            self._note_alarm(face, face.alarm, seen)
        return self._record(face, seen, None, face.rolling.at(seen.pts_s), seen.why, now_s)

    def events(self) -> list[StreamEvent]:
        """What the last record raised or cleared, once: alarms, which stand right after it."""
        events, self._events = self._events, []
        return events

    def alarmed(self, stream: int) -> int:
        """How many faces in view of `stream` have an alarm that holds."""
        return sum(of_stream == stream for of_stream, _ in self._alarmed)

    def noticed(self, event: StreamEvent) -> None:
        """Take note of a face that was lost: nothing more will be said of it but in the summary."""
        if event.event in NOBODY_LEFT:
            self._alarmed = {key for key in self._alarmed if key[0] != event.stream}
        if event.event is not EventKind.FACE_LOST or event.face_id is None:
            return
        key = (event.stream, event.face_id)
        self._alarmed.discard(key)
        face = self._faces.get(key)
        if face is None or face.lost:
            return
        face.lost = True
        self._lost.append(key)
        if len(self._lost) > LOST_FACES_KEPT:
            del self._faces[self._lost.popleft()]

    def stale(self, stream: int, now_s: float, *, older_than_s: float) -> list[FaceScore]:
        """A record for every face in view of `stream` whose newest picture is too old to speak for now.

        Args:
            now_s: time.monotonic().
            older_than_s: pictures taken longer ago say nothing of now.
        """
        records = []
        for (of_stream, face_id), face in self._faces.items():
            if of_stream != stream or face.lost or face.state is State.STALE:
                continue
            if now_s - face.captured_at_s <= older_than_s:
                continue
            frozen = UnscoredFace(
                stream=stream,
                frame_index=face.frame_index,
                pts_s=face.last_s,
                captured_at_s=face.captured_at_s,
                face_id=face_id,
                box=face.box,
                why=State.STALE,
            )
            records.append(self.unscored(frozen, now_s))
        return records

    def summaries(self) -> list[FaceSummary]:
        """One line per face, in order of stream and id; of lost faces the newest LOST_FACES_KEPT."""
        return [
            FaceSummary(
                stream=stream,
                face_id=face_id,
                first_s=face.first_s,
                last_s=face.last_s,
                scores=face.scores,
                p_fake_rolling=face.shown,
                p_fake_rolling_peak=face.peak,
                state=face.state,
                states=dict(face.states),
                alarms=face.alarms,
                first_alarm_s=face.first_alarm_s,
            )
            for (stream, face_id), face in sorted(self._faces.items())
        ]

    def _face(self, seen: FaceCrop | UnscoredFace) -> _Face:
        key = (seen.stream, seen.face_id)
        face = self._faces.get(key)
        if face is None:
            self.faces_seen += 1
            half_life_s = self._half_life_of.get(seen.stream, self._half_life_s)
            design = self._alarm_of.get(seen.stream)
            alarm = None if design is None else FaceAlarm(design)
            face = _Face(
                RollingScore(half_life_s),
                RollingScore(SLOW * half_life_s),
                alarm,
                seen.box,
                first_s=seen.pts_s,
                last_s=seen.pts_s,
            )
            self._faces[key] = face
        if self._tuned_half_life_s is not None:
            face.rolling.half_life_s = self._tuned_half_life_s
            face.slow.half_life_s = SLOW * self._tuned_half_life_s
        face.box, face.last_s = seen.box, seen.pts_s
        face.captured_at_s, face.frame_index = seen.captured_at_s, seen.frame_index
        return face

    def _doubt(self, crop: FaceCrop) -> Doubt | None:
        """Why this score is no evidence, neither for the rolling score nor for the alarm."""
        turn = None if crop.quality is None else crop.quality.turn
        if turn is not None and self._max_turn is not None and turn > self._max_turn:
            return Doubt.TURNED
        return None

    def _state(self, rolling: Rolling) -> State:
        if rolling.count < WARM_UP_SCORES or rolling.span_s < WARM_UP_S:
            return State.WARMING_UP
        if rolling.p_fake > self._band.high:
            return State.LIKELY_FAKE
        if rolling.p_fake < self._band.low:
            return State.LIKELY_REAL
        return State.UNCERTAIN

    def _record(
        self,
        face: _Face,
        seen: FaceCrop | UnscoredFace,
        p_fake: float | None,
        rolling: Rolling,
        state: State,
        now_s: float,
    ) -> FaceScore:
        # A frozen stream has no score to show: the old number would read as a current one.
        known = rolling.count > 0 and state is not State.STALE
        face.shown = rolling.p_fake if known else None
        face.state = state
        face.states[state] = face.states.get(state, 0) + 1
        raised = face.alarm is not None and face.alarm.raised
        (self._alarmed.add if raised else self._alarmed.discard)((seen.stream, seen.face_id))
        settled = rolling.count >= WARM_UP_SCORES and rolling.span_s >= WARM_UP_S
        if known and settled and (face.peak is None or rolling.p_fake > face.peak):
            face.peak = rolling.p_fake
        return FaceScore(
            stream=seen.stream,
            pts_s=seen.pts_s,
            face_id=seen.face_id,
            box=seen.box,
            p_fake=p_fake,
            p_fake_rolling=face.shown,
            state=state,
            age_ms=(now_s - seen.captured_at_s) * 1000.0,
            p_fake_slow=face.slow.at(seen.pts_s).p_fake if known else None,
            scores_worth=rolling.weight if known else None,
            alarm_level=None if face.alarm is None or state is State.STALE else face.alarm.level,
            alarmed=raised,
        )

    def _note_alarm(self, face: _Face, alarm: FaceAlarm, seen: FaceCrop | UnscoredFace) -> None:
        if alarm.raised:
            face.alarms += 1
            if face.first_alarm_s is None:
                face.first_alarm_s = seen.pts_s
            kind = EventKind.ALARM
            detail = (
                f"the evidence that face {seen.face_id} is fake, gathered since {alarm.since_s:.1f} s, has "
                f"passed the threshold for at most {alarm.design.rate} per "
                f"face and day"
            )
        else:
            kind = EventKind.ALARM_CLEARED
            detail = (
                f"the evidence that face {seen.face_id} is fake has stayed below "
                f"{CLEAR_LEVEL:.0%} of the alarm's threshold for {CLEAR_AFTER_S:g} s"
            )
        self._events.append(StreamEvent(seen.stream, seen.pts_s, kind, seen.face_id, detail))


def probability(logit: float) -> float:
    """The logistic function, without overflow: 0 = real, 1 = fake."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    small = math.exp(logit)
    return small / (1.0 + small)
