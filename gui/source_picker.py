"""Choose what to watch: the demo, a camera, the screen, a file, an address."""

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui.cameras import Camera
from gui.choice import Choice
from gui.remembered import HIDDEN
from stream_detector.errors import SourceError
from stream_detector.sources.address import parse_address

_FILES = "Videos (*.mp4 *.mkv *.mov *.avi *.webm *.m4v *.ts *.flv *.wmv);;All files (*)"
_WIDTH_PX = 680


class SourcePicker(QFrame):
    """One page; stands in the empty window, and in a dialog when something is being watched."""

    picked = pyqtSignal(str)
    """A source as `stream-detector watch` takes it; may hold a password."""
    region_wanted = pyqtSignal()
    history_forgotten = pyqtSignal()

    def __init__(self, *, welcome: bool) -> None:
        """`welcome`: whether to say what the program is."""
        super().__init__()
        self.setObjectName("picker")
        self.demo = QPushButton("Watch the demo")
        self.demo.setObjectName("primary")
        self.demo.clicked.connect(lambda: self.picked.emit("demo:"))
        self.camera = Choice()
        self.watch_camera = QPushButton("Watch")
        self.watch_camera.clicked.connect(lambda: self.picked.emit(str(self.camera.currentData())))
        screen = QPushButton("Whole screen")
        screen.clicked.connect(lambda: self.picked.emit("screen:"))
        region = QPushButton("Part of the screen …")
        region.clicked.connect(self.region_wanted)
        file = QPushButton("Open a file …")
        file.clicked.connect(self._choose_file)
        self.address = Choice()
        self.address.setEditable(True)
        self.address.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.address.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        edit = self.address.lineEdit()
        assert edit is not None
        self._edit = edit
        edit.setPlaceholderText("rtsp://camera.local/stream, https://…, or a path")
        edit.returnPressed.connect(self._watch_address)
        self.address.activated.connect(self._select_hidden)
        self.watch_address = QPushButton("Watch")
        self.watch_address.clicked.connect(self._watch_address)
        self.complaint = QLabel()
        self.complaint.setObjectName("complaint")
        self.complaint.setWordWrap(True)
        self.complaint.hide()
        forget = QPushButton("Forget these addresses")
        forget.setObjectName("link")
        forget.clicked.connect(self.history_forgotten)

        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(14)
        grid.setColumnStretch(1, 1)
        for row, (name, widgets) in enumerate(
            (
                ("Camera", (self.camera, self.watch_camera)),
                ("Screen", (screen, region)),
                ("File", (file, _label("or drop one anywhere on the window", "muted"))),
                ("Address", (self.address, self.watch_address)),
            )
        ):
            grid.addWidget(_label(name), row, 0)
            line = QHBoxLayout()
            line.setSpacing(8)
            for place, widget in enumerate(widgets):
                line.addWidget(widget, 1 if isinstance(widget, QComboBox) else 0)
                if place == 1 and not isinstance(widgets[0], QComboBox):
                    line.addStretch(1)
            grid.addLayout(line, row, 1)
        notes = QHBoxLayout()
        notes.addWidget(_muted("Passwords are used, never kept and never shown."), 1)
        notes.addWidget(forget)
        grid.addLayout(notes, 4, 1)
        grid.addWidget(self.complaint, 5, 1)

        inner = QWidget()
        inner.setMaximumWidth(_WIDTH_PX)
        column = QVBoxLayout(inner)
        column.setContentsMargins(24, 24, 24, 24)
        column.setSpacing(12)
        if welcome:
            column.addWidget(_label("How much does that face look manipulated?", "title"))
            lead = _label(
                "Watch a camera, a call on the screen, a stream or a file. Every face gets a rolling fake "
                "score: a hint for your own eyes, not proof. Nothing leaves this computer."
            )
            lead.setWordWrap(True)
            column.addWidget(lead)
            column.addSpacing(6)
        demo = QHBoxLayout()
        demo.addWidget(self.demo)
        demo.addWidget(_muted("A portrait, real at first, tampered with from the middle on. 12 seconds."), 1)
        column.addLayout(demo)
        column.addSpacing(10)
        column.addLayout(grid)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addStretch(1)
        middle = QHBoxLayout()
        middle.addStretch(1)
        middle.addWidget(inner, 8)
        middle.addStretch(1)
        outer.addLayout(middle)
        outer.addStretch(1)

    def offer(self, cameras: list[Camera], history: list[str]) -> None:
        """What there is to choose from."""
        self.camera.clear()
        for camera in cameras:
            self.camera.addItem(camera.name, camera.source)
        if not cameras:
            self.camera.addItem("no camera found", "")
        self.camera.setEnabled(bool(cameras))
        self.watch_camera.setEnabled(bool(cameras))
        self.address.clear()
        self.address.addItems(history)
        self.address.setCurrentIndex(-1)
        self._edit.clear()
        self.complain("")

    def complain(self, sentence: str) -> None:
        """Say why an address will not do."""
        self.complaint.setText(sentence)
        self.complaint.setVisible(bool(sentence))

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Watch a file", "", _FILES)
        if path:
            self.picked.emit(path)

    def _watch_address(self) -> None:
        text = self._edit.text().strip()
        if not text:
            self.complain("Type an address first, such as rtsp://camera.local/stream.")
            return
        if HIDDEN in text:
            self.complain(f"Type the password or query in place of {HIDDEN}: it was not kept.")
            self._select_hidden()
            return
        try:
            parse_address(text)
        except SourceError as error:
            self.complain(str(error))
            return
        self.complain("")
        self.picked.emit(text)
        self._edit.clear()  # it may hold a password

    def _select_hidden(self) -> None:
        """Mark what was left out of the history, so that typing replaces it."""
        at = self._edit.text().find(HIDDEN)
        if at >= 0:
            self._edit.setFocus()
            self._edit.setSelection(at, len(HIDDEN))


def _label(text: str, name: str = "") -> QLabel:
    label = QLabel(text)
    label.setObjectName(name)
    return label


def _muted(text: str) -> QLabel:
    label = _label(text, "muted")
    label.setWordWrap(True)
    label.setAlignment(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
    return label
