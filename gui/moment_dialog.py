"""One moment of one face, large: what the model saw, where it looked, and what was said."""

import numpy as np
import numpy.typing as npt
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QPixmap
from PyQt6.QtWidgets import QDialog, QGridLayout, QLabel, QPushButton, QWidget

from gui.history import Moment
from gui.palette import LOOKS, look_of
from gui.pictures import scaled, to_qimage, with_evidence
from gui.video_view import EVIDENCE_CAPTION, clock
from stream_detector.records import FaceScore, Image

_SIDE_PX = 260


class MomentDialog(QDialog):
    """Shows one moment; does not hold up the rest of the window."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._crop = _picture_label("the crop that was scored")
        self._map = _picture_label("the same crop with the evidence map")
        self._words = QLabel()
        self._words.setObjectName("large")
        self._words.setTextFormat(Qt.TextFormat.PlainText)
        caption = QLabel(EVIDENCE_CAPTION)
        caption.setObjectName("muted")
        caption.setWordWrap(True)
        self._close = QPushButton("Close")
        self._close.clicked.connect(self.close)
        layout = QGridLayout(self)
        layout.setContentsMargins(16, 16, 16, 16)
        layout.setSpacing(12)
        layout.addWidget(self._words, 0, 0, 1, 2)
        layout.addWidget(self._crop, 1, 0)
        layout.addWidget(self._map, 1, 1)
        layout.addWidget(caption, 2, 0, 1, 2)
        layout.addWidget(self._close, 3, 1, Qt.AlignmentFlag.AlignRight)

    @property
    def words(self) -> str:
        """What it says of the moment."""
        return self._words.text()

    def show_moment(self, face: int, title: str, moment: Moment) -> None:
        """Show a moment of a stream's history, in front."""
        self._show(
            face=face,
            title=title,
            pts_s=moment.pts_s,
            word=LOOKS[moment.state].word,
            p_fake=moment.p_fake,
            p_fake_rolling=moment.p_fake_rolling,
            crop=moment.crop(),
            evidence=moment.evidence,
        )

    def show_record(self, title: str, record: FaceScore) -> None:
        """Show what a record was made from, in front; nothing where the face was not scored."""
        if record.pixels is None or record.evidence is None:
            return
        self._show(
            face=record.face_id,
            title=title,
            pts_s=record.pts_s,
            word=look_of(record).word,
            p_fake=record.p_fake,
            p_fake_rolling=record.p_fake_rolling,
            crop=record.pixels,
            evidence=record.evidence,
        )

    def _show(
        self,
        *,
        face: int,
        title: str,
        pts_s: float,
        word: str,
        p_fake: float | None,
        p_fake_rolling: float | None,
        crop: Image,
        evidence: npt.NDArray[np.float32],
    ) -> None:
        rolling = "no rolling score" if p_fake_rolling is None else f"rolling {p_fake_rolling:.2f}"
        alone = "" if p_fake is None else f", this frame alone {p_fake:.2f}"
        self._words.setText(f"Face #{face} at {clock(pts_s)}: {word}, {rolling}{alone}")
        self.setWindowTitle(f"Face #{face} at {clock(pts_s)} – {title}")
        ratio = self.devicePixelRatioF()
        side_px = round(_SIDE_PX * ratio)
        for label, image in ((self._crop, crop), (self._map, with_evidence(crop, evidence))):
            pixmap = QPixmap.fromImage(to_qimage(scaled(image, side_px, side_px)))
            pixmap.setDevicePixelRatio(ratio)
            label.setPixmap(pixmap)
        self.show()
        self.raise_()


def _picture_label(name: str) -> QLabel:
    label = QLabel()
    label.setFixedSize(_SIDE_PX, _SIDE_PX)
    label.setAccessibleName(name)
    return label
