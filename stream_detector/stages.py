"""What a stage can be: protocols of two or three methods."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Protocol

from stream_detector.model_spec import ModelSpec
from stream_detector.records import (
    FoundFace,
    Frame,
    Image,
    Record,
    RunHeader,
    RunSummary,
    Scores,
    StreamEvent,
)

if TYPE_CHECKING:
    from av import Packet
    from av.video.stream import VideoStream


class Source(Protocol):
    """Delivers the frames of one stream. Read by one thread."""

    @property
    def live(self) -> bool:
        """Whether frames come at their own time, so that late ones are worth nothing.

        Right from the first frame on: some streams tell only once they are open.
        """

    @property
    def damaged_packets(self) -> int:
        """How many packets could not be decoded so far."""

    def frames(self) -> Generator[Frame | StreamEvent]:
        """Open the source, yield its frames and what happens to it, and close it.

        A source that reconnects tells so by events, between the frames where they belong. Events
        must all reach the records; of frames the newest is enough.

        Who stops before the end must close the generator in that thread (contextlib.closing).

        Raises:
            SourceError: it cannot be opened, or broke.
        """

    def stop(self) -> None:
        """Make `frames` end soon. Any thread may call it, twice too, before the start too."""


class PacketSink(Protocol):
    """Sees the packets of one stream as they come, before they are decoded. Called by its reading thread."""

    def begin(self) -> None:
        """The source is open, for the first time or anew."""

    def take(self, packet: "Packet[VideoStream]", at_s: float) -> None:
        """The next packet; it belongs to the reader and must not be kept.

        Args:
            at_s: time.monotonic() when the demuxer delivered it.
        """


class FaceFinder(Protocol):
    """Finds faces in pictures. Opened, used and closed by one thread."""

    @property
    def face_model(self) -> str:
        """Which face model draws the boxes; a key of `Contract.margins`."""

    def find(self, image: Image) -> list[FoundFace]:
        """The faces in `image` ((height, width, 3) uint8 RGB), most confident first."""

    def close(self) -> None:
        """Free native resources. Calling it twice is fine."""


class Scorer(Protocol):
    """Scores batches of face crops. Opened, used and closed by one thread."""

    @property
    def spec(self) -> ModelSpec:
        """The model's contract and sidecar."""

    @property
    def backend(self) -> str:
        """Name as `--backend` takes it."""

    @property
    def precision(self) -> str:
        """What the arithmetic really runs in: "int8", "bf16", "fp16" or "fp32"."""

    @property
    def max_batch(self) -> int:
        """The most crops one call may hold."""

    @property
    def best_batch(self) -> int:
        """From so many crops a call on, more bring no more per second: they only make the first ones wait."""

    def score(self, faces: Image) -> Scores:
        """Logit and evidence map for each crop.

        Args:
            faces: (n, S, S, 3) uint8 RGB, 1 <= n <= max_batch, S = spec.contract.input_px,
                each from `crops.cut_face`.

        Returns:
            Fresh arrays: the next call does not overwrite them. A crop's result does not depend on
            which crops share its batch.
        """

    def close(self) -> None:
        """Free native resources. Calling it twice is fine."""


class Sink(Protocol):
    """Takes what a run yields, in order. Used by one thread."""

    def begin(self, header: RunHeader) -> None:
        """The run starts."""

    def take(self, record: Record) -> None:
        """The next record."""

    def end(self, summary: RunSummary) -> None:
        """The run is over. Called once, whatever ended it."""
