"""The tables of the documents, made from the committed results."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.alarm import alarm_table
from benchmarks.capture import capture_table
from benchmarks.gui import gui_table
from benchmarks.load import capacity_table, latency_table, overload_table, sweep_table
from benchmarks.memory import memory_table
from benchmarks.peers import peers_table
from benchmarks.pipeline import pipeline_table
from benchmarks.profile import profile_table
from benchmarks.scan import scan_table
from benchmarks.scoring import scoring_table
from benchmarks.sizes import sizes_table
from benchmarks.soak import soak_table
from benchmarks.start import start_table
from benchmarks.undecoded import undecoded_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "speed.md")


def render_pipeline(content: dict[str, Any]) -> str:
    """Where the time goes, with the machine and the command it came from."""
    machine = content["machine"]
    return (
        f"{pipeline_table(content['result'])}\n\n"
        f"Measured with `{content['command']}` on {machine['cores']} cores of {machine['cpu']} "
        f"({', '.join(machine['flags'])}), OpenVINO {machine['packages'].get('openvino', '–')}, "
        f"commit {machine['commit']}."
    )


def render_capture(content: dict[str, Any]) -> str:
    """Many streams and overload against their bounds, with the machine and the command."""
    machine = content["machine"]
    return (
        f"{capture_table(content['result'])}\n\n"
        f"Measured with `{content['command']}` on {machine['cores']} cores of {machine['cpu']}, which also "
        f"ran the cameras and other programs (15-minute load {content['result']['load_average']:.1f}), "
        f"commit {machine['commit']}."
    )


def render_parity(content: dict[str, Any]) -> str:
    """How far each way of running the model is from torch in FP32."""
    lines = [
        "| runs as | mean Δp | max Δp | mean Δlogit | max Δlogit | correlation of logits | Δ AUC |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in content["rows"]:
        lines.append(
            f"| {row['name']} | {row['mean_dp']:.4f} | {row['max_dp']:.3f} | {row['mean_dlogit']:.3f} "
            f"| {row['max_dlogit']:.2f} | {row['correlation']:.4f} | {row['auc_difference']:+.4f} |"
        )
    lines += [f"| {name} | {why} |" + " |" * 5 for name, why in content["skipped"].items()]
    return (
        "\n".join(lines)
        + f"\n\n{content['real_crops']} real crops that calibration did not see, against the "
        f"network in torch FP32; the AUC sets them against {content['fake_crops']} self-blends of "
        f"held-out faces (torch: {content['reference_auc']:.3f}). Measured by "
        f"`python -m engine_build package` on {content['machine']}."
    )


def render_evaluation(content: dict[str, Any]) -> str:
    """How well real and fake are told apart, per clip."""
    clips = content["levels"][0]
    half = next(at for at in clips["at"] if at["threshold"] == 0.5)

    def shown(estimate: dict[str, float]) -> str:
        return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"

    lines = ["| fakes | clips | mean score | AUC against real ones |", "|---|--:|--:|--:|"]
    lines += [
        f"| {row['value']} | {row['fakes']} | {shown(row['mean_p'])} | {shown(row['auc'])} |"
        for row in content["factors"]
        if row["factor"] == "method" and row["fakes"]
    ]
    lines.append(f"| all {' and '.join(content['kinds'])}s | {clips['fakes']} | | {shown(clips['auc'])} |")
    return (
        "\n".join(lines) + f"\n\nAgainst {clips['reals']} real videos, of which "
        f"{half['false_alarms']['value']:.0%} score over 0.5 on the mean of their frames. On "
        f"{content['data']}; {content['score_hz']:g} scores a second, {content['precision']} under "
        f"{content['backend']}; in brackets 95 % bootstrap intervals over clips. Measured by "
        f"`python -m engine_build evaluate` on {content['measured_on']}; log-loss, calibration, "
        f"thresholds and every factor are in [the model's card](stream_detector/assets/MODEL_CARD.md)."
    )


def render_calibration(content: dict[str, Any]) -> str:
    """How good the probabilities are, before and after, in every precision."""

    def shown(estimate: dict[str, float]) -> str:
        return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"

    ways = ("before", "own", "files", "first")
    lines = [
        "| file, runs in | ECE uncalibrated | calibrated | by its file's fit | by the first file's fit |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {model['model']}, {row['precision']} | {' | '.join(shown(row[way]['ece']) for way in ways)} |"
        for model in content["models"]
        for row in model["precisions"]
    ]
    low, high = content["models"][0]["band"]
    mean_high = content["models"][0]["mean_high"]
    table = "\n".join(lines)
    return (
        f"{table}\n\nOn {content['people']} held-out people, real and blended into themselves, filmed and "
        "compressed; the first two columns count no one who was fitted on. Rolling scores from "
        f"{low:g} to {high:g} are `uncertain`, and so are mean scores of whole files up to {mean_high:g}: at "
        f"least {content['coverage_real']:.0%} of real faces like these are not called fake by their mean, "
        f"and {content['coverage_fake']:.0%} of such fakes not real (split conformal); and no real face "
        "of the clips it was calibrated with is called fake in more than 5 % of its instants. In brackets "
        "95 % bootstrap intervals over people. Measured by "
        f"`python -m engine_build calibrate` on {content['measured_on']}."
    )


def render_explain(content: dict[str, Any]) -> str:
    """Whether the evidence map points at what the score rests on."""

    def shown(estimate: dict[str, float]) -> str:
        return f"{estimate['value']:+.2f} [{estimate['low']:+.2f}, {estimate['high']:+.2f}]"

    gone, dull = content["restored"], content["blurred"]
    return (
        f"Undoing the blend in the {content['cells']} hottest cells of the evidence map moves the logit by "
        f"{shown(gone['hottest'])}, in as many cells at random by {shown(gone['random'])}. Blurring them "
        f"instead moves it by {shown(dull['hottest'])} and {shown(dull['random'])}: a blurred part in a "
        f"sharp face looks blended itself. {content['faces']} faces: {content['data']}; 95 % bootstrap "
        "intervals over people. Measured by `python -m engine_build evaluate --explain` on "
        f"{content['measured_on']}."
    )


def render_gui(content: dict[str, Any]) -> str:
    """What painting costs, and whether verdicts come later, with the machine and the command."""
    return (
        f"{gui_table(content['result'])} Measured with `{content['command']}` on "
        f"{content['machine']['cores']} cores of {content['machine']['cpu']}, commit "
        f"{content['machine']['commit']}."
    )


def render_alarm(content: dict[str, Any]) -> str:
    """Stated against simulated false alarms, delays and bursts, with the command."""
    return (
        f"{alarm_table(content['result'])} Simulated with `{content['command']}`, "
        f"commit {content['machine']['commit']}."
    )


def render_gui_soak(content: dict[str, Any]) -> str:
    """The window's memory while it is open, with the machine and the command."""
    machine = content["machine"]
    return (
        f"{soak_table(content['result'])} Measured with `{content['command']}` on {machine['cores']} cores "
        f"of {machine['cpu']}, commit {machine['commit']}."
    )


def render_scan(content: dict[str, Any]) -> str:
    """How often whole files are judged wrongly, with the machine and the command."""
    machine = content["machine"]
    return (
        f"{scan_table(content['result'])} Measured with `{content['command']}` on {machine['cores']} cores "
        f"of {machine['cpu']}, commit {machine['commit']}."
    )


def render_scoring(content: dict[str, Any]) -> str:
    """How fast and how exact each back-end is, with the machine and the command."""
    return f"{scoring_table(content['result'])}\n{_measured(content)}"


def _measured(content: dict[str, Any]) -> str:
    machine = content["machine"]
    return (
        f"Measured with `{content['command']}` on {machine['cores']} cores of {machine['cpu']} "
        f"({', '.join(machine['flags'])}), commit {machine['commit']}."
    )


def _measured_by(table: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], str]:
    """`table`, then the machine and the command."""
    return lambda content: f"{table(content['result'])} {_measured(content)}"


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "alarm": render_alarm,
    "batches": _measured_by(sweep_table),
    "calibration": render_calibration,
    "capacity": _measured_by(capacity_table),
    "capture": render_capture,
    "evaluation": render_evaluation,
    "explain": render_explain,
    "gui": render_gui,
    "gui-soak": render_gui_soak,
    "latency": _measured_by(latency_table),
    "memory": _measured_by(memory_table),
    "overload": _measured_by(overload_table),
    "parity": render_parity,
    "peers": _measured_by(peers_table),
    "pipeline": render_pipeline,
    "profile": _measured_by(profile_table),
    "scan": render_scan,
    "scoring": render_scoring,
    "sizes": _measured_by(sizes_table),
    "start": _measured_by(start_table),
    "undecoded": _measured_by(undecoded_table),
}
"""Result name -> how it is written: between `<!-- result:NAME -->` marks in one of the DOCUMENTS."""


def rendered(document: Path) -> str:
    """A document as it should be.

    Raises:
        ValueError: the marks of a result stand in no document, or in two.
    """
    text = document.read_text(encoding="utf-8")
    for name, render in TABLES.items():
        start, end = f"<!-- result:{name} -->\n", f"<!-- /result:{name} -->"
        holders = [path.name for path in DOCUMENTS if start in path.read_text(encoding="utf-8")]
        if len(holders) != 1:
            raise ValueError(
                f"the marks of result {name!r} stand in {holders or 'no document'}: expected one"
            )
        before, found, rest = text.partition(start)
        if not found:
            continue
        _, found_end, after = rest.partition(end)
        if not found_end:
            raise ValueError(f"{document.name} must hold the closing mark of result {name!r}")
        content = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        text = f"{before}{start}{render(content)}\n{end}{after}"
    return text


def up_to_date() -> bool:
    """Whether the documents hold the committed results."""
    return all(rendered(path) == path.read_text(encoding="utf-8") for path in DOCUMENTS)


def update_documents() -> None:
    """Write the committed results into the documents."""
    for path in DOCUMENTS:
        path.write_text(rendered(path), encoding="utf-8")
