"""Several outputs of one run, none of which can stop another."""

import logging
from collections.abc import Callable, Mapping

from stream_detector.errors import OutputClosed, StreamDetectorError
from stream_detector.records import Record, RunHeader, RunSummary
from stream_detector.sinks.trouble import Trouble
from stream_detector.stages import Sink

_log = logging.getLogger("stream_detector.sinks")


class FanOut:
    """A sink that passes everything on to several, and outlives the failure of any of them.

    What fails is said once, and once more when it works again; records meanwhile are lost to it only.
    """

    def __init__(self, outputs: Mapping[str, Sink]) -> None:
        """Passes on to `outputs`, in their order; the keys name them in sentences."""
        self._outputs = [_Output(name, sink) for name, sink in outputs.items()]

    def begin(self, header: RunHeader) -> None:
        """The run starts, for every output."""
        for output in self._outputs:
            output.attempt(lambda sink: sink.begin(header))

    def take(self, record: Record) -> None:
        """The next record, for every output."""
        for output in self._outputs:
            output.attempt(lambda sink: sink.take(record))

    def end(self, summary: RunSummary) -> None:
        """The run is over, for every output."""
        for output in self._outputs:
            output.attempt(lambda sink: sink.end(summary))

    def error_of(self, name: str) -> StreamDetectorError | None:
        """Why the output `name` does not work now; None where it does."""
        return next((output.error for output in self._outputs if output.name == name), None)


class _Output:
    def __init__(self, name: str, sink: Sink) -> None:
        self.name = name
        self.error: StreamDetectorError | None = None
        self._sink = sink
        self._trouble = Trouble(name)
        self._lost = 0

    def attempt(self, step: Callable[[Sink], None]) -> None:
        if isinstance(self.error, OutputClosed):
            return
        try:
            step(self._sink)
        except OutputClosed as error:
            self.error = error
            self._trouble.failed(f"{error}; the other outputs go on without it")
        except StreamDetectorError as error:
            self.error = error
            self._lost += 1
            self._trouble.failed(f"{error}; the run goes on, and says when this works again")
        except Exception as error:  # noqa: BLE001  (a mistake in one output must not end the detector)
            self.error = StreamDetectorError(f"{self.name} failed: {type(error).__name__}: {error}")
            self._lost += 1
            if not self._trouble.failing:
                _log.error("%s failed; please report this", self.name, exc_info=error)
            self._trouble.failed("the run goes on, and says when this works again")
        else:
            self.error = None
            self._trouble.works(f"works again; {self._lost} records were lost to it")
            self._lost = 0
