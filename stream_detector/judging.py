"""From one turn of the exchange to records: score the batch, stamp it, say what may be said."""

import time
from collections.abc import Iterator

import numpy as np

from stream_detector.errors import BackendError
from stream_detector.exchange import Notice, Work
from stream_detector.ledger import Ledger
from stream_detector.records import EventKind, FaceCrop, Record, Stamps, StreamEvent, UnscoredFace
from stream_detector.stages import Scorer
from stream_detector.verdict import Verdicts


class Judge:
    """Belongs to the score thread, like all it is made of but the ledger."""

    def __init__(self, scorer: Scorer, verdicts: Verdicts, ledger: Ledger) -> None:
        """Uses all three, closes none."""
        self._scorer = scorer
        self._verdicts = verdicts
        self._ledger = ledger

    def records(self, work: Work) -> Iterator[Record]:
        """What comes of one turn, each stream's records in the order of its frames.

        Raises:
            BackendError: the model gave a score that is no number.
        """
        items: list[tuple[int, FaceCrop | Notice, int]] = [
            (order, notice, -1) for order, notice in work.notices
        ]
        items += [(order, crop, row) for row, (order, crop) in enumerate(work.crops)]
        started_s = time.monotonic()
        scorer = self._scorer
        scores = scorer.score(np.stack([crop.pixels for _, crop in work.crops])) if work.crops else None
        if scores is not None and not np.isfinite(scores.logit).all():
            raise BackendError(
                f"the model {scorer.spec.name} gave a score that is no number on {scorer.backend} "
                f"{scorer.precision}; try another --precision or --backend"
            )
        ended_s = time.monotonic()
        for _, item, row in sorted(items, key=lambda numbered: numbered[0]):
            if isinstance(item, StreamEvent):
                self._verdicts.noticed(item)
                yield item
                yield from self.alarms(item.stream)
            elif isinstance(item, UnscoredFace):
                yield self._verdicts.unscored(item, ended_s)
                yield from self.alarms(item.stream)
            elif scores is not None:
                stamps = _stamped(item, started_s, ended_s)
                self._ledger.scored(item.stream, stamps)
                yield self._verdicts.scored(
                    item, float(scores.logit[row]), scores.evidence[row], stamps.verdict_at_s, stamps
                )
                yield from self.alarms(item.stream)

    def alarms(self, stream: int) -> list[StreamEvent]:
        """The alarms that the last record of `stream` raised or cleared, noted in the ledger."""
        events = self._verdicts.events()
        raised = sum(event.event is EventKind.ALARM for event in events)
        self._ledger.alarmed(stream, self._verdicts.alarmed(stream), raised=raised)
        return events


def _stamped(crop: FaceCrop, started_s: float, ended_s: float) -> Stamps:
    """Every stamp of one face, the verdict's being now."""
    seen = crop.sighting
    return Stamps(
        packet_at_s=seen.packet_at_s,
        decoded_at_s=crop.captured_at_s,
        taken_at_s=seen.taken_at_s,
        found_at_s=seen.found_at_s,
        queued_at_s=seen.queued_at_s,
        batch_started_at_s=started_s,
        batch_ended_at_s=ended_s,
        verdict_at_s=time.monotonic(),
        painted_at_s=seen.painted_at_s,
    )
