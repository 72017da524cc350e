"""The commands of engine_build."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markdown import Markdown

from engine_build.about import read_about
from engine_build.calibrate_command import calibrate_command
from engine_build.card_command import card_command
from engine_build.data_commands import crops, index
from engine_build.evaluate_command import evaluate_command
from engine_build.mean_command import mean_command
from engine_build.onnx_export import export_onnx
from engine_build.package import MARGINS, base_spec, make_package, split_faces, write_parity
from engine_build.parity import measure_parity, parity_crops
from engine_build.quantize import calibration_crops
from engine_build.quantize import quantize as write_int8
from engine_build.steps import shown_steps
from engine_build.tensorrt_build import build_engine, describe, requirements
from engine_build.train_command import train_command
from engine_build.weights import build_detector, read_weights
from stream_detector import assets
from stream_detector.errors import BackendError, ModelError, StreamDetectorError, UsageError
from stream_detector.scorers.engine_sidecar import EngineBackend, engine_cache, engine_path

app = typer.Typer(
    help="From a checkpoint to the model files the detector runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# In the order in which they are used.
app.command()(index)
app.command()(crops)
app.command("train")(train_command)
app.command("mean")(mean_command)
app.command("evaluate")(evaluate_command)
app.command("calibrate")(calibrate_command)
app.command("card")(card_command)

Checkpoint = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help=".safetensors, .pth, .pt, .p or .bin")]
About = Annotated[
    Path, typer.Option(metavar="FILE", help="JSON: name, trained_on, terms, input_px, limits …")
]
Faces = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Real faces: index.csv, landmarks.npz and the pictures.")
]
PoolingOption = Annotated[
    Literal["torch", "same"] | None,
    typer.Option(
        help="How max-pools pad; 'same' for weights trained in TensorFlow or Keras.  [default: as CHECKPOINT "
        "says, else torch]"
    ),
]
AccuracyAware = Annotated[
    bool,
    typer.Option(
        "--accuracy-aware", help="Put layers back into floating point until INT8 keeps its gate. Slow."
    ),
]
Json = Annotated[Path, typer.Option("--json", metavar="FILE", help="Where the parity table goes.")]


@app.command()
def package(
    checkpoint: Checkpoint,
    about: About,
    faces: Faces,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the packaged assets.")],
    parity_json: Json = Path("benchmarks/results/parity.json"),
    pooling: PoolingOption = None,
    accuracy_aware: AccuracyAware = False,
) -> None:
    """Make everything the detector ships: INT8, FP16, sidecars, parity, model card, notice."""
    with shown_steps() as steps:
        table = make_package(
            read_weights(checkpoint),
            read_about(about),
            split_faces(faces),
            out=out,
            parity_json=parity_json,
            pooling=pooling,
            accuracy_aware=accuracy_aware,
            steps=steps,
        )
    Console(stderr=True).print(Markdown(table.as_markdown()))
    missed = [row.name for row in table.rows if row.passed is False]
    if missed:
        raise ModelError(
            f"the package is written, but {' and '.join(missed)} missed the gate: do not make it the "
            "default; where INT8 missed it, try --accuracy-aware"
        )


@app.command()
def export(
    checkpoint: Checkpoint,
    about: About,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .onnx file.")],
    precision: Annotated[Literal["fp32", "fp16"], typer.Option(help="Of the weights.")] = "fp16",
    batch: Annotated[
        str,
        typer.Option(metavar="N", help="dynamic, or a fixed number, which the detector does not take."),
    ] = "dynamic",
    pooling: PoolingOption = None,
) -> None:
    """Write one ONNX file with its sidecar; nothing is measured."""
    if batch != "dynamic" and not batch.isdecimal():
        raise UsageError(f"--batch {batch} makes no sense: expected dynamic or a number; choose one")
    fixed = None if batch == "dynamic" else int(batch)
    weights = read_weights(checkpoint)
    spec = base_spec(weights, read_about(about)).model_copy(update={"precision": precision})
    export_onnx(build_detector(weights, pooling=pooling), out, spec, batch=fixed)


@app.command()
def quantize(
    checkpoint: Checkpoint,
    about: About,
    faces: Faces,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .xml file; .bin and .json go beside it.")],
    pooling: PoolingOption = None,
    accuracy_aware: AccuracyAware = False,
) -> None:
    """Write the INT8 model with its sidecar; nothing is measured."""
    weights = read_weights(checkpoint)
    spec = base_spec(weights, read_about(about))
    with tempfile.TemporaryDirectory(prefix="engine-build-") as temporary, shown_steps() as steps:
        fp32 = Path(temporary) / "xception-fp32.onnx"
        steps.begin("FP32 export")
        export_onnx(build_detector(weights, pooling=pooling), fp32, spec)
        crops = calibration_crops(
            split_faces(faces).calibration,
            margin=MARGINS["full-range-sparse"],
            size_px=spec.contract.input_px,
            steps=steps,
        )
        int8 = spec.model_copy(update={"format": "openvino", "precision": "int8"})
        write_int8(fp32, crops, out, int8, accuracy_aware=accuracy_aware, steps=steps)


@app.command()
def parity(
    checkpoint: Checkpoint,
    about: About,
    faces: Faces,
    fp16: Annotated[Path, typer.Option(metavar="FILE", help="The FP16 .onnx file.")],
    int8: Annotated[Path, typer.Option(metavar="FILE", help="The INT8 .xml file.")],
    parity_json: Json = Path("benchmarks/results/parity.json"),
    pooling: PoolingOption = None,
) -> None:
    """Compare the model files with the checkpoint they were made from."""
    weights = read_weights(checkpoint)
    spec = base_spec(weights, read_about(about))
    model = build_detector(weights, pooling=pooling)
    sets = split_faces(faces)
    with tempfile.TemporaryDirectory(prefix="engine-build-") as temporary, shown_steps() as steps:
        fp32 = Path(temporary) / "xception-fp32.onnx"
        steps.begin("FP32 export")
        export_onnx(model, fp32, spec)
        real, fake = parity_crops(
            sets.held_out,
            sets.unused,
            margin=MARGINS["full-range-sparse"],
            size_px=spec.contract.input_px,
            steps=steps,
        )
        table = measure_parity(
            model, fp32_onnx=fp32, fp16_onnx=fp16, int8_xml=int8, real=real, fake=fake, steps=steps
        )
    write_parity(table, parity_json)
    Console().print(Markdown(table.as_markdown()))


@app.command()
def tensorrt(
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL.onnx", help="FP16.  [default: the packaged one]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The .engine file.  [default: where watch looks: beside MODEL.onnx; for the packaged "
            "model the user's cache]",
        ),
    ] = None,
    rtx: Annotated[bool, typer.Option("--rtx", help="For TensorRT-RTX; needs no GPU.")] = False,
    opt: Annotated[int, typer.Option(metavar="N", help="The batch to tune for.")] = 32,
    max_batch: Annotated[int, typer.Option("--max", metavar="N", help="The largest batch.")] = 64,
    slow: Annotated[bool, typer.Option("--slow", help="Let TensorRT try more kernels.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what this machine lacks.")] = False,
) -> None:
    """Build a TensorRT engine, and hold it to FP32 where a GPU can run it."""
    backend: EngineBackend = "tensorrt-rtx" if rtx else "tensorrt"
    if check:
        found = requirements(backend)
        print("\n".join(describe(found)))
        raise typer.Exit(0 if all(r.met for r in found if r.to_build) else BackendError.exit_code)
    source = model or assets.xception_fp16()
    target = out or engine_path(source, backend, folder=None if model else engine_cache())
    with shown_steps() as steps:
        sidecar = build_engine(
            source, target, backend=backend, opt=opt, max_batch=max_batch, slow=slow, steps=steps
        )
    print(f"{target}: {backend} {sidecar.trt_version}, built in {sidecar.build_seconds:.1f} s")
    if isinstance(sidecar.parity, str):
        print("parity: not run; it is measured where the engine is first loaded")
    for bucket in () if isinstance(sidecar.parity, str) else sidecar.parity:
        print(f"parity at batch {bucket.batch}: logits within {bucket.max_dlogit:.4f} of FP32")


def main() -> int:
    """Run one command; returns the exit code."""
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except StreamDetectorError as error:
        print(f"engine_build: {error}", file=sys.stderr)
        return error.exit_code
    return 0
