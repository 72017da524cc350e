"""One stream as the user sees it: picture, faces, and how the stream fares in words."""

from PyQt6.QtCore import QRectF, QSize, QSizeF, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QImage, QMouseEvent, QPainter, QPaintEvent, QRegion
from PyQt6.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from gui.overlay import Overlay
from gui.palette import DARK, STRIP, Theme
from gui.pictures import letterboxed, scaled, to_qimage
from gui.view import Status, StreamView
from stream_detector.errors import SourceError

_CAPTION_PX = 13
_FOOT_PX = 48
"""Room for the caption along the lower edge."""
EVIDENCE_CAPTION = (
    "Where the model looks: orange speaks for a fake, blue against it. A hint for your own eyes, not proof."
)
_TITLES = {
    Status.CONNECTING: "Connecting …",
    Status.STALLED: "Stalled",
    Status.RECONNECTING: "Reconnecting …",
    Status.REFUSED: "Access refused",
    Status.GAVE_UP: "Gave up",
    Status.FAILED: "The source failed",
    Status.ENDED: "Ended",
}


class VideoView(QWidget):
    """Draws the newest picture of one stream, letterboxed at any size."""

    chosen = pyqtSignal(int)
    """The number of the stream that was clicked."""
    retried = pyqtSignal(int)
    """The number of the stream that shall be tried again."""

    def __init__(self, stream: int) -> None:
        super().__init__()
        self.stream = stream
        self._view: StreamView | None = None
        self._overlay = Overlay(evidence=False, crop_margin=1.0, paused=False)
        self._theme = DARK
        self._picture: QImage | None = None
        self._drawn: tuple[object, int, int] | None = None
        self._selected = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._retry = QPushButton("Try again", self)
        self._retry.setObjectName("primary")
        self._retry.clicked.connect(lambda: self.retried.emit(self.stream))
        self._retry.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, _FOOT_PX)
        layout.addStretch(1)
        layout.addWidget(self._retry, 0, Qt.AlignmentFlag.AlignHCenter)

    def sizeHint(self) -> QSize:
        """Small: the layout gives it what there is."""
        return QSize(320, 180)

    def show_stream(self, view: StreamView, overlay: Overlay, *, selected: bool) -> None:
        """Draw this from now on."""
        self._view, self._overlay, self._selected = view, overlay, selected
        self.setAccessibleName(f"{view.title}: {view.status}")
        over = view.status.over
        self._retry.setText("Play again" if view.status is Status.ENDED else "Try again")
        self._retry.setVisible(over)
        self._prepare()
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Draw in these colours from now on."""
        self._theme = theme
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draws what was prepared; decodes, converts and waits for nothing."""
        painter = QPainter(self)
        view = self._view
        room = self._room() if self._picture is not None else QRectF()
        painter.setClipRegion(QRegion(self.rect()).subtracted(QRegion(room.toRect())))
        painter.fillRect(self.rect(), QColor(self._theme.stage))
        painter.setClipping(False)
        if view is None:
            return
        if self._picture is not None:
            painter.drawImage(room, self._picture)
            assert view.frame is not None
            if not view.status.current:
                painter.fillRect(room, QColor(0, 0, 0, 170))
            else:
                scale = room.width() / view.frame.picture.width_px
                self._overlay.draw(painter, view.faces, room, scale)
        self._draw_words(painter, view, QRectF(self.rect()))
        if self._selected:
            painter.setPen(QColor(self._theme.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """A click chooses this stream."""
        if event is not None and self.rect().contains(event.position().toPoint()):
            self.chosen.emit(self.stream)

    def resizeEvent(self, _event: object) -> None:
        """The picture is prepared for one size."""
        self._prepare()

    def _room(self) -> QRectF:
        frame = self._view.frame if self._view else None
        if frame is None:
            return QRectF()
        size = QSizeF(frame.picture.width_px, frame.picture.height_px)
        return letterboxed(size, QRectF(self.rect()))

    def _prepare(self) -> None:
        """Scale the newest picture to the screen's own pixels, once."""
        frame = self._view.frame if self._view else None
        if frame is None:
            self._picture = None
            return
        ratio = self.devicePixelRatioF()
        room = self._room()
        width_px, height_px = round(room.width() * ratio), round(room.height() * ratio)
        wanted = (frame, width_px, height_px)
        if width_px < 1 or height_px < 1 or wanted == self._drawn:
            return
        try:
            picture = to_qimage(scaled(frame.picture.rgb(), width_px, height_px))
        except SourceError:  # the thread that looks for faces meets it too, and says so
            self._picture = None
            return
        picture.setDevicePixelRatio(ratio)
        self._picture, self._drawn = picture, wanted

    def _draw_words(self, painter: QPainter, view: StreamView, room: QRectF) -> None:
        font = QFont(self.font())
        font.setPixelSize(_CAPTION_PX)
        painter.setFont(font)
        caption = f"{view.title}  ·  {view.status}"
        if self._overlay.paused:
            caption = f"{view.title}  ·  PAUSED at {clock(view.media_s)}, not what is now"
        _draw_strip(painter, caption, room, top=False)
        if self._overlay.evidence and view.status.current:
            _draw_strip(painter, EVIDENCE_CAPTION, room, top=True)
        title = _TITLES.get(view.status)
        if title is not None:
            self._draw_notice(painter, title, view.detail, room)

    def _draw_notice(self, painter: QPainter, title: str, detail: str, room: QRectF) -> None:
        large = QFont(self.font())
        large.setPixelSize(22)
        large.setBold(True)
        on_picture = self._picture is not None
        painter.setPen(QColor(STRIP[1] if on_picture else self._theme.text))
        painter.setFont(large)
        small = QFont(self.font())
        small.setPixelSize(14)
        wide = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        foot = _FOOT_PX + (self._retry.height() + 12 if self._retry.isVisible() else 0)
        inside = room.adjusted(24, 12, -24, -foot)
        title_room = painter.boundingRect(inside, wide, title)
        painter.setFont(small)
        detail_height = painter.boundingRect(inside, wide, detail).height() + 6 if detail else 0
        top = inside.top() + max(0.0, (inside.height() - title_room.height() - detail_height) / 2)
        painter.setFont(large)
        painter.drawText(inside.adjusted(0, top - inside.top(), 0, 0), wide, title)
        painter.setFont(small)
        painter.drawText(inside.adjusted(0, top - inside.top() + title_room.height() + 6, 0, 0), wide, detail)


def clock(seconds: float) -> str:
    """Media time for people: 1:02:03 or 2:03."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _draw_strip(painter: QPainter, text: str, room: QRectF, *, top: bool) -> None:
    """A line of text on its own ground in a corner, shortened in its middle where it is too long."""
    metrics = QFontMetricsF(painter.font())
    shown = metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, room.width() - 28)
    height = metrics.height() + 8
    y = room.top() + 8 if top else room.bottom() - height - 8
    strip = QRectF(room.left() + 8, y, metrics.horizontalAdvance(shown) + 12, height)
    painter.setPen(Qt.PenStyle.NoPen)
    ground = QColor(STRIP[0])
    ground.setAlpha(225)
    painter.setBrush(ground)
    painter.drawRoundedRect(strip, 4, 4)
    painter.setPen(QColor(STRIP[1]))
    painter.drawText(strip, Qt.AlignmentFlag.AlignCenter, shown)
