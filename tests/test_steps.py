"""What a long command shows on stderr."""

import pytest

from engine_build.steps import SILENT, shown_steps


def test_a_step_is_shown_with_its_name_how_far_it_is_and_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with shown_steps() as steps:
        steps.begin("first", 2)
        steps.advance(2)
        steps.begin("second", 4)
        steps.advance()
        steps.advance(2)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "second" in shown.err
    assert "3/4" in shown.err
    assert "left:" in shown.err


def test_who_does_not_care_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    SILENT.begin("a step", 3)
    SILENT.advance()
    assert capsys.readouterr() == ("", "")
