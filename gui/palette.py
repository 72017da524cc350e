"""Every colour, word and shape of the window; knows no Qt, so that a test can compute the contrasts."""

from dataclasses import dataclass, replace
from enum import StrEnum

from stream_detector.records import FaceScore, State


class Shape(StrEnum):
    """The sign of a state: whoever sees no colour sees the shape, and reads the word."""

    TRIANGLE = "triangle"
    CHECK = "check"
    QUESTION = "question"
    DOTS = "dots"
    DASH = "dash"
    CROSS = "cross"


class Line(StrEnum):
    """How the box around a face is drawn."""

    HEAVY = "heavy"
    SOLID = "solid"
    DASHED = "dashed"
    DOTTED = "dotted"


class Tone(StrEnum):
    """What a colour says. Green is for `REAL` and nothing else."""

    FAKE = "fake"
    REAL = "real"
    UNCERTAIN = "uncertain"
    WAITING = "waiting"
    NONE = "none"
    """Nothing can be said."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is drawn, wherever it is drawn."""

    word: str
    tone: Tone
    shape: Shape
    line: Line


LOOKS = {
    State.LIKELY_FAKE: Look("LIKELY FAKE", Tone.FAKE, Shape.TRIANGLE, Line.HEAVY),
    State.LIKELY_REAL: Look("likely real", Tone.REAL, Shape.CHECK, Line.SOLID),
    State.UNCERTAIN: Look("uncertain", Tone.UNCERTAIN, Shape.QUESTION, Line.DASHED),
    State.WARMING_UP: Look("warming up", Tone.WAITING, Shape.DOTS, Line.DOTTED),
    State.TOO_SMALL: Look("too small", Tone.NONE, Shape.DASH, Line.DOTTED),
    State.BLURRED: Look("too blurred", Tone.NONE, Shape.DASH, Line.DOTTED),
    State.CUT_OFF: Look("cut off", Tone.NONE, Shape.DASH, Line.DOTTED),
    State.NO_FACE: Look("no face", Tone.NONE, Shape.DASH, Line.DOTTED),
    State.STALE: Look("stale", Tone.NONE, Shape.CROSS, Line.DOTTED),
}
_ALARM = "ALARM"


def look_of(record: FaceScore) -> Look:
    """How a face is drawn: while its alarm holds nothing about it is green, whatever its state."""
    look = LOOKS[record.state]
    if not record.alarmed:
        return look
    if record.state is State.STALE:
        return replace(look, word=f"{_ALARM}, {look.word}")
    return Look(_ALARM, Tone.FAKE, Shape.TRIANGLE, Line.HEAVY)


def is_incident(record: FaceScore) -> bool:
    """Whether a face is to be noted as an incident: its alarm holds, or where the model states no false-alarm
    rate, and so raises none, it is likely fake."""
    if record.alarm_level is None and not record.alarmed:
        return record.state is State.LIKELY_FAKE
    return record.alarmed


CHIPS = {
    Tone.FAKE: ("#b3161b", "#ffffff"),
    Tone.REAL: ("#17643a", "#ffffff"),
    Tone.UNCERTAIN: ("#f2c037", "#1a1e24"),
    Tone.WAITING: ("#2b4d73", "#ffffff"),
    Tone.NONE: ("#484e57", "#ffffff"),
}
"""(background, text) of what lies over the picture; the picture knows neither light nor dark."""

STRIP = ("#12151a", "#ffffff")
"""(background, text) of captions over the picture."""


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of light or dark, as #rrggbb."""

    name: str
    window: str
    surface: str
    """Panels, lists and plots."""
    raised: str
    """Buttons, and rows under the mouse."""
    stage: str
    """Around the picture."""
    border: str
    control: str
    """The outline of what can be clicked: at least 3:1 on every background."""
    text: str
    muted: str
    accent: str
    accent_fill: str
    accent_text: str
    error_fill: str
    error_text: str
    band: str
    """The uncertain band of the timeline."""
    inks: dict[Tone, str]
    """The text and shape of each tone on `surface` and `window`."""
    series: tuple[str, ...]
    """Faces on the timeline, in order of their numbers."""

    def text_pairs(self) -> list[tuple[str, str, str]]:
        """(what it is, foreground, background) of every text: WCAG AA asks 4.5:1."""
        pairs = [
            (f"{name} on {ground}", getattr(self, name), getattr(self, ground))
            for name in ("text", "muted", "accent")
            for ground in ("window", "surface", "raised")
        ]
        pairs += [
            (f"{tone} on {ground}", ink, getattr(self, ground))
            for tone, ink in self.inks.items()
            for ground in ("window", "surface", "raised")
        ]
        return [
            *pairs,
            ("accent button", self.accent_text, self.accent_fill),
            ("error bar", self.error_text, self.error_fill),
            ("text on the stage", self.text, self.stage),
            ("muted on the stage", self.muted, self.stage),
        ]

    def mark_pairs(self) -> list[tuple[str, str, str]]:
        """(what it is, foreground, background) of lines and outlines: WCAG AA asks 3:1."""
        lines = [(f"series {n}", colour, self.surface) for n, colour in enumerate(self.series)]
        in_band = [(f"series {n} in the band", colour, self.band) for n, colour in enumerate(self.series)]
        controls = [("control", self.control, getattr(self, g)) for g in ("window", "surface", "raised")]
        return [*lines, *in_band, *controls]


DARK = Theme(
    name="dark",
    window="#15181d",
    surface="#1c2027",
    raised="#262c35",
    stage="#0e1013",
    border="#333b46",
    control="#7c8796",
    text="#e9ecf1",
    muted="#a9b2bf",
    accent="#86bdff",
    accent_fill="#2563b8",
    accent_text="#ffffff",
    error_fill="#5b1a1d",
    error_text="#ffe3e1",
    band="#34311f",
    inks={
        Tone.FAKE: "#ff918b",
        Tone.REAL: "#72d394",
        Tone.UNCERTAIN: "#f2c85a",
        Tone.WAITING: "#93c4ff",
        Tone.NONE: "#a9b2bf",
    },
    series=("#5cc8ff", "#ffb765", "#cf9df0", "#7fe0c8", "#ff9fca", "#d7dc74", "#a9b8ff", "#e5ab90"),
)

LIGHT = Theme(
    name="light",
    window="#f2f4f7",
    surface="#ffffff",
    raised="#e8ebf0",
    stage="#dde1e7",
    border="#ccd2da",
    control="#6d7785",
    text="#181c22",
    muted="#4d5765",
    accent="#1650a8",
    accent_fill="#1d5fc0",
    accent_text="#ffffff",
    error_fill="#fbe3e1",
    error_text="#7c1014",
    band="#fbf1cf",
    inks={
        Tone.FAKE: "#ab1418",
        Tone.REAL: "#155c35",
        Tone.UNCERTAIN: "#6d4a00",
        Tone.WAITING: "#1650a8",
        Tone.NONE: "#4d5765",
    },
    series=("#0b6ea8", "#a35a00", "#7a3fb0", "#0f766e", "#b02a75", "#6b6a00", "#3f51c4", "#8a4a2b"),
)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two #rrggbb colours, 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
