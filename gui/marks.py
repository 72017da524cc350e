"""The signs of the states, drawn as paths: no font needs to have them."""

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QBrush, QColor, QIcon, QPainter, QPen, QPixmap

from gui.palette import Shape


def draw_shape(painter: QPainter, shape: Shape, room: QRectF, colour: str) -> None:
    """Draw one sign into a square."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(QColor(colour), max(1.6, room.width() / 7))
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)

    def at(x: float, y: float) -> QPointF:
        return QPointF(room.left() + x * room.width(), room.top() + y * room.height())

    painter.setPen(pen)
    match shape:
        case Shape.TRIANGLE:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QBrush(QColor(colour)))
            painter.drawPolygon(at(0.5, 0.06), at(1.0, 0.94), at(0.0, 0.94))
        case Shape.CHECK:
            painter.drawPolyline(at(0.1, 0.55), at(0.4, 0.85), at(0.92, 0.18))
        case Shape.QUESTION:
            painter.drawArc(QRectF(at(0.22, 0.06), at(0.78, 0.56)), -75 * 16, 255 * 16)
            painter.drawLine(at(0.5, 0.56), at(0.5, 0.68))
            painter.drawPoint(at(0.5, 0.94))
        case Shape.DOTS:
            for x in (0.12, 0.5, 0.88):
                painter.drawPoint(at(x, 0.6))
        case Shape.DASH:
            painter.drawLine(at(0.15, 0.5), at(0.85, 0.5))
        case Shape.CROSS:
            painter.drawLine(at(0.15, 0.15), at(0.85, 0.85))
            painter.drawLine(at(0.85, 0.15), at(0.15, 0.85))
    painter.restore()


def shape_icon(shape: Shape, colour: str, side_px: int = 16) -> QIcon:
    """One sign as an icon, sharp on every screen."""
    scale = 3
    pixmap = QPixmap(QSize(side_px * scale, side_px * scale))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.scale(scale, scale)
    draw_shape(painter, shape, QRectF(2, 2, side_px - 4, side_px - 4), colour)
    painter.end()
    return QIcon(pixmap)
