"""Drag a rectangle over the screen to watch just that part of it."""

from PyQt6.QtCore import QPoint, QRect, Qt, pyqtSignal
from PyQt6.QtGui import (
    QColor,
    QGuiApplication,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QRegion,
)
from PyQt6.QtWidgets import QWidget
from PyQt6.sip import voidptr

from gui.palette import STRIP

_LEAST_PX = 64
HINT = "Drag a rectangle around what you want to watch. Esc: cancel"


class RegionPicker(QWidget):
    """A veil over the whole screen; deletes itself when it is done."""

    picked = pyqtSignal(str)
    """The source, such as screen:640x360+100+50, in the screen's own pixels."""

    def __init__(self) -> None:
        super().__init__(None, Qt.WindowType.FramelessWindowHint | Qt.WindowType.WindowStaysOnTopHint)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self._from: QPoint | None = None
        self._to = QPoint()
        self._behind = QPixmap()
        screen = QGuiApplication.primaryScreen()
        if screen is not None:
            self.setGeometry(screen.geometry())
            # A picture of the screen: not every desktop can show one window through another.
            self._behind = screen.grabWindow(voidptr(0))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """One corner."""
        if event is not None:
            self._from = self._to = event.position().toPoint()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """The other corner, so far."""
        if event is not None:
            self._to = event.position().toPoint()
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """The rectangle is drawn."""
        if event is not None:
            self._to = event.position().toPoint()
        rect = self._rect()
        if min(rect.width(), rect.height()) < _LEAST_PX:
            self._from = None
            self.update()
            return
        self.close()
        self.picked.emit(region_source(rect.translated(self.geometry().topLeft()), self.devicePixelRatioF()))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Esc gives up."""
        if event is not None and event.key() == Qt.Key.Key_Escape:
            self.close()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Dark all over but for the rectangle."""
        painter = QPainter(self)
        painter.drawPixmap(self.rect(), self._behind)
        rect = self._rect()
        painter.setClipRegion(QRegion(self.rect()).subtracted(QRegion(rect)))
        painter.fillRect(self.rect(), QColor(0, 0, 0, 120))
        painter.setClipping(False)
        if self._from is not None:
            painter.setPen(QPen(QColor("#ffffff"), 2))
            painter.drawRect(rect)
        hint = QRect(0, 24, self.width(), 40)
        room = painter.boundingRect(hint, Qt.AlignmentFlag.AlignCenter, HINT).adjusted(-12, -6, 12, 6)
        painter.fillRect(room, QColor(STRIP[0]))
        painter.setPen(QColor(STRIP[1]))
        painter.drawText(hint, Qt.AlignmentFlag.AlignCenter, HINT)

    def _rect(self) -> QRect:
        return QRect() if self._from is None else QRect(self._from, self._to).normalized()


def region_source(rect: QRect, ratio: float) -> str:
    """A rectangle of the screen as a source; sides are even, as many encoders of the world want them."""
    x, y = round(max(0, rect.left()) * ratio), round(max(0, rect.top()) * ratio)
    width, height = (round(side * ratio) // 2 * 2 for side in (rect.width(), rect.height()))
    return f"screen:{width}x{height}+{x}+{y}"
