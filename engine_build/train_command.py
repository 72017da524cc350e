"""`engine_build train` and its options."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from engine_build.face_crops import read_faces
from engine_build.recipe import make_recipe, steps_for
from engine_build.steps import progress_bar
from engine_build.train import Description, Machine, starting_network, train
from engine_build.training_data import usable_faces
from engine_build.training_log import Row
from engine_build.weights import read_weights
from stream_detector.commands.signals import INTERRUPTED, Signals
from stream_detector.errors import UsageError

_EPOCHS = 20
_TERMINATED = 143
"""128 + SIGTERM: what ends before it is done has not succeeded."""


def train_command(
    faces: Annotated[
        Path, typer.Argument(metavar="FACES", help="Crops: index.csv, pictures, landmarks.npz.")
    ],
    weights: Annotated[Path, typer.Option(metavar="FILE", help="Where to start, such as ImageNet weights.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Of the run; a killed run continues in it.")],
    self_blend: Annotated[
        bool, typer.Option("--self-blend", help="Make the fakes from the real faces (Shiohara & Yamasaki).")
    ] = False,
    blend_share: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of the fakes that are self-blends; mixes both."),
    ] = None,
    film_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Of the real faces shown, how many are frames of clips with several pictures.  [default: as "
            "many as there are]",
        ),
    ] = None,
    size: Annotated[int, typer.Option(metavar="PX", help="Side of the network's input.")] = 224,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="How often every real face is shown.  [default: 20]")
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Instead of --epochs.")] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Pictures per step, half of them fake.")] = 32,
    learning_rate: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="At its highest.  [default: 1e-4; 2e-4 for self-blends]"),
    ] = None,
    freeze_blocks: Annotated[int, typer.Option(metavar="N", help="Never train the stem and N blocks.")] = 0,
    norms: Annotated[
        Literal["starting", "estimated", "batch"],
        typer.Option(help="BatchNorm statistics: of --weights, taken from FACES first, or of each batch."),
    ] = "starting",
    mask_weight: Annotated[
        float, typer.Option(metavar="W", help="Of a second loss: where a self-blend is blended.")
    ] = 0.0,
    sam: Annotated[
        float, typer.Option(metavar="RHO", help="Sharpness-aware steps of this length; twice the cost.")
    ] = 0.0,
    weight_decay: Annotated[float, typer.Option(metavar="RATE", help="On matrices and kernels.")] = 1e-3,
    dropout: Annotated[float, typer.Option(metavar="SHARE", help="On the pooled features.")] = 0.2,
    ema: Annotated[
        float, typer.Option(metavar="DECAY", help="Of the running mean of the weights, which is kept.")
    ] = 0.995,
    real_clips: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Crops of real videos, never trained on: weights that call too many of them fake are kept "
            "only while there are no others.",
        ),
    ] = None,
    most_over_half: Annotated[
        float, typer.Option(metavar="SHARE", help="Of --real-clips, how many may score over one half.")
    ] = 0.25,
    validate_every: Annotated[
        int | None, typer.Option(metavar="STEPS", help="Between validations.  [default: an epoch]")
    ] = None,
    patience: Annotated[
        int, typer.Option(metavar="N", help="Validations without a better AUC, then end.")
    ] = 8,
    precision: Annotated[Literal["bf16", "fp32"], typer.Option(help="Of the arithmetic.")] = "bf16",
    seed: Annotated[int, typer.Option(metavar="N", help="Decides every draw.")] = 0,
    pooling: Annotated[
        Literal["torch", "same"] | None,
        typer.Option(help="How max-pools pad.  [default: as --weights says, else torch]"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Loading processes per device.  [default: cores - 1]")
    ] = None,
    devices: Annotated[int, typer.Option(metavar="N", help="GPUs; without one, processes on the CPU.")] = 1,
    save_every: Annotated[float, typer.Option(metavar="MINUTES", help="Between saved states.")] = 5.0,
    name: Annotated[str, typer.Option(metavar="TEXT", help="Of the checkpoint.")] = "xception",
    data: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the faces are, for the card.")
    ] = None,
    terms: Annotated[str, typer.Option(metavar="TEXT", help="Of the data, for the card.")] = (
        "not stated: the terms of the training data apply"
    ),
) -> None:
    """Fine-tune a checkpoint on face crops; makes best.safetensors and the about.json that package takes."""
    if steps is not None and epochs is not None:
        raise UsageError("--steps and --epochs both say how long to train: give one of them")
    share = blend_share if blend_share is not None else float(self_blend)
    known = read_faces(faces)
    reals, _ = usable_faces(known, "train", blend_share=share)
    epoch = steps_for(1, reals=len(reals), batch=max(2, batch))
    total = (
        steps if steps is not None else steps_for(epochs or _EPOCHS, reals=len(reals), batch=max(2, batch))
    )
    recipe = make_recipe(
        size_px=size,
        steps=total,
        batch=batch,
        learning_rate=learning_rate or (2e-4 if share == 1 else 1e-4),
        blend_share=share,
        film_share=film_share,
        gradual=share < 1,
        norms=norms,
        mask_weight=mask_weight,
        sam=sam,
        weight_decay=weight_decay,
        dropout=dropout,
        ema=ema,
        most_over_half=most_over_half,
        freeze_blocks=freeze_blocks,
        validate_every=validate_every or max(1, min(epoch, total)),
        patience=patience,
        precision=precision,
        seed=seed,
    )
    start = read_weights(weights)
    console = Console(stderr=True)
    # Of several processes each would hear a signal at a step of its own.
    signals = Signals(last_resort=False) if devices == 1 else None  # a validation takes longer
    with signals or nullcontext(), progress_bar() as progress:
        task = progress.add_task("training", total=total)

        def on_row(row: Row) -> None:
            progress.console.print(row.sentence(total), highlight=False, soft_wrap=True)

        outcome = train(
            starting_network(start, pooling=pooling, seed=seed),
            known,
            recipe,
            Description(name, data or faces.name, terms, f"{weights.name} (sha256 {start.sha256[:12]}…)"),
            out=out,
            real_clips=read_faces(real_clips) if real_clips else (),
            machine=Machine(
                devices=devices,
                workers=max(1, (os.cpu_count() or 2) - 1) if workers is None else workers,
                save_every_s=60 * save_every,
            ),
            on_step=lambda step: progress.update(task, completed=step),
            on_row=on_row,
            ended=lambda: signals is not None and (signals.interrupted or signals.terminated),
        )
    if signals is not None and outcome.interrupted:
        console.print(
            f"stopped after step {outcome.step} of {total}, which is saved; the same command goes on there",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED if signals.interrupted else _TERMINATED)
    why = "the validation AUC rose no more" if outcome.stopped_early else "every step is done"
    console.print(
        f"{why}: the best of {len(outcome.rows)} validations was at step {outcome.best_step}, AUC "
        f"{outcome.best_auc:.3f}; next: engine_build package {outcome.checkpoint} --about {outcome.about}",
        highlight=False,
        soft_wrap=True,
    )
