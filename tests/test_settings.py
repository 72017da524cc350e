"""Settings are checked where they enter, and the sentence names the option."""

import pytest

from stream_detector.errors import UsageError
from stream_detector.settings import make_settings


@pytest.mark.parametrize(
    ("field", "value", "option"),
    [
        ("score_hz", 0, "--score-hz"),
        ("half_life_s", -1, "--half-life"),
        ("half_life_s", float("nan"), "--half-life"),
        ("max_faces", 0, "--max-faces"),
        ("max_batch", 65, "--max-batch"),
        ("max_wait_ms", -0.1, "--max-wait-ms"),
        ("min_face_px", 1, "--min-face"),
        ("duration_s", 0, "--duration"),
        ("max_frames", 0, "--max-frames"),
    ],
)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_option(
    field: str, value: float, option: str
) -> None:
    with pytest.raises(UsageError, match=f"^{option} "):
        make_settings(sources=("a.mp4",), **{field: value})


def test_faces_are_searched_once_per_score() -> None:
    assert make_settings(sources=("a",), score_hz=30).streams[0].find_hz == 30
    assert make_settings(sources=("a",), score_hz=5).streams[0].find_hz == 5


def test_where_few_scores_are_wanted_faces_are_searched_less_often_but_often_enough_to_follow() -> None:
    assert make_settings(sources=("a",), score_hz=1).streams[0].find_hz == 4
    assert make_settings(sources=("a",), score_hz=3).streams[0].find_hz == 4


def test_a_half_life_so_short_that_no_two_scores_meet_is_refused() -> None:
    with pytest.raises(UsageError, match=r"forgotten before the next one comes.*at least 2.5 seconds"):
        make_settings(sources=("a",), score_hz=0.2, half_life_s=1.0)
    make_settings(sources=("a",), score_hz=0.2, half_life_s=2.5)
