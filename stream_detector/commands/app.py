"""The program `stream-detector`: its commands and options, and what it exits with."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stream_detector import __version__
from stream_detector.commands.edge import run_program
from stream_detector.commands.logs import LogLevel, log_to_stderr
from stream_detector.settings import (
    Backend,
    FaceModel,
    HardwareDecoder,
    RunPrecision,
    Settings,
    make_settings,
)
from stream_detector.sources.globs import expand_globs

app = typer.Typer(
    name="stream-detector",
    help="Watch live video and print, per face, a rolling fake score. Not proof of anything.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_DEFAULT = Settings.model_fields

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="A file, 'folder/*.mp4', rtsp://…, http(s)://…, webcam:0, screen:, lavfi:GRAPH or demo:",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON Lines on stdout, also on a terminal.")]
Model = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A .xml, .onnx or .engine and its sidecar.  [default: the packaged]"),
]
BackendOption = Annotated[Backend, typer.Option(help="What runs the model.")]
PrecisionOption = Annotated[RunPrecision, typer.Option(help="Arithmetic; auto takes the packaged default.")]
FaceModelOption = Annotated[FaceModel, typer.Option(help="Which MediaPipe model finds faces.")]
ScoreHz = Annotated[float, typer.Option(metavar="HZ", help="Scores per face and second of video.")]
HalfLife = Annotated[
    float, typer.Option(metavar="SECONDS", help="After so much video time a score counts half.")
]
MaxFaces = Annotated[int, typer.Option(metavar="N", help="The most faces scored per stream and frame.")]
MaxBatch = Annotated[int, typer.Option(metavar="N", help="The most faces scored at once.")]
MaxWait = Annotated[
    float,
    typer.Option(
        "--max-wait-ms", metavar="MS", help="The longest a face waits for others to share its batch."
    ),
]
MinFace = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS", help="Smaller faces are not scored.  [default: what the model was trained for]"
    ),
]
Duration = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Stop after so much video time.", show_default=False)
]
MaxFrames = Annotated[
    int | None,
    typer.Option(metavar="N", help="Stop after so many frames of each source.", show_default=False),
]
GiveUpAfter = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="A live source without a picture for so long has failed; 0: at its first failure.  "
        "[default: it is tried again for ever]",
    ),
]
HwAccel = Annotated[
    HardwareDecoder,
    typer.Option("--hwaccel", help="What decodes besides software; where it cannot, a warning says so once."),
]
Realtime = Annotated[
    bool, typer.Option("--realtime", help="Play files at their own speed, dropping late frames.")
]
LogLevelOption = Annotated[LogLevel, typer.Option(help="How much to say on stderr.")]


@app.command()
def watch(
    sources: Sources,
    json: Json = False,
    model: Model = None,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    face_model: FaceModelOption = "full-range-sparse",
    score_hz: ScoreHz = _DEFAULT["score_hz"].default,
    half_life: HalfLife = _DEFAULT["half_life_s"].default,
    max_faces: MaxFaces = _DEFAULT["max_faces"].default,
    max_batch: MaxBatch = _DEFAULT["max_batch"].default,
    max_wait_ms: MaxWait = _DEFAULT["max_wait_ms"].default,
    min_face: MinFace = None,
    duration: Duration = None,
    max_frames: MaxFrames = None,
    give_up_after: GiveUpAfter = None,
    hwaccel: HwAccel = "off",
    realtime: Realtime = False,
    log_level: LogLevelOption = LogLevel.warning,
) -> None:
    """Watch one or more sources and score every face.

    On a terminal: one live line per face. Otherwise, or with --json: JSON Lines.
    """
    log_to_stderr(log_level)
    settings = make_settings(
        sources=expand_globs(sources),
        model=model,
        backend=backend,
        precision=precision,
        face_model=face_model,
        score_hz=score_hz,
        half_life_s=half_life,
        max_faces=max_faces,
        max_batch=max_batch,
        max_wait_ms=max_wait_ms,
        min_face_px=min_face,
        duration_s=duration,
        max_frames=max_frames,
        give_up_after_s=give_up_after,
        hwaccel=hwaccel,
        realtime=realtime,
    )
    from stream_detector.commands.watch import run

    raise typer.Exit(run(settings, as_json=json or not sys.stdout.isatty()))


@app.command()
def demo(
    json: Json = False,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    fast: Annotated[bool, typer.Option("--fast", help="As fast as the computer can.")] = False,
    log_level: LogLevelOption = LogLevel.warning,
) -> None:
    """Watch the built-in demo: a portrait, real at first, tampered with from the middle on."""
    log_to_stderr(log_level)
    as_json = json or not sys.stdout.isatty()
    settings = make_settings(
        sources=("demo:",), backend=backend, precision=precision, realtime=not (fast or as_json)
    )
    from stream_detector.commands.watch import run

    raise typer.Exit(run(settings, as_json=as_json))


@app.command()
def probe(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="As for watch.", show_default=False)],
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="How long to read.")] = 3.0,
    json: Json = False,
    log_level: LogLevelOption = LogLevel.warning,
) -> None:
    """Say what a source delivers, and what about it will hurt."""
    log_to_stderr(log_level)
    from stream_detector.commands.probe import run

    raise typer.Exit(run(source, seconds=seconds, as_json=json or not sys.stdout.isatty()))


@app.command()
def doctor(json: Json = False, log_level: LogLevelOption = LogLevel.warning) -> None:
    """Say what runs here: versions, back-ends and why not, models and their hashes."""
    log_to_stderr(log_level)
    from stream_detector.commands.doctor import run

    raise typer.Exit(run(as_json=json or not sys.stdout.isatty()))


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Watch live video and print, per face, a rolling fake score. Not proof of anything."""
    if show:
        typer.echo(f"stream-detector {__version__}")
        raise typer.Exit


def main() -> int:
    """Run the program; returns its exit code."""
    return run_program("stream-detector", app)
