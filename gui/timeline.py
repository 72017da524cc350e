"""The rolling score of each face over the last minutes."""

import numpy as np
import pyqtgraph as pg
from PyQt6.QtCore import QPointF, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QFont
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from gui.history import StreamHistory
from gui.palette import DARK, Theme, Tone
from gui.video_view import clock

WINDOW_S = 120.0
"""How much media time is shown."""
_LEAST_S = 15.0
_FACES_SHOWN = 12
_DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
_NEAR_PX = 40.0
_TOP = 1.14
"""Above the highest score, for the marks."""
_LABEL_GAP = 0.09
"""The numbers at the ends of the lines stand at least so far apart, in units of the score."""
EMPTY = "No scores yet: each face gets a line here once it has been scored"


class Timeline(QWidget):
    """Draws a `StreamHistory`; where there was no evidence there is no line."""

    moment_chosen = pyqtSignal(int, float)
    """(face, media time) that was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self._theme = DARK
        self._middle = 0.5
        self._history: StreamHistory | None = None
        self._curves: dict[int, tuple[pg.PlotCurveItem, pg.TextItem]] = {}
        # Not pg.PlotWidget: it builds a menu of a hundred widgets that nobody sees, and that at times
        # fails to be built ("Cannot add widget … without a name") when windows come and go.
        self._plot = pg.GraphicsView()
        self._box = box = pg.ViewBox(enableMouse=False, enableMenu=False)
        box.setYRange(-0.06, _TOP, padding=0)
        left, bottom = self._axes = pg.AxisItem("left"), _MediaTime("bottom")
        left.setTicks([[(0.0, "real 0"), (0.5, "0.5"), (1.0, "fake 1")]])
        left.setWidth(54)
        grid = pg.GraphicsLayout(border=None)
        grid.setSpacing(0)
        grid.addItem(left, 0, 0)
        grid.addItem(box, 0, 1)
        grid.addItem(bottom, 1, 1)
        left.linkToView(box)
        bottom.linkToView(box)
        self._plot.setCentralItem(grid)
        self._band = pg.LinearRegionItem((0.4, 0.6), orientation="horizontal", movable=False)
        self._band.setZValue(-10)
        box.addItem(self._band)
        self._between = pg.TextItem("uncertain", anchor=(0, 0.5))
        box.addItem(self._between, ignoreBounds=True)
        self._marks = pg.ScatterPlotItem(symbol="t1", size=12, pen=None)
        box.addItem(self._marks)
        self._hover = pg.InfiniteLine(angle=90, movable=False)
        self._hover.hide()
        box.addItem(self._hover)
        self._readout = pg.TextItem(anchor=(0, 0))
        self._readout.setZValue(20)
        self._readout.hide()
        box.addItem(self._readout, ignoreBounds=True)
        self._words = pg.TextItem(EMPTY, anchor=(0.5, 0.5))
        box.addItem(self._words, ignoreBounds=True)
        self._plot.scene().sigMouseMoved.connect(self._hovered)
        self._plot.scene().sigMouseClicked.connect(lambda event: self._clicked(event.scenePos()))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        self.setMinimumHeight(120)
        self.set_theme(DARK)

    def set_theme(self, theme: Theme) -> None:
        """Draw in these colours from now on."""
        self._theme = theme
        self._plot.setBackground(theme.surface)
        for axis in self._axes:
            axis.setPen(theme.border)
            axis.setTextPen(theme.muted)
            font = QFont(self.font())
            font.setPixelSize(12)
            axis.setTickFont(font)
        self._band.setBrush(QColor(theme.band))
        self._band.setHoverBrush(QColor(theme.band))
        for line in self._band.lines:
            line.setPen(pg.mkPen(theme.control, width=1, style=Qt.PenStyle.DashLine))
        self._hover.setPen(pg.mkPen(theme.muted, width=1))
        self._between.setColor(theme.inks[Tone.UNCERTAIN])
        self._marks.setBrush(QColor(theme.inks[Tone.FAKE]))
        self._words.setColor(theme.muted)
        self._readout.setColor(theme.text)
        self._readout.fill = pg.mkBrush(theme.raised)
        self._readout.border = pg.mkPen(theme.control)
        for face, (curve, label) in self._curves.items():
            self._colour(face, curve, label)

    def set_band(self, low: float, high: float) -> None:
        """Shade the scores from `low` to `high` as uncertain."""
        self._band.setRegion((low, high))
        self._middle = (low + high) / 2

    def show_history(self, history: StreamHistory | None) -> None:
        """Draw this from now on."""
        self._history = history
        faces = {} if history is None else history.faces
        end_s = 0.0 if history is None else history.newest_s
        begin_s = max(0.0, end_s - WINDOW_S)
        shown = [n for n in sorted(faces) if faces[n].newest_s >= begin_s][-_FACES_SHOWN:]
        for face in set(self._curves) - set(shown):
            for gone in self._curves.pop(face):
                self._box.removeItem(gone)
        marks: list[tuple[float, float]] = []
        ends: list[tuple[float, float, pg.TextItem]] = []
        for face in shown:
            times, scores = faces[face].line()
            curve, label = self._curve(face)
            curve.setData(times, scores, connect="finite")
            known = np.flatnonzero(np.isfinite(scores))
            label.setVisible(known.size > 0)
            if known.size:
                ends.append((float(scores[known[-1]]), float(times[known[-1]]), label))
            marks += [(t, 1.07) for t in faces[face].marked_s if t >= begin_s]
        ends.sort(key=lambda end: end[0])
        places = spread([score for score, _, _ in ends], gap=_LABEL_GAP, most=_TOP - _LABEL_GAP / 2)
        for (_, at_s, label), place in zip(ends, places, strict=True):
            label.setPos(at_s, place)
        self._marks.setData([x for x, _ in marks], [y for _, y in marks])
        span_s = max(_LEAST_S, end_s - begin_s)
        self._box.setXRange(begin_s, begin_s + 1.04 * span_s, padding=0)
        self._between.setPos(begin_s + 0.005 * span_s, self._middle)
        self._words.setVisible(not shown)
        self._words.setPos(begin_s + 0.52 * span_s, 0.8)

    def points(self) -> int:
        """How many points are held for drawing."""
        return sum(len(curve.xData) for curve, _ in self._curves.values() if curve.xData is not None)

    def _curve(self, face: int) -> tuple[pg.PlotCurveItem, pg.TextItem]:
        if face not in self._curves:
            curve, label = pg.PlotCurveItem(), pg.TextItem(f"#{face}", anchor=(0, 0.5))
            self._colour(face, curve, label)
            self._box.addItem(curve)
            self._box.addItem(label, ignoreBounds=True)
            self._curves[face] = (curve, label)
        return self._curves[face]

    def _colour(self, face: int, curve: pg.PlotCurveItem, label: pg.TextItem) -> None:
        series = self._theme.series
        colour = series[(face - 1) % len(series)]
        dash = _DASHES[(face - 1) // len(series) % len(_DASHES)]
        # pyqtgraph counts the screen's own pixels.
        curve.setPen(pg.mkPen(colour, width=2 * self.devicePixelRatioF(), style=dash))
        label.setColor(colour)

    def _hovered(self, at: QPointF) -> None:
        inside = self._box.sceneBoundingRect().contains(at)
        history = self._history
        if not inside or history is None or not self._curves:
            self._hover.hide()
            self._readout.hide()
            return
        pts_s = self._box.mapSceneToView(at).x()
        values = [
            (face, history.faces[face].value_at(pts_s)) for face in self._curves if face in history.faces
        ]
        lines = [f"#{face}: {'no evidence' if value is None else f'{value:.2f}'}" for face, value in values]
        self._readout.setText("\n".join([clock(max(0.0, pts_s)), *lines]))
        (x0, x1), _ = self._box.viewRange()
        self._readout.setAnchor((1.0, 0.0) if pts_s > (x0 + x1) / 2 else (0.0, 0.0))
        self._readout.setPos(pts_s, 1.0)
        self._hover.setPos(pts_s)
        self._hover.show()
        self._readout.show()

    def _clicked(self, at: QPointF) -> None:
        """Choose the face whose line passes nearest to the click."""
        history = self._history
        if history is None:
            return
        box = self._box
        pts_s = box.mapSceneToView(at).x()
        distances = []
        for face in self._curves:
            value = history.faces[face].value_at(pts_s) if face in history.faces else None
            if value is not None:
                distances.append((abs(box.mapViewToScene(QPointF(pts_s, value)).y() - at.y()), face))
        if distances and min(distances)[0] <= _NEAR_PX:
            self.moment_chosen.emit(min(distances)[1], float(pts_s))


def spread(places: list[float], *, gap: float, most: float) -> list[float]:
    """Ascending `places`, moved so that neighbours are `gap` apart and none lies above `most`."""
    moved: list[float] = []
    for place in places:
        moved.append(place if not moved else max(place, moved[-1] + gap))
    ceiling = most
    for at in reversed(range(len(moved))):
        moved[at] = min(moved[at], ceiling)
        ceiling = moved[at] - gap
    return moved


class _MediaTime(pg.AxisItem):  # type: ignore[misc]  # pyqtgraph has no types
    """Minutes and seconds of media time."""

    def tickStrings(self, values: list[float], _scale: float, _spacing: float) -> list[str]:
        return [clock(value) if value >= 0 else "" for value in values]
