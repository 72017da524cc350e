"""The ways to choose what to watch: the welcome, the dialog, a region of the screen."""

from PyQt6.QtCore import QObject, pyqtSignal
from PyQt6.QtWidgets import QWidget

from gui.cameras import list_cameras
from gui.region_picker import RegionPicker
from gui.remembered import Remembered
from gui.source_dialog import SourceDialog
from gui.source_picker import SourcePicker


class Offering(QObject):
    """Keeps every picker up to date, and tells what was picked. Belongs to Qt's thread."""

    picked = pyqtSignal(str, bool)
    """The source, and whether what is watched shall stay beside it."""

    def __init__(self, parent: QWidget, remembered: Remembered) -> None:
        super().__init__(parent)
        self._remembered = remembered
        self.welcome = SourcePicker(welcome=True)
        self.dialog = SourceDialog(parent)
        self._region: RegionPicker | None = None
        for picker in self._pickers:
            picker.picked.connect(self._pick)
            picker.region_wanted.connect(self._pick_region)
            picker.history_forgotten.connect(self._forget_history)
        self.refresh()

    def refresh(self) -> None:
        """Offer the cameras that are there now, and what was watched lately."""
        cameras = list_cameras()
        for picker in self._pickers:
            picker.offer(cameras, self._remembered.history)

    def open(self, *, watching: bool) -> None:
        """Show the dialog."""
        self.refresh()
        self.dialog.open_for(watching=watching)

    @property
    def _pickers(self) -> tuple[SourcePicker, SourcePicker]:
        return self.welcome, self.dialog.picker

    def _pick(self, source: str) -> None:
        self.picked.emit(source, self.dialog.isVisible() and self.dialog.beside)

    def _pick_region(self) -> None:
        beside = self.dialog.isVisible() and self.dialog.beside
        self.dialog.hide()
        self._region = RegionPicker()
        self._region.picked.connect(lambda source: self.picked.emit(source, beside))
        self._region.show()

    def _forget_history(self) -> None:
        self._remembered.forget_history()
        self.refresh()
