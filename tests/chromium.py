"""A real headless Chromium, and what it has to say of a page."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
_HANG_S = 60


@dataclass(frozen=True)
class Visit:
    """One page as the browser saw it."""

    dom: str
    """After loading."""
    log: str
    """Of the browser: console messages among others."""
    net_log: str
    """Every request, as JSON."""


def visit(page: Path, folder: Path, *arguments: str) -> Visit:
    """Open `page` from disk; skips where there is no Chromium."""
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium-headless-shell)")
    net_log = folder / "net.json"
    done = subprocess.run(
        [
            browser,
            "--headless",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # its sandbox refuses root
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={net_log}",
            *arguments,
            "--dump-dom",
            page.resolve().as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=_HANG_S,
    )
    assert done.returncode == 0, done.stderr
    return Visit(done.stdout, done.stderr, net_log.read_text() if net_log.exists() else "")
