"""The program `stream-detector`: its commands and options, and what it exits with."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stream_detector import __version__
from stream_detector.commands.edge import end_program, run_program
from stream_detector.commands.logs import LogLevel, log_to_stderr
from stream_detector.commands.outputs import Outputs, record_options
from stream_detector.errors import UsageError
from stream_detector.settings import (
    Backend,
    FaceModel,
    HardwareDecoder,
    RunPrecision,
    Settings,
    key_of,
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
_DEFAULT_OUTPUTS = Outputs()

Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE",
        help="A file, 'folder/*.mp4', rtsp://…, http(s)://…, webcam:0, screen:, lavfi:GRAPH, demo: or "
        "selftest:",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Streams with options of their own, as TOML; SIGHUP reads it again.",
        show_default=False,
    ),
]
WatchConfig = Annotated[
    bool, typer.Option("--watch-config", help="Read the file again when it changes; never end by itself.")
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
FalseAlarms = Annotated[
    float,
    typer.Option(
        metavar="N",
        help="How often, at most, real faces may raise the alarm, per day and face in view; see the README.",
    ),
]
ExitOnAlarm = Annotated[
    bool, typer.Option("--exit-on-alarm", help="End at the first alarm, with exit code 10.")
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
MetricsPort = Annotated[
    int | None,
    typer.Option(metavar="PORT", help="Serve /metrics (Prometheus) and /healthz.", show_default=False),
]
MetricsAddress = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Where to serve them; 0.0.0.0 for every network.")
]
MaxFrameAge = Annotated[
    float, typer.Option(metavar="SECONDS", help="/healthz fails when a live stream's newest frame is older.")
]
Publish = Annotated[
    str | None,
    typer.Option(metavar="URL", help="mqtt(s)://[USER:PASSWORD@]HOST[:PORT]/PREFIX", show_default=False),
]
Webhook = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="POST alarms and stream events to http(s)://…",
        show_default=False,
    ),
]
WebhookQueue = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Where they wait for delivery.  [default: in the user's state directory]"
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=64,
        help="Files read side by side; one model serves them all.",
        show_default=False,
    ),
]
CsvFile = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Also write a row per file.", show_default=False)
]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Also write everything found as JSON.", show_default=False),
]
HtmlFile = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Also write one page with time lines and small pictures of the faces.",
        show_default=False,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Keep finished results here, and take those that still hold.", show_default=False
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Record the run as evidence: a chained log and, per alarm, faces and the original video.",
        show_default=False,
    ),
]
NoFaces = Annotated[bool, typer.Option("--no-faces", help="Record scores, and no picture of anybody.")]
KeepDays = Annotated[
    float | None,
    typer.Option(metavar="DAYS", help="Remove records that are older.", show_default=False),
]
MaxDisk = Annotated[
    float | None,
    typer.Option(metavar="MB", help="The most that all records may take.", show_default=False),
]
SignKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Sign the record with this Ed25519 key, PEM.", show_default=False),
]
LogLevelOption = Annotated[LogLevel, typer.Option(help="How much to say on stderr.")]


@app.command()
def watch(
    context: typer.Context,
    sources: Sources = None,
    json: Json = False,
    config: Config = None,
    watch_config: WatchConfig = False,
    model: Model = None,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    face_model: FaceModelOption = "full-range-sparse",
    score_hz: ScoreHz = _DEFAULT["score_hz"].default,
    half_life: HalfLife = _DEFAULT["half_life_s"].default,
    false_alarms_per_day: FalseAlarms = _DEFAULT["false_alarms_per_day"].default,
    max_faces: MaxFaces = _DEFAULT["max_faces"].default,
    max_batch: MaxBatch = _DEFAULT["max_batch"].default,
    max_wait_ms: MaxWait = _DEFAULT["max_wait_ms"].default,
    min_face: MinFace = None,
    duration: Duration = None,
    max_frames: MaxFrames = None,
    give_up_after: GiveUpAfter = None,
    hwaccel: HwAccel = "off",
    realtime: Realtime = False,
    metrics_port: MetricsPort = None,
    metrics_address: MetricsAddress = _DEFAULT_OUTPUTS.metrics_address,
    max_frame_age: MaxFrameAge = _DEFAULT_OUTPUTS.max_frame_age_s,
    publish: Publish = None,
    webhook: Webhook = None,
    webhook_queue: WebhookQueue = None,
    record: Record = None,
    no_faces: NoFaces = False,
    keep_days: KeepDays = None,
    max_disk: MaxDisk = None,
    sign_key: SignKey = None,
    exit_on_alarm: ExitOnAlarm = False,
    log_level: LogLevelOption = LogLevel.warning,
) -> None:
    """Watch one or more sources and score every face.

    An option that is typed counts for every stream, but for those that --config gives their own.
    On a terminal: one live line per face. Otherwise, or with --json: JSON Lines.
    """
    log_to_stderr(log_level)
    options: dict[str, object] = {
        "model": model,
        "backend": backend,
        "precision": precision,
        "face_model": face_model,
        "score_hz": score_hz,
        "half_life_s": half_life,
        "false_alarms_per_day": false_alarms_per_day,
        "max_faces": max_faces,
        "max_batch": max_batch,
        "max_wait_ms": max_wait_ms,
        "min_face_px": min_face,
        "duration_s": duration,
        "max_frames": max_frames,
        "give_up_after_s": give_up_after,
        "hwaccel": hwaccel,
        "realtime": realtime,
    }
    typed = {field: value for field, value in options.items() if _was_typed(context, key_of(field))}
    typed["sources"] = expand_globs(sources or ())
    outputs = Outputs(
        metrics_port=metrics_port,
        metrics_address=metrics_address,
        max_frame_age_s=max_frame_age,
        publish=publish,
        webhook=webhook,
        webhook_queue=webhook_queue,
        record=record_options(
            record, no_faces=no_faces, keep_days=keep_days, max_disk_mb=max_disk, sign_key=sign_key
        ),
        exit_on_alarm=exit_on_alarm,
    )
    as_json = json or not sys.stdout.isatty()
    from stream_detector.commands.watch import run

    if config is None:
        if watch_config:
            raise UsageError("--watch-config makes no sense without --config; name the file to watch")
        raise typer.Exit(run(make_settings(**typed), as_json=as_json, outputs=outputs))
    from stream_detector.commands.reload import Reload
    from stream_detector.config import read_config

    typed["stay"] = watch_config
    make_settings(**(typed | {"stay": True}))  # a mistake on the command line is told as one
    read = partial(read_config, config, typed)
    settings = read()
    reload = Reload(config, read, settings, watch_file=watch_config)
    raise typer.Exit(run(settings, as_json=as_json, outputs=outputs, reload=reload))


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
def scan(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files, and folders with videos at any depth.")
    ],
    csv: CsvFile = None,
    json: JsonFile = None,
    html: HtmlFile = None,
    resume: Resume = None,
    jobs: Jobs = None,
    model: Model = None,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    face_model: FaceModelOption = "full-range-sparse",
    score_hz: ScoreHz = 2.0,
    half_life: HalfLife = _DEFAULT["half_life_s"].default,
    max_faces: MaxFaces = _DEFAULT["max_faces"].default,
    max_batch: MaxBatch = _DEFAULT["max_batch"].default,
    min_face: MinFace = None,
    duration: Duration = None,
    log_level: LogLevelOption = LogLevel.warning,
) -> None:
    """Scan recordings, faster than real time, and say of each what may be said."""
    log_to_stderr(log_level)
    settings = make_settings(
        stay=True,
        sources=("demo:",),
        model=model,
        backend=backend,
        precision=precision,
        face_model=face_model,
        score_hz=score_hz,
        half_life_s=half_life,
        max_faces=max_faces,
        max_batch=max_batch,
        min_face_px=min_face,
        duration_s=duration,
    )
    from stream_detector.commands.scan import ScanOutputs, run

    outputs = ScanOutputs(csv=csv, json=json, html=html, resume=resume)
    raise typer.Exit(run(paths, settings, jobs=jobs, outputs=outputs))


@app.command()
def probe(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="As for watch.", show_default=False)],
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="How long to read.")] = 5.0,
    json: Json = False,
    log_level: LogLevelOption = LogLevel.warning,
) -> None:
    """Say what a source delivers, and what about it will hurt."""
    log_to_stderr(log_level)
    from stream_detector.commands.probe import run

    raise typer.Exit(run(source, seconds=seconds, as_json=json or not sys.stdout.isatty()))


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="A record, its log, or a folder of records.")],
    public_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Whose signature the end must bear; PEM.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Say whether a record is what was written: every line of its log, and every file."""
    from stream_detector.commands.verify import run

    raise typer.Exit(run(path, public_key=public_key, as_json=json or not sys.stdout.isatty()))


@app.command()
def replay(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="A record, or its log.")],
    low: Annotated[float | None, typer.Option(metavar="P", help="Lower end of the uncertain band.")] = None,
    high: Annotated[float | None, typer.Option(metavar="P", help="Upper end of the uncertain band.")] = None,
    half_life: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.001, help="Of the rolling score.")
    ] = None,
    false_alarms_per_day: Annotated[
        float | None, typer.Option(metavar="N", min=0.001, max=1000, help="Per face.")
    ] = None,
    crops: Annotated[bool, typer.Option("--crops", help="Score the crops that are kept again.")] = False,
    model: Model = None,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    log_level: LogLevelOption = LogLevel.warning,
) -> None:
    """Judge a recorded run again: the same must come of it; or say what other thresholds would have said."""
    log_to_stderr(log_level)
    from stream_detector.commands import replay as verdicts
    from stream_detector.commands import replay_crops
    from stream_detector.evidence.replaying import Otherwise

    otherwise = Otherwise(low, high, half_life, false_alarms_per_day)
    if not crops:
        raise typer.Exit(verdicts.run(path, otherwise))
    if otherwise:
        raise UsageError("--crops scores again and judges nothing: leave the thresholds out, or --crops")
    raise typer.Exit(replay_crops.run(path, model=model, backend=backend, precision=precision))


@app.command()
def doctor(json: Json = False, log_level: LogLevelOption = LogLevel.warning) -> None:
    """Say what runs here: versions, back-ends and why not, models and their hashes."""
    log_to_stderr(log_level)
    from stream_detector.commands.doctor import run

    raise typer.Exit(run(as_json=json or not sys.stdout.isatty()))


@app.command()
def gui(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...", help="As for watch; none: choose in the window.", show_default=False
        ),
    ] = None,
    config: Config = None,
    model: Model = None,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    face_model: FaceModelOption = "full-range-sparse",
    score_hz: ScoreHz = _DEFAULT["score_hz"].default,
    half_life: HalfLife = _DEFAULT["half_life_s"].default,
    max_faces: MaxFaces = _DEFAULT["max_faces"].default,
    min_face: MinFace = None,
    give_up_after: GiveUpAfter = None,
    hwaccel: HwAccel = "off",
    log_level: LogLevelOption = LogLevel.warning,
) -> None:
    """Open the window: watch live, see every score, keep the proof. Needs the extra `gui`."""
    log_to_stderr(log_level)
    from stream_detector.optional import require

    options: dict[str, object] = {
        "model": model,
        "backend": backend,
        "precision": precision,
        "face_model": face_model,
        "score_hz": score_hz,
        "half_life_s": half_life,
        "max_faces": max_faces,
        "min_face_px": min_face,
        "give_up_after_s": give_up_after,
        "hwaccel": hwaccel,
    }
    typed = {field: value for field, value in options.items() if _was_typed(context, key_of(field))}
    # By name: the window knows the runtime, the runtime does not know the window.
    window = require("gui.app", why="the window", extra="gui")
    raise typer.Exit(window.run(sources or (), typed, config=config))


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Watch live video and print, per face, a rolling fake score. Not proof of anything."""
    if show:
        typer.echo(f"stream-detector {__version__}")
        raise typer.Exit


def _was_typed(context: typer.Context, parameter: str) -> bool:
    """Whether the user wrote the option, be it with its default."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def main() -> int:
    """Run the program; returns its exit code."""
    return end_program(run_program("stream-detector", app))
