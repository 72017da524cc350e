"""Whether a run still sees what it watches: pure decisions over the state of its streams."""

from collections.abc import Mapping
from dataclasses import dataclass

from stream_detector.settings import OPEN_TIMEOUT_S

STUCK_AFTER_S = 10.0
"""The score thread comes round several times a second; after so long without, it is stuck: far longer
than the slowest batch takes."""


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """How one stream stands at one instant."""

    stream: int
    name: str
    """For people, labels and topics: the stream's own name; its number where it has none."""
    shown: str
    """The address, without secrets."""
    live: bool
    """Pictures come, or should come, whether or not anybody reads."""
    failed: bool
    """It broke, and is not tried again."""
    ended: bool
    """Nothing more will come, and nobody expects more."""
    running_s: float
    """Since it was to be opened."""
    frames: int
    """Decoded so far."""
    frame_age_s: float | None
    """Since the newest frame left the decoder; None before the first."""
    dropped: Mapping[str, int]
    """By stage, as in `RunSummary.dropped`."""
    alarmed: int = 0
    """Faces in view whose alarm holds."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How a run stands at one instant."""

    streams: tuple[StreamStatus, ...]
    turns: int
    """How often the score thread has come round. It does so with nothing to score, too."""
    turned_ago_s: float | None
    """Since it last came round; None before the model was loaded."""


def stream_problem(
    status: StreamStatus, *, max_frame_age_s: float, open_timeout_s: float = OPEN_TIMEOUT_S
) -> str | None:
    """What is wrong with a stream, in one clause; None where nothing is.

    A recording may be as slow as it likes, and a stream that ended in peace owes nothing.

    Args:
        max_frame_age_s: a live stream whose newest frame is older is not seen any more.
        open_timeout_s: a live stream may take so long to deliver its first frame.
    """
    if status.failed:
        return f"stream {status.name} ({status.shown}) has failed"
    if status.ended or not status.live:
        return None
    if status.frame_age_s is None:
        if status.running_s <= open_timeout_s:
            return None
        return f"stream {status.name} ({status.shown}) has delivered no frame for {status.running_s:.0f} s"
    if status.frame_age_s > max_frame_age_s:
        return (
            f"the newest frame of stream {status.name} ({status.shown}) is {status.frame_age_s:.1f} s old, "
            f"expected at most {max_frame_age_s:g} s"
        )
    return None


def problems(status: RunStatus, *, max_frame_age_s: float) -> list[str]:
    """Everything that keeps a run from seeing what it watches; empty while it does."""
    found = []
    if status.turned_ago_s is None:
        found.append("the model is not loaded yet")
    elif status.turned_ago_s > STUCK_AFTER_S:
        found.append(f"the score thread has been stuck for {status.turned_ago_s:.0f} s")
    for stream in status.streams:
        problem = stream_problem(stream, max_frame_age_s=max_frame_age_s)
        if problem is not None:
            found.append(problem)
    return found
