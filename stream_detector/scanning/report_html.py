"""A scan as one page that needs nothing else: no script, no request, no network."""

import base64
import hashlib
from datetime import datetime
from html import escape
from pathlib import Path

from stream_detector.scanning.report_table import (
    LOOK,
    by_urgency,
    common_folder,
    printable,
    shown_mean,
    shown_segments,
    shown_time,
)
from stream_detector.scanning.results import FaceResult, FileResult, FileVerdict, MeanScore, ScanReport

STYLE = Path(__file__).parent / "scan.css"
_WIDTH, _HEIGHT = 720, 96
_COUNTED = (
    FileVerdict.LIKELY_FAKE,
    FileVerdict.UNCERTAIN,
    FileVerdict.LIKELY_REAL,
    FileVerdict.TOO_LITTLE,
    FileVerdict.NO_FACE,
    FileVerdict.UNREADABLE,
)
_LINES = 6
"""Faces of a file that are drawn each in a style of its own."""


def as_html(report: ScanReport, *, made_at: datetime) -> str:
    """The page.

    File names are text wherever they stand: escaped, and without signs that turn a line round. The
    policy in the head lets the page load nothing but its own style, named by its hash, and pictures
    that lie inside it.
    """
    style = STYLE.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    counts = {verdict: sum(file.verdict is verdict for file in report.files) for verdict in _COUNTED}
    folder = common_folder(report.files)
    place = f'<p class="quiet">in <bdi>{escape(printable(folder))}</bdi></p>' if folder else ""
    body = "".join(_file(file, report, folder) for file in by_urgency(report.files))
    tally = "".join(
        f'<li class="{verdict}"><b>{count}</b> {_word(verdict)}</li>'
        for verdict, count in counts.items()
        if count
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Scan of {_count(len(report.files), "file")}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header>
<h1>Scan of {_count(len(report.files), "file")}</h1>
<p class="quiet">{made_at:%Y-%m-%d %H:%M} · {escape(report.program)} · model {escape(report.model)}
<code>{report.model_sha256[:12]}</code> · {report.score_hz:g} scores a second</p>{place}
<p class="note"><strong>A hint, not proof.</strong> A score says how much a face resembles the fakes the model
knows. It can be wrong about any single file.
Mean scores from {report.band[0]:.2f} to {report.mean_high:.2f} say nothing.</p>
<ul class="tally">{tally}</ul>
</header>
<main>
{body}</main>
<footer class="quiet"><p>Sorted by what should be looked at first. The brackets hold the interval of the mean
score, which counts how much neighbouring scores repeat each other; a verdict needs all of it on one side of
the band. In the small pictures red marks the parts that speak for a fake in that one crop: a hint where to
look, not proof.</p></footer>
</body>
</html>
"""


def _file(file: FileResult, report: ScanReport, folder: str) -> str:
    name = escape(printable(file.path.removeprefix(folder)))
    head = f'<h2><bdi>{name}</bdi></h2><p class="verdict">{_badge(file.verdict)}</p>'
    problem = f'<p class="problem">{escape(printable(file.problem))}</p>' if file.problem else ""
    if file.verdict is FileVerdict.UNREADABLE:
        return f'<article class="{file.verdict}">{head}{problem}</article>\n'
    facts = [
        ("mean score", _mean(file.mean)),
        ("a face was scored in", f"{file.evidence_share:.0%} of {shown_time(file.media_s)}"),
        ("likely fake at", escape(shown_segments(file.segments)) or "no moment"),
    ]
    listed = "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in facts)
    faces = "".join(_face(index, face) for index, face in enumerate(file.faces) if face.picture)
    hidden = sum(not face.picture for face in file.faces)
    more = f'<p class="quiet">{_count(hidden, "more face")} without a picture.</p>' if hidden else ""
    return (
        f'<article class="{file.verdict}">{head}{problem}<dl>{listed}</dl>{_timeline(file, report)}'
        f'<div class="faces">{faces}</div>{more}</article>\n'
    )


def _timeline(file: FileResult, report: ScanReport) -> str:
    drawn = [(index, face) for index, face in enumerate(file.faces) if face.timeline]
    if not drawn:
        return ""
    end_s = max(file.media_s, max(face.timeline[-1][0] for _, face in drawn), 1e-3)

    def x(time_s: float) -> str:
        return f"{min(1.0, time_s / end_s) * _WIDTH:.1f}"

    def y(p_fake: float) -> str:
        return f"{(1 - p_fake) * _HEIGHT:.1f}"

    low, high = report.band
    parts = [
        f'<rect class="band" x="0" y="{y(high)}" width="{_WIDTH}" height="{(high - low) * _HEIGHT:.1f}"/>'
    ]
    for _, face in drawn:
        for segment in face.segments:
            width = max(2.0, (segment.end_s - segment.start_s) / end_s * _WIDTH)
            parts.append(
                f'<rect class="fake" x="{x(segment.start_s)}" y="0" width="{width:.1f}" height="{_HEIGHT}"/>'
            )
    for index, face in drawn:
        points = " ".join(f"{x(time_s)},{y(p_fake)}" for time_s, p_fake in face.timeline)
        style = f"line line{index % _LINES}"
        if len(face.timeline) == 1:
            time_s, p_fake = face.timeline[0]
            parts.append(f'<circle class="{style}" cx="{x(time_s)}" cy="{y(p_fake)}" r="3"/>')
        else:
            parts.append(f'<polyline class="{style}" points="{points}"/>')
    said = shown_segments(file.segments) or "at no moment"
    return (
        f'<figure class="timeline"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" '
        f'role="img" aria-label="Rolling score over time; likely fake: {escape(said)}">{"".join(parts)}</svg>'
        f"<figcaption><span>0:00.0</span><span>rolling score, 1 at the top; grey: says nothing; red: likely "
        f"fake</span><span>{shown_time(end_s)}</span></figcaption></figure>"
    )


def _face(index: int, face: FaceResult) -> str:
    name = f"face {face.face}"
    when = shown_time(face.picture_s or 0.0)
    seen = f"{shown_time(face.first_s)}–{shown_time(face.last_s)}"
    return (
        f'<figure class="face"><div class="pair">'
        f'<img src="data:image/jpeg;base64,{face.picture}" width="144" height="144" alt="{name} at {when}">'
        f'<img src="data:image/jpeg;base64,{face.evidence}" width="144" height="144" '
        f'alt="{name} at {when}, where the model looked in red"></div>'
        f'<figcaption><svg class="key" viewBox="0 0 24 8" aria-hidden="true"><line class="line '
        f'line{index % _LINES}" x1="0" y1="4" x2="24" y2="4"/></svg> <b>{name}</b>, in view {seen}<br>'
        f"{_badge(face.verdict)} {_mean(face.mean)}<br>"
        f"crop at {when}; red: a hint, not proof</figcaption></figure>"
    )


def _badge(verdict: FileVerdict) -> str:
    return f'<span class="badge {verdict}">{LOOK[verdict][0]} {_word(verdict)}</span>'


def _word(verdict: FileVerdict) -> str:
    return LOOK[verdict][1].lower()


def _mean(mean: MeanScore | None) -> str:
    return escape(shown_mean(mean))


def _count(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
