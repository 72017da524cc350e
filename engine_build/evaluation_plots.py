"""ROC and reliability of an evaluation as pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine_build.evaluation_figures import Clip
from stream_detector.optional import require

_BINS = 10


def draw_roc(clips: Sequence[Clip], path: Path) -> None:
    """A PNG: per clip and per frame, false alarms against found fakes."""
    metrics = require("sklearn.metrics", why="drawing a ROC curve", extra="build")
    figures = require("matplotlib.figure", why="drawing a ROC curve", extra="build")
    figure = figures.Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    for name, labels, p in _both(clips):
        false, true, _ = metrics.roc_curve(labels, p)
        axes.plot(false, true, label=f"per {name}, AUC {metrics.roc_auc_score(labels, p):.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.set(xlabel="reals called fake", ylabel="fakes found", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, format="png", dpi=120)


def draw_reliability(clips: Sequence[Clip], path: Path) -> None:
    """A PNG: the share of fakes among clips, and among frames, of about the same score."""
    calibration = require("sklearn.calibration", why="drawing a reliability curve", extra="build")
    figures = require("matplotlib.figure", why="drawing a reliability curve", extra="build")
    figure = figures.Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    for name, labels, p in _both(clips):
        share, mean = calibration.calibration_curve(labels, p, n_bins=_BINS)
        axes.plot(mean, share, marker="o", label=f"per {name}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.set(xlabel="mean score", ylabel="share of fakes", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    figure.savefig(path, format="png", dpi=120)


def _both(clips: Sequence[Clip]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    labels = np.array([clip.label for clip in clips])
    lengths = [len(clip.p) for clip in clips]
    return [
        ("clip", labels, np.array([clip.mean_p for clip in clips])),
        ("frame", np.repeat(labels, lengths), np.concatenate([clip.p for clip in clips])),
    ]
