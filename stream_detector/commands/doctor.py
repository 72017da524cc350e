"""Say what runs here: versions, back-ends and why not, models and their hashes."""

import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream_detector import __version__
from stream_detector.alarm_design import DETECT_WITHIN_S, design_alarm
from stream_detector.errors import ModelError, StreamDetectorError
from stream_detector.model_spec import read_sidecar
from stream_detector.optional import installed_version, require
from stream_detector.records import AlarmDesign
from stream_detector.scorers.choice import packaged_models, usable_backends
from stream_detector.settings import Settings
from stream_detector.sinks.json_lines import alarm_fields, write_json_line

_PACKAGES = (
    "av",
    "mediapipe",
    "opencv-contrib-python",
    "numpy",
    "openvino",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx",
    "cuda-bindings",
    "prometheus-client",
    "paho-mqtt",
    "PyQt6",
)
_FALSE_ALARMS_PER_DAY: float = Settings.model_fields["false_alarms_per_day"].default


def run(*, as_json: bool) -> int:
    """Print the report; returns 0 where the main job can run, else 4."""
    report = _report()
    if as_json:
        write_json_line(sys.stdout, report)
    else:
        _draw(report, Console())
    return 0 if report["ready"] else ModelError.exit_code


def _report() -> dict[str, object]:
    models = [_model(path) for path in packaged_models()]
    backends = [{"name": b.name, "usable": b.usable, "detail": b.detail} for b in usable_backends()]
    loads = {module: _loads(module) for module in ("av", "cv2", "mediapipe")}
    problems = [text for text in loads.values() if text]
    return {
        "program": f"stream-detector {__version__}",
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: installed_version(name) for name in _PACKAGES},
        "problems": problems,
        "backends": backends,
        "models": models,
        "ready": not problems
        and any(b["usable"] for b in backends)
        and any(not model["problem"] for model in models),
    }


def _model(path: Path) -> dict[str, Any]:
    try:
        spec = read_sidecar(path)
    except ModelError as error:
        return {
            "file": path.name,
            "name": "",
            "precision": "",
            "sha256": "",
            "problem": str(error),
            "alarm": None,
            "alarm_says": "",
        }
    design = None if spec.alarm is None else design_alarm(spec.alarm, _FALSE_ALARMS_PER_DAY)
    return {
        "file": path.name,
        "name": spec.name,
        "precision": spec.precision,
        "sha256": spec.model_sha256,
        "problem": "",
        "alarm": design and alarm_fields(design),
        "alarm_says": alarm_words(design),
    }


def alarm_words(alarm: AlarmDesign | None) -> str:
    """What an alarm promises and what it does not, in sentences; None: why there is none."""
    if alarm is None:
        return (
            "no alarm: the sidecar holds no facts to state a false-alarm rate by "
            "(python -m engine_build calibrate measures them)"
        )
    upper, median, lower = (
        "not within an hour" if delay_s is None else f"{delay_s:.0f} s" for delay_s in alarm.delays_s
    )
    return (
        f"alarm at {alarm.threshold:.2f} over {alarm.reference:+.2f}: at most "
        f"{alarm.rate} per day for each of {alarm.real_faces} real faces, "
        f"{alarm.expected_per_day:.2g} on their average, no promise for faces beyond them (at most "
        f"{alarm.unseen:.1%} of all). A fake at the median raises it after {median} "
        f"(upper quartile {upper}, lower quartile {lower}); {alarm.detectable:.0%} of fakes do so within "
        f"{DETECT_WITHIN_S:g} s"
    )


def _loads(module: str) -> str:
    """Why `module` does not load; empty where it does."""
    try:
        require(module, why="watching a stream")
    except StreamDetectorError as error:
        return str(error)
    return ""


def _draw(report: dict[str, object], console: Console) -> None:
    console.print(f"{report['program']} on Python {report['python']}, {report['system']}", highlight=False)
    packages, backends, models = report["packages"], report["backends"], report["models"]
    assert isinstance(packages, dict)
    assert isinstance(backends, list)
    assert isinstance(models, list)
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, found in packages.items():
        table.add_row(name, found or "not installed")
    console.print(table)
    table = Table(box=None, pad_edge=False, show_header=False)
    for backend in backends:
        table.add_row(
            f"back-end {backend['name']}", "usable" if backend["usable"] else "no", Text(backend["detail"])
        )
    for model in models:
        table.add_row(
            f"model {model['file']}",
            model["precision"] or "no",
            Text(model["problem"] or f"sha256 {model['sha256']}"),
        )
        if not model["problem"]:
            table.add_row("", "", Text(model["alarm_says"]))
    console.print(table)
    problems = report["problems"]
    assert isinstance(problems, list)
    for problem in problems:
        console.print(problem, style="red", markup=False)
    console.print(
        "ready" if report["ready"] else "not ready", style="green" if report["ready"] else "bold red"
    )
