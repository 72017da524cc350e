"""The rolling score of each face over the last minutes, in memory that does not grow."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gui.jpeg import packed, unpacked
from gui.palette import is_incident
from stream_detector.records import FaceScore, Image, State

SPAN_S = 180.0
"""How much media time is kept."""
_POINTS = 4096
"""The most points of one face: `SPAN_S` at 22 records a second."""
_FACES = 32
"""The most faces of one stream, the newest ones."""
_GAP_S = 1.5
"""Two records further apart have no line between them: nothing is known of the time between."""
_MOMENT_EVERY_S = 1.0
"""One crop is kept for so much media time, as JPEG of about 10 kB."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the model saw of a face at one time, and what was said of it."""

    pts_s: float
    p_fake: float
    p_fake_rolling: float | None
    state: State
    evidence: npt.NDArray[np.float32] = field(repr=False)
    jpeg: bytes = field(repr=False)

    def crop(self) -> Image:
        """The crop, (S, S, 3) uint8 RGB."""
        return unpacked(self.jpeg)


class FaceHistory:
    """The score of one face over time."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_POINTS)
        self._scores: deque[float] = deque(maxlen=_POINTS)
        self.moments: deque[Moment] = deque()
        self.marked_s: deque[float] = deque(maxlen=256)
        """Media times at which an incident began; see `palette.is_incident`."""
        self._was_incident = False
        self.newest_s = 0.0

    def __len__(self) -> int:
        return len(self._times)

    def add(self, record: FaceScore) -> None:
        """Take the next record of this face."""
        time_s = record.pts_s
        if self._times and time_s - self.newest_s > _GAP_S:
            self._append(time_s, float("nan"))
        self.newest_s = time_s
        self._append(time_s, None if record.p_fake is None else record.p_fake_rolling)
        incident = is_incident(record)
        if incident and not self._was_incident:
            self.marked_s.append(time_s)
        self._was_incident = incident
        self._keep_moment(record)
        self._forget(time_s - SPAN_S)

    def line(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Media times and rolling scores, each (n,); NaN where there was no evidence."""
        return np.array(self._times, np.float64), np.array(self._scores, np.float64)

    def value_at(self, pts_s: float) -> float | None:
        """The score nearest to `pts_s`; None where nothing was known."""
        if not self._times:
            return None
        times, scores = self.line()
        at = int(np.argmin(np.abs(times - pts_s)))
        if abs(times[at] - pts_s) > _GAP_S or not np.isfinite(scores[at]):
            return None
        return float(scores[at])

    def moment_at(self, pts_s: float) -> Moment | None:
        """The kept moment nearest to `pts_s`; None if there is none."""
        return min(self.moments, key=lambda moment: abs(moment.pts_s - pts_s), default=None)

    def _append(self, time_s: float, score: float | None) -> None:
        self._times.append(time_s)
        self._scores.append(float("nan") if score is None else score)

    def _keep_moment(self, record: FaceScore) -> None:
        if record.pixels is None or record.evidence is None or record.p_fake is None:
            return
        if self.moments and record.pts_s - self.moments[-1].pts_s < _MOMENT_EVERY_S:
            return
        self.moments.append(
            Moment(
                record.pts_s,
                record.p_fake,
                record.p_fake_rolling,
                record.state,
                record.evidence,
                packed(record.pixels),
            )
        )

    def _forget(self, before_s: float) -> None:
        for kept in (self._times, self.marked_s):
            while kept and kept[0] < before_s:
                kept.popleft()
        while len(self._scores) > len(self._times):
            self._scores.popleft()
        while self.moments and self.moments[0].pts_s < before_s:
            self.moments.popleft()


class StreamHistory:
    """The faces of one stream over time."""

    def __init__(self) -> None:
        self.faces: dict[int, FaceHistory] = {}
        self.newest_s = 0.0

    def add(self, record: FaceScore) -> None:
        """Take the next record of this stream."""
        self.newest_s = max(self.newest_s, record.pts_s)
        face = self.faces.setdefault(record.face_id, FaceHistory())
        face.add(record)
        gone = [n for n, kept in self.faces.items() if self.newest_s - kept.newest_s > SPAN_S]
        for number in gone + sorted(set(self.faces) - set(gone))[:-_FACES]:
            del self.faces[number]
