"""The numbers along the lower edge: rates, age, drops, and what scores."""

from pathlib import Path

from PyQt6.QtWidgets import QLabel, QStatusBar

from gui.view import StreamView, View

_LATE_MS = 1000.0
"""What is later than this is worth a warning word."""


class Hud(QStatusBar):
    """The numbers of one stream."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizeGripEnabled(False)
        self._parts = {name: QLabel() for name in ("capture", "scores", "age", "drops")}
        for label in self._parts.values():
            self.addWidget(label)
        self._recording = QLabel("● recording")
        self._recording.setObjectName("recording")
        self._recording.hide()
        self.addPermanentWidget(self._recording)
        self._engine = QLabel()
        self.addPermanentWidget(self._engine)
        self.show_view(View(None, (), running=False), 0)

    def text(self, part: str) -> str:
        """What one part says: capture, scores, age, drops."""
        return self._parts[part].text()

    def shows_recording(self) -> bool:
        """Whether it says that the run is recorded."""
        return not self._recording.isHidden()

    def show_recording(self, folder: Path | None) -> None:
        """Say whether the run is recorded, and where."""
        self._recording.setVisible(folder is not None)
        self._recording.setToolTip("" if folder is None else str(folder))

    def show_view(self, view: View, stream: int) -> None:
        """Show the numbers of this stream."""
        shown = view.stream(stream)
        self._parts["capture"].setText(_capture(shown))
        self._parts["scores"].setText("scores –" if shown is None else f"scores {shown.score_hz:.1f}/s")
        self._parts["age"].setText(_age(shown))
        self._parts["drops"].setText(_drops(shown))
        header = view.header
        if header is None:
            self._engine.setText("loading the model …" if view.running else "nothing is watched")
        else:
            self._engine.setText(f"{header.model} · {header.backend} {header.precision}")
            self._engine.setToolTip(f"{header.program}, model {header.model_sha256[:12]}")


def _capture(stream: StreamView | None) -> str:
    if stream is None or stream.capture_hz is None:
        return "capture –"
    late = stream.lag_ms is not None and stream.lag_ms > _LATE_MS
    behind = f", {(stream.lag_ms or 0.0) / 1000:.1f} s behind" if late else ""
    return f"capture {stream.capture_hz:.1f} fps{behind}"


def _age(stream: StreamView | None) -> str:
    scored = [face for face in stream.faces if face.scores] if stream else []
    if not scored:
        return "newest verdict –"
    age_ms = min(face.age_ms for face in scored)
    return f"newest verdict {age_ms:.0f} ms old{' (late)' if age_ms > _LATE_MS else ''}"


def _drops(stream: StreamView | None) -> str:
    if stream is None:
        return "dropped –"
    dropped = [f"{count} at {stage}" for stage, count in stream.dropped.items() if count]
    return f"dropped: {', '.join(dropped) or 'none'}"
