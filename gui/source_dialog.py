"""The source picker in a dialog, for when something is being watched already."""

from PyQt6.QtWidgets import QCheckBox, QDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from gui.source_picker import SourcePicker


class SourceDialog(QDialog):
    """Does not hold up the rest of the window."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Choose what to watch")
        self.picker = SourcePicker(welcome=False)
        self._beside = QCheckBox("Beside what is watched, not in its place")
        cancel = QPushButton("Cancel")
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.hide)
        foot = QHBoxLayout()
        foot.addWidget(self._beside)
        foot.addStretch(1)
        foot.addWidget(cancel)
        column = QVBoxLayout(self)
        column.addWidget(self.picker, 1)
        column.addLayout(foot)
        self.setMinimumWidth(640)
        for button in self.findChildren(QPushButton):
            button.setAutoDefault(False)

    @property
    def beside(self) -> bool:
        """Whether what is watched shall stay."""
        return self._beside.isChecked()

    def open_for(self, *, watching: bool) -> None:
        """Show it, in front."""
        self._beside.setVisible(watching)
        self._beside.setChecked(False)
        self.show()
        self.raise_()
        self.activateWindow()
