"""What the user calls each stream, and where it comes from, as the records tell it."""

from stream_detector.records import EventKind, Record, RunHeader, StreamEvent


class StreamNames:
    """Names and addresses by the number of the stream. Belongs to one thread."""

    def __init__(self) -> None:
        self._names: dict[int, str | None] = {}
        self._sources: dict[int, str] = {}

    def begin(self, header: RunHeader) -> None:
        """Learn the streams that the run begins with."""
        self._names = dict(enumerate(header.names))
        self._sources = dict(enumerate(header.sources))

    def take(self, record: Record) -> None:
        """Learn a stream that was added on the way."""
        if isinstance(record, StreamEvent) and record.event is EventKind.STREAM_ADDED:
            self._names[record.stream] = record.name
            self._sources[record.stream] = record.detail.removeprefix(f"{record.name}: ")

    def of(self, stream: int) -> str | None:
        """The name; None where the command line gave only an address."""
        return self._names.get(stream)

    def source_of(self, stream: int) -> str:
        """The address, without secrets."""
        return self._sources.get(stream, "")
