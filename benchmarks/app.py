"""Which benchmarks there are, and their options."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_detector.commands.edge import end_program, run_program
from stream_detector.errors import UsageError
from stream_detector.optional import load_media_libraries
from stream_detector.settings import Backend, RunPrecision, make_settings

app = typer.Typer(
    name="python -m benchmarks",
    help="Measure the program; every figure comes with the machine it was measured on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Also write the result here.", show_default=False),
]


@app.command()
def pipeline(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="A file, or another lossless source.")],
    score_hz: Annotated[float, typer.Option(metavar="HZ", help="Scores per face and second.")] = 10.0,
    backend: Annotated[Backend, typer.Option()] = "auto",
    precision: Annotated[RunPrecision, typer.Option()] = "auto",
    rounds: Annotated[int, typer.Option(min=1, help="How often to repeat everything.")] = 3,
    json: JsonFile = None,
) -> None:
    """Where the time goes: every stage alone on one thread, then the whole with all its threads."""
    from benchmarks.pipeline import measure_pipeline, pipeline_table

    settings = make_settings(sources=(clip,), score_hz=score_hz, backend=backend, precision=precision)
    result = measure_pipeline(settings, rounds=rounds)
    _tell("pipeline", result, pipeline_table(result), json)


@app.command()
def profile(
    clip: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CLIP]", help="Watched over and over.  [default: the demo]", show_default=False
        ),
    ] = None,
    streams: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="So many live streams instead.", show_default=False),
    ] = None,
    score_hz: Annotated[
        float | None,
        typer.Option(
            metavar="HZ",
            help="Scores per face and second.  [default: 5, of live streams 1]",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[int, typer.Option(metavar="HZ", min=1, help="Frames per second of each stream.")] = 15,
    seconds: Annotated[int, typer.Option(metavar="SECONDS", min=1, help="Of each of three windows.")] = 20,
    sample_hz: Annotated[int, typer.Option(metavar="HZ", min=1, max=1000, help="Looks per second.")] = 100,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The flame graph.")] = Path("flame.svg"),
    json: JsonFile = None,
) -> None:
    """Where the time goes in the running program: a flame graph, and who holds the interpreter lock."""
    if clip is not None and streams is not None:
        raise UsageError("a profile is of CLIP or of --streams; give one of them")
    load_media_libraries()
    from benchmarks.profile import measure_profile, profile_table

    result = measure_profile(
        clip,
        streams=streams,
        score_hz=score_hz or (5.0 if streams is None else 1.0),
        rate_hz=rate,
        seconds=seconds,
        sample_hz=sample_hz,
        out=out,
    )
    _tell("profile", result, profile_table(result), json)


@app.command()
def gui(
    seconds: Annotated[float, typer.Option(metavar="SECONDS", min=1.0)] = 20.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often verdicts are timed each way.")] = 3,
    soak: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="Only watch its memory for so long.", show_default=False),
    ] = None,
    json: JsonFile = None,
) -> None:
    """What the window costs: painting, later verdicts, and with --soak its memory over time."""
    from benchmarks.gui import gui_table, measure_gui
    from benchmarks.soak import soak_gui, soak_table

    if soak is None:
        result = measure_gui(seconds=seconds, rounds=rounds)
        _tell("gui", result, gui_table(result), json)
    else:
        result = soak_gui(minutes=soak)
        _tell("gui-soak", result, soak_table(result), json)


@app.command()
def capture(
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="How long to measure each.")] = 60.0,
    soak: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="How long the overload lasts.  [default: SECONDS]", show_default=False
        ),
    ] = None,
    streams: Annotated[int, typer.Option(metavar="N", min=1, help="How many live streams at once.")] = 16,
    score_hz: Annotated[float, typer.Option(metavar="HZ", help="Scores per second of each.")] = 1.0,
    json: JsonFile = None,
) -> None:
    """Many live streams, too slow a scorer, and the true delay of a verdict, against their bounds."""
    load_media_libraries()
    from benchmarks.capture import (
        capture_table,
        load_average,
        measure_delay,
        measure_overload,
        measure_streams,
    )

    result: dict[str, object] = {
        "delay": measure_delay(seconds=seconds),
        "streams": measure_streams(seconds=seconds, streams=streams, score_hz=score_hz),
        "overload": measure_overload(seconds=soak or seconds, streams=3),
        "load_average": load_average(),
    }
    _tell("capture", result, capture_table(result), json)


@app.command()
def scoring(
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="For each way and batch, in each round.")
    ] = 2.0,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    largest: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="The largest batch.")] = 64,
    json: JsonFile = None,
) -> None:
    """How fast each back-end scores faces, by batch size, and how exactly."""
    from benchmarks.scoring import BATCHES, measure_scoring, scoring_table

    batches = tuple(batch for batch in BATCHES if batch <= largest)
    result = measure_scoring(seconds=seconds, rounds=rounds, batches=batches)
    _tell("scoring", result, scoring_table(result), json)


@app.command()
def peers(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A file with one face.")],
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    score_hz: Annotated[float, typer.Option(metavar="HZ", help="Of this program.")] = 5.0,
    json: JsonFile = None,
) -> None:
    """This program beside the published way of judging a video, on the same clip, in turns."""
    from benchmarks.peers import measure_peers, peers_table

    result = measure_peers(clip, rounds=rounds, score_hz=score_hz)
    _tell("peers", result, peers_table(result), json)


@app.command()
def latency(
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="At each frame rate.")] = 30.0,
    json: JsonFile = None,
) -> None:
    """From picture to verdict, by the time in its pixels, at 15, 30 and 60 frames a second."""
    load_media_libraries()
    from benchmarks.load import latency_table, measure_latency

    result = measure_latency(seconds=seconds)
    _tell("latency", result, latency_table(result), json)


@app.command()
def batches(
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="Each.")] = 10.0,
    streams: Annotated[int, typer.Option(metavar="N", min=1)] = 8,
    score_hz: Annotated[float, typer.Option(metavar="HZ", help="Scores per second of each.")] = 5.0,
    json: JsonFile = None,
) -> None:
    """What the size and the patience of micro-batches do to throughput and age."""
    load_media_libraries()
    from benchmarks.load import measure_sweep, sweep_table

    result = measure_sweep(seconds=seconds, streams=streams, score_hz=score_hz)
    _tell("batches", result, sweep_table(result), json)


@app.command()
def capacity(
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="For each number of streams.")] = 20.0,
    most: Annotated[int, typer.Option(metavar="N", min=1, help="Try no more streams.")] = 64,
    score_hz: Annotated[float, typer.Option(metavar="HZ", help="Scores per second of each.")] = 1.0,
    rate: Annotated[int, typer.Option(metavar="HZ", min=1, help="Frames per second of each.")] = 15,
    deadline: Annotated[float, typer.Option(metavar="MS", help="For 95 in 100 verdicts.")] = 1500.0,
    json: JsonFile = None,
) -> None:
    """How many live streams this machine carries."""
    load_media_libraries()
    from benchmarks.load import capacity_table, measure_capacity

    result = measure_capacity(
        seconds=seconds, most=most, score_hz=score_hz, rate_hz=rate, deadline_ms=deadline
    )
    _tell("capacity", result, capacity_table(result), json)


@app.command()
def overload(
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="For each load.")] = 10.0,
    streams: Annotated[int, typer.Option(metavar="N", min=1)] = 3,
    rate: Annotated[int, typer.Option(metavar="HZ", min=1, help="Frames per second of each.")] = 30,
    json: JsonFile = None,
) -> None:
    """What becomes of verdicts as more is asked of the scorer than it can do."""
    load_media_libraries()
    from benchmarks.load import measure_overload_curve, overload_table

    result = measure_overload_curve(seconds=seconds, streams=streams, rate_hz=rate)
    _tell("overload", result, overload_table(result), json)


@app.command()
def alarm(
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Whose sidecar holds the facts.  [default: the packaged]"),
    ] = None,
    alarms: Annotated[int, typer.Option(metavar="N", min=10, help="About so many are simulated.")] = 400,
    json: JsonFile = None,
) -> None:
    """Whether the alarm keeps the rate it states, and how soon it finds fakes: a seeded simulation."""
    from benchmarks.alarm import alarm_table, measure_alarm, stand_in_facts
    from stream_detector.scorers.choice import read_spec

    facts = read_spec(model, backend="auto", precision="auto").alarm or stand_in_facts()
    result = measure_alarm(facts, alarms=alarms)
    _tell("alarm", result, alarm_table(result), json)


@app.command()
def scan(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="With real/ and fake/, a folder per kind.")
    ],
    jobs: Annotated[int, typer.Option(metavar="N", min=1)] = 2,
    score_hz: Annotated[float, typer.Option(metavar="HZ")] = 2.0,
    json: JsonFile = None,
) -> None:
    """How often the verdict on a whole file is wrong, and how fast files are scanned."""
    load_media_libraries()
    from benchmarks.scan import measure_scan, scan_table

    result = measure_scan(folder, jobs=jobs, score_hz=score_hz)
    _tell("scan", result, scan_table(result), json)


@app.command()
def sizes(
    faces: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Crops as train takes them: also measure the AUC.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 4,
    json: JsonFile = None,
) -> None:
    """What a face costs by the side of the network's input, and which layers take the time."""
    from benchmarks.sizes import measure_sizes, sizes_table

    result = measure_sizes(rounds=rounds, faces=faces)
    _tell("sizes", result, sizes_table(result), json)


@app.command()
def undecoded(
    faces: Annotated[Path, typer.Argument(metavar="FOLDER", help="Crops as train takes them.")],
    draws: Annotated[int, typer.Option(metavar="N", min=1, help="Of the bootstrap.")] = 1000,
    json: JsonFile = None,
) -> None:
    """What leaving pictures of files undecoded does to verdicts."""
    from benchmarks.undecoded import measure_undecoded, undecoded_table

    result = measure_undecoded(faces, draws=draws)
    _tell("undecoded", result, undecoded_table(result), json)


@app.command()
def accuracy(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="With real/ and fake/, or fake/METHOD/.")],
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With its sidecar.  [default: the packaged]", show_default=False),
    ] = None,
    backend: Annotated[Backend, typer.Option()] = "auto",
    precision: Annotated[RunPrecision, typer.Option()] = "auto",
    score_hz: Annotated[float, typer.Option(metavar="HZ", help="Scores per second of a clip.")] = 2.0,
    duration: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Of each clip.  [default: all of it]", show_default=False),
    ] = None,
    draws: Annotated[int, typer.Option(metavar="N", min=1, help="Of the bootstrap.")] = 1000,
    json: JsonFile = None,
) -> None:
    """How well real and fake clips are told apart through the whole pipeline: AUC, EER, ECE."""
    load_media_libraries()
    from benchmarks.accuracy import accuracy_table, measure_accuracy

    result = measure_accuracy(
        folder,
        model=model,
        backend=backend,
        precision=precision,
        score_hz=score_hz,
        duration_s=duration,
        draws=draws,
    )
    _tell("accuracy", result, accuracy_table(result), json)


@app.command()
def examples(folder: Annotated[Path, typer.Argument(metavar="FOLDER")]) -> None:
    """Encode what a scan may meet, drawn from the demo: for the pictures in the documentation."""
    from benchmarks.clips import encode_examples

    encode_examples(folder)


@app.command()
def clip(
    out: Annotated[Path, typer.Argument(metavar="OUT.mp4")],
    seconds: Annotated[float, typer.Option(metavar="SECONDS", min=1.0)] = 30.0,
    rate: Annotated[int, typer.Option(metavar="HZ", min=1)] = 30,
) -> None:
    """Encode the demo as a 1280x720 H.264 file, to measure with where no other clip is at hand."""
    from benchmarks.clips import encode_demo

    encode_demo(out, seconds=seconds, rate_hz=rate)


@app.command()
def report(
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the documents are up to date.")
    ] = False,
) -> None:
    """Write the tables of README.md and docs/speed.md from the committed results."""
    from benchmarks.report import up_to_date, update_documents

    if not check:
        update_documents()
    elif not up_to_date():
        sys.stderr.write("the documents differ from benchmarks/results: run python -m benchmarks report\n")
        raise typer.Exit(1)


@app.command()
def memory(
    streams: Annotated[int, typer.Option(metavar="N", min=1, help="How many further streams.")] = 8,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="To go on once all had a verdict.")
    ] = 20.0,
    json: JsonFile = None,
) -> None:
    """How much memory one live stream takes, and each further one."""
    load_media_libraries()
    from benchmarks.memory import measure_memory, memory_table

    result = measure_memory(streams=streams, seconds=seconds)
    _tell("memory", result, memory_table(result), json)


@app.command()
def start(
    clip: Annotated[
        Path | None, typer.Argument(metavar="[CLIP]", help="A file with a face.  [default: the demo]")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    json: JsonFile = None,
) -> None:
    """From the start of the program to its first verdict on a file, cold and warm."""
    load_media_libraries()
    from benchmarks.start import measure_start, start_table

    result = measure_start(clip, rounds=rounds)
    _tell("start", result, start_table(result), json)


def main() -> int:
    """Run one benchmark; returns the exit code."""
    return end_program(run_program("benchmarks", app))


def _tell(name: str, result: dict[str, Any], table: str, file: Path | None) -> None:
    """Print a result as its table, and write it where it was asked for."""
    from benchmarks.harness import write_result

    sys.stdout.write(table + "\n")
    if file is not None:
        write_result(file, name, result, _command())


def _command() -> str:
    """The command as it was typed, file names without their folders."""
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return "python -m benchmarks " + shlex.join(words)
