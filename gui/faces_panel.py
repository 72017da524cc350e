"""Every face in view: what the model saw of it, its state and score in words and numbers."""

from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QImage, QPainter, QPaintEvent
from PyQt6.QtWidgets import QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from gui.marks import draw_shape
from gui.overlay import draw_bar
from gui.palette import DARK, STRIP, Shape, Theme, Tone, look_of
from gui.pictures import scaled, to_qimage
from gui.video_view import clock
from gui.view import FaceView, View
from stream_detector.records import Image

_THUMBNAIL_PX = 64
_ROW_PX = 84
EMPTY = "No face in view.\nThat says nothing about the picture: only faces are judged."


class FacesPanel(QWidget):
    """A row per face, the streams one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._theme = DARK
        self._rows: dict[tuple[int, int], FaceRow] = {}
        self._empty = QLabel(EMPTY)
        self._empty.setObjectName("empty")
        self._empty.setWordWrap(True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        inside = QWidget()
        self._list = QVBoxLayout(inside)
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(0)
        self._list.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setWidget(inside)
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._scroll)
        layout.addWidget(self._empty, 1)
        self.show_view(View(None, (), running=False), paused=False)

    @property
    def rows(self) -> "list[FaceRow]":
        """In the order in which they are shown."""
        return [self._rows[key] for key in sorted(self._rows)]

    def set_theme(self, theme: Theme) -> None:
        """Draw in these colours from now on."""
        self._theme = theme
        for row in self._rows.values():
            row.set_theme(theme)

    def show_view(self, view: View, *, paused: bool) -> None:
        """Draw these faces from now on."""
        faces = {face.key: face for stream in view.streams for face in stream.faces}
        several = len(view.streams) > 1
        for key in set(self._rows) - set(faces):
            row = self._rows.pop(key)
            self._list.removeWidget(row)
            row.deleteLater()
        for key in sorted(set(faces) - set(self._rows)):
            self._rows[key] = row = FaceRow()
            row.set_theme(self._theme)
            self._list.insertWidget(sorted(self._rows).index(key), row)
        for key, face in faces.items():
            title = f"#{key[1]}"
            if several:
                stream = view.stream(key[0])
                title += f"  {stream.title}" if stream else ""
            self._rows[key].show_face(face, title, paused=paused)
        self._empty.setVisible(not faces)
        self._scroll.setVisible(bool(faces))


class FaceRow(QWidget):
    """One face."""

    def __init__(self) -> None:
        super().__init__()
        self._face: FaceView | None = None
        self._title = ""
        self._paused = False
        self._theme = DARK
        self._thumbnails: dict[str, tuple[Image, QImage]] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """As high as its thumbnails and some room."""
        return QSize(280, _ROW_PX)

    def set_theme(self, theme: Theme) -> None:
        """Draw in these colours from now on."""
        self._theme = theme
        self.update()

    def show_face(self, face: FaceView, title: str, *, paused: bool) -> None:
        """Draw this face from now on."""
        new = (face.record, title, paused)
        if self._face is not None and new == (self._face.record, self._title, self._paused):
            return
        self._face, self._title, self._paused = face, title, paused
        self.setAccessibleName(self.words())
        self.setToolTip("Left: the newest crop that was scored. Right: the one that spoke most for a fake.")
        self.update()

    def words(self) -> str:
        """All that the row says, for screen readers."""
        face = self._face
        if face is None:
            return ""
        score = face.record.p_fake_rolling
        said = "no score" if score is None else f"rolling fake score {score:.2f}"
        return f"{self._title}: {look_of(face.record).word}, {said}"

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draws the newest crop, the words, and the crop that spoke most for a fake."""
        face, theme = self._face, self._theme
        if face is None:
            return
        painter = QPainter(self)
        look = look_of(face.record)
        ink = theme.inks[Tone.NONE if self._paused else look.tone]
        top = (_ROW_PX - _THUMBNAIL_PX) // 2
        self._draw_thumbnail(painter, "newest", face.crop, 10, top)
        best = face.best.pixels if face.best else None
        right = self.width() - 10
        if best is not None and self.width() > 270:
            self._draw_thumbnail(painter, "best", best, right - _THUMBNAIL_PX, top)
            assert face.best is not None
            self._draw_caption(painter, f"most {face.best.p_fake or 0.0:.2f}", right - _THUMBNAIL_PX, top)
            right -= _THUMBNAIL_PX + 10
        left = 10 + _THUMBNAIL_PX + 12
        large = QFont(self.font())
        large.setPixelSize(14)
        large.setBold(True)
        small = QFont(self.font())
        small.setPixelSize(12)
        painter.setFont(large)
        draw_shape(painter, look.shape, QRectF(left, top + 3, 12, 12), ink)
        score = face.record.p_fake_rolling
        value = "–" if score is None else f"{score:.2f}"
        metrics = painter.fontMetrics()
        value_width = metrics.horizontalAdvance("0.00")
        painter.setPen(QColor(ink))
        word = metrics.elidedText(
            look.word, Qt.TextElideMode.ElideRight, int(right - left - 26 - value_width)
        )
        painter.drawText(left + 19, top + 14, word)
        painter.drawText(int(right - metrics.horizontalAdvance(value)), top + 14, value)
        draw_bar(painter, QRectF(left, top + 23, right - left, 7), score, ink)
        painter.setFont(small)
        painter.setPen(QColor(theme.text))
        metrics = painter.fontMetrics()
        title = metrics.elidedText(self._title, Qt.TextElideMode.ElideRight, int(right - left))
        painter.drawText(left, top + 46, title)
        seen_s = face.record.pts_s - face.first_s
        painter.setPen(QColor(theme.muted))
        painter.drawText(left, top + 62, f"seen {clock(seen_s)} · {face.scores} scores")
        painter.setPen(QColor(theme.border))
        painter.drawLine(10, _ROW_PX - 1, self.width() - 10, _ROW_PX - 1)

    def _draw_caption(self, painter: QPainter, text: str, x: float, y: float) -> None:
        """A line over the lower edge of a thumbnail."""
        font = QFont(self.font())
        font.setPixelSize(10)
        painter.setFont(font)
        strip = QRectF(x, y + _THUMBNAIL_PX - 14, _THUMBNAIL_PX, 14)
        painter.fillRect(strip, QColor(STRIP[0]))
        painter.setPen(QColor(STRIP[1]))
        painter.drawText(strip, Qt.AlignmentFlag.AlignCenter, text)

    def _draw_thumbnail(self, painter: QPainter, name: str, pixels: Image | None, x: int, y: int) -> None:
        room = QRectF(x, y, _THUMBNAIL_PX, _THUMBNAIL_PX)
        if pixels is None:
            painter.fillRect(room, QColor(self._theme.raised))
            draw_shape(painter, Shape.DASH, room.adjusted(22, 22, -22, -22), self._theme.muted)
            return
        kept = self._thumbnails.get(name)
        if kept is None or kept[0] is not pixels:
            side_px = round(_THUMBNAIL_PX * self.devicePixelRatioF())
            kept = self._thumbnails[name] = (pixels, to_qimage(scaled(pixels, side_px, side_px)))
        painter.drawImage(room, kept[1])
