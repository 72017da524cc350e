"""The incidents panel: when a face raised the alarm, how high its score went, and what to do with it."""

from PyQt6.QtCore import QSize, Qt, pyqtSignal
from PyQt6.QtGui import QIcon, QPixmap
from PyQt6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui.incident_log import INCIDENTS_KEPT, Incident, IncidentLog
from gui.pictures import scaled, to_qimage
from gui.video_view import clock

EMPTY = "No incident.\nEvery time a face raises the alarm, it is noted here."
_ICON_PX = 44


class IncidentsPanel(QWidget):
    """The newest incident first."""

    shown = pyqtSignal(int)
    """The number of the incident that shall be looked at."""
    exported = pyqtSignal(int)
    """The number of the incident that shall be written to a folder."""
    folder_opened = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self._drawn: dict[int, Incident] = {}
        self._empty = QLabel(EMPTY)
        self._empty.setObjectName("empty")
        self._empty.setWordWrap(True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.list = QListWidget()
        self.list.setIconSize(QSize(_ICON_PX, _ICON_PX))
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.itemActivated.connect(lambda item: self.shown.emit(_number(item)))
        self.list.itemClicked.connect(lambda item: self.shown.emit(_number(item)))
        self._older = QLabel()
        self._older.setObjectName("muted")
        self._export = QPushButton("Export …")
        self._export.setToolTip(
            "Write the chosen incident's crop, evidence map, picture and numbers to a folder"
        )
        self._export.clicked.connect(self._export_chosen)
        self._folder = QPushButton("Open folder")
        self._folder.setToolTip("The folder of snapshots and exported incidents")
        self._folder.clicked.connect(self.folder_opened)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(10, 8, 10, 10)
        buttons.setSpacing(8)
        buttons.addWidget(self._export)
        buttons.addWidget(self._folder)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._empty, 1)
        layout.addWidget(self.list, 1)
        layout.addWidget(self._older)
        layout.addLayout(buttons)
        self.show_log(IncidentLog())

    def show_log(self, log: IncidentLog) -> None:
        """Draw these incidents; the chosen one stays chosen."""
        incidents = log.newest_first
        kept = {incident.number for incident in incidents}
        for row in reversed(range(self.list.count())):
            item = self.list.item(row)
            if item is not None and _number(item) not in kept:
                self._drawn.pop(_number(item), None)
                self.list.takeItem(row)
        for incident in reversed(incidents):
            drawn = self._drawn.get(incident.number)
            if drawn is incident:
                continue
            if drawn is None:
                item = QListWidgetItem(_icon(incident), "")
                item.setData(Qt.ItemDataRole.UserRole, incident.number)
                self.list.insertItem(0, item)
            else:
                item = self._item(incident.number)
            item.setText(_words(incident))
            item.setToolTip(f"{incident.title}, {incident.at:%Y-%m-%d %H:%M:%S}")
            self._drawn[incident.number] = incident
        if self.list.count() and self.list.currentRow() < 0:
            self.list.setCurrentRow(0)
        self._empty.setVisible(not incidents)
        self.list.setVisible(bool(incidents))
        self._export.setEnabled(bool(incidents))
        self._older.setText(f"  The newest {INCIDENTS_KEPT} of {log.count}")
        self._older.setVisible(log.count > len(incidents))

    def _item(self, number: int) -> QListWidgetItem:
        items = (self.list.item(row) for row in range(self.list.count()))
        return next(item for item in items if item is not None and _number(item) == number)

    def _export_chosen(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            self.exported.emit(_number(item))


def _number(item: QListWidgetItem) -> int:
    return int(item.data(Qt.ItemDataRole.UserRole))


def _icon(incident: Incident) -> QIcon:
    pixels = incident.record.pixels
    icon = QIcon()
    if pixels is not None:
        side_px = 2 * _ICON_PX  # sharp at twice the size, and no more than that in memory
        pixmap = QPixmap.fromImage(to_qimage(scaled(pixels, side_px, side_px)))
        for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):  # a chosen face must not change its colours
            icon.addPixmap(pixmap, mode)
    return icon


def _words(incident: Incident) -> str:
    until = "now" if incident.lasting else clock(incident.last_s)
    return (
        f"{incident.at:%H:%M:%S}  face #{incident.record.face_id}  peak {incident.peak:.2f}\n"
        f"{clock(incident.record.pts_s)}–{until}  {incident.title}"
    )
