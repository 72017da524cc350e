"""Which faces are in view, as the records tell it."""

from stream_detector.records import EventKind, FaceScore, Record, State

FaceKey = tuple[int, int]
"""(stream, face id)."""

_NOBODY_LEFT = (EventKind.STREAM_ENDED, EventKind.STREAM_FAILED, EventKind.SCENE_CUT, EventKind.NO_FACE)
"""After these no face of before is in view; an overloaded live stream may drop the `face_lost` of each."""


class FacesInView:
    """The faces in view and the last state of each. Pure; belongs to one thread."""

    def __init__(self) -> None:
        self.states: dict[FaceKey, State] = {}

    def take(self, record: Record) -> list[FaceKey]:
        """Count `record` in; returns the faces that left with it."""
        if isinstance(record, FaceScore):
            self.states[record.stream, record.face_id] = record.state
            return []
        if record.event is EventKind.FACE_LOST and record.face_id is not None:
            left = [(record.stream, record.face_id)]
        elif record.event in _NOBODY_LEFT:
            left = [key for key in self.states if key[0] == record.stream]
        else:
            return []
        return [key for key in left if self.states.pop(key, None) is not None]
