"""Gives faces their ids: which face of this look is which face of the last."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stream_detector.records import Box, FoundFace, TrackedFace

_REACH = 0.75
"""Farthest a face's centre may lie from where it was expected, in face sizes. A quick shake of the head
moves it by half its size in 0.2 s; the next person's face is at least one size away."""
_SIZE_RATIO = 1.9
"""Largest change of size within one track. The box of one face can jump by 1.6."""
_SIZE_WEIGHT = 0.5
"""What a doubling of size counts, in face sizes of distance."""
_FORESIGHT_S = 0.3
"""How far ahead a velocity is believed: people turn round."""
_VELOCITY_WEIGHT = 0.6
"""Of the newest measurement in a track's velocity."""
_LARGER = 1.3
"""How much larger a newer face must be to take the place of an older one."""


@dataclass(frozen=True, slots=True)
class TrackUpdate:
    """What one look changed."""

    faces: tuple[TrackedFace, ...]
    """The faces seen in this look, in the order they were found."""
    new_ids: tuple[int, ...]
    """Those of them seen for the first time."""
    lost_ids: tuple[int, ...]
    """Faces given up: unseen for longer than the tracker waits. Each id is here once, ever."""


@dataclass(slots=True)
class _Track:
    face_id: int
    box: Box
    seen_s: float
    velocity: tuple[float, float] = (0.0, 0.0)
    """Pixels per second of the centre."""

    def expected(self, pts_s: float) -> tuple[float, float]:
        """Where the centre should be now."""
        ahead_s = min(max(0.0, pts_s - self.seen_s), _FORESIGHT_S)
        x, y = _centre(self.box)
        return x + self.velocity[0] * ahead_s, y + self.velocity[1] * ahead_s

    def see(self, box: Box, pts_s: float) -> None:
        """The face is here now."""
        elapsed_s = pts_s - self.seen_s
        if elapsed_s > 0:
            before, now = _centre(self.box), _centre(box)
            keep, add = 1 - _VELOCITY_WEIGHT, _VELOCITY_WEIGHT / elapsed_s
            self.velocity = (
                keep * self.velocity[0] + add * (now[0] - before[0]),
                keep * self.velocity[1] + add * (now[1] - before[1]),
            )
        self.box, self.seen_s = box, pts_s


class Tracker:
    """Keeps ids stable from look to look. No clock, no thread; one instance for one stream.

    Every look, each track says where its face should be by now (constant velocity), and the pairs of
    track and face that fit best are joined first. Ids start at 1 and are never used again.
    """

    def __init__(self, lost_after_s: float = 1.0) -> None:
        """
        Args:
            lost_after_s: a face unseen for longer, in media time, is lost; if it comes back it is new.

        Raises:
            ValueError: the time is not positive.
        """
        if not lost_after_s > 0:
            raise ValueError(f"lost_after_s must be positive, got {lost_after_s}")
        self._lost_after_s = lost_after_s
        self._tracks: list[_Track] = []
        self._next_id = 1

    @property
    def faces_in_view(self) -> int:
        """How many faces have an id now, those unseen for a moment included."""
        return len(self._tracks)

    def update(self, pts_s: float, found: Sequence[FoundFace]) -> TrackUpdate:
        """Give every found face an id.

        Args:
            pts_s: media time of the look, never falling.
            found: the faces of this look, each once.
        """
        lost = [track for track in self._tracks if pts_s - track.seen_s > self._lost_after_s]
        self._tracks = [track for track in self._tracks if track not in lost]
        track_of = self._matches(pts_s, found)
        faces: list[TrackedFace] = []
        new_ids: list[int] = []
        for number, face in enumerate(found):
            track = track_of.get(number)
            if track is None:
                track = _Track(self._next_id, face.box, pts_s)
                self._next_id += 1
                self._tracks.append(track)
                new_ids.append(track.face_id)
            else:
                track.see(face.box, pts_s)
            faces.append(TrackedFace(track.face_id, face))
        return TrackUpdate(tuple(faces), tuple(new_ids), tuple(track.face_id for track in lost))

    def cut(self) -> tuple[int, ...]:
        """The scene has changed: end every track.

        Returns:
            The ids that are lost by it.
        """
        lost = tuple(track.face_id for track in self._tracks)
        self._tracks = []
        return lost

    def _matches(self, pts_s: float, found: Sequence[FoundFace]) -> dict[int, _Track]:
        """Index of a found face -> its track; the best pairs first."""
        pairs: list[tuple[float, int, int]] = []
        for t, track in enumerate(self._tracks):
            expected = track.expected(pts_s)
            for f, face in enumerate(found):
                cost = _cost(track.box, expected, face.box)
                if cost is not None:
                    pairs.append((cost, t, f))
        matches: dict[int, _Track] = {}
        taken: set[int] = set()
        for _, t, f in sorted(pairs):
            if t not in taken and f not in matches:
                taken.add(t)
                matches[f] = self._tracks[t]
        return matches


def largest(faces: Sequence[TrackedFace], n: int) -> tuple[TrackedFace, ...]:
    """The `n` largest faces, oldest first; of faces of about one size the older ones.

    A newer face takes an older one's place only where it is clearly larger, so that faces of about one
    size do not take turns.
    """
    chosen: list[TrackedFace] = []
    for face in sorted(faces, key=lambda face: face.face_id):
        if len(chosen) < n:
            chosen.append(face)
            continue
        smallest = min(chosen, key=lambda face: face.found.box.side_px, default=None)
        if smallest and face.found.box.side_px > _LARGER * smallest.found.box.side_px:
            chosen.remove(smallest)
            chosen.append(face)
    return tuple(chosen)


def _cost(box: Box, expected: tuple[float, float], found: Box) -> float | None:
    """How badly a found box fits a track, in face sizes; None where it cannot be the same face."""
    ratio = max(box.side_px, found.side_px) / min(box.side_px, found.side_px)
    if ratio > _SIZE_RATIO:
        return None
    x, y = _centre(found)
    size = (box.side_px + found.side_px) / 2
    distance = math.hypot(x - expected[0], y - expected[1]) / size
    if distance > _REACH:
        return None
    return distance + _SIZE_WEIGHT * math.log2(ratio)


def _centre(box: Box) -> tuple[float, float]:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
