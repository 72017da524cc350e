"""The moments at which a face raised its alarm, with what was seen then; see `palette.is_incident`."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from gui.jpeg import packed, unpacked
from gui.palette import is_incident
from stream_detector.errors import SourceError
from stream_detector.records import FaceScore, Frame, Image

INCIDENTS_KEPT = 200
"""Older ones are forgotten, and the panel says so."""
_PICTURES_KEPT = 40
"""So many of the newest keep their whole picture, as JPEG of some 300 kB."""


@dataclass(frozen=True, slots=True, eq=False)
class Incident:
    """A face's alarm was raised, or where the model raises none, it turned `likely_fake`."""

    number: int
    """From 1; never used again while the window is open."""
    title: str
    """Of its stream."""
    at: datetime
    """Local time, with its offset."""
    record: FaceScore
    """The one with which it began."""
    peak: float
    """The highest rolling score since."""
    last_s: float
    """Media time of the newest record with which it still lasted."""
    lasting: bool
    """Whether it lasts now."""
    picture_pts_s: float | None
    """Media time of `picture_jpeg`, which may be a little later than the record's."""
    picture_jpeg: bytes | None = field(repr=False)

    def picture(self) -> Image | None:
        """The whole picture, (height, width, 3) uint8 RGB; None if it was not kept."""
        return None if self.picture_jpeg is None else unpacked(self.picture_jpeg)


class IncidentLog:
    """Every incident, the newest last."""

    def __init__(self) -> None:
        self._incidents: deque[Incident] = deque(maxlen=INCIDENTS_KEPT)
        self._open: dict[tuple[int, int], int] = {}
        self._count = 0

    @property
    def count(self) -> int:
        """How many there ever were."""
        return self._count

    @property
    def newest_first(self) -> list[Incident]:
        """What is kept."""
        return list(reversed(self._incidents))

    def find(self, number: int) -> Incident | None:
        """The incident of that number; None if it was forgotten."""
        return next((incident for incident in self._incidents if incident.number == number), None)

    def take(self, record: FaceScore, *, title: str, frame: Frame | None, at: datetime) -> bool:
        """Take the next record of a face; returns whether anything changed.

        Args:
            title: of its stream.
            frame: the newest picture.
            at: the time now.
        """
        key = (record.stream, record.face_id)
        number = self._open.get(key)
        if not is_incident(record):
            return number is not None and self._close(key)
        if number is None:
            self._begin(record, title, frame, at)
            return True
        rolling = record.p_fake_rolling or 0.0
        self._change(number, lambda i: replace(i, peak=max(i.peak, rolling), last_s=record.pts_s))
        return True

    def lost(self, stream: int, face_id: int | None = None) -> bool:
        """A face, or every face of a stream, is gone; returns whether anything changed."""
        gone = [key for key in self._open if key[0] == stream and face_id in (None, key[1])]
        for key in gone:
            self._close(key)
        return bool(gone)

    def _begin(self, record: FaceScore, title: str, frame: Frame | None, at: datetime) -> None:
        self._count += 1
        self._open[record.stream, record.face_id] = self._count
        jpeg = None
        if frame is not None:
            with suppress(SourceError):  # a picture that cannot be converted ends its stream by itself
                jpeg = packed(frame.picture.rgb())
        self._incidents.append(
            Incident(
                number=self._count,
                title=title,
                at=at,
                record=record,
                peak=record.p_fake_rolling or 0.0,
                last_s=record.pts_s,
                lasting=True,
                picture_pts_s=None if frame is None or jpeg is None else frame.pts_s,
                picture_jpeg=jpeg,
            )
        )
        self._change(
            self._count - _PICTURES_KEPT, lambda i: replace(i, picture_pts_s=None, picture_jpeg=None)
        )

    def _close(self, key: tuple[int, int]) -> bool:
        self._change(self._open.pop(key), lambda i: replace(i, lasting=False))
        return True

    def _change(self, number: int, change: Callable[[Incident], Incident]) -> None:
        for place, incident in enumerate(self._incidents):
            if incident.number == number:
                self._incidents[place] = change(incident)
                return
