"""Keeps a run as evidence while it lasts, and never holds it up.

thread        owns                          takes from            gives to
caller        crops and alarms in the making  the run's records   jobs: Handoff, oldest gives way
record (1)    the log, every file           jobs                  the disk
"""

import json
import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2

from stream_detector.errors import OutputError, ShutdownError
from stream_detector.evidence.chain import SCHEMA, ChainWriter
from stream_detector.evidence.folder import LOG_NAME, RecordFolder
from stream_detector.evidence.gathering import Alarm, Gatherer
from stream_detector.evidence.log_records import Judging, StreamJudging, event_content, score_content
from stream_detector.evidence.options import RecordOptions
from stream_detector.evidence.packets import PacketRing, write_clip
from stream_detector.evidence.signing import Signer
from stream_detector.evidence_map import with_evidence_map
from stream_detector.handoff import Closed, Handoff
from stream_detector.model_spec import sha256_of_json
from stream_detector.records import (
    EventKind,
    FaceScore,
    Image,
    Record,
    RunHeader,
    RunSummary,
    StreamEvent,
)
from stream_detector.worker import Worker

_JOBS = 2048
"""What may wait for a slow disk: minutes of several faces."""
_SYNC_EVERY_S = 2.0
"""A power cut costs no more than so much of the log; at alarms and at the end nothing."""
_TRY_AGAIN_S = 5.0
"""A disk that was full is tried again so often."""
_END_WITHIN_S = 10.0
_FEW = ("lost", "end", "signature")
"""Written beyond the limit too: without them nobody could tell a full folder from a record cut short."""

_log = logging.getLogger("stream_detector.evidence")


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: str
    content: dict[str, object]
    sync: bool = False


class Recorder:
    """A `Sink` that records. Belongs to the thread that feeds it; `with` ends its own thread.

    It may begin and end while a run lasts: give `begin` the run's header first, then every record.
    """

    def __init__(
        self,
        options: RecordOptions,
        *,
        judging: Callable[[], Judging],
        judged_by: Callable[[int], StreamJudging],
        packets: Callable[[int], PacketRing | None],
        settings_sha256: str,
    ) -> None:
        """Makes the folder; writes nothing yet.

        Raises:
            UsageError: the folder cannot be written to, or the key to sign with is none.
            MissingDependency: what signing needs is not installed.

        Args:
            judging: by what the run judges now.
            judged_by: the same for a stream that was added since.
            packets: the packets of a stream; None where it has none.
            settings_sha256: of the run's settings, without its sources.
        """
        self._options = options
        self._judging = judging
        self._judged_by = judged_by
        self._packets = packets
        self._settings_sha256 = settings_sha256
        self._jobs: Handoff[_Entry | Alarm] = Handoff(_JOBS)
        self._gatherer = Gatherer()
        self._worker: Worker | None = None
        self._writing = _Writing(options)
        self._writing.prepare()

    @property
    def run_folder(self) -> Path | None:
        """Where this run is recorded; None before it began."""
        return self._writing.run

    @property
    def lost(self) -> int:
        """How many records could not be written."""
        return self._jobs.dropped + self._writing.lost

    def begin(self, header: RunHeader) -> None:
        """The recording starts.

        Raises:
            OutputError: the folder cannot be used.
        """
        judging = self._judging()
        calibration = judging.calibration
        self._writing.open(
            {
                "schema": SCHEMA,
                "begun_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                **{key: value for key, value in asdict(header).items() if key not in ("alarm", "band")},
                "settings_sha256": self._settings_sha256,
                "calibration_sha256": None
                if calibration is None
                else sha256_of_json(calibration.model_dump()),
                "faces": self._options.faces,
                "judging": judging.model_dump(mode="json"),
            }
        )
        self._worker = Worker("record", self._work, self._jobs)
        self._worker.start()

    def take(self, record: Record) -> None:
        """The next record; never waits for the disk."""
        if isinstance(record, FaceScore):
            self._put(_Entry("score", score_content(record)))
            done = self._gatherer.score(record)
        else:
            if record.event is EventKind.STREAM_ADDED:
                judged = self._judged_by(record.stream).model_dump(mode="json")
                self._put(_Entry("stream", {"stream": record.stream, "judging": judged}))
            self._put(_Entry("event", event_content(record), sync=record.event is EventKind.ALARM))
            done = self._gatherer.event(record, self._ring(record))
        for alarm in done:
            self._put(alarm)

    def tuned(self, *, half_life_s: float, low: float, high: float) -> None:
        """The thresholds were changed by hand."""
        self._put(_Entry("tuned", {"half_life_s": half_life_s, "low": low, "high": high}))

    def end(self, summary: RunSummary) -> None:
        """The run is over."""
        self.stop({"frames": summary.frames, "scores": summary.scores, "dropped": dict(summary.dropped)})

    def stop(self, content: dict[str, object] | None = None) -> None:
        """The recording is over; what was taken is still written. Calling it twice is fine."""
        if self._worker is None:
            return
        for alarm in self._gatherer.end():
            self._put(alarm)
        self._put(_Entry("end", content or {}, sync=True))
        self._jobs.close()
        worker, self._worker = self._worker, None
        try:
            worker.join(_END_WITHIN_S)
        except ShutdownError as error:
            raise OutputError(
                f"the disk of {self._options.folder} does not take the record: {error}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _ring(self, event: StreamEvent) -> PacketRing | None:
        return self._packets(event.stream) if self._options.faces else None

    def _put(self, job: _Entry | Alarm) -> None:
        with suppress(Closed):
            self._jobs.put(job)

    def _work(self) -> None:
        dropped = 0
        try:
            while True:
                job = self._jobs.take()
                if self._jobs.dropped > dropped:
                    self._writing.gap(self._jobs.dropped - dropped)
                    dropped = self._jobs.dropped
                self._writing.write(job)
        except Closed:
            pass
        finally:
            self._writing.close()


class _Writing:
    """The record thread's half: the log and the files of one run."""

    def __init__(self, options: RecordOptions) -> None:
        self._faces = options.faces
        self._folder = RecordFolder(
            options.folder, most_bytes=options.most_bytes, keep_days=options.keep_days
        )
        self._signer = None if options.sign_key is None else Signer(options.sign_key)
        self._chain: ChainWriter | None = None
        self.run: Path | None = None
        self.lost = 0
        self._gap = 0
        """Records that were lost since the log was last written to."""
        self._tried_at_s = float("-inf")
        self._synced_at_s = 0.0

    def prepare(self) -> None:
        self._folder.prepare()

    def open(self, header: dict[str, object]) -> None:
        self.run = self._folder.new_run()
        self._chain = ChainWriter(self.run / LOG_NAME)
        self._append("header", header)
        self._sync()

    def write(self, job: _Entry | Alarm) -> None:
        """Write it, or count it as lost and say so once."""
        if self._gap and time.monotonic() - self._tried_at_s < _TRY_AGAIN_S:
            last = isinstance(job, _Entry) and job.kind == "end"
            if not last:  # an end is always tried: without it the log reads as cut short
                self.gap(1)
                return
        missing = self._gap
        try:
            if missing:
                self._append("lost", {"records": missing})
                self._gap = 0
            if isinstance(job, Alarm):
                self._write_alarm(job)
            else:
                self._append(job.kind, job.content)
            if self._signer is not None and (isinstance(job, Alarm) or job.kind == "end"):
                assert self._chain is not None
                self._append("signature", self._signer.sign(self._chain.head))
            urgent = isinstance(job, Alarm) or job.sync
            if urgent or time.monotonic() - self._synced_at_s >= _SYNC_EVERY_S:
                self._sync()
            if missing:  # not before: a short record may fit where the next one does not
                _log.warning("recording works again; %d records were lost", missing)
        except OutputError as error:
            self._tried_at_s = time.monotonic()
            if not missing:
                _log.warning("%s; the run goes on, what it says is not recorded until there is room", error)
            self.gap(1)

    def gap(self, records: int) -> None:
        self.lost += records
        self._gap += records

    def close(self) -> None:
        if self._chain is not None:
            self._chain.close()

    def _append(self, kind: str, content: dict[str, object]) -> None:
        assert self._chain is not None
        before = self._chain.size_bytes
        if kind not in _FEW:
            self._folder.room_for(0)
        self._chain.append(kind, content)
        self._folder.grown(self._chain.size_bytes - before)

    def _sync(self) -> None:
        assert self._chain is not None
        self._chain.sync()
        self._synced_at_s = time.monotonic()

    def _write_alarm(self, alarm: Alarm) -> None:
        """Files first, then the record that states their hashes: a file without one proves nothing."""
        assert self.run is not None
        event = alarm.event
        folder = self.run / f"alarm-{alarm.number:04}-stream-{event.stream}-face-{event.face_id}"
        try:
            folder.mkdir()
        except OSError as error:
            raise OutputError(f"cannot make {folder.name}: {error.strerror}; make room") from error
        files: dict[str, object] = {}
        scores = [score_content(score) for score in alarm.scores]
        content = json.dumps({"alarm": event_content(event), "scores": scores}, indent=1).encode()
        files["scores.json"] = self._folder.write(folder / "scores.json", content)
        why_no_clip = alarm.why_no_clip if self._faces else "recorded without faces"
        if self._faces:
            for score in alarm.scores:
                for name, image in _pictures(score):
                    files[name] = self._folder.write(folder / name, _png(image))
            if alarm.clip is not None:
                try:
                    files["clip.mkv"] = self._folder.write(folder / "clip.mkv", _muxed(alarm))
                except OutputError as error:
                    why_no_clip = str(error)
        self._append(
            "files",
            {
                "alarm": alarm.number,
                "stream": event.stream,
                "face": event.face_id,
                "folder": folder.name,
                "files": files,
                "why_no_clip": why_no_clip,
            },
        )


def _muxed(alarm: Alarm) -> bytes:
    assert alarm.clip is not None
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside, "clip.mkv")
        write_clip(path, alarm.clip)
        return path.read_bytes()


def _pictures(score: FaceScore) -> list[tuple[str, Image]]:
    if score.pixels is None:
        return []
    at = f"{score.pts_s:09.3f}"
    found = [(f"face-{at}.png", score.pixels)]
    if score.evidence is not None:
        found.append((f"map-{at}.png", with_evidence_map(score.pixels, score.evidence)))
    return found


def _png(image: Image) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
