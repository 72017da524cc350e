"""Take over a changed --config file while the run goes on."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stream_detector.errors import UsageError
from stream_detector.handoff import Closed
from stream_detector.records import StreamState
from stream_detector.settings import Settings, StreamSettings

if TYPE_CHECKING:
    from stream_detector.pipeline import Pipeline

_LOOK_EVERY_S = 1.0
"""How often --watch-config looks at the file."""
_RUN_FIELDS = ("model", "backend", "precision", "face_model", "max_batch", "max_wait_ms")
"""What cannot change while the model is loaded."""

_log = logging.getLogger("stream_detector.config")


class Reload:
    """Compares the file with what runs, and adds, ends and restarts streams. For the main thread.

    A stream is known by its name. One whose every option is as before goes on, its faces and rolling
    scores too; one that changed ends, and begins anew under a new number. A file that makes no sense
    changes nothing. A stream that failed is tried again.
    """

    def __init__(
        self, path: Path, read: Callable[[], Settings], settings: Settings, *, watch_file: bool
    ) -> None:
        """Nothing is read yet.

        Args:
            path: the file, for its time and its name.
            read: reads it; raises UsageError.
            settings: what the run began with.
            watch_file: take the file over whenever it changes, not only when asked.
        """
        self._path = path
        self._read = read
        self._settings = settings
        self._watch_file = watch_file
        self._stamp = self._file_stamp()
        self._looked_at_s = time.monotonic()
        first = len(settings.sources)
        self._running = {
            stream.name: (number, stream) for number, stream in enumerate(settings.configured, start=first)
        }

    def look(self, pipeline: "Pipeline", *, asked: bool) -> None:
        """Take the file over if `asked`, or if it is watched and has changed; costs nothing otherwise."""
        if not asked and not self._has_changed():
            return
        self._stamp = self._file_stamp()
        try:
            settings = self._read()
        except UsageError as error:
            _log.warning("%s; the streams that run go on as they are", error)
            return
        for field in _RUN_FIELDS:
            if getattr(settings, field) != getattr(self._settings, field):
                _log.warning(
                    "%s in %s has changed, which takes a new start of the program", field, self._path.name
                )
        self._take_over(pipeline, {stream.name: stream for stream in settings.configured})

    def _take_over(self, pipeline: "Pipeline", wanted: dict[str | None, StreamSettings]) -> None:
        failed = {s.stream for s in pipeline.snapshot() if s.state is StreamState.FAILED}
        for name, (number, stream) in list(self._running.items()):
            if name not in wanted:
                pipeline.remove_stream(number, f"no longer in {self._path.name}")
            elif wanted[name] != stream:
                pipeline.remove_stream(number, f"changed in {self._path.name}; it begins anew")
            elif number not in failed:
                continue
            del self._running[name]
        try:
            for name, stream in wanted.items():
                if name not in self._running:
                    self._running[name] = (pipeline.add_stream(stream), stream)
        except Closed:
            return  # the run ends

    def _has_changed(self) -> bool:
        now_s = time.monotonic()
        if not self._watch_file or now_s - self._looked_at_s < _LOOK_EVERY_S:
            return False
        self._looked_at_s = now_s
        return self._file_stamp() != self._stamp

    def _file_stamp(self) -> tuple[int, int] | None:
        """Changes when the file does; None while it is not there, as when an editor replaces it."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size
