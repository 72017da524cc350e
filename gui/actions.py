"""Every command of the window: its words, its key, and what it does."""

from collections.abc import Callable
from dataclasses import dataclass

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QAction, QActionGroup, QKeySequence
from PyQt6.QtWidgets import QMainWindow, QMenu, QSizePolicy, QToolBar, QToolButton, QWidget


@dataclass(frozen=True, slots=True)
class Command:
    """One thing the user can do."""

    name: str
    text: str
    key: str
    tip: str
    toggles: bool = False
    compact: bool = False
    """Whether the small window keeps its button."""


COMMANDS = (
    Command("source", "Source", "Ctrl+O", "Choose what to watch"),
    Command("stop", "Stop", "Ctrl+.", "Stop watching"),
    Command("pause", "Pause", "P", "Hold the picture; watching goes on", toggles=True, compact=True),
    Command("snapshot", "Snapshot", "Ctrl+S", "Keep this picture and its numbers", compact=True),
    Command("record", "Record", "Ctrl+R", "Keep a log, and the video of every alarm", toggles=True),
    Command("evidence", "Evidence map", "E", "Where the model looks: a hint, not proof", toggles=True),
    Command("tuning", "Tuning", "T", "Uncertain band and half-life"),
    Command("compact", "Compact", "C", "Small, and always on top", toggles=True, compact=True),
)
MENU_COMMANDS = (
    Command("retry", "Try the source again", "R", "Begin anew with the same sources"),
    Command("all", "Show all streams", "Esc", "Leave the enlarged stream, or the compact window"),
    Command("full", "Full screen", "F11", "", toggles=True),
    Command("folder", "Open the snapshot folder", "", ""),
    Command("keys", "Keyboard shortcuts", "F1", ""),
    Command("about", "About", "", ""),
)
APPEARANCES = (("system", "As the system"), ("light", "Light"), ("dark", "Dark"))


class Actions:
    """Makes the actions of `COMMANDS` and `MENU_COMMANDS`, and a tool bar that offers them."""

    def __init__(self, window: QMainWindow, appearance: str, choose: Callable[[str], None]) -> None:
        """`choose` is called with "system", "light" or "dark"."""
        self._actions: dict[str, QAction] = {}
        self.bar = QToolBar("Commands")
        self.bar.setMovable(False)
        self.bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self._full: list[QAction] = []
        for command in COMMANDS:
            action = self._make(window, command)
            if command.name in ("pause", "evidence"):
                separator = self.bar.addSeparator()
                if separator is not None and not command.compact:
                    self._full.append(separator)
            self.bar.addAction(action)
            if not command.compact:
                self._full.append(action)
        spacer = QWidget()
        spacer.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.bar.addWidget(spacer)
        more = QToolButton()
        more.setText("More")
        more.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(more)
        for command in MENU_COMMANDS[:3]:
            menu.addAction(self._make(window, command))
        look = menu.addMenu("Appearance")
        assert look is not None
        group = QActionGroup(menu)
        for name, text in APPEARANCES:
            action = QAction(text, menu)
            action.setCheckable(True)
            action.setChecked(name == appearance)
            action.triggered.connect(lambda _checked, name=name: choose(name))
            group.addAction(action)
            look.addAction(action)
        menu.addSeparator()
        for command in MENU_COMMANDS[3:]:
            menu.addAction(self._make(window, command))
        more.setMenu(menu)
        more_action = self.bar.addWidget(more)
        if more_action is not None:
            self._full.append(more_action)

    def __getitem__(self, name: str) -> QAction:
        return self._actions[name]

    def show_compact(self, compact: bool) -> None:
        """Keep only the buttons of the small window."""
        for action in self._full:
            # Hiding an action would take its key away as well.
            widget = self.bar.widgetForAction(action)
            if widget is not None:
                action.setVisible(True)
                widget.setVisible(not compact)

    def _make(self, window: QMainWindow, command: Command) -> QAction:
        action = QAction(command.text, window)
        action.setCheckable(command.toggles)
        if command.key:
            action.setShortcut(QKeySequence(command.key))
        action.setToolTip(f"{command.tip or command.text} ({command.key})" if command.key else command.text)
        window.addAction(action)
        self._actions[command.name] = action
        return action


def keys_text() -> str:
    """Every key and what it does, a line each."""
    keyed = [command for command in (*COMMANDS, *MENU_COMMANDS) if command.key]
    return "\n".join(f"{command.key}\t{command.tip or command.text}" for command in keyed)
