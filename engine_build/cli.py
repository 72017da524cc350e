"""The commands of engine_build."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from engine_build.about import read_about
from engine_build.onnx_export import export_onnx
from engine_build.package import MARGINS, base_spec, make_package, split_faces, write_parity
from engine_build.parity import measure_parity, parity_crops
from engine_build.quantize import calibration_crops
from engine_build.quantize import quantize as write_int8
from engine_build.weights import build_detector, read_weights
from stream_detector.errors import ModelError, StreamDetectorError

app = typer.Typer(
    help="From a checkpoint to the model files the detector runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Checkpoint = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help=".safetensors, .pth, .pt, .p or .bin")]
About = Annotated[
    Path, typer.Option(metavar="FILE", help="JSON: name, trained_on, terms, input_px, limits …")
]
Faces = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Real faces: index.csv, landmarks.npz and the pictures.")
]
PoolingOption = Annotated[
    Literal["torch", "same"],
    typer.Option(help="How max-pools pad; 'same' for weights trained in TensorFlow or Keras."),
]
Json = Annotated[Path, typer.Option("--json", metavar="FILE", help="Where the parity table goes.")]


@app.command()
def package(
    checkpoint: Checkpoint,
    about: About,
    faces: Faces,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the packaged assets.")],
    parity_json: Json = Path("benchmarks/results/parity.json"),
    pooling: PoolingOption = "torch",
) -> None:
    """Make everything the detector ships: INT8, FP16, sidecars, parity, model card, notice."""
    with _steps() as on_step:
        table = make_package(
            read_weights(checkpoint),
            read_about(about),
            split_faces(faces),
            out=out,
            parity_json=parity_json,
            pooling=pooling,
            on_step=on_step,
        )
    Console(stderr=True).print(Markdown(table.as_markdown()))
    missed = [row.name for row in table.rows if row.passed is False]
    if missed:
        raise ModelError(
            f"the package is written, but {' and '.join(missed)} missed the gate: do not make it the default"
        )


@app.command()
def export(
    checkpoint: Checkpoint,
    about: About,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .onnx file.")],
    precision: Annotated[Literal["fp32", "fp16"], typer.Option(help="Of the weights.")] = "fp16",
    pooling: PoolingOption = "torch",
) -> None:
    """Write one ONNX file with its sidecar; nothing is measured."""
    weights = read_weights(checkpoint)
    spec = base_spec(weights, read_about(about)).model_copy(update={"precision": precision})
    export_onnx(build_detector(weights, pooling=pooling), out, spec)


@app.command()
def quantize(
    checkpoint: Checkpoint,
    about: About,
    faces: Faces,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .xml file; .bin and .json go beside it.")],
    pooling: PoolingOption = "torch",
) -> None:
    """Write the INT8 model with its sidecar; nothing is measured."""
    weights = read_weights(checkpoint)
    spec = base_spec(weights, read_about(about))
    with tempfile.TemporaryDirectory(prefix="engine-build-") as temporary, _steps() as on_step:
        fp32 = Path(temporary) / "xception-fp32.onnx"
        on_step("FP32 export")
        export_onnx(build_detector(weights, pooling=pooling), fp32, spec)
        on_step("calibration crops")
        crops = calibration_crops(
            split_faces(faces).calibration,
            margin=MARGINS["full-range-sparse"],
            size_px=spec.contract.input_px,
        )
        on_step("INT8 quantization")
        write_int8(fp32, crops, out, spec.model_copy(update={"format": "openvino", "precision": "int8"}))


@app.command()
def parity(
    checkpoint: Checkpoint,
    about: About,
    faces: Faces,
    fp16: Annotated[Path, typer.Option(metavar="FILE", help="The FP16 .onnx file.")],
    int8: Annotated[Path, typer.Option(metavar="FILE", help="The INT8 .xml file.")],
    parity_json: Json = Path("benchmarks/results/parity.json"),
    pooling: PoolingOption = "torch",
) -> None:
    """Compare the model files with the checkpoint they were made from."""
    weights = read_weights(checkpoint)
    spec = base_spec(weights, read_about(about))
    model = build_detector(weights, pooling=pooling)
    sets = split_faces(faces)
    with tempfile.TemporaryDirectory(prefix="engine-build-") as temporary, _steps() as on_step:
        fp32 = Path(temporary) / "xception-fp32.onnx"
        on_step("FP32 export")
        export_onnx(model, fp32, spec)
        on_step("parity crops")
        real, fake = parity_crops(
            sets.held_out, sets.unused, margin=MARGINS["full-range-sparse"], size_px=spec.contract.input_px
        )
        table = measure_parity(
            model, fp32_onnx=fp32, fp16_onnx=fp16, int8_xml=int8, real=real, fake=fake, on_step=on_step
        )
    write_parity(table, parity_json)
    Console().print(Markdown(table.as_markdown()))


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


@contextmanager
def _steps() -> Iterator[Callable[[str], None]]:
    """A spinner on stderr that names the step at work and how long it has taken."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting", total=None)

        def on_step(name: str) -> None:
            progress.reset(task, description=name)

        yield on_step
