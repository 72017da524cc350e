"""Draws faces over a picture: box, sign, word, number, score and evidence map."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from gui.marks import draw_shape
from gui.palette import CHIPS, Line, Look, Tone, look_of
from gui.pictures import Veils, crop_square
from gui.view import FaceView

_PENS = {
    Line.HEAVY: (4.0, Qt.PenStyle.SolidLine),
    Line.SOLID: (2.0, Qt.PenStyle.SolidLine),
    Line.DASHED: (2.0, Qt.PenStyle.DashLine),
    Line.DOTTED: (2.0, Qt.PenStyle.DotLine),
}
_HALO = QColor(0, 0, 0, 150)
_LIGHT_HALO = QColor(255, 255, 255, 190)
_PAD = 6.0


@dataclass(frozen=True, slots=True)
class Overlay:
    """How to draw faces."""

    evidence: bool
    """Whether the evidence map lies over each face."""
    crop_margin: float
    paused: bool
    """The picture does not show what is now: no state keeps its colour."""
    font_px: int = 13
    veils: Veils = field(default_factory=Veils, compare=False, repr=False)
    """Shared by one overlay after the other, so that no map is made twice."""

    def draw(self, painter: QPainter, faces: Iterable[FaceView], picture: QRectF, scale: float) -> None:
        """Draw every face.

        Args:
            picture: where the frame lies.
            scale: drawn pixels per frame pixel.
        """
        painter.save()
        painter.setClipRect(picture)
        painter.translate(picture.topLeft())
        room = QRectF(0, 0, picture.width(), picture.height())
        faces = list(faces)
        if self.evidence:
            for face in faces:
                self._draw_evidence(painter, face, scale)
        placed: list[QRectF] = []
        for face in faces:
            look = look_of(face.record)
            box = face.record.box
            rect = QRectF(box.x0 * scale, box.y0 * scale, box.width_px * scale, box.height_px * scale)
            tone = Tone.NONE if self.paused else look.tone
            _draw_box(painter, rect, look.line, tone)
            placed.append(self._draw_chip(painter, face, look, tone, rect, room, placed))
        painter.restore()

    def _draw_evidence(self, painter: QPainter, face: FaceView, scale: float) -> None:
        evidence = face.record.evidence
        if evidence is None:
            return
        square = crop_square(face.record.box, self.crop_margin)
        side = max(1, round(square.width() * scale))
        target = QRectF(round(square.left() * scale), round(square.top() * scale), side, side)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(target, self.veils.of(evidence, side))

    def _draw_chip(
        self,
        painter: QPainter,
        face: FaceView,
        look: Look,
        tone: Tone,
        box: QRectF,
        room: QRectF,
        placed: list[QRectF],
    ) -> QRectF:
        ground, ink = CHIPS[tone]
        font = QFont(painter.font())
        font.setPixelSize(self.font_px)
        font.setBold(True)
        metrics = QFontMetricsF(font)
        score = face.record.p_fake_rolling
        number, value = f"#{face.record.face_id}", "–" if score is None else f"{score:.2f}"
        mark, line = metrics.ascent(), metrics.height()
        word_width = mark + _PAD + metrics.horizontalAdvance(look.word)
        ends = metrics.horizontalAdvance(number) + metrics.horizontalAdvance(value) + 2 * _PAD
        inner = max(word_width, ends + 3.2 * self.font_px)
        size = QRectF(0, 0, inner + 2 * _PAD, 2 * line + 1.5 * _PAD)
        chip = _place(size, box, room, placed)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(_LIGHT_HALO, 1))
        painter.setBrush(QColor(ground))
        painter.drawRoundedRect(chip, 4, 4)
        left, top = chip.left() + _PAD, chip.top() + 0.6 * _PAD
        draw_shape(painter, look.shape, QRectF(left, top + (line - mark) / 2 + 1, mark - 1, mark - 1), ink)
        painter.setFont(font)
        painter.setPen(QColor(ink))
        painter.drawText(QPointF(left + mark + _PAD, top + metrics.ascent()), look.word)
        base = top + line + metrics.ascent() + 1
        painter.drawText(QPointF(left, base), number)
        painter.drawText(QPointF(chip.right() - _PAD - metrics.horizontalAdvance(value), base), value)
        bar_left = left + metrics.horizontalAdvance(number) + _PAD
        bar_right = chip.right() - 2 * _PAD - metrics.horizontalAdvance(value)
        bar_height = 0.45 * self.font_px
        bar = QRectF(bar_left, base - bar_height - 1, bar_right - bar_left, bar_height)
        draw_bar(painter, bar, score, ink)
        return chip


def draw_bar(painter: QPainter, room: QRectF, score: float | None, colour: str) -> None:
    """A score from 0 (empty) to 1 (full); only the outline where there is none."""
    painter.setPen(QPen(QColor(colour), 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(room)
    if score is not None:
        painter.fillRect(QRectF(room.left(), room.top(), room.width() * score, room.height()), QColor(colour))


def _draw_box(painter: QPainter, rect: QRectF, line: Line, tone: Tone) -> None:
    """The box in its colour between a dark and a light line, so that it shows on any picture."""
    width, style = _PENS[line]
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(_HALO, width + 3, Qt.PenStyle.SolidLine, join=Qt.PenJoinStyle.MiterJoin))
    painter.drawRect(rect)
    painter.setPen(QPen(_LIGHT_HALO, width + 1, style, join=Qt.PenJoinStyle.MiterJoin))
    painter.drawRect(rect)
    painter.setPen(QPen(QColor(CHIPS[tone][0]), width, style, join=Qt.PenJoinStyle.MiterJoin))
    painter.drawRect(rect)


def _place(size: QRectF, box: QRectF, room: QRectF, placed: list[QRectF]) -> QRectF:
    """A place for a chip: above its box, else below, else inside, and on no other chip if possible."""
    left = min(max(box.left(), room.left() + 1), max(room.left() + 1, room.right() - size.width() - 1))
    tops = [box.top() - size.height() - 3, box.bottom() + 3, box.top() + 3, box.bottom() - size.height() - 3]
    inside = [t for t in tops if t >= room.top() and t + size.height() <= room.bottom()]
    rects = [QRectF(left, top, size.width(), size.height()) for top in inside or [room.top() + 1]]
    return next((r for r in rects if not any(r.intersects(other) for other in placed)), rects[0])
