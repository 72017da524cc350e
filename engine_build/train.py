"""Fine-tune Xception on pairs of real and fake faces.

    pairs --> network --> binary cross-entropy --> gradients, checked and clipped --> AdamW
                                                                  |
    best.safetensors <-- best validation AUC <-- running mean of the weights (EMA)

BatchNorm statistics stay those of the starting weights unless the recipe says otherwise: a small batch
that holds a face and its own blend leaks through them which is which.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from engine_build.about import About
from engine_build.face_crops import StoredFace
from engine_build.norms import estimate_norms
from engine_build.package import MARGINS
from engine_build.real_clips import RealClips
from engine_build.recipe import Recipe
from engine_build.training_clock import RunClock
from engine_build.training_data import (
    Loading,
    Pairs,
    StepBatches,
    ValidationPairs,
    batch_of,
    begin_loading,
    check_apart,
    loaded,
    usable_faces,
)
from engine_build.training_log import Row, TrainingLog
from engine_build.training_run import Run
from engine_build.training_state import save_weights, write_whole
from engine_build.weights import Weights
from engine_build.xception import Pooling, Xception
from stream_detector.errors import ModelError
from stream_detector.optional import require

MARGIN = MARGINS["full-range-sparse"]
"""Of the validation crops: what the detector cuts."""
_NORM_PAIRS, _NORM_BATCH = 256, 32
"""Pairs that BatchNorm statistics are taken from, and how many at once: 64 pictures are enough for the
variance of a channel."""
_VALIDATION_DRAWS = 3
"""How often each held-out face is shown: what is chosen by one draw of a few hundred is chosen by luck."""
_VALIDATION_BATCH = 16
"""Pairs at once; no gradient is kept, so memory hardly matters."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run may use. Nothing here changes what is drawn, or in which order."""

    devices: int = 1
    """GPUs where there are any, otherwise processes on the CPU."""
    workers: int = 2
    """Processes that load pictures, per device; 0 loads between the steps."""
    save_every_s: float = 300.0
    """The whole state is written this often, and at every validation."""


@dataclass(frozen=True, slots=True)
class Description:
    """What goes into the description of the checkpoint and cannot be measured."""

    name: str
    data: str
    """What the faces are and where they are from."""
    terms: str
    started_from: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a run ended."""

    checkpoint: Path
    """.safetensors: the averaged weights at the best validation."""
    about: Path
    """The description `engine_build package` takes with --about."""
    best_step: int
    best_auc: float
    rows: tuple[Row, ...] = field(repr=False)
    stopped_early: bool
    """The AUC rose no more."""
    step: int
    """How many steps are done."""
    interrupted: bool
    """It was asked to end before it was done; what was learned is saved."""


def starting_network(weights: Weights, *, pooling: Pooling | None, seed: int) -> Xception:
    """The network with these weights; a head of one row is drawn where they have none that says fake.

    Args:
        pooling: how max-pools pad; None: as the checkpoint says, and "torch" where it says nothing.
    """
    rows = weights.rows if weights.rows in (1, 2) else 1
    torch.manual_seed(seed)
    network = Xception(rows=rows, pooling=pooling or weights.pooling or "torch")
    state = weights.state
    if rows != weights.rows:
        state = {**state, **{f"fc.{name}": value for name, value in network.fc.state_dict().items()}}
    network.load_state_dict(state)
    return network


def train(
    network: Xception,
    faces: Sequence[StoredFace],
    recipe: Recipe,
    description: Description,
    *,
    out: Path,
    machine: Machine,
    real_clips: Sequence[StoredFace] = (),
    on_step: Callable[[int], None] = lambda _: None,
    on_row: Callable[[Row], None] = lambda _: None,
    ended: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train until the steps are done or the validation AUC rises no more; continue where a run was killed.

    On one CPU, the same seed, data and options give the same weights, killed in between or not.

    Args:
        network: with its starting weights; trained in place.
        faces: of the splits "train" and "val".
        out: gets best.safetensors, about.json, log.csv, learning_curve.png, tensorboard/ and state.pt.
        real_clips: crops of real videos of other people, which are never trained on: what calls more of them
            fake than the recipe allows is kept only while there is nothing else.
        on_step: told how many steps are done.
        on_row: told what each validation found.
        ended: asked after each step whether to save and leave. With one device: of several processes each
            would be told at a step of its own.

    Raises:
        ModelError: the faces do not do, the folder belongs to another run, a gradient is not finite, or
            the disk is full.
    """
    check_apart([*faces, *(replace(face, split="val") for face in real_clips)])
    reals, fakes = usable_faces(faces, "train", blend_share=recipe.blend_share)
    held_out = usable_faces(faces, "val", blend_share=recipe.blend_share)
    fabric = _fabric(recipe, machine)
    if (recipe.batch // 2) % fabric.world_size:
        raise ModelError(
            f"a batch of {recipe.batch} holds {recipe.batch // 2} pairs, which {fabric.world_size} devices "
            "cannot share evenly; choose another --batch"
        )
    torch.backends.cudnn.deterministic = True
    out.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint([*faces, *real_clips], network)
    training = Pairs(
        reals,
        fakes,
        size_px=recipe.size_px,
        seed=recipe.seed,
        blend_share=recipe.blend_share,
        masked=recipe.mask_weight > 0,
        film_share=recipe.film_share,
    )
    if recipe.norms == "estimated" and not (out / "state.pt").is_file():
        estimate_norms(network, _first_pictures(training))
    run = Run(fabric, network, recipe, path=out / "state.pt", data=fingerprint)
    validation = ValidationPairs(
        *held_out,
        size_px=recipe.size_px,
        margin=MARGIN,
        blend_share=recipe.blend_share,
        draws=_VALIDATION_DRAWS,
    )
    must_stay = RealClips(real_clips, size_px=recipe.size_px, margin=MARGIN) if real_clips else None
    batches = StepBatches(
        run.step, recipe.steps, pairs=recipe.batch // 2, rank=fabric.global_rank, ranks=fabric.world_size
    )
    # Forked workers can hang on a lock that an OpenMP thread held; a fresh process cannot. It takes
    # seconds to start, so that those of the validation stay.
    workers: dict[str, Any] = {
        "num_workers": machine.workers,
        "worker_init_fn": begin_loading,
        "collate_fn": batch_of,
    }
    if machine.workers:
        workers |= {"multiprocessing_context": "spawn", "persistent_workers": True}
    pinned = fabric.device.type == "cuda"
    loader: DataLoader[Tensor | str] = DataLoader(
        Loading(training), batch_sampler=batches, pin_memory=pinned, **workers
    )
    checker: DataLoader[Tensor | str] = DataLoader(
        Loading(validation), batch_size=_VALIDATION_BATCH, **workers
    )
    with ExitStack() as stack:
        log = TrainingLog(out, run.rows, started_again=run.step > 0)
        if fabric.is_global_zero:
            stack.enter_context(log)
        clock = RunClock(machine.save_every_s)
        pictures = iter(loader)
        interrupted = False
        try:
            while run.step < recipe.steps and not run.stopped and not interrupted:
                with clock.loading():
                    batch = loaded(next(pictures))
                run.one_step(batch)
                clock.stepped()
                on_step(run.step)
                interrupted = ended() and run.step < recipe.steps
                if run.step % recipe.validate_every == 0 or run.step == recipe.steps:
                    row = run.validate(checker, clock, must_stay)
                    if fabric.is_global_zero:
                        log.add(row)
                        if run.best_step == run.step:
                            _keep(run, description, out, len(reals), len(fakes), len(validation), must_stay)
                    on_row(row)
                    run.save()
                    clock.begin()
                elif interrupted or clock.due():
                    run.save()
        finally:
            # A caller that keeps the error would keep the loading processes, too.
            del pictures, loader, checker
    return Outcome(
        checkpoint=out / "best.safetensors",
        about=out / "about.json",
        best_step=run.best_step,
        best_auc=run.best_auc,
        rows=tuple(run.rows),
        stopped_early=run.stopped,
        step=run.step,
        interrupted=interrupted,
    )


def _first_pictures(pairs: Pairs) -> Iterator[Tensor]:
    """The training pictures that statistics are taken from, real and fake, in batches."""
    for first in range(0, _NORM_PAIRS, _NORM_BATCH):
        batch = torch.stack([pairs[number] for number in range(first, first + _NORM_BATCH)])
        yield batch[..., :3].flatten(0, 1)


def _fabric(recipe: Recipe, machine: Machine) -> Any:
    """The processes of the run, in the precision asked for."""
    lightning = require("lightning_fabric", why="training", extra="build")
    fabric = lightning.Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=machine.devices,
        strategy="auto" if machine.devices == 1 else "ddp",
        precision="bf16-mixed" if recipe.precision == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric


def _fingerprint(faces: Sequence[StoredFace], network: Xception) -> str:
    """Hash of what is trained on, and of where it starts."""
    digest = hashlib.sha256(network.pooling.encode())
    for face in faces:
        digest.update(repr((str(face.path), face.split, face.label)).encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _keep(
    run: Run,
    description: Description,
    out: Path,
    reals: int,
    fakes: int,
    pairs: int,
    real_clips: RealClips | None,
) -> None:
    """Write the averaged weights and what there is to say about them."""
    recipe, row = run.recipe, run.rows[-1]
    notes = {
        "description": f"{description.name}, trained at {recipe.size_px} px",
        "input_px": str(recipe.size_px),
        "margin": str(MARGIN),
        "pooling": run.network.pooling,
        "step": str(row.step),
    }
    save_weights(out / "best.safetensors", run.network.state_dict(), notes)
    if recipe.blend_share == 1:
        made_of, against = f"{reals} real faces and self-blends of them", "self-blends of them"
        limits = ["No deepfake was used in training: whole faces made by a generator were never shown to it."]
    else:
        blends = f", {recipe.blend_share:.0%} of the fakes being self-blends" if recipe.blend_share else ""
        made_of, against = f"{reals} real and {fakes} fake faces{blends}", "fakes"
        limits = ["It was shown only the kinds of fakes its training data holds."]
    about = About(
        name=description.name,
        trained_on=f"{made_of} ({description.data}); started from {description.started_from}",
        terms=description.terms,
        input_px=recipe.size_px,
        reported=(
            f"AUC {row.val_auc:.3f} and log-loss {row.val_loss:.3f} on {pairs} pictures of held-out real "
            f"faces and as many {against}, degraded like video, after {row.step} steps of {recipe.batch} "
            "pictures; the step was chosen on these faces",
            *(
                (f"{row.real_over_half:.0%} of {len(real_clips)} real clips scored over one half",)
                if real_clips is not None
                else ()
            ),
        ),
        limits=(
            *limits,
            "A score is no proof. Do not use it as the only ground for a decision about a person.",
        ),
    )
    write_whole(
        out / "about.json",
        lambda draft: draft.write_text(about.model_dump_json(indent=1) + "\n", encoding="utf-8"),
    )
