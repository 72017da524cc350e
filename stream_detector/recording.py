"""A recorder for a run: what it must know of the pipeline."""

from typing import TYPE_CHECKING

from stream_detector.evidence.gathering import POST_ROLL_S, PRE_ROLL_S
from stream_detector.evidence.options import RecordOptions
from stream_detector.evidence.recorder import Recorder
from stream_detector.model_spec import sha256_of_json
from stream_detector.settings import Settings

if TYPE_CHECKING:
    from stream_detector.pipeline import Pipeline

_REACH_S = PRE_ROLL_S + POST_ROLL_S + 5.0
"""A scorer that lags behind the packets must still find those of its alarm."""


def recorder_of(pipeline: "Pipeline", settings: Settings, options: RecordOptions) -> Recorder:
    """What records this run; the streams hold their newest packets from now on.

    Args:
        settings: of the run. Its sources stay out of the record: they may hold passwords.
    """
    if options.faces:
        pipeline.keep_packets(_REACH_S)
    return Recorder(
        options,
        judging=lambda: pipeline.judging,
        judged_by=pipeline.judged_by,
        packets=pipeline.packets,
        settings_sha256=settings_sha256(settings),
    )


def settings_sha256(settings: Settings) -> str:
    """Hash of everything that was set but for the sources, which may hold passwords."""
    content = settings.model_dump(mode="json", exclude={"sources": True, "configured": {"__all__": {"url"}}})
    return sha256_of_json(content)
