"""Where the widgets of the window lie."""

from PyQt6.QtCore import QByteArray, Qt
from PyQt6.QtWidgets import QFrame, QLabel, QSplitter, QStackedWidget, QVBoxLayout, QWidget


class Arrangement(QWidget):
    """Above the error bar; below it the picker alone, or pictures and timeline with the panels beside."""

    def __init__(
        self,
        *,
        error_bar: QWidget,
        picker: QWidget,
        pictures: QWidget,
        timeline: QWidget,
        faces: QWidget,
        incidents: QWidget,
    ) -> None:
        super().__init__()
        self._timeline = timeline
        down = QSplitter(Qt.Orientation.Vertical)
        down.addWidget(pictures)
        down.addWidget(timeline)
        down.setSizes([560, 170])
        down.setStretchFactor(0, 1)
        self._side = QSplitter(Qt.Orientation.Vertical)
        self._side.addWidget(_panel("Faces in view", faces))
        self._side.addWidget(_panel("Incidents", incidents))
        self._side.setSizes([360, 360])
        self._across = QSplitter(Qt.Orientation.Horizontal)
        self._across.addWidget(down)
        self._across.addWidget(self._side)
        self._across.setSizes([930, 350])
        self._across.setStretchFactor(0, 1)
        for splitter in (down, self._side, self._across):
            splitter.setHandleWidth(1)
            splitter.setChildrenCollapsible(False)
        self._pages = QStackedWidget()
        self._pages.addWidget(picker)
        self._pages.addWidget(self._across)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(error_bar)
        column.addWidget(self._pages, 1)

    @property
    def shows_picker(self) -> bool:
        """Whether nothing was watched yet."""
        return self._pages.currentIndex() == 0

    def show_picker(self, on: bool) -> None:
        """The picker, or what is watched."""
        self._pages.setCurrentIndex(0 if on else 1)

    def show_compact(self, on: bool) -> None:
        """Only the pictures, or everything."""
        self._side.setVisible(not on)
        self._timeline.setVisible(not on)

    def dividers(self) -> QByteArray:
        """Where the user put the divider between pictures and panels."""
        return self._across.saveState()

    def restore_dividers(self, state: QByteArray) -> None:
        """Put it there again."""
        self._across.restoreState(state)


def _panel(heading: str, content: QWidget) -> QFrame:
    frame = QFrame()
    frame.setObjectName("panel")
    label = QLabel(heading)
    label.setObjectName("heading")
    column = QVBoxLayout(frame)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(label)
    column.addWidget(content, 1)
    frame.setMinimumWidth(280)
    return frame
