"""The window: puts the widgets together, and says what each command does."""

from collections.abc import Callable, Mapping
from pathlib import Path

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QGuiApplication,
    QShowEvent,
)
from PyQt6.QtWidgets import (
    QApplication,
    QDialog,
    QMainWindow,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from gui.actions import Actions, keys_text
from gui.arrangement import Arrangement
from gui.bridge import Bridge
from gui.error_bar import ErrorBar
from gui.faces_panel import FacesPanel
from gui.hud import Hud
from gui.incidents import IncidentsPanel
from gui.keeping import Keeper
from gui.moment_dialog import MomentDialog
from gui.offering import Offering
from gui.overlay import Overlay
from gui.pictures import Veils
from gui.remembered import Remembered
from gui.theme import apply_theme, chosen_theme
from gui.timeline import Timeline
from gui.tuning import Tuning, TuningPanel
from gui.video_grid import VideoGrid
from gui.view import IDLE, View
from stream_detector import __version__
from stream_detector.errors import StreamDetectorError
from stream_detector.evidence.options import RecordOptions
from stream_detector.records import RunHeader
from stream_detector.settings import Settings, make_settings

_PANELS_EVERY = 5
"""The panels and the timeline are drawn at every so many pictures: 6 times a second."""
_NOTE_MS = 6000
_COMPACT = QSize(420, 300)
_ABOUT = (
    "It watches video for faces that look manipulated, on this computer alone. A score is a hint for a "
    "person who then looks closer; it is not proof, and the present model is weak.\n\n"
    "The program is under the Apache licence 2.0. The window uses PyQt6, which is under the GPL 3."
)


class Window(QMainWindow):
    """Everything the user sees. Belongs to Qt's thread."""

    def __init__(
        self,
        remembered: Remembered,
        *,
        options: Mapping[str, object] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Watches nothing yet.

        Args:
            remembered: from the last start.
            options: named values of `Settings` for every run, but for its sources; files play at their own
                speed unless they say otherwise.
            folder: for snapshots; None: `stream-detector` among the user's pictures.
        """
        super().__init__()
        self._remembered = remembered
        self._options = {"realtime": True, **(options or {})}
        self._view: View = IDLE
        self._held: View | None = None
        self._veils = Veils()
        self._turn = 0
        self.all_stopped = True
        """Whether every thread came back when the window was closed."""
        self.bridge = Bridge(self)
        self.error_bar = ErrorBar()
        self.grid = VideoGrid()
        self.timeline = Timeline()
        self.faces = FacesPanel()
        self.incidents = IncidentsPanel()
        self.hud = Hud()
        self.tuning = TuningPanel()
        self.moment = MomentDialog(self)
        self.offering = Offering(self, remembered)
        self._keeper = Keeper(folder, say=lambda note: self.hud.showMessage(note, _NOTE_MS), fail=self._fail)
        self._arrangement = Arrangement(
            error_bar=self.error_bar,
            picker=self.offering.welcome,
            pictures=self.grid,
            timeline=self.timeline,
            faces=self.faces,
            incidents=self.incidents,
        )
        self._tuning_dialog = _dialog(self, "Tuning", self.tuning)
        self.actions_ = Actions(self, remembered.appearance, self._choose_appearance)
        self._lay_out()
        self._connect()
        self.apply_appearance()
        self._show_picker(True)

    def watch(self, *sources: str) -> None:
        """Watch these, in place of what is watched."""
        options = {**self._options, "sources": sources}
        self._begin_watching(sources, lambda: self.bridge.start(make_settings(**options)))

    def watch_configured(self, settings: Settings) -> None:
        """Watch the streams of these settings, in place of what is watched."""
        self._begin_watching((), lambda: self.bridge.start(settings))

    def watch_too(self, source: str) -> None:
        """Watch this beside what is watched."""
        self._begin_watching((source,), lambda: self.bridge.add(source))

    def _begin_watching(self, sources: tuple[str, ...], begin: Callable[[], None]) -> None:
        self.error_bar.hide()
        self.actions_["pause"].setChecked(False)
        try:
            begin()
        except StreamDetectorError as error:
            self._fail(str(error))
            return
        for source in sources:
            self._remembered.watched(source)
        self.offering.refresh()
        self.offering.dialog.hide()
        self._show_picker(False)

    def apply_appearance(self) -> None:
        """Take the colours that the user or the system wants."""
        theme = chosen_theme(self._remembered.appearance)
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        apply_theme(application, theme)
        for widget in (self.grid, self.timeline, self.faces):
            widget.set_theme(theme)

    # What the bridge tells.

    def _update(self, view: View) -> None:
        self._view = view
        shown = view if self._held is None else self._held
        paused = self._held is not None
        self.grid.show_view(shown, self._overlay(paused))
        self.faces.show_view(shown, paused=paused)
        self._turn += 1
        if self._turn % _PANELS_EVERY and view.running:
            return
        self.incidents.show_log(self.bridge.incidents)
        self.hud.show_view(view, self.grid.selected)
        if not paused:
            self.timeline.show_history(self.bridge.history(self.grid.selected))
        self.actions_["stop"].setEnabled(view.running)
        self.actions_["pause"].setEnabled(view.running or paused)
        self.actions_["retry"].setEnabled(bool(self.bridge.sources))
        self.actions_["snapshot"].setEnabled(any(stream.frame is not None for stream in view.streams))

    def _begin(self, header: RunHeader) -> None:
        self.tuning.begin(header)
        self.timeline.set_band(*header.band)
        self.setWindowTitle(f"{', '.join(stream.title for stream in self._view.streams)} – stream-detector")

    def _fail(self, sentence: str) -> None:
        self.error_bar.say(sentence, can_retry=bool(self.bridge.sources))

    # What the user asks for.

    def _retry(self) -> None:
        """Try again what is over: what runs is left alone, a run that is over begins anew."""
        if not self.bridge.running and self.bridge.sources:
            self._begin_watching((), self.bridge.again)
            return
        for stream in self._view.streams:
            if stream.status.over:
                self._retry_stream(stream.stream)

    def _retry_stream(self, number: int) -> None:
        self.error_bar.hide()
        self.bridge.retry(number)

    def _pause(self, on: bool) -> None:
        self._held = self._view if on else None
        self._refresh()

    def _snapshot(self) -> None:
        stream = (self._held or self._view).stream(self.grid.selected)
        header = self.bridge.header
        if stream is not None and header is not None:
            overlay = self._overlay(self._held is not None)
            self._keeper.snapshot(stream, header, self.tuning.tuning, overlay)

    def _record(self, on: bool) -> None:
        """A wish: whatever is watched is recorded, until it is taken back or the window closes."""
        self.bridge.record(RecordOptions(self._keeper.records) if on else None)

    def _recording(self, folder: Path | None) -> None:
        self.hud.show_recording(folder)
        self._keeper.recording(folder)
        if folder is None and self.bridge.running:  # it failed, or was taken back
            self.actions_["record"].setChecked(False)

    def _export(self, number: int) -> None:
        incident, header = self.bridge.incidents.find(number), self.bridge.header
        if incident is not None and header is not None:
            self._keeper.export(incident, header, self.tuning.tuning)

    def _show_evidence(self, on: bool) -> None:
        self._remembered.evidence = on
        self._update(self._view)

    def _tune(self, tuning: Tuning) -> None:
        self.bridge.tune(tuning)
        self.timeline.set_band(tuning.low, tuning.high)

    def _show_moment(self, face: int, pts_s: float) -> None:
        stream = self._view.stream(self.grid.selected)
        history = self.bridge.history(self.grid.selected)
        moment = history.faces[face].moment_at(pts_s) if history and face in history.faces else None
        if moment is not None and stream is not None:
            self.moment.show_moment(face, stream.title, moment)

    def _show_incident(self, number: int) -> None:
        incident = self.bridge.incidents.find(number)
        if incident is not None:
            self.moment.show_record(incident.title, incident.record)

    def _compact(self, on: bool) -> None:
        self.actions_.show_compact(on)
        self._arrangement.show_compact(on)
        self.hud.setVisible(not on)
        self.setWindowFlag(Qt.WindowType.WindowStaysOnTopHint, on)
        if on:
            self._remembered.keep_layout("window", self.saveGeometry())
            self.showNormal()
            self.resize(_COMPACT)
        else:
            kept = self._remembered.layout("window")
            if kept is not None:
                self.restoreGeometry(kept)
        self.show()

    def _leave(self) -> None:
        if self.actions_["compact"].isChecked():
            self.actions_["compact"].setChecked(False)
        elif self.actions_["full"].isChecked():
            self.actions_["full"].setChecked(False)
        else:
            self.grid.enlarge(None)

    def _choose_appearance(self, name: str) -> None:
        self._remembered.appearance = name
        self.apply_appearance()

    def _say_keys(self) -> None:
        QMessageBox.information(self, "Keyboard shortcuts", keys_text())

    def _say_about(self) -> None:
        QMessageBox.about(self, "About", f"stream-detector {__version__}\n\n{_ABOUT}")

    # Qt's own.

    def showEvent(self, event: QShowEvent | None) -> None:
        """The first key that a newcomer presses starts the demo."""
        super().showEvent(event)
        if self._arrangement.shows_picker:
            self.offering.welcome.demo.setFocus()

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Files of this computer may be dropped."""
        mime = event.mimeData() if event is not None else None
        if event is not None and mime is not None and any(url.isLocalFile() for url in mime.urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Watch the files that were dropped."""
        mime = event.mimeData() if event is not None else None
        files = [url.toLocalFile() for url in mime.urls() if url.isLocalFile()] if mime is not None else []
        if files:
            self.watch(*files)

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Stop every thread, and remember how the window was."""
        if not self.actions_["compact"].isChecked():
            self._remembered.keep_layout("window", self.saveGeometry())
        self._remembered.keep_layout("dividers", self._arrangement.dividers())
        self._remembered.flush()
        self.hide()
        self.all_stopped = self.bridge.close()
        super().closeEvent(event)

    def _overlay(self, paused: bool) -> Overlay:
        evidence = self.actions_["evidence"].isChecked()
        margin = self.bridge.crop_margin
        return Overlay(evidence=evidence, crop_margin=margin, paused=paused, veils=self._veils)

    def _show_picker(self, on: bool) -> None:
        self._arrangement.show_picker(on)
        self._update(self._view)

    def _lay_out(self) -> None:
        self.setWindowTitle("stream-detector")
        self.setAcceptDrops(True)
        self.addToolBar(self.actions_.bar)
        self.setStatusBar(self.hud)
        self.setCentralWidget(self._arrangement)
        self.resize(1280, 800)
        kept = self._remembered.layout("window")
        if kept is not None:
            self.restoreGeometry(kept)
        dividers = self._remembered.layout("dividers")
        if dividers is not None:
            self._arrangement.restore_dividers(dividers)
        self.actions_["evidence"].setChecked(self._remembered.evidence)

    def _connect(self) -> None:
        self.bridge.updated.connect(self._update)
        self.bridge.begun.connect(self._begin)
        self.bridge.failed.connect(self._fail)
        self.bridge.recording.connect(self._recording)
        self.error_bar.retried.connect(self._retry)
        self.grid.retried.connect(self._retry_stream)
        self.grid.chosen.connect(lambda _stream: self._refresh())
        self.timeline.moment_chosen.connect(self._show_moment)
        self.incidents.shown.connect(self._show_incident)
        self.incidents.exported.connect(self._export)
        self.incidents.folder_opened.connect(self._keeper.open_folder)
        self.tuning.changed.connect(self._tune)
        self.offering.picked.connect(
            lambda source, beside: self.watch_too(source) if beside else self.watch(source)
        )
        for name, does in (
            ("source", lambda: self.offering.open(watching=self.bridge.running)),
            ("stop", self.bridge.stop),
            ("snapshot", self._snapshot),
            ("tuning", self._tuning_dialog.show),
            ("retry", self._retry),
            ("all", self._leave),
            ("folder", self._keeper.open_folder),
            ("keys", self._say_keys),
            ("about", self._say_about),
        ):
            self.actions_[name].triggered.connect(lambda _checked=False, does=does: does())
        self.actions_["record"].toggled.connect(self._record)
        self.actions_["pause"].toggled.connect(self._pause)
        self.actions_["evidence"].toggled.connect(self._show_evidence)
        self.actions_["compact"].toggled.connect(self._compact)
        self.actions_["full"].toggled.connect(lambda on: self.showFullScreen() if on else self.showNormal())
        hints = QGuiApplication.styleHints()
        if hints is not None:
            hints.colorSchemeChanged.connect(lambda _scheme: self.apply_appearance())

    def _refresh(self) -> None:
        self._turn = -1
        self._update(self._view)


def _dialog(parent: QWidget, title: str, content: QWidget) -> QDialog:
    dialog = QDialog(parent)
    dialog.setWindowTitle(title)
    column = QVBoxLayout(dialog)
    column.addWidget(content)
    return dialog
