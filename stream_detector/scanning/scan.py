"""Drives one pipeline through many files, a few of them side by side, all scored by one model."""

import gc
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import av

from stream_detector.errors import SourceError
from stream_detector.handoff import Closed
from stream_detector.model_spec import ModelSpec
from stream_detector.pipeline import Pipeline
from stream_detector.records import EventKind, FaceScore, RunHeader
from stream_detector.scanning.file_verdict import ASSUMED_CORRELATION_S, Rule
from stream_detector.scanning.finding import FoundFile
from stream_detector.scanning.gathering import Gathering, unreadable
from stream_detector.scanning.results import FileResult
from stream_detector.settings import Settings
from stream_detector.sources.files import check_file

_FILES_PER_RUN = 200
"""A pipeline keeps an account of every stream it had: a new one now and then keeps that small."""
_TICK_S = 0.2
"""How often the caller can look around while nothing happens."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far one file has been read."""

    media_s: float
    share: float
    """Of the whole, in [0, 1]; 0 where the file does not state its length."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan has come."""

    finished: FileResult | None
    """The file that has just been finished; None: nothing has, look around."""
    reading: dict[str, Reached]
    """By the path of each file that is being read."""


def rule_of(spec: ModelSpec) -> Rule:
    """The rule of a model: its band for mean scores, and how long its scores repeat each other."""
    correlation_s = ASSUMED_CORRELATION_S if spec.alarm is None else spec.alarm.correlation_s
    band = spec.band
    return Rule(band.low, band.high if band.mean_high is None else band.mean_high, correlation_s)


def scan(
    files: Sequence[FoundFile],
    settings: Settings,
    *,
    rule: Rule,
    jobs: int,
    pictures: bool,
    on_header: Callable[[RunHeader], None] = lambda _: None,
) -> Generator[Progress]:
    """Scan `files`; results come in the order in which files end.

    To stop early, close the generator (`contextlib.closing`): its threads end with it.

    Args:
        settings: without sources; `score_hz`, the model and all else as in a watch.
        jobs: how many files are read side by side. They share the model, and so its memory.
        pictures: keep a crop of each face.
        on_header: told what the run is made with, once the model has been loaded.

    Raises:
        StreamDetectorError: the model does not run. What is wrong with a file is told by its result.
    """
    left = deque(files)
    while left:
        some = [left.popleft() for _ in range(min(_FILES_PER_RUN, len(left)))]
        yield from _scan_some(some, settings, rule, jobs, pictures, on_header)


def _scan_some(
    files: Sequence[FoundFile],
    settings: Settings,
    rule: Rule,
    jobs: int,
    pictures: bool,
    on_header: Callable[[RunHeader], None],
) -> Generator[Progress]:
    waiting = deque(files)
    reading: dict[int, Gathering] = {}
    length_s: dict[int, float] = {}

    def finished(result: FileResult | None) -> Progress:
        return Progress(
            result,
            {
                each.file.shown: Reached(each.seen_s, min(1.0, each.seen_s / length_s[number]))
                for number, each in reading.items()
            },
        )

    with Pipeline(settings.model_copy(update={"sources": (), "configured": (), "stay": True})) as pipeline:
        on_header(pipeline.header)
        records = pipeline.records(tick_s=_TICK_S)
        told_at_s = time.monotonic()
        while waiting or reading:
            while waiting and len(reading) < jobs:
                file = waiting.popleft()
                if file.problem is not None:
                    yield finished(unreadable(file, file.problem))
                    continue
                stream = settings.model_copy(update={"sources": (f"file:{file.path}",)}).streams[0]
                try:
                    number = pipeline.add_stream(stream)
                except (SourceError, ValueError) as error:
                    yield finished(unreadable(file, str(error)))
                    continue
                except Closed:
                    break  # the scorer broke; `records` says why
                # A stream that ended lies in a circle with its decoder's pictures: 130 MB that Python, which
                # counts objects and not bytes, would let lie.
                gc.collect()
                length_s[number] = min(_length_s(file.path), settings.duration_s or math.inf)
                reading[number] = Gathering(file, rule=rule, score_hz=settings.score_hz, pictures=pictures)
            record = next(records)
            if isinstance(record, FaceScore):
                reading[record.stream].take(record)
            elif record is not None and record.event in (EventKind.STREAM_ENDED, EventKind.STREAM_FAILED):
                done = reading.pop(record.stream)
                failed = record.event is EventKind.STREAM_FAILED
                yield finished(
                    done.result(media_s=record.pts_s or 0.0, problem=record.detail if failed else None)
                )
            now_s = time.monotonic()
            if now_s - told_at_s >= _TICK_S:
                told_at_s = now_s
                yield finished(None)


def _length_s(path: str) -> float:
    """As the file states it; infinite where it does not."""
    try:
        check_file(path, path)
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            if container.duration is not None and container.duration > 0:
                return float(container.duration / av.time_base)
    except (av.FFmpegError, SourceError, ValueError):
        pass  # the run says what is wrong with it
    return math.inf
