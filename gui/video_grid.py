"""Several streams side by side; a click makes one large, another click shows all again."""

import math

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QGridLayout, QWidget

from gui.overlay import Overlay
from gui.palette import DARK, Theme
from gui.video_view import VideoView
from gui.view import View


class VideoGrid(QWidget):
    """A view per stream."""

    chosen = pyqtSignal(int)
    """The number of the stream that the user looks at now."""
    retried = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.enlarged: int | None = None
        """The stream that fills the room; None: all are shown."""
        self.selected = 0
        """The stream whose timeline and numbers are shown."""
        self._views: dict[int, VideoView] = {}
        self._theme = DARK
        self._layout = QGridLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)

    @property
    def views(self) -> list[VideoView]:
        """In order of their streams."""
        return [self._views[number] for number in sorted(self._views)]

    def set_theme(self, theme: Theme) -> None:
        """Draw in these colours from now on."""
        self._theme = theme
        for view in self._views.values():
            view.set_theme(theme)

    def show_view(self, view: View, overlay: Overlay) -> None:
        """Draw these streams from now on."""
        numbers = [stream.stream for stream in view.streams]
        if numbers != sorted(self._views):
            self._lay_out(numbers)
        for stream in view.streams:
            widget = self._views[stream.stream]
            if widget.isVisibleTo(self):
                selected = len(numbers) > 1 and stream.stream == self.selected
                widget.show_stream(stream, overlay, selected=selected)

    def enlarge(self, stream: int | None) -> None:
        """Show one stream alone, or all of them."""
        self.enlarged = stream if stream in self._views else None
        self._arrange()

    def _lay_out(self, numbers: list[int]) -> None:
        for number in set(self._views) - set(numbers):
            widget = self._views.pop(number)
            self._layout.removeWidget(widget)
            widget.deleteLater()
        for number in numbers:
            if number not in self._views:
                made = self._views[number] = VideoView(number)
                made.set_theme(self._theme)
                made.chosen.connect(self._clicked)
                made.retried.connect(self.retried)
        if self.enlarged not in self._views:
            self.enlarged = None
        if self.selected not in self._views and numbers:
            self.selected = numbers[0]
            self.chosen.emit(self.selected)
        self._arrange()

    def _arrange(self) -> None:
        columns = max(1, math.ceil(math.sqrt(len(self._views))))
        for place, number in enumerate(sorted(self._views)):
            widget = self._views[number]
            self._layout.removeWidget(widget)
            if self.enlarged in (None, number):
                row, column = (0, 0) if self.enlarged == number else divmod(place, columns)
                self._layout.addWidget(widget, row, column)
                widget.show()
            else:
                widget.hide()

    def _clicked(self, stream: int) -> None:
        self.selected = stream
        if len(self._views) > 1:
            self.enlarge(None if self.enlarged == stream else stream)
        self.chosen.emit(stream)
