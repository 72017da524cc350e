"""Uncertain band and half-life, changed while the run lasts."""

from dataclasses import dataclass

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QDoubleSpinBox, QFormLayout, QLabel, QPushButton, QWidget

from stream_detector.records import RunHeader

_GAP = 0.02
"""The band is at least this wide."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What faces are judged by."""

    low: float
    """Rolling scores below are `likely_real`."""
    high: float
    """Rolling scores above are `likely_fake`."""
    half_life_s: float


class TuningPanel(QWidget):
    """Three numbers, and a way back to those of the model."""

    changed = pyqtSignal(object)
    """The new `Tuning`."""

    def __init__(self) -> None:
        super().__init__()
        self._model: Tuning | None = None
        self.low = _spin(0.0, 1.0, 0.01)
        self.high = _spin(0.0, 1.0, 0.01)
        self.half_life = _spin(0.2, 60.0, 0.1, " s")
        self._reset = QPushButton("Back to the model's own")
        self._reset.clicked.connect(self._go_back)
        note = QLabel(
            "Scores between the two are uncertain. After the half-life a score counts half: longer is "
            "calmer and slower. Changes hold from the next score on."
        )
        note.setWordWrap(True)
        note.setObjectName("muted")
        form = QFormLayout(self)
        form.setContentsMargins(12, 12, 12, 12)
        form.addRow("Likely real below", self.low)
        form.addRow("Likely fake above", self.high)
        form.addRow("Half-life", self.half_life)
        form.addRow(note)
        form.addRow(self._reset)
        self.setMinimumWidth(300)
        for box in (self.low, self.high, self.half_life):
            box.valueChanged.connect(self._tell)
        self.setEnabled(False)

    @property
    def tuning(self) -> Tuning:
        """What it says now."""
        return Tuning(self.low.value(), self.high.value(), self.half_life.value())

    def begin(self, header: RunHeader) -> None:
        """A run begins; it is judged by the model's own numbers."""
        model = Tuning(*header.band, header.half_life_s)
        self._model = model
        self._write(model)
        self.half_life.setMinimum(max(0.1, 0.5 / header.score_hz))
        self.setEnabled(True)

    def _go_back(self) -> None:
        if self._model is not None:
            self._write(self._model)
            self.changed.emit(self._model)

    def _write(self, tuning: Tuning) -> None:
        values = ((self.low, tuning.low), (self.high, tuning.high), (self.half_life, tuning.half_life_s))
        for box, _ in values:
            box.blockSignals(True)
        self.low.setMaximum(tuning.high - _GAP)
        self.high.setMinimum(tuning.low + _GAP)
        for box, value in values:
            box.setValue(value)
            box.blockSignals(False)

    def _tell(self) -> None:
        self.low.setMaximum(self.high.value() - _GAP)
        self.high.setMinimum(self.low.value() + _GAP)
        self.changed.emit(self.tuning)


def _spin(least: float, most: float, step: float, unit: str = "") -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(least, most)
    box.setSingleStep(step)
    box.setDecimals(2)
    box.setSuffix(unit)
    box.setKeyboardTracking(False)
    return box
