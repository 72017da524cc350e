"""How long a face thread rests after a look, so that finding faces leaves room for scoring them."""

import os

_SHARE = 0.5
"""Of all processors, what the looks of all streams together may take."""
_LONGEST_S = 0.5
"""Two looks a second at least: a face that is seen less often cannot be followed."""


def rest_s(look_s: float, *, streams: int, processors: int) -> float:
    """How long to rest after a look that took `look_s` seconds of wall time.

    A look takes a few milliseconds where there is room, and none has to rest longer than until its next
    look is due. Where many streams, or other programs, compete for the processors a look takes longer,
    and so the looks of all streams come less often, alike, before the scorer or the decoders suffer.

    Args:
        streams: live streams that look for faces.
        processors: that this process may use.

    Returns:
        Seconds, 0 to 0.5.
    """
    share = min(1.0, _SHARE * processors / max(1, streams))
    return min(_LONGEST_S, look_s / share - look_s)


def usable_processors() -> int:
    """How many processors this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
