"""From a logit to what it is worth: calibrated log-odds of fake against real."""

from bisect import bisect_right

from stream_detector.model_spec import Calibration, LogitMap


def log_odds(calibration: Calibration | None, logit: float, face_px: int) -> float:
    """The calibrated log-likelihood ratio of fake against real; rises with the logit, or stays.

    Args:
        calibration: of the model; None takes logits for log-odds as they are.
        logit: the model's, finite.
        face_px: larger side of the face's box; some models are calibrated by it.
    """
    if calibration is None:
        return logit
    mapping = calibration.everywhere
    for smallest_px, of_size in calibration.by_face_px:
        if face_px >= smallest_px:
            mapping = of_size
    return _mapped(mapping, logit)


def _mapped(mapping: LogitMap, logit: float) -> float:
    """Straight lines through the knots; beyond the ends the outermost ones go on."""
    x, y = mapping.logit, mapping.log_odds
    right = min(max(bisect_right(x, logit), 1), len(x) - 1)
    left = right - 1
    along = (logit - x[left]) / (x[right] - x[left])
    return y[left] + along * (y[right] - y[left])
