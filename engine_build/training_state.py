"""A run's whole state on disk: written whole or not at all, so that a killed run goes on where it was."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from stream_detector.errors import ModelError
from stream_detector.optional import require

_FORMAT = 1


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, flush it to the disk, and give it its name in one move.

    Raises:
        ModelError: the disk is full, or the folder cannot be written; `path` is as it was.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        write(draft)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"cannot write {path}: {first_line}; make room and start again: what was done is continued"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` (numbers, texts, lists, tensors) for `load_state`.

    Raises:
        ModelError: it cannot be written.
    """
    write_whole(path, lambda draft: torch.save({"format": _FORMAT, **state}, draft))


def load_state(path: Path, *, recipe: str, data: str) -> dict[str, Any] | None:
    """What `save_state` wrote; None where there is nothing.

    Args:
        recipe, data: what the run is made of; the state must have been written for the same.

    Raises:
        ModelError: damaged, or from another run.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = (state["format"], state["recipe"], state["data"])
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"cannot continue from {path}: it is damaged ({type(error).__name__}); delete it to start again"
        ) from error
    for what, was, now in zip(("format", "options", "data"), found, (_FORMAT, recipe, data), strict=True):
        if was != now:
            raise ModelError(
                f"cannot continue from {path}: it was written with other {what} "
                f"({_difference(str(was), str(now))}); start with the same ones, or give another --out"
            )
    return state


def save_weights(path: Path, weights: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """A .safetensors file with `notes` as its metadata.

    Raises:
        ModelError: it cannot be written.
    """
    torch_files = require("safetensors.torch", why="writing a checkpoint", extra="build")
    whole = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    content: bytes = torch_files.save(whole, metadata=dict(notes))
    write_whole(path, lambda draft: draft.write_bytes(content))


def _difference(was: str, now: str) -> str:
    pairs = zip(was.split(","), now.split(","), strict=False)
    found = [f"{a.strip('{}')} instead of {b.strip('{}')}" for a, b in pairs if a != b]
    return "; ".join(found[:2]) or f"{was[:40]} instead of {now[:40]}"
