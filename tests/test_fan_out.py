"""Several outputs of one run: none can stop another."""

import pytest

from stream_detector.errors import OutputClosed, OutputError
from stream_detector.records import Record, RunHeader, RunSummary
from stream_detector.sinks.fan_out import FanOut
from tests.test_json_lines import EVENT, HEADER, SCORE, SUMMARY


class Kept:
    """Keeps what it is given, and fails as it is told."""

    def __init__(self) -> None:
        self.records: list[object] = []
        self.error: Exception | None = None

    def begin(self, header: RunHeader) -> None:
        self._keep(header)

    def take(self, record: Record) -> None:
        self._keep(record)

    def end(self, summary: RunSummary) -> None:
        self._keep(summary)

    def _keep(self, item: object) -> None:
        if self.error is not None:
            raise self.error
        self.records.append(item)


def test_every_output_gets_everything_in_order() -> None:
    first, second = Kept(), Kept()
    fan_out = FanOut({"first": first, "second": second})
    fan_out.begin(HEADER)
    fan_out.take(SCORE)
    fan_out.end(SUMMARY)
    assert first.records == second.records == [HEADER, SCORE, SUMMARY]


@pytest.mark.parametrize("error", [OutputError("no room"), ZeroDivisionError("a mistake of ours")])
def test_an_output_that_fails_stops_no_other_and_is_told_of_once_and_once_more_when_it_works(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = Kept(), Kept()
    fan_out = FanOut({"broken": broken, "sound": sound})
    broken.error = error
    for _ in range(3):
        fan_out.take(EVENT)
    assert fan_out.error_of("broken") is not None
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "the run goes on" in warnings[0]
    broken.error = None
    fan_out.take(SCORE)
    fan_out.take(SCORE)
    assert fan_out.error_of("broken") is None
    assert caplog.records[-1].getMessage() == "broken: works again; 3 records were lost to it"
    assert len(sound.records) == 5
    assert len(broken.records) == 2


def test_an_output_whose_reader_has_gone_is_left_alone_from_then_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone = Kept()
    fan_out = FanOut({"gone": gone, "sound": Kept()})
    gone.error = OutputClosed("the reader has gone")
    fan_out.take(EVENT)
    gone.error = None
    fan_out.take(EVENT)
    assert gone.records == []
    assert isinstance(fan_out.error_of("gone"), OutputClosed)
    assert len(caplog.records) == 1
