"""The commands that turn a data set into stored faces: index and crops."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from engine_build.crop_faces import CropPlan
from engine_build.crop_folder import make_crops
from engine_build.dataset import find_videos
from engine_build.splits import SPLITS, Shares, balanced, make_splits, read_official
from engine_build.steps import progress_bar
from engine_build.video_index import as_clip, forget_progress, index_videos
from engine_build.video_table import Video, read_table, write_table
from stream_detector.errors import UsageError

_SHOWN_PROBLEMS = 10
_PROCESSORS = os.cpu_count() or 1

Jobs = Annotated[int, typer.Option(metavar="N", min=1, help="Processes at work.", show_default="processors")]


def index(
    dataset: Annotated[
        Path,
        typer.Argument(metavar="DATASET", help="FaceForensics++, a folder with real/ and fake/, or a CSV."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The table; its paths count from its folder.")],
    official: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With the official train.json, val.json and test.json."),
    ] = None,
    val: Annotated[float, typer.Option(metavar="SHARE", help="Of the videos, for validation.")] = 0.15,
    test: Annotated[float, typer.Option(metavar="SHARE", help="Of the videos, for testing.")] = 0.15,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    balance: Annotated[
        bool, typer.Option("--balanced", help="Leave out videos until each split has as many fakes as reals.")
    ] = False,
    only: Annotated[
        Literal["train", "val", "test"] | None, typer.Option(help="Put every video into this split.")
    ] = None,
    real_only: Annotated[
        bool, typer.Option("--real-only", help="No fakes are expected: for training from self-blends.")
    ] = False,
    jobs: Jobs = _PROCESSORS,
) -> None:
    """List a data set's videos in one table, with splits that share no person."""
    shares = Shares(val, test)
    lists = read_official(official) if official is not None else None
    entries = find_videos(dataset)
    with _bar("reading videos") as on_progress:
        videos = index_videos(entries, out, jobs=jobs, on_progress=on_progress)
    # Written before anything is refused: reading may have taken hours.
    write_table(videos, out)
    forget_progress(out)
    readable = [video for video in videos if video.facts.readable]
    _show_problems([(v.filepath, v.facts.problem) for v in videos if v.facts.problem], out)
    if readable and not real_only and len({video.label for video in readable}) == 1:
        found, lacking = ("fake", "real") if readable[0].label else ("real", "fake")
        hint = "; to train from real faces alone, add --real-only" if lacking == "fake" else ""
        raise UsageError(
            f"{dataset} has {len(readable)} {found} videos and no {lacking} ones that can be read: expected "
            f"both; the table {out} has no splits{hint}"
        )
    clips = [as_clip(video) for video in readable]
    splits: Sequence[str]
    if only is not None and clips:
        splits = [only] * len(clips)
    else:
        splits = make_splits(clips, shares=shares, seed=seed, official=lists)
    if balance:
        splits = balanced(clips, splits, seed=seed)
    split_of = dict(zip((video.filepath for video in readable), splits, strict=True))
    videos = [replace(video, split=split_of.get(video.filepath, "")) for video in videos]
    write_table(videos, out)
    _show_splits(videos)


def crops(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="What engine_build index wrote.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the crops go.")],
    frames: Annotated[int, typer.Option(metavar="K", min=1, help="Crops of a face, evenly spread.")] = 16,
    faces: Annotated[
        Literal["main", "all"],
        typer.Option(help="The face seen longest, or all; in a fake, others than the main one may be real."),
    ] = "main",
    min_face: Annotated[int, typer.Option(metavar="PX", min=1, help="Smallest face that is kept.")] = 40,
    landmarker: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="MediaPipe's face_landmarker.task: store landmarks, for self-blends."
        ),
    ] = None,
    jobs: Jobs = _PROCESSORS,
) -> None:
    """Find the faces in a table's videos and store them as training reads them."""
    plan = CropPlan(frames=frames, faces=faces, min_face_px=min_face)
    videos = read_table(table)
    with _bar("taking crops") as on_progress:
        report = make_crops(
            videos, table, out, plan, landmarker=landmarker, jobs=jobs, on_progress=on_progress
        )
    _show_problems(report.problems, out / "problems.csv")
    console = Console(stderr=True)
    mesh = f", {report.without_mesh} of them without landmarks" if landmarker is not None else ""
    console.print(f"{report.crops} crops of {report.videos} videos{mesh}, listed in {out / 'index.csv'}")


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr: how many of how many, the time taken, and the time left."""
    with progress_bar() as progress:
        task = progress.add_task(what, total=None)

        def on_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield on_progress


def _show_problems(problems: Sequence[tuple[str, str]], where: Path) -> None:
    """The first few problems, and where the others are."""
    console = Console(stderr=True)
    for filepath, sentence in problems[:_SHOWN_PROBLEMS]:
        console.print(f"{filepath}: {sentence}", markup=False, highlight=False)
    if len(problems) > _SHOWN_PROBLEMS:
        console.print(f"and {len(problems) - _SHOWN_PROBLEMS} more, listed in {where}")


def _show_splits(videos: Sequence[Video]) -> None:
    """How many real and fake videos, and people, each split has."""
    console, shown = Console(stderr=True), Table("split", "real", "fake", "people")
    for split in (*SPLITS, ""):
        chosen = [video for video in videos if video.split == split]
        counts = Counter(video.label for video in chosen)
        people = {identity for video in chosen for identity in video.identities}
        if chosen:
            shown.add_row(split or "left out", str(counts[0]), str(counts[1]), str(len(people)))
        if split and len(counts) == 1 and len({video.label for video in videos}) == 2:
            console.print(
                f"{split} holds {'fake' if counts[1] else 'real'} videos only: no AUC can be taken of it"
            )
    console.print(shown)
