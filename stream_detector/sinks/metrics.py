"""Figures of a run for Prometheus."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from stream_detector.health import RunStatus, stream_problem
from stream_detector.optional import require
from stream_detector.records import FaceScore, Record, RunHeader, RunSummary, State
from stream_detector.sinks.in_view import FacesInView

if TYPE_CHECKING:
    from prometheus_client import Metric

AGE_BUCKETS_S = (
    0.01,
    0.02,
    0.035,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
)
"""Upper bounds for the age of a verdict: dense from one quick score to STALE_AFTER_S, beyond which a
verdict no longer speaks for now."""

STAGE_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""The same for one stage: some take a millisecond."""


class Counts(Protocol):
    """An output that keeps its own count of what it could not pass on."""

    @property
    def dropped(self) -> int:
        """Messages given up."""

    @property
    def pending(self) -> int:
        """Messages that still wait."""

    @property
    def failing(self) -> bool:
        """Whether it cannot pass anything on at present."""


class Metrics:
    """A sink whose figures Prometheus collects. `begin`, `take`, `end`: one thread; collecting: any.

    Labels are few by design: the stream, a stage, a kind of event, a state. A label per face would
    grow without end, for a face that comes back is a new face.
    """

    def __init__(
        self,
        status: Callable[[], RunStatus],
        *,
        max_frame_age_s: float,
        outputs: Mapping[str, Counts] | None = None,
    ) -> None:
        """Nothing has happened yet.

        Args:
            status: how the run stands; asked at every collection.
            max_frame_age_s: a live stream whose newest frame is older counts as not seen.
            outputs: the other outputs, by the name they get as a label.

        Raises:
            MissingDependency: prometheus_client is not installed.
        """
        require("prometheus_client", why="--metrics-port", extra="metrics")
        from prometheus_client import CollectorRegistry, Histogram, ProcessCollector

        self._status = status
        self._max_frame_age_s = max_frame_age_s
        self._outputs = dict(outputs or {})
        self._lock = Lock()
        self._header: RunHeader | None = None
        self._names: dict[int, str] = {}
        self._in_view = FacesInView()
        self._scores: Counter[int] = Counter()
        self._events: Counter[tuple[int, str]] = Counter()
        self.registry = CollectorRegistry()
        """What a scrape collects."""
        self._age = Histogram(
            "stream_detector_verdict_age_seconds",
            "From the end of decoding to the verdict, of scored faces.",
            ["stream"],
            buckets=AGE_BUCKETS_S,
            registry=self.registry,
        )
        self._stages = Histogram(
            "stream_detector_stage_seconds",
            "What a scored frame spent in each stage on its way to the verdict.",
            ["stage"],
            buckets=STAGE_BUCKETS_S,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def begin(self, header: RunHeader) -> None:
        """Says what the run is made with."""
        with self._lock:
            self._header = header

    def take(self, record: Record) -> None:
        """Counts one record."""
        with self._lock:
            self._in_view.take(record)
            if not isinstance(record, FaceScore):
                self._events[record.stream, record.event.value] += 1
                return
            if record.p_fake is None:
                return
            self._scores[record.stream] += 1
            name = self._name_of(record.stream)
        self._age.labels(name).observe(record.age_ms / 1000)
        if record.stamps is not None:
            for stage, spent_s in record.stamps.stages_s().items():
                self._stages.labels(stage).observe(spent_s)

    def end(self, summary: RunSummary) -> None:
        """Nothing is left to do: the last figures stand until the server stops."""

    def collect(self) -> Iterator["Metric"]:
        """The figures that are read off the run rather than counted up; called by the registry."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        status = self._status()
        names = {stream.stream: stream.name for stream in status.streams}
        with self._lock:
            header = self._header
            scores, events = Counter(self._scores), Counter(self._events)
            faces = Counter((stream, state) for (stream, _), state in self._in_view.states.items())

        if header is not None:
            program, _, version = header.program.rpartition(" ")
            build = InfoMetricFamily("stream_detector_build", "What the run is made with.")
            build.add_metric(
                [],
                {
                    "program": program,
                    "version": version,
                    "model": header.model,
                    "model_sha256": header.model_sha256,
                    "backend": header.backend,
                    "precision": header.precision,
                },
            )
            yield build

        source = GaugeMetricFamily(
            "stream_detector_stream_info", "The address of a stream; always 1.", labels=["stream", "source"]
        )
        frames = CounterMetricFamily("stream_detector_frames", "Frames decoded.", labels=["stream"])
        scored = CounterMetricFamily("stream_detector_scores", "Faces scored.", labels=["stream"])
        dropped = CounterMetricFamily(
            "stream_detector_dropped", "What was given up, by stage.", labels=["stream", "stage"]
        )
        happened = CounterMetricFamily("stream_detector_events", "Events.", labels=["stream", "event"])
        in_view = GaugeMetricFamily(
            "stream_detector_faces", "Faces in view, by state.", labels=["stream", "state"]
        )
        age = GaugeMetricFamily(
            "stream_detector_frame_age_seconds", "Since the newest frame was decoded.", labels=["stream"]
        )
        healthy = GaugeMetricFamily(
            "stream_detector_stream_healthy", "1 while the stream is seen, else 0.", labels=["stream"]
        )
        for stream in status.streams:
            name = stream.name
            source.add_metric([name, stream.shown], 1)
            frames.add_metric([name], stream.frames)
            scored.add_metric([name], scores[stream.stream])
            for stage, count in stream.dropped.items():
                dropped.add_metric([name, stage], count)
            for state in State:
                if state is not State.NO_FACE:
                    in_view.add_metric([name, state.value], faces[stream.stream, state])
            if stream.frame_age_s is not None:
                age.add_metric([name], stream.frame_age_s)
            problem = stream_problem(stream, max_frame_age_s=self._max_frame_age_s)
            healthy.add_metric([name], problem is None)
        for (index, event), count in sorted(events.items()):
            happened.add_metric([names.get(index, str(index)), event], count)
        yield from (source, frames, scored, dropped, happened, in_view, age, healthy)

        if status.turned_ago_s is not None:
            yield GaugeMetricFamily(
                "stream_detector_scorer_idle_seconds",
                "Since the score thread last came round; it does so with nothing to score, too.",
                value=status.turned_ago_s,
            )
        yield from self._of_outputs()

    def _of_outputs(self) -> Iterator["Metric"]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        dropped = CounterMetricFamily(
            "stream_detector_output_dropped", "Messages an output gave up.", labels=["output"]
        )
        pending = GaugeMetricFamily(
            "stream_detector_output_pending", "Messages that wait in an output.", labels=["output"]
        )
        failing = GaugeMetricFamily(
            "stream_detector_output_failing", "1 while an output fails, else 0.", labels=["output"]
        )
        for name, output in self._outputs.items():
            dropped.add_metric([name], output.dropped)
            pending.add_metric([name], output.pending)
            failing.add_metric([name], output.failing)
        yield from (dropped, pending, failing)

    def _name_of(self, stream: int) -> str:
        if stream not in self._names:
            self._names.update((known.stream, known.name) for known in self._status().streams)
        return self._names.setdefault(stream, str(stream))
