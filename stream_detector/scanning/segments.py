"""From the records of one face to the stretches in which it was likely fake. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from stream_detector.scanning.results import Segment

BRIDGED_S = 1.5
"""Stretches no further apart are one: a swap that drops out for a second is still one swap."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the run said of a face at one instant."""

    pts_s: float
    rolling: float | None
    likely_fake: bool


def find_segments(moments: Sequence[Moment], *, step_s: float) -> tuple[Segment, ...]:
    """The stretches in which the run called the face likely fake.

    Args:
        moments: of one face, in order of time.
        step_s: for how long the last moment of a stretch stands, at most until the next moment.
    """
    found: list[Segment] = []
    for index, moment in enumerate(moments):
        if not moment.likely_fake or moment.rolling is None:
            continue
        after_s = moments[index + 1].pts_s if index + 1 < len(moments) else moment.pts_s + step_s
        end_s = min(moment.pts_s + step_s, after_s)
        if found and moment.pts_s - found[-1].end_s <= BRIDGED_S:
            last = found.pop()
            found.append(Segment(start_s=last.start_s, end_s=end_s, peak=max(last.peak, moment.rolling)))
        else:
            found.append(Segment(start_s=moment.pts_s, end_s=end_s, peak=moment.rolling))
    return tuple(found)


def thinned(moments: Sequence[Moment], *, most: int) -> tuple[tuple[float, float], ...]:
    """(media time, rolling score) for a drawing: of each of at most `most` stretches the highest."""
    known = [(moment.pts_s, moment.rolling) for moment in moments if moment.rolling is not None]
    if len(known) <= most:
        return tuple(known)
    stride = -(-len(known) // most)
    return tuple(
        max(known[start : start + stride], key=lambda point: point[1])
        for start in range(0, len(known), stride)
    )
