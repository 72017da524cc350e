"""A seeded part of the fuzz; all of it: `python -m tests.fuzz --cases 2000`."""

import pytest

from tests import fuzz


def test_damaged_files_give_frames_or_a_sentence_and_neither_crash_nor_hang() -> None:
    outcome = fuzz.fuzz(cases=600)
    assert outcome.failures == []
    assert outcome.counts.keys() == {"frames", "refused"}
    assert min(outcome.counts.values()) > 60  # the damage is neither too little nor too much


def test_a_reading_process_that_dies_is_a_failure_of_its_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "PYTHON", "/bin/false")
    assert fuzz.fuzz(first=7, cases=2).failures == [
        "case 7 died with 1: no words",
        "case 8 died with 1: no words",
    ]
