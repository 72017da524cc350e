"""Figures of a run for Prometheus."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from stream_detector.health import RunStatus, StreamStatus, stream_problem
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
        self._scores: Counter[str] = Counter()
        self._events: Counter[tuple[str, str]] = Counter()
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
        name = self._name_of(record.stream)
        with self._lock:
            self._in_view.take(record)
            if not isinstance(record, FaceScore):
                self._events[name, record.event.value] += 1
                return
            if record.p_fake is None:
                return
            self._scores[name] += 1
        self._age.labels(name).observe(record.age_ms / 1000)
        if record.stamps is not None:
            for stage, spent_s in record.stamps.stages_s().items():
                self._stages.labels(stage).observe(spent_s)

    def end(self, summary: RunSummary) -> None:
        """Nothing is left to do: the last figures stand until the server stops."""

    def collect(self) -> Iterator["Metric"]:
        """The figures that are read off the run rather than counted up; called by the registry."""
        from prometheus_client.metrics_core import GaugeMetricFamily

        status = self._status()
        yield from self._of_build()
        yield from self._of_counts(status)
        yield from self._of_present([s for s in status.streams if not s.ended])
        yield from self._of_outputs()
        if status.turned_ago_s is not None:
            yield GaugeMetricFamily(
                "stream_detector_scorer_idle_seconds",
                "Since the score thread last came round; it does so with nothing to score, too.",
                value=status.turned_ago_s,
            )

    def _of_build(self) -> Iterator["Metric"]:
        from prometheus_client.metrics_core import InfoMetricFamily

        with self._lock:
            header = self._header
        if header is None:
            return
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

    def _of_counts(self, status: RunStatus) -> Iterator["Metric"]:
        """What only ever grows. A stream that was ended and added again goes on under its name."""
        from prometheus_client.metrics_core import CounterMetricFamily

        decoded: Counter[str] = Counter()
        given_up: Counter[tuple[str, str]] = Counter()
        for stream in status.streams:
            decoded[stream.name] += stream.frames
            for stage, count in stream.dropped.items():
                given_up[stream.name, stage] += count
        with self._lock:
            scores, events = Counter(self._scores), Counter(self._events)
        frames = CounterMetricFamily("stream_detector_frames", "Frames decoded.", labels=["stream"])
        scored = CounterMetricFamily("stream_detector_scores", "Faces scored.", labels=["stream"])
        dropped = CounterMetricFamily(
            "stream_detector_dropped", "What was given up, by stage.", labels=["stream", "stage"]
        )
        happened = CounterMetricFamily("stream_detector_events", "Events.", labels=["stream", "event"])
        for name, count in sorted(decoded.items()):
            frames.add_metric([name], count)
            scored.add_metric([name], scores[name])
        for labels, count in sorted(given_up.items()):
            dropped.add_metric(labels, count)
        for labels, count in sorted(events.items()):
            happened.add_metric(labels, count)
        yield from (frames, scored, dropped, happened)

    def _of_present(self, streams: list[StreamStatus]) -> Iterator["Metric"]:
        """What is the case now, of streams that have not ended."""
        from prometheus_client.metrics_core import GaugeMetricFamily

        with self._lock:
            faces = Counter((stream, state) for (stream, _), state in self._in_view.states.items())
        source = GaugeMetricFamily(
            "stream_detector_stream_info", "The address of a stream; always 1.", labels=["stream", "source"]
        )
        in_view = GaugeMetricFamily(
            "stream_detector_faces", "Faces in view, by state.", labels=["stream", "state"]
        )
        alarmed = GaugeMetricFamily(
            "stream_detector_alarmed_faces", "Faces in view whose alarm holds.", labels=["stream"]
        )
        age = GaugeMetricFamily(
            "stream_detector_frame_age_seconds", "Since the newest frame was decoded.", labels=["stream"]
        )
        healthy = GaugeMetricFamily(
            "stream_detector_stream_healthy", "1 while the stream is seen, else 0.", labels=["stream"]
        )
        for stream in {stream.name: stream for stream in streams}.values():  # of one name, the newest
            source.add_metric([stream.name, stream.shown], 1)
            for state in State:
                if state is not State.NO_FACE:
                    in_view.add_metric([stream.name, state.value], faces[stream.stream, state])
            alarmed.add_metric([stream.name], stream.alarmed)
            if stream.frame_age_s is not None:
                age.add_metric([stream.name], stream.frame_age_s)
            problem = stream_problem(stream, max_frame_age_s=self._max_frame_age_s)
            healthy.add_metric([stream.name], problem is None)
        yield from (source, in_view, alarmed, age, healthy)

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
