"""Which parts of a large picture to look at more closely, so that small faces are found and kept."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from stream_detector.records import Box, FoundFace

CYCLE = 8
"""Looks within which every part of a large picture is seen closely once: 0.8 s at 10 looks a second,
1.6 s at 5. It is also the most tiles a grid has, so the cost of a look never grows with the picture."""
MIN_TILED_PX = 960
"""Pictures whose longer side is no larger are looked at whole only: a face of 64 px fills enough of them."""
SMALL_FACE = 0.08
"""A face box smaller than this part of the picture's longer side is small: seen in the whole picture its
box grows up to 1.6 times too large, and it is missed every other time (100 px at 1280x720 is found 9
times in 10, 60 px 6 in 10, 40 px 1 in 10)."""
_TILE_OVERLAP = 0.25
"""Part of a tile's side that it shares with its neighbour, so that a small face lies whole in one of them."""
_REVISIT_FACES = 8
"""Side of the square around a known small face, in face sizes: the network sees it at 24 of 192 px."""
_MIN_REVISIT_PX = 192
"""A smaller square would only be enlarged by the network."""
_FORGET_AFTER = 10
"""Looks after which a small face that was not seen again is no longer looked for: 2 s at 5 a second."""
HINT_CONFIDENCE = 0.3
"""A detection this sure is worth a closer look, though not worth reporting: of faces of 40 px in a tile of
617 px, 94 in 100 reach .3 and 66 reach .6."""
_MOST_HINTS = 8
"""Hints that wait for their closer look; more than can be tried before they are forgotten help nobody."""
_SAME_FACE = 0.5
"""Two boxes show one face where they share this part of the smaller one: as one box may be 1.9 times the
other's size, intersection over union would not tell."""
_SURE = 0.6
"""Confidence from which a face seen only in a tile is believed. Of true faces of 30 to 90 px, 99 in 100
reach it when revisited; in 560 tiles nothing else did. A known face needs no such proof."""
_EDGE = 0.02
"""Part of a tile's side: a box this close to an inner edge may be cut by it."""


@dataclass(slots=True)
class _Known:
    """A small face seen lately, or a hint of one."""

    box: Box
    unseen: int = 0
    """Looks since it was seen at all."""
    untried: int = 0
    """Looks since it was last looked at closely, whether it was there or not."""
    hint: bool = False
    """Never seen surely enough to be reported."""


@dataclass(slots=True)
class _Refuted:
    """A hint that a closer look did not confirm."""

    box: Box
    looks_left: int = CYCLE
    """For so long it is not tried again."""


class CloserLook:
    """Looks at whole pictures and, where they are large, at parts of them in turn.

        look      1        2        3        4   ...
        whole   #######  #######  #######  #######
        search  #...     .#..     ..#.     ...#      one tile of the grid, every part within CYCLE looks
        revisit                ##       ##           around a small face, or at every third a hint of one

    At most three runs of the detector a look. Of the faces that wait for a revisit the one that waited
    longest comes first. What is less sure than `min_confidence` is a hint: not reported, but looked at
    closely once. No clock, no thread; one instance for one stream.
    """

    def __init__(self, min_confidence: float) -> None:
        """Starts with nothing known.

        Args:
            min_confidence: of the faces reported, in [0, 1].
        """
        self._min_confidence = min_confidence
        self._looks = 0
        self._size_px = (0, 0)
        self._known: list[_Known] = []
        self._refuted: list[_Refuted] = []

    def at(self, width_px: int, height_px: int, detect: Callable[[Box], list[FoundFace]]) -> list[FoundFace]:
        """The faces in one picture.

        Args:
            width_px: of the picture, as `height_px`; a picture of another size than the last starts afresh.
            detect: runs the detector on a part of the picture; boxes in pixels of the whole, surer than
                `HINT_CONFIDENCE`.

        Returns:
            Each face once, in no order.
        """
        if (width_px, height_px) != self._size_px:
            self._size_px, self._known, self._refuted = (width_px, height_px), [], []
        picture = Box(0, 0, width_px, height_px)
        seen = detect(picture)
        whole = self._sure(seen)
        if max(width_px, height_px) <= MIN_TILED_PX:
            return without_repeats(whole)
        small_px = SMALL_FACE * max(width_px, height_px)
        close: list[FoundFace] = []
        searched = search_tile(width_px, height_px, self._looks)
        self._looks += 1
        if searched is not None:
            found = not_cut(detect(searched), searched, picture)
            close = self._believed(found)
            seen = [*found, *seen]
        self._take_hints(seen, [*whole, *close], small_px)
        waiting = [k for k in self._known if not any(same_face(k.box, c.box) for c in close)]
        if waiting:
            # Two in three, or a background full of hints would starve the faces already known.
            hints_first = self._looks % 3 == 1
            first = max(waiting, key=lambda known: (known.hint == hints_first, known.untried))
            around = revisit_tile(first.box, picture)
            close += self._believed(not_cut(detect(around), around, picture))
            self._tried([known for known in waiting if inside(known.box, around)], close)
        return self._remember(merge(whole, close, small_px=small_px), close, small_px)

    def _sure(self, faces: Iterable[FoundFace]) -> list[FoundFace]:
        return [face for face in faces if face.confidence >= self._min_confidence]

    def _believed(self, faces: Iterable[FoundFace]) -> list[FoundFace]:
        """Those seen closely that are sure enough: a known face needs less than a new one."""
        return [
            face
            for face in self._sure(faces)
            if face.confidence >= _SURE
            or any(not known.hint and same_face(known.box, face.box) for known in self._known)
        ]

    def _take_hints(self, seen: list[FoundFace], sure: list[FoundFace], small_px: float) -> None:
        """Note small detections that nothing known or seen surely explains."""
        for refuted in self._refuted:
            refuted.looks_left -= 1
        self._refuted = [refuted for refuted in self._refuted if refuted.looks_left > 0]
        for face in seen:
            explained = [
                *(known.box for known in self._known),
                *(refuted.box for refuted in self._refuted),
                *(other.box for other in sure),
            ]
            if sum(known.hint for known in self._known) == _MOST_HINTS:
                return
            if face.box.side_px < small_px and not any(same_face(face.box, box) for box in explained):
                self._known.append(_Known(face.box, untried=_FORGET_AFTER, hint=True))

    def _tried(self, looked_at: list[_Known], close: list[FoundFace]) -> None:
        """Note that these were looked at closely; hints that were not confirmed are given up."""
        for known in looked_at:
            known.untried = 0
            if known.hint and not any(same_face(known.box, face.box) for face in close):
                self._known = [other for other in self._known if other is not known]
                self._refuted.append(_Refuted(known.box))

    def _remember(self, faces: list[FoundFace], close: list[FoundFace], small_px: float) -> list[FoundFace]:
        """Keep the small faces in mind; a box seen only from afar keeps the size last seen closely."""
        steady: list[FoundFace] = []
        known_now: list[_Known] = []
        left = self._known
        for face in faces:
            near = [known for known in left if same_face(known.box, face.box)]
            known = min(near, key=lambda k: _distance(k.box, face.box)) if near else None
            left = [other for other in left if other is not known]
            small, seen_closely = face.box.side_px < small_px, face in close
            if small and not seen_closely and known is not None and not known.hint:
                box = _recentred(known.box, face.box)
                steady.append(FoundFace(box, face.confidence, face.key_points))
                known_now.append(_Known(box, untried=known.untried + 1))
            else:
                steady.append(face)
                if small:
                    known_now.append(_Known(face.box, untried=0 if seen_closely else _FORGET_AFTER))
        for known in left:
            if known.unseen < _FORGET_AFTER:
                known_now.append(_Known(known.box, known.unseen + 1, known.untried + 1, known.hint))
        self._known = known_now
        return steady


@lru_cache(maxsize=16)
def grid(width_px: int, height_px: int, most: int = CYCLE) -> tuple[Box, ...]:
    """At most `most` equal, overlapping tiles that cover a picture, as small as can be.

    Each is square where the picture is wide enough; neighbours share a quarter of the larger side.
    """
    best: tuple[int, int, int] | None = None
    for columns in range(1, most + 1):
        for rows in range(1, most // columns + 1):
            side = max(_tile_side(width_px, columns), _tile_side(height_px, rows))
            if best is None or (side, columns * rows) < (best[0], best[1] * best[2]):
                best = (side, columns, rows)
    assert best is not None  # one tile always does
    side, columns, rows = best
    return tuple(
        Box(x, y, x + min(side, width_px), y + min(side, height_px))
        for y in _starts(height_px, side, rows)
        for x in _starts(width_px, side, columns)
    )


def search_tile(width_px: int, height_px: int, look: int) -> Box | None:
    """The tile to search at the look numbered `look`, or None: few tiles need not be seen every time.

    Pictures up to 1280 px wide get two tiles, since a face worth scoring fills enough of those.
    """
    tiles = grid(width_px, height_px, CYCLE if max(width_px, height_px) > 1280 else 2)
    every = CYCLE // len(tiles)
    number, rest = divmod(look, every)
    return tiles[number % len(tiles)] if rest == 0 else None


def revisit_tile(face: Box, picture: Box) -> Box:
    """A square around a small face, moved and cut to lie within the picture."""
    side = max(_MIN_REVISIT_PX, _REVISIT_FACES * face.side_px)
    wide, high = min(side, picture.width_px), min(side, picture.height_px)
    x = min(max((face.x0 + face.x1 - wide) // 2, 0), picture.width_px - wide)
    y = min(max((face.y0 + face.y1 - high) // 2, 0), picture.height_px - high)
    return Box(x, y, x + wide, y + high)


def merge(whole: Iterable[FoundFace], close: Iterable[FoundFace], *, small_px: float) -> list[FoundFace]:
    """Each face once: small ones as seen closely, large ones as seen in the whole picture.

    Args:
        whole: found in the whole picture.
        close: found in a part of it, and not cut by the part's edge.
        small_px: boxes with a smaller side are small.
    """
    large_whole = [face for face in whole if face.box.side_px >= small_px]
    small_whole = [face for face in whole if face.box.side_px < small_px]
    small_close = [face for face in close if face.box.side_px < small_px]
    large_close = [face for face in close if face.box.side_px >= small_px]
    return without_repeats([*large_whole, *small_close, *large_close, *small_whole])


def without_repeats(faces: Iterable[FoundFace]) -> list[FoundFace]:
    """Each face once: of several boxes for one face, the first."""
    kept: list[FoundFace] = []
    for face in faces:
        if not any(same_face(face.box, other.box) for other in kept):
            kept.append(face)
    return kept


def same_face(a: Box, b: Box) -> bool:
    """Whether two boxes show one face: they share half of the smaller one."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    smaller = min(a.width_px * a.height_px, b.width_px * b.height_px)
    return width > 0 and height > 0 and width * height > _SAME_FACE * smaller


def not_cut(faces: Iterable[FoundFace], tile: Box, picture: Box) -> list[FoundFace]:
    """Those faces that no inner edge of the tile can have cut; an edge of the picture may."""
    edge = math.ceil(_EDGE * max(tile.width_px, tile.height_px))
    safe = Box(
        tile.x0 + edge if tile.x0 > picture.x0 else tile.x0 - tile.width_px,
        tile.y0 + edge if tile.y0 > picture.y0 else tile.y0 - tile.height_px,
        tile.x1 - edge if tile.x1 < picture.x1 else tile.x1 + tile.width_px,
        tile.y1 - edge if tile.y1 < picture.y1 else tile.y1 + tile.height_px,
    )
    return [face for face in faces if inside(face.box, safe)]


def inside(inner: Box, outer: Box) -> bool:
    """Whether `inner` lies within `outer`."""
    return inner.x0 >= outer.x0 and inner.y0 >= outer.y0 and inner.x1 <= outer.x1 and inner.y1 <= outer.y1


def _tile_side(length_px: int, count: int) -> int:
    """Side of `count` tiles that cover a length, each sharing `_TILE_OVERLAP` with the next."""
    return math.ceil(length_px / (count - (count - 1) * _TILE_OVERLAP))


def _starts(length_px: int, side_px: int, count: int) -> list[int]:
    """Where `count` tiles start, spread evenly from edge to edge."""
    room = max(0, length_px - side_px)
    return [0] if count == 1 else [round(i * room / (count - 1)) for i in range(count)]


def _recentred(size: Box, at: Box) -> Box:
    """A box of the size of one at the centre of the other."""
    x0 = (at.x0 + at.x1 - size.width_px) // 2
    y0 = (at.y0 + at.y1 - size.height_px) // 2
    return Box(x0, y0, x0 + size.width_px, y0 + size.height_px)


def _distance(a: Box, b: Box) -> float:
    """Between the centres, in pixels."""
    return math.hypot(a.x0 + a.x1 - b.x0 - b.x1, a.y0 + a.y1 - b.y0 - b.y1) / 2
