"""Keeps snapshots and incidents in the user's folder, and says where."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from PyQt6.QtCore import QStandardPaths, QUrl
from PyQt6.QtGui import QDesktopServices

from gui.evidence_files import write_incident, write_snapshot
from gui.incident_log import Incident
from gui.overlay import Overlay
from gui.tuning import Tuning
from gui.view import StreamView
from stream_detector.errors import OutputError
from stream_detector.records import RunHeader


class Keeper:
    """Writes at once, in Qt's thread: a snapshot takes some 50 ms."""

    def __init__(
        self, folder: Path | None, *, say: Callable[[str], None], fail: Callable[[str], None]
    ) -> None:
        """Writes nothing yet.

        Args:
            folder: None: `stream-detector` among the user's pictures.
            say: told what was kept.
            fail: told what could not be.
        """
        self._folder = folder or _pictures() / "stream-detector"
        self._say, self._fail = say, fail

    @property
    def records(self) -> Path:
        """Where runs are recorded."""
        return self._folder / "records"

    def recording(self, run: Path | None) -> None:
        """Say where a run is recorded, or that it is no more."""
        self._say("Not recording any more" if run is None else f"Recording in {_from_home(run)}")

    def snapshot(self, stream: StreamView, header: RunHeader, tuning: Tuning, overlay: Overlay) -> None:
        """Keep the picture and the numbers of a stream."""
        now = datetime.now().astimezone()
        try:
            files = write_snapshot(self._folder, stream, header, tuning, overlay, now)
        except OutputError as error:
            self._fail(str(error))
            return
        self._say(f"Kept {files[0].name} and its numbers in {_from_home(self._folder)}")

    def export(self, incident: Incident, header: RunHeader, tuning: Tuning) -> None:
        """Write an incident to a folder of its own."""
        try:
            target = write_incident(self._folder, incident, header, tuning)
        except OutputError as error:
            self._fail(str(error))
            return
        self._say(f"Wrote {_from_home(target)}")

    def open_folder(self) -> None:
        """Show the folder in the file manager."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._fail(f"cannot make the folder {self._folder}: {error.strerror}; make room for it")
            return
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._folder)))


def _from_home(path: Path) -> str:
    """`path` in few words: ~ for the user's own folder."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _pictures() -> Path:
    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
    return Path(place) if place else Path.home()
