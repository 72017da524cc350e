"""A real window on a real X server, driven by mouse and keyboard as a user would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_detector.evidence.verifying import verify_log
from tests import gui_parts
from tests.conftest import REPOSITORY
from tests.displays import Display, display
from tests.media import write_clip

Said = dict[str, Any]
SHOTS = os.environ.get("SCREENSHOTS")
"""A folder to keep the pictures in, such as docs/screenshots; else they go with the test."""
_ = gui_parts  # skips where Qt is not installed


class Driven:
    """The program in a process of its own."""

    def __init__(self, screen: Display, folder: Path, *, scale: int = 1, look: str = "dark") -> None:
        self.screen, self.folder = screen, folder
        self.report = folder / "report.json"
        self.shots = Path(SHOTS) if SHOTS else folder / "shots"
        settings = folder / "config" / "stream-detector" / "stream-detector.conf"
        settings.parent.mkdir(parents=True)
        settings.write_text(f"[General]\nappearance={look}\n")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.driven_window", str(self.report)],
            env={
                **{k: v for k, v in os.environ.items() if k != "QT_QPA_PLATFORM"},
                "PYTHONPATH": str(REPOSITORY),
                "DISPLAY": screen.name,
                "HOME": str(folder),
                "XDG_CONFIG_HOME": str(folder / "config"),
                "QT_SCALE_FACTOR": str(scale),
                "QT_QPA_PLATFORM": "xcb",
            },
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, what: str, true: Callable[[Said], object], within_s: float = 60) -> Said:
        """Wait until the window says so."""
        deadline_s = time.monotonic() + within_s
        said: dict[str, Any] = {}
        while time.monotonic() < deadline_s:
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            if self.report.is_file():
                said = json.loads(self.report.read_text(encoding="utf-8"))
                if true(said):
                    return said
            time.sleep(0.1)
        raise AssertionError(f"waited {within_s:g} s for: {what}; the window says {said}")

    def click(self, button: str) -> None:
        """Click the middle of a button with the mouse."""
        said = self.until(f"a button {button!r}", lambda s: button in s["buttons"])
        self.click_at(said["buttons"][button])

    def click_at(self, place: list[float]) -> None:
        """Click somewhere with the mouse."""
        x, y = (str(round(value)) for value in place)
        self.screen.do("mousemove", x, y, "click", "1")

    def key(self, *keys: str) -> None:
        """Press keys."""
        self.screen.do("key", *keys)

    def photograph(self, name: str) -> None:
        """Keep a picture of the screen, once what was asked for is drawn."""
        time.sleep(0.3)
        self.screen.photograph(self.shots / f"{name}.png")

    def end(self) -> None:
        """Whatever happened, leave no process behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        if self.process.stderr is not None:
            self.process.stderr.close()
        if SHOTS:
            _make_small(self.shots)


def _make_small(folder: Path) -> None:
    """256 colours: a third of the bytes, and hardly a difference to see."""
    from PIL import Image

    for path in folder.glob("*.png"):
        picture = Image.open(path).convert("RGB")
        picture.quantize(256, kmeans=3, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)


def state_of(said: dict[str, Any]) -> str:
    faces = said["streams"][0]["faces"] if said["streams"] else {}
    return str(faces.get("1", ""))


def test_a_newcomer_watches_the_demo_sees_the_incident_keeps_it_and_leaves(tmp_path: Path) -> None:
    with display(1280, 800) as screen:
        driven = Driven(screen, tmp_path)
        try:
            # First start: nothing is watched, the demo is offered and one key away.
            driven.until("the first start", lambda s: "Watch the demo" in s["buttons"] and not s["running"])
            driven.photograph("start")
            window = screen.do("search", "--sync", "--onlyvisible", "--name", "stream-detector").split()[0]
            screen.do("windowfocus", "--sync", window)
            driven.key("space")
            driven.until("the real half", lambda s: state_of(s) == "likely_real")
            driven.key("e")
            driven.key("ctrl+r")
            driven.until("the incident", lambda s: s["incidents"] == 1 and state_of(s) == "likely_fake")
            driven.photograph("incident")
            driven.key("p")
            held = driven.until("a held picture", lambda s: s["paused"])["streams"][0]
            driven.click("Snapshot")
            assert driven.until("a snapshot", lambda s: "snapshot-" in s["note"])["evidence"]
            driven.photograph("paused")
            # The run ends meanwhile; what the user holds stays.
            said = driven.until("the end", lambda s: not s["running"])
            assert (said["paused"], said["streams"][0]) == (True, held)
            driven.key("p")

            assert len(list(tmp_path.rglob("snapshot-*.png"))) == 2
            (numbers,) = tmp_path.rglob("snapshot-*.json")
            content = json.loads(numbers.read_text(encoding="utf-8"))
            assert (content["source"], content["faces"][0]["state"]) == ("demo:", "likely_fake")

            (log,) = tmp_path.rglob("log.jsonl")
            assert verify_log(log).files > 10, "the alarm's crops were recorded"

            # After the end nothing is said of faces any more, but what happened can be looked at.
            said = driven.until("the end", lambda s: s["streams"][0]["status"] == "ended" and not s["paused"])
            assert (said["streams"][0]["faces"], said["running"]) == ({}, False)
            driven.click_at(said["places"]["first_incident"])
            driven.until("the moment", lambda s: "ALARM, rolling" in s["moment"])
            driven.photograph("moment")
            driven.click("Close")

            # A file that is not there: the sentence of the command line, and a way to try again.
            driven.click("Source")
            driven.until("the dialog", lambda s: "Cancel" in s["buttons"])
            driven.photograph("sources")
            driven.click_at(driven.until("the address", lambda s: True)["places"]["address"])
            missing = tmp_path / "talk.mp4"
            screen.do("type", "--delay", "1", missing.name)
            driven.key("Return")
            said = driven.until("the error", lambda s: s["error"])
            assert missing.name in said["error"]
            assert said["streams"][0]["status"] == "failed"
            driven.photograph("error")
            write_clip(missing, frames=300, width_px=640, height_px=360)
            driven.click("Try again")
            said = driven.until("the file", lambda s: s["streams"][0]["status"] == "no face in view")
            assert said["error"] == ""

            began_s = time.monotonic()
            driven.process.send_signal(signal.SIGTERM)
            assert driven.process.wait(10) == 0
            assert time.monotonic() - began_s < 5 + 3, "closing takes 5 s at most, with some slack"
        finally:
            driven.end()
