from dataclasses import replace

import pytest

from gui.palette import CHIPS, DARK, LIGHT, LOOKS, STRIP, Theme, Tone, contrast, look_of
from stream_detector.records import Box, FaceScore, State

THEMES = pytest.mark.parametrize("theme", [DARK, LIGHT], ids=["dark", "light"])


def test_a_face_whose_alarm_holds_is_never_green_and_a_stale_one_not_red_either() -> None:
    for state in State:
        record = FaceScore(0, 1.0, 1, Box(0, 0, 9, 9), 0.1, 0.1, state, age_ms=1.0)
        look = look_of(replace(record, alarm_level=0.7, alarmed=True))
        assert "ALARM" in look.word
        assert look.tone is (Tone.NONE if state is State.STALE else Tone.FAKE)
        assert look_of(record) is LOOKS[state]


def test_black_on_white_has_the_contrast_that_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@THEMES
def test_every_text_can_be_read(theme: Theme) -> None:
    low = {what: contrast(a, b) for what, a, b in theme.text_pairs() if contrast(a, b) < 4.5}
    assert low == {}


@THEMES
def test_every_line_and_outline_can_be_seen(theme: Theme) -> None:
    low = {what: contrast(a, b) for what, a, b in theme.mark_pairs() if contrast(a, b) < 3.0}
    assert low == {}


def test_what_lies_over_the_picture_can_be_read() -> None:
    assert {tone: contrast(*pair) for tone, pair in CHIPS.items() if contrast(*pair) < 4.5} == {}
    assert contrast(*STRIP) >= 4.5


def test_every_state_has_a_word_a_shape_and_a_line_and_only_likely_real_is_green() -> None:
    assert set(LOOKS) == set(State)
    assert [state for state, look in LOOKS.items() if look.tone is Tone.REAL] == [State.LIKELY_REAL]
    assert len({look.word for look in LOOKS.values()}) == len(LOOKS)
    verdicts = [State.LIKELY_REAL, State.LIKELY_FAKE, State.UNCERTAIN, State.WARMING_UP, State.STALE]
    assert len({LOOKS[state].shape for state in verdicts}) == len(verdicts)


@THEMES
def test_green_is_nowhere_but_in_the_colour_of_likely_real(theme: Theme) -> None:
    def greenish(colour: str) -> bool:
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        return green > 1.25 * red and green > 1.25 * blue

    assert {tone for tone, ink in theme.inks.items() if greenish(ink)} == {Tone.REAL}
    assert {tone for tone, (ground, _) in CHIPS.items() if greenish(ground)} == {Tone.REAL}
