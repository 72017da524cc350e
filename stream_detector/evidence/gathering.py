"""What is kept of an alarm: the face before and after it, and the packets of that time."""

from collections import deque
from dataclasses import dataclass, field

from stream_detector.evidence.packets import Clip, PacketRing
from stream_detector.records import EventKind, FaceScore, StreamEvent

PRE_ROLL_S = 5.0
"""Media time kept before an alarm."""
POST_ROLL_S = 5.0
"""Media time kept after it, if the face stays so long."""
_CROPS_KEPT = 60
"""Of one face, before an alarm: 5 s at 12 scores a second."""
_FACES_KEPT = 64
"""Faces whose newest crops are held, the newest ones."""
_CROPS_PER_ALARM = 200
_ENDS = (EventKind.STREAM_ENDED, EventKind.STREAM_FAILED)


@dataclass(slots=True)
class Alarm:
    """One alarm and what was seen about it."""

    number: int
    """From 1 in its run."""
    event: StreamEvent
    scores: list[FaceScore] = field(default_factory=list)
    """With their crops, in order."""
    clip: Clip | None = None
    why_no_clip: str = ""


class Gatherer:
    """Holds the newest crops of every face, and what belongs to alarms until it is complete."""

    def __init__(self) -> None:
        self._newest: dict[tuple[int, int], deque[FaceScore]] = {}
        self._open: list[tuple[Alarm, PacketRing | None, float | None]] = []
        self._count = 0

    def score(self, record: FaceScore) -> list[Alarm]:
        """Take the next score; returns the alarms that are complete now."""
        key = (record.stream, record.face_id)
        if record.pixels is not None:
            kept = self._newest.pop(key, None) or deque(maxlen=_CROPS_KEPT)
            kept.append(record)
            self._newest[key] = kept  # last in order: the newest
            while len(self._newest) > _FACES_KEPT:
                del self._newest[next(iter(self._newest))]
            for alarm, _, _ in self._open:
                same = (alarm.event.stream, alarm.event.face_id) == key
                if same and len(alarm.scores) < _CROPS_PER_ALARM:
                    alarm.scores.append(record)
        return self._complete(record.stream, record.pts_s)

    def event(self, event: StreamEvent, ring: PacketRing | None) -> list[Alarm]:
        """Take the next event; returns the alarms that are complete now.

        Args:
            ring: the packets of its stream; None where the stream has none.
        """
        if event.event is EventKind.ALARM and event.face_id is not None and event.pts_s is not None:
            self._count += 1
            before = self._newest.get((event.stream, event.face_id), ())
            scores = [score for score in before if event.pts_s - score.pts_s <= PRE_ROLL_S]
            stamps = scores[-1].stamps if scores else None
            at_s = None if ring is None or stamps is None else ring.time_at(stamps.packet_at_s)
            self._open.append((Alarm(self._count, event, scores), ring, at_s))
            return []
        if event.event in _ENDS:
            return self._complete(event.stream, float("inf"))
        if event.event is EventKind.FACE_LOST and event.face_id is not None:
            self._newest.pop((event.stream, event.face_id), None)
        return [] if event.pts_s is None else self._complete(event.stream, event.pts_s)

    def end(self) -> list[Alarm]:
        """The recording ends: what there is of every alarm."""
        return [
            alarm
            for stream in {a.event.stream for a, _, _ in self._open}
            for alarm in self._complete(stream, float("inf"))
        ]

    def _complete(self, stream: int, now_s: float) -> list[Alarm]:
        done = []
        for entry in list(self._open):
            alarm, ring, at_s = entry
            assert alarm.event.pts_s is not None
            if alarm.event.stream != stream or now_s < alarm.event.pts_s + POST_ROLL_S:
                continue
            self._open.remove(entry)
            if ring is None:
                alarm.why_no_clip = "the source has no packets"
            elif at_s is None:
                alarm.why_no_clip = "its packets were not kept when the alarm was raised"
            else:
                alarm.clip = ring.clip(at_s - PRE_ROLL_S, at_s + POST_ROLL_S)
                alarm.why_no_clip = "" if alarm.clip else "its packets were forgotten"
            done.append(alarm)
        return done
