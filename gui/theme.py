"""Puts a theme's colours on the application; light or dark is the system's choice, or the user's."""

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor, QGuiApplication, QPalette
from PyQt6.QtWidgets import QApplication

from gui.palette import DARK, LIGHT, Theme, Tone

_SHEET = """
QToolTip {{ background: {raised}; color: {text}; border: 1px solid {control}; padding: 4px; }}
QMainWindow, QDialog {{ background: {window}; }}
QToolBar {{
  background: {window};
  border: none;
  border-bottom: 1px solid {border};
  padding: 6px 8px;
  spacing: 6px;
}}
QToolBar QToolButton {{
  padding: 6px 10px;
  border-radius: 6px;
  border: 1px solid transparent;
  color: {text};
}}
QToolBar QToolButton:hover {{ background: {raised}; }}
QToolBar QToolButton:focus {{ border-color: {accent}; }}
QToolBar QToolButton:checked {{ background: {accent_fill}; color: {accent_text}; }}
QToolBar QToolButton:disabled {{ color: {control}; }}
QToolBar::separator {{ background: {border}; width: 1px; margin: 4px 4px; }}
QStatusBar {{ background: {window}; color: {muted}; border-top: 1px solid {border}; }}
QStatusBar::item {{ border: none; }}
QStatusBar QLabel {{ color: {muted}; padding: 3px 10px; }}
QPushButton {{
  background: {raised};
  color: {text};
  border: 1px solid {control};
  border-radius: 6px;
  padding: 6px 14px;
}}
QPushButton:hover {{ border-color: {accent}; }}
QPushButton:focus {{ border: 2px solid {accent}; padding: 5px 13px; }}
QPushButton:disabled {{ color: {control}; border-color: {border}; }}
QPushButton#primary {{
  background: {accent_fill};
  color: {accent_text};
  border-color: {accent_fill};
  font-weight: bold;
  padding: 8px 18px;
}}
QPushButton#link {{
  background: transparent;
  border: none;
  color: {accent};
  padding: 2px;
  text-decoration: underline;
}}
QPushButton#link:focus {{ border: 1px solid {accent}; }}
QComboBox, QDoubleSpinBox, QLineEdit {{
  placeholder-text-color: {muted};
  background: {surface};
  color: {text};
  border: 1px solid {control};
  border-radius: 6px;
  padding: 5px 8px;
  selection-background-color: {accent_fill};
  selection-color: {accent_text};
}}
QComboBox:focus, QDoubleSpinBox:focus, QLineEdit:focus {{ border-color: {accent}; }}
QComboBox:disabled {{ color: {control}; }}
QComboBox QLineEdit {{ border: none; padding: 0; }}
QComboBox QAbstractItemView {{ background: {surface}; color: {text}; }}
QComboBox::drop-down {{ border: none; width: 24px; }}
QLabel#title {{ font-size: 22px; font-weight: bold; }}
QLabel#large {{ font-size: 15px; font-weight: bold; }}
QLabel#muted {{ color: {muted}; }}
QStatusBar QLabel#recording {{ color: {text}; font-weight: bold; }}
QLabel#empty {{ color: {muted}; padding: 20px; }}
QLabel#complaint {{ color: {fake}; }}
QLabel#heading {{
  background: {surface};
  color: {text};
  font-weight: bold;
  padding: 8px 10px 6px 10px;
  border-bottom: 1px solid {border};
}}
QFrame#picker {{ background: {surface}; border: none; }}
QFrame#panel, QFrame#panel QWidget {{ background: {surface}; }}
QFrame#panel QPushButton {{ background: {raised}; }}
QFrame#error {{ background: {error_fill}; }}
QFrame#error QLabel {{ color: {error_text}; }}
QListWidget {{ background: {surface}; color: {text}; border: none; outline: none; }}
QListWidget::item {{
  padding: 6px 8px; border-bottom: 1px solid {border}; border-left: 3px solid transparent;
}}
QScrollBar:vertical {{ background: {surface}; width: 10px; margin: 0; }}
QScrollBar::handle:vertical {{ background: {control}; border-radius: 4px; min-height: 32px; margin: 1px; }}
QScrollBar::add-line, QScrollBar::sub-line, QScrollBar::add-page, QScrollBar::sub-page {{
  background: none; height: 0;
}}
QListWidget::item:selected {{ background: {raised}; color: {text}; border-left: 3px solid {accent}; }}
QScrollArea {{ border: none; background: {surface}; }}
QSplitter::handle {{ background: {border}; }}
"""


def chosen_theme(appearance: str) -> Theme:
    """The theme for "light", "dark" or "system"."""
    if appearance != "system":
        return LIGHT if appearance == "light" else DARK
    hints = QGuiApplication.styleHints()
    light = hints is not None and hints.colorScheme() == Qt.ColorScheme.Light
    return LIGHT if light else DARK


def apply_theme(application: QApplication, theme: Theme) -> None:
    """Colour every widget of `application`."""
    palette = QPalette()
    role = QPalette.ColorRole
    for where, colour in (
        (role.Window, theme.window),
        (role.WindowText, theme.text),
        (role.Base, theme.surface),
        (role.AlternateBase, theme.raised),
        (role.Text, theme.text),
        (role.Button, theme.raised),
        (role.ButtonText, theme.text),
        (role.ToolTipBase, theme.raised),
        (role.ToolTipText, theme.text),
        (role.PlaceholderText, theme.muted),
        (role.Highlight, theme.accent_fill),
        (role.HighlightedText, theme.accent_text),
        (role.Link, theme.accent),
    ):
        palette.setColor(where, QColor(colour))
    for where in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, where, QColor(theme.control))
    application.setPalette(palette)
    colours = {name: value for name in Theme.__slots__ if isinstance(value := getattr(theme, name), str)}
    application.setStyleSheet(_SHEET.format(fake=theme.inks[Tone.FAKE], **colours))
