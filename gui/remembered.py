"""What the window remembers from one start to the next; never a password."""

import json

from PyQt6.QtCore import QByteArray, QSettings

from stream_detector.errors import SourceError
from stream_detector.sources.address import SourceKind, parse_address

_HISTORY = 12
HIDDEN = "***"
"""Stands in the history where a password or a query string stood."""


class Remembered:
    """A thin layer over QSettings: names and types in one place."""

    def __init__(self, settings: QSettings) -> None:
        """Reads and writes `settings`."""
        self._settings = settings

    @property
    def history(self) -> list[str]:
        """Sources watched before, the newest first, without their secrets."""
        try:
            texts = json.loads(str(self._settings.value("history", "[]")))
        except ValueError:
            return []
        return [text for text in texts if isinstance(text, str)] if isinstance(texts, list) else []

    def watched(self, source: str) -> None:
        """Remember a source in the form that is safe to show."""
        try:
            address = parse_address(source)
        except SourceError:
            return
        if address.kind is SourceKind.DEMO:
            return
        others = [text for text in self.history if text != address.shown]
        # As one text: Qt would write a list as an opaque blob, in which nobody could look for a password.
        self._settings.setValue("history", json.dumps([address.shown, *others][:_HISTORY]))

    def forget_history(self) -> None:
        """Remember no source."""
        self._settings.remove("history")

    @property
    def appearance(self) -> str:
        """ "system", "light" or "dark"."""
        value = self._settings.value("appearance", "system")
        return value if value in ("light", "dark") else "system"

    @appearance.setter
    def appearance(self, value: str) -> None:
        self._settings.setValue("appearance", value)

    @property
    def evidence(self) -> bool:
        """Whether the evidence map is on."""
        return str(self._settings.value("evidence", "no")) == "yes"

    @evidence.setter
    def evidence(self, value: bool) -> None:
        self._settings.setValue("evidence", "yes" if value else "no")

    def layout(self, name: str) -> QByteArray | None:
        """Where windows and dividers were; None at the first start."""
        value = self._settings.value(f"layout/{name}")
        return value if isinstance(value, QByteArray) else None

    def keep_layout(self, name: str, state: QByteArray) -> None:
        """Keep where windows and dividers are."""
        self._settings.setValue(f"layout/{name}", state)

    def flush(self) -> None:
        """Write to the disk now."""
        self._settings.sync()
