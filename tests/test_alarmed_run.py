"""A whole run whose model states a false-alarm rate: what people and scripts see of an alarm."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.alarm import stand_in_facts
from stream_detector.alarm_design import design_alarm
from stream_detector.commands.doctor import alarm_words
from stream_detector.model_spec import read_sidecar, write_sidecar
from tests.alarmed_models import write_alarmed_model
from tests.test_cli import program


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged INT8 model, with facts made for the demo: real faces about -3, fakes about 3."""
    return write_alarmed_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model_without(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without facts."""
    folder = tmp_path_factory.mktemp("without")
    spec = read_sidecar(model)
    files = [Path(shutil.copy(model.parent / name, folder)) for name in spec.files]
    write_sidecar(folder / model.name, spec.model_copy(update={"alarm": None}), files)
    return folder / model.name


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_face_that_turns_fake_raises_the_alarm_right_after_a_score(model: Path) -> None:
    done = program("watch", "demo:", "--json", "--model", str(model), "--false-alarms-per-day", "0.5")
    assert done.returncode == 0, done.stderr
    header, *records, summary = lines(done.stdout)
    assert header["alarm"]["false_alarms_per_day"] == 0.5
    assert header["alarm"]["real_faces"] == 200
    ((score, alarm),) = [pair for pair in pairwise(records) if pair[1].get("event") == "alarm"]
    assert (score["type"], score["face"], score["pts_s"]) == ("score", alarm["face"], alarm["pts_s"])
    assert (score["alarm_level"], score["alarmed"]) == (1.0, True)
    assert 6.0 < alarm["pts_s"] < 10.0  # the demo is tampered with from 6 s on
    assert not any(record.get("alarmed") for record in records if (record["pts_s"] or 0) < 6.0)
    (face,) = summary["faces"]
    assert (face["alarms"], face["first_alarm_s"]) == (1, alarm["pts_s"])
    assert summary["streams"][0]["alarms"] == 1


def test_exit_on_alarm_ends_with_code_10_and_still_writes_the_summary(model: Path) -> None:
    done = program("watch", "demo:", "--json", "--model", str(model), "--exit-on-alarm")
    assert done.returncode == 10, done.stderr
    *records, summary = lines(done.stdout)
    assert records[-1]["event"] == "alarm"
    assert summary["type"] == "summary"
    assert summary["faces"][0]["alarms"] == 1


def test_exit_on_alarm_is_refused_where_no_alarm_can_ever_come(model_without: Path) -> None:
    done = program("watch", "demo:", "--json", "--model", str(model_without), "--exit-on-alarm")
    assert done.returncode == 2
    assert "holds no facts to state a false-alarm rate by" in done.stderr
    assert done.stdout == ""


def test_without_facts_the_header_says_that_there_is_no_alarm(model_without: Path) -> None:
    done = program("watch", "demo:", "--json", "--model", str(model_without), "--duration", "1")
    assert done.returncode == 0, done.stderr
    header, *records, _ = lines(done.stdout)
    assert header["alarm"] is None
    assert {record["alarm_level"] for record in records if record["type"] == "score"} == {None}


def test_the_doctor_says_what_an_alarm_promises_and_what_it_does_not() -> None:
    design = design_alarm(stand_in_facts(), 1.0)
    says = alarm_words(design)
    assert f"alarm at {design.threshold:.2f} over {design.reference:+.2f}" in says
    assert "at most 1 false alarm per day for each of 200 real faces" in says
    assert f"{design.expected_per_day:.2g} on their average" in says
    assert "no promise for faces beyond them (at most 1.5% of all)" in says
    assert f"{design.detectable:.0%} of fakes do so within 60 s" in says
    assert "not within an hour" in alarm_words(design_alarm(stand_in_facts(real=0.0, fake=0.0), 1.0))
    assert alarm_words(None).startswith("no alarm: ")


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "1e9"])
def test_a_rate_that_makes_no_sense_is_told_as_a_mistake(rate: str) -> None:
    done = program("watch", "demo:", "--false-alarms-per-day", rate)
    assert done.returncode == 2
    assert "--false-alarms-per-day" in done.stderr
