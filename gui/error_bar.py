"""The bar that says what went wrong, in the sentence the command line would print."""

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QApplication, QFrame, QHBoxLayout, QLabel, QPushButton


class ErrorBar(QFrame):
    """Hidden until there is something to say."""

    retried = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("error")
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.retry = QPushButton("Try again")
        self.retry.clicked.connect(self.retried)
        self.copy = QPushButton("Copy")
        self.copy.clicked.connect(self._copy)
        self.dismiss = QPushButton("Dismiss")
        self.dismiss.clicked.connect(self.hide)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.addWidget(self._text, 1)
        for button in (self.retry, self.copy, self.dismiss):
            layout.addWidget(button)
        self.hide()

    @property
    def sentence(self) -> str:
        """What it says; empty while it is hidden."""
        return self._text.text() if self.isVisibleTo(self.parentWidget()) else ""

    def say(self, sentence: str, *, can_retry: bool) -> None:
        """Show a sentence, without secrets."""
        self._text.setText(sentence)
        self.retry.setVisible(can_retry)
        self.show()

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self._text.text())
