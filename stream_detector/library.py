"""The program for other programs: watch a source, and take its records one by one."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self, TypedDict, Unpack

from stream_detector.optional import load_media_libraries
from stream_detector.records import Record, RunHeader, RunSummary
from stream_detector.settings import Settings, make_settings


class WatchOptions(TypedDict, total=False):
    """The options of `watch`, named and meant as in `settings.Settings`."""

    model: str | None
    backend: str
    precision: str
    face_model: str
    score_hz: float
    half_life_s: float
    max_faces: int
    max_batch: int
    max_wait_ms: float
    min_face_px: int | None
    duration_s: float | None
    max_frames: int | None
    give_up_after_s: float | None
    hwaccel: str
    realtime: bool


class Watch:
    """One run: iterate it inside `with`; its threads end with the block.

    Belongs to the thread that made it, but for `stop`.
    """

    def __init__(self, settings: Settings) -> None:
        """Check the addresses and read the model's sidecar; nothing is opened and no thread runs yet.

        FFmpeg's own log is silenced for the whole process: it may quote a source with its password.

        Raises:
            SourceError: an address makes no sense.
            ModelError: the model's files are missing, damaged or edited.
            MissingDependency: a package does not load.
        """
        load_media_libraries()
        from stream_detector.pipeline import Pipeline
        from stream_detector.sources.reader import quiet_ffmpeg

        quiet_ffmpeg()
        self._pipeline = Pipeline(settings)

    def __enter__(self) -> Self:
        """Load the model and begin.

        Raises:
            ModelError, BackendError, MissingDependency: the model cannot be run.
        """
        self._pipeline.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pipeline.__exit__(kind, error, traceback)

    def __iter__(self) -> Iterator[Record]:
        """What happens, in order, until every source has ended: scores and events.

        Raises:
            StreamDetectorError: the run broke, or its only source did.
        """
        for record in self._pipeline.records():
            if record is not None:
                yield record

    @property
    def header(self) -> RunHeader:
        """What the run is made with. Inside `with`."""
        return self._pipeline.header

    @property
    def summary(self) -> RunSummary:
        """What the run has done so far; also after `with`."""
        return self._pipeline.summary()

    def stop(self) -> None:
        """Make the sources end; what they delivered still comes. Any thread."""
        self._pipeline.stop()


def watch(*sources: str, **options: Unpack[WatchOptions]) -> Watch:
    """Watch sources and get the records that the program prints.

        with watch("meeting.mp4", score_hz=2) as run:
            for record in run:
                ...
        print(run.summary)

    Args:
        sources: as on the command line: a file, `rtsp://…`, `webcam:0`, `demo:`, …
        options: as on the command line, with units: see `WatchOptions` and README.

    Raises:
        UsageError: an option makes no sense, or there is no source.
        StreamDetectorError: see `Watch`.
    """
    return Watch(make_settings(sources=sources, **options))
