"""The outputs of a run besides stdout, opened as the options ask."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stream_detector.errors import UsageError
from stream_detector.evidence.options import RecordOptions
from stream_detector.health import RunStatus
from stream_detector.settings import STALE_AFTER_S
from stream_detector.stages import Sink

if TYPE_CHECKING:
    from stream_detector.evidence.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Outputs:
    """What was asked for. None of it: the run connects to nothing and listens nowhere."""

    metrics_port: int | None = None
    """Serve /metrics and /healthz here; 0 takes a free port."""
    metrics_address: str = "127.0.0.1"
    """This machine only, unless told otherwise: the figures say who is watched, and when."""
    max_frame_age_s: float = STALE_AFTER_S
    """A live stream whose newest frame is older makes /healthz fail."""
    publish: str | None = field(default=None, repr=False)
    """mqtt://[USER:PASSWORD@]HOST[:PORT]/PREFIX; may hold a password."""
    webhook: str | None = field(default=None, repr=False)
    """http(s)://…; may hold a password, and its path and query count as secret too."""
    webhook_queue: Path | None = None
    """Where messages wait for their delivery; None: in the user's state directory."""
    record: RecordOptions | None = None
    """Record the run as evidence."""
    exit_on_alarm: bool = False
    """End the run at its first alarm."""


def record_options(
    folder: Path | None,
    *,
    no_faces: bool,
    keep_days: float | None,
    max_disk_mb: float | None,
    sign_key: Path | None,
) -> RecordOptions | None:
    """What the options for recording ask for; None: nothing is recorded.

    Raises:
        UsageError: they make no sense.
    """
    if folder is None:
        if no_faces or any(given is not None for given in (keep_days, max_disk_mb, sign_key)):
            raise UsageError(
                "--no-faces, --keep-days, --max-disk and --sign-key make no sense without --record; name a "
                "folder"
            )
        return None
    for name, value in (("--keep-days", keep_days), ("--max-disk", max_disk_mb)):
        if value is not None and not value > 0:
            raise UsageError(f"{name} {value:g} makes no sense: expected more than 0")
    most_bytes = None if max_disk_mb is None else round(max_disk_mb * 1e6)
    return RecordOptions(
        folder, faces=not no_faces, keep_days=keep_days, most_bytes=most_bytes, sign_key=sign_key
    )


@contextmanager
def open_outputs(
    outputs: Outputs,
    status: Callable[[], RunStatus],
    recorder: "Callable[[RecordOptions], Recorder] | None" = None,
) -> Iterator[dict[str, Sink]]:
    """Open what was asked for, and close it at the end; yields the sinks by name.

    Args:
        status: how the run stands; any thread may ask.
        recorder: makes what records this run; needed only where it is to be recorded.

    Raises:
        UsageError: an option makes no sense, or the port or the folder cannot be used.
        MissingDependency: a package is not installed.
    """
    if not outputs.max_frame_age_s > 0:
        raise UsageError(
            f"--max-frame-age {outputs.max_frame_age_s:g} makes no sense: expected seconds above 0"
        )
    sinks: dict[str, Sink] = {}
    with ExitStack() as stack:
        if outputs.publish is not None:
            from stream_detector.sinks.publish import Publisher
            from stream_detector.sinks.publish_address import parse_broker

            sinks["publish"] = publisher = stack.enter_context(Publisher(parse_broker(outputs.publish)))
        if outputs.webhook is not None:
            from stream_detector.sinks.webhook import Webhook

            sinks["webhook"] = webhook = stack.enter_context(Webhook(outputs.webhook, outputs.webhook_queue))
        if outputs.record is not None:
            assert recorder is not None
            sinks["record"] = stack.enter_context(recorder(outputs.record))
        if outputs.metrics_port is not None:
            from stream_detector.sinks.metrics import Counts, Metrics
            from stream_detector.sinks.metrics_server import MetricsServer

            counted: dict[str, Counts] = {}
            if outputs.publish is not None:
                counted["publish"] = publisher
            if outputs.webhook is not None:
                counted["webhook"] = webhook
            sinks["metrics"] = metrics = Metrics(
                status, max_frame_age_s=outputs.max_frame_age_s, outputs=counted
            )
            stack.enter_context(
                MetricsServer(
                    metrics.registry,
                    status,
                    address=outputs.metrics_address,
                    port=outputs.metrics_port,
                    max_frame_age_s=outputs.max_frame_age_s,
                )
            )
        yield sinks
