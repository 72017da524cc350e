"""A run's learning curve: a line in the terminal, a CSV file, TensorBoard and a picture."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine_build.training_state import write_whole
from stream_detector.optional import require


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured at one validation."""

    step: int
    """How many steps were done."""
    stage: int
    """What was being trained: 0 the dense layer, 1 also the last blocks, 2 everything."""
    train_loss: float
    """Mean over the steps since the row before."""
    val_loss: float
    """Binary cross-entropy of the averaged weights on the validation pairs."""
    val_auc: float
    learning_rate: float
    batches_per_s: float
    """Training steps per second since the row before, validation not counted."""
    loading_share: float
    """Share of that time spent waiting for pictures."""
    real_over_half: float | None = None
    """Share of the real clips given that score over one half; None: none were given."""

    def sentence(self, steps: int) -> str:
        """The row for a terminal."""
        over = self.real_over_half
        called = "" if over is None else f"{over:.0%} of the real clips over one half, "
        return (
            f"step {self.step}/{steps}: loss {self.train_loss:.3f}, validation loss {self.val_loss:.3f}, "
            f"AUC {self.val_auc:.3f}, {called}{self.batches_per_s:.2f} batches/s, "
            f"{self.loading_share:.0%} waiting for data"
        )


class TrainingLog:
    """Writes the rows of a run into its folder. Use it in one thread, as a context manager."""

    def __init__(self, folder: Path, rows: Sequence[Row], *, started_again: bool) -> None:
        """
        Args:
            rows: those of the run so far; what a killed run wrote after them is dropped.
            started_again: whether the run continues.
        """
        self._folder = folder
        self.rows = list(rows)
        self._again = started_again
        self._board: Any = None

    def __enter__(self) -> Self:
        tensorboard = require("torch.utils.tensorboard", why="logging a training run", extra="build")
        purge = self.rows[-1].step + 1 if self.rows else (0 if self._again else None)
        self._board = tensorboard.SummaryWriter(str(self._folder / "tensorboard"), purge_step=purge)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._board.close()

    def add(self, row: Row) -> None:
        """Keep `row`, and bring every file up to date.

        Raises:
            ModelError: a file cannot be written.
        """
        self.rows.append(row)
        for name, value in asdict(row).items():
            if name != "step" and value is not None:
                self._board.add_scalar(name, value, row.step)
        self._board.flush()
        text = io.StringIO()
        table = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(each) for each in self.rows)
        write_whole(
            self._folder / "log.csv", lambda draft: draft.write_text(text.getvalue(), encoding="utf-8")
        )
        write_whole(self._folder / "learning_curve.png", self._draw)

    def _draw(self, path: Path) -> None:
        figures = require("matplotlib.figure", why="drawing a learning curve", extra="build")
        figure = figures.Figure(figsize=(8, 4), layout="constrained")
        losses, auc = figure.subplots(1, 2)
        steps = [row.step for row in self.rows]
        losses.plot(steps, [row.train_loss for row in self.rows], label="training")
        losses.plot(steps, [row.val_loss for row in self.rows], label="validation")
        losses.set(xlabel="step", ylabel="binary cross-entropy")
        losses.legend()
        auc.plot(steps, [row.val_auc for row in self.rows], marker=".")
        auc.set(xlabel="step", ylabel="validation AUC")
        for axes in (losses, auc):
            axes.grid(alpha=0.3)
        figure.savefig(path, format="png", dpi=120)
