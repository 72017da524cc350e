"""The page of a scan in a real browser: nothing runs, nothing is fetched, everybody can read it."""

import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from stream_detector.scanning.pictures import overlaid, thumbnail
from stream_detector.scanning.report_html import STYLE, as_html
from stream_detector.scanning.results import (
    FaceResult,
    FileResult,
    FileVerdict,
    MeanScore,
    ScanReport,
    Segment,
)
from tests.chromium import visit

HOSTILE = (
    "</h2><script>document.title='broken'</script><img src=http://127.0.0.1:9/x onerror=alert(1)>\u202e.mp4"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = np.full((224, 224, 3), 128, np.uint8)
    evidence = np.linspace(-1, 2, 49, dtype=np.float32).reshape(7, 7)
    mean = MeanScore(value=0.9, low=0.8, high=1.0, level=0.95, scores=20, worth=5.0)
    face = FaceResult(
        face=1,
        first_s=0.0,
        last_s=10.0,
        verdict=FileVerdict.LIKELY_FAKE,
        mean=mean,
        peak=0.99,
        segments=(Segment(start_s=2.0, end_s=8.0, peak=0.99),),
        timeline=((0.0, 0.5), (5.0, 0.9), (10.0, 0.99)),
        picture=thumbnail(pixels),
        picture_s=5.0,
        evidence=overlaid(pixels, evidence),
    )
    files = (
        FileResult(
            path=HOSTILE, size_bytes=1, modified_ns=1, verdict=FileVerdict.LIKELY_FAKE, mean=mean,
            evidence_share=1.0, media_s=10.0, faces=(face,),
        ),
        FileResult(
            path="b.mp4", size_bytes=1, modified_ns=1, verdict=FileVerdict.UNREADABLE,
            problem=f"cannot read {HOSTILE}",
        ),
        *(
            FileResult(path=f"{verdict}.mp4", size_bytes=1, modified_ns=1, verdict=verdict)
            for verdict in FileVerdict
        ),
    )  # fmt: skip
    report = ScanReport(
        program="p", model="m", model_sha256="0" * 64, spec_sha256="0" * 64, band=(0.3, 0.9), mean_high=0.7,
        score_hz=2, half_life_s=2, files=files,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("page") / "scan.html"
    path.write_text(as_html(report, made_at=datetime(2026, 1, 2, 3, 4)), encoding="utf-8")
    return path


def test_a_browser_has_nothing_to_complain_of_and_asks_nobody_for_anything(
    page: Path, tmp_path: Path
) -> None:
    seen = visit(page, tmp_path)
    assert "CONSOLE" not in seen.log
    assert re.findall(r'"url":"(?:https?|wss?|ftp):[^"]*', seen.net_log) == []
    assert "<title>Scan of 8 files</title>" in seen.dom
    assert seen.dom.count("<article") == 8


def test_the_browser_would_have_told(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<script>console.error('x')</script><img src='http://127.0.0.1:9/a.png'>")
    seen = visit(bad, tmp_path)
    assert "CONSOLE" in seen.log
    assert "http://127.0.0.1:9/a.png" in seen.net_log


def test_a_hostile_file_name_is_nothing_but_text(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<img src=http" not in text
    assert "&lt;script&gt;" in text
    assert "\u202e" not in text


def test_the_page_allows_itself_nothing_but_its_style_and_the_pictures_in_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert set(re.findall(r'src="(\w+:)', text)) == {"data:"}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_aa_asks_for(theme: str) -> None:
    style = STYLE.read_text(encoding="utf-8")
    dark = style.index("@media (prefers-color-scheme: dark)")
    part = style[:dark] if theme == "light" else style[dark:]
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part))
    pairs = [("text", "page"), ("quiet", "page"), ("text", "card"), ("quiet", "card"), ("broken", "card")]
    pairs += [("text", "unsure-soft")]
    pairs += [(name, f"{name}-soft") for name in ("fake", "unsure", "real", "none", "broken")]
    for text, ground in pairs:
        assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
    for line in range(6):  # graphics need 3 (WCAG 1.4.11)
        for ground in ("card", "band"):
            assert contrast(colour[f"line{line}"], colour[ground]) >= 3, (line, ground)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
