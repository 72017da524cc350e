"""Which faces are in view, as the records tell it."""

from stream_detector.records import NOBODY_LEFT, EventKind, FaceScore, Record, State

FaceKey = tuple[int, int]
"""(stream, face id)."""


class FacesInView:
    """The faces in view and the last state of each. Pure; belongs to one thread."""

    def __init__(self) -> None:
        self.states: dict[FaceKey, State] = {}
        self.alarmed: set[FaceKey] = set()
        """Those whose alarm holds."""

    def take(self, record: Record) -> list[FaceKey]:
        """Count `record` in; returns the faces that left with it."""
        if isinstance(record, FaceScore):
            key = (record.stream, record.face_id)
            self.states[key] = record.state
            (self.alarmed.add if record.alarmed else self.alarmed.discard)(key)
            return []
        if record.event is EventKind.FACE_LOST and record.face_id is not None:
            left = [(record.stream, record.face_id)]
        elif record.event in NOBODY_LEFT:
            left = [key for key in self.states if key[0] == record.stream]
        else:
            return []
        self.alarmed.difference_update(left)
        return [key for key in left if self.states.pop(key, None) is not None]
