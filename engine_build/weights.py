"""Checkpoints of other makers, and our own, to one set of key names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import torch
from torch import Tensor

from engine_build.xception import Pooling, Xception
from stream_detector.errors import ModelError
from stream_detector.model_spec import file_sha256
from stream_detector.optional import require

Layout = Literal["timm", "cadene", "faceforensics", "deepfakebench"]
"""Whose key names the file uses; ours and Keras' ImageNet weights come with timm's."""

CHECKPOINT_SUFFIXES = {".safetensors", ".pth", ".pt", ".p", ".bin"}
_INPUT_PX: dict[Layout, int] = {"faceforensics": 299, "deepfakebench": 256}
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_HEADS = ("fc", "last_linear", "last_linear.1")


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A checkpoint under timm's key names."""

    state: dict[str, Tensor] = field(repr=False)
    """Key -> float32 CPU tensor, in the shapes of `Xception`; `fc.*` is absent where the file has no head."""
    sha256: str
    """Of the file's bytes."""
    layout: Layout
    """Whose key names the file used."""
    rows: int
    """Of the dense layer; 0 where the file has none, 1000 for an ImageNet classifier."""
    input_px: int | None
    """The side the weights were trained at, where the file or its layout says so."""
    pooling: Pooling | None = None
    """How the max-pools padded in training, where the file says so."""


def read_weights(path: Path) -> Weights:
    """Read a checkpoint of Xception, whoever made it.

    Understood are .safetensors, and the .pth, .pt, .p and .bin files of torch that hold tensors only;
    code inside a file is never run.

    Raises:
        ModelError: no such file, damaged, holds code, or is of a layout or shape that is not Xception's.
    """
    if not path.is_file():
        raise ModelError(f"cannot find the checkpoint {path}: expected a file; check the path")
    stored, notes = _read_tensors(path)
    layout, renamed = _rename(stored, path.name)
    state, rows = _fitted(renamed, path.name)
    return Weights(
        state=state,
        sha256=file_sha256(path),
        layout=layout,
        rows=rows,
        input_px=_stated_px(notes) or _INPUT_PX.get(layout),
        pooling=_stated_pooling(notes, path.name),
    )


def build_detector(weights: Weights, *, pooling: Pooling | None = None) -> Xception:
    """The network with these weights, ready for inference.

    Args:
        pooling: how max-pools pad; None: as the checkpoint says, and "torch" where it says nothing.

    Raises:
        ModelError: the weights have no head with one or two rows, or were trained with other pooling.
    """
    if pooling and weights.pooling and pooling != weights.pooling:
        raise ModelError(
            f"the checkpoint {weights.sha256[:12]}… was trained with max-pools that pad as "
            f"{weights.pooling!r}, expected {pooling!r}: its scores would mean little; leave --pooling out"
        )
    if weights.rows not in (1, 2):
        found = "no dense layer" if weights.rows == 0 else f"a dense layer with {weights.rows} rows"
        raise ModelError(
            f"the checkpoint {weights.sha256[:12]}… is no fake detector: it has {found}, expected 1 or 2 "
            f"rows; train it first"
        )
    model = Xception(rows=weights.rows, pooling=pooling or weights.pooling or "torch")
    model.load_state_dict(weights.state)
    return model.eval()


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file under the names it gives them, and its notes."""
    if path.suffix == ".h5":
        raise ModelError(
            f"cannot read {path.name}: Keras .h5 files are not understood, expected one of "
            f"{', '.join(sorted(CHECKPOINT_SUFFIXES))}; convert it to safetensors with timm's key names"
        )
    if path.suffix not in CHECKPOINT_SUFFIXES:
        raise ModelError(
            f"cannot read {path.name}: expected one of {', '.join(sorted(CHECKPOINT_SUFFIXES))}, found "
            f"{path.suffix or 'no suffix'!r}; convert it, or rename it to what it is"
        )
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_torch(path), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    safetensors = require("safetensors", why="reading a checkpoint", extra="build")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"cannot read {path.name}: expected a safetensors file, found damage ({error}); fetch it again"
        ) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ModelError(
            f"cannot read {path.name}: it holds more than tensors, or is damaged, and a file that may carry "
            "code is not run; expected a state dict: where you trust the file, load it in torch yourself "
            f"and save model.state_dict()"
        ) from error
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
    ) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"cannot read {path.name}: expected a file of torch.save, found damage ({first_line}); fetch "
            "it again"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise ModelError(
            f"cannot read {path.name}: expected a state dict, found {type(content).__name__}; save "
            "model.state_dict()"
        )
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _rename(stored: Mapping[str, Tensor], where: str) -> tuple[Layout, dict[str, Tensor]]:
    """Tell the layout by its prefixes and its head, and give every key timm's name."""
    names = {re.sub(r"^(module\.)+", "", name): name for name in stored}
    layout: Layout | None = None
    for prefix, named in (("backbone.", "deepfakebench"), ("model.", "faceforensics"), ("", "")):
        if f"{prefix}conv1.weight" in names and f"{prefix}block1.rep.0.conv1.weight" in names:
            names = {name.removeprefix(prefix): old for name, old in names.items() if name.startswith(prefix)}
            if named == "deepfakebench":
                layout = "deepfakebench"
            elif named == "faceforensics":
                layout = "faceforensics"
            else:
                layout = "cadene" if any(name.startswith("last_linear") for name in names) else "timm"
            break
    if layout is None:
        sample = ", ".join(sorted(stored)[:3]) or "no tensor"
        raise ModelError(
            f"{where} is of an unknown layout: found {len(stored)} tensors ({sample}, …), expected "
            "Xception under the key names of timm, Cadene, FaceForensics++ or DeepfakeBench (conv1.weight, "
            "block1.rep.0.conv1.weight, …)"
        )
    renamed: dict[str, Tensor] = {}
    for name, old in names.items():
        stem, _, leaf = name.rpartition(".")
        if name.startswith("adjust_channel."):  # DeepfakeBench builds this layer and leaves it unused
            continue
        renamed[f"fc.{leaf}" if stem in _HEADS else name] = stored[old]
    return layout, renamed


def _fitted(renamed: Mapping[str, Tensor], where: str) -> tuple[dict[str, Tensor], int]:
    """Hold every tensor against the network's own names and shapes; returns them and the head's rows."""
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in Xception().state_dict().items()}
    head = renamed.get("fc.weight")
    rows = 0 if head is None else int(head.shape[0])
    for name in ("fc.weight", "fc.bias"):
        if head is None:
            del expected[name]
        else:
            expected[name] = (rows, *expected[name][1:])
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = sorted(expected.keys() - renamed.keys() - counters)
    unknown = sorted(renamed.keys() - expected.keys())
    if missing or unknown:
        parts = [f"lacks {_few(missing)}"] if missing else []
        parts += [f"has the unknown {_few(unknown)}"] if unknown else []
        raise ModelError(
            f"{where} does not hold an Xception: it {' and '.join(parts)}; expected {len(expected)} tensors"
        )
    state: dict[str, Tensor] = {}
    for name, shape in expected.items():
        if name in counters:
            state[name] = renamed.get(name, torch.zeros((), dtype=torch.int64)).to(torch.int64)
            continue
        value = renamed[name]
        if value.ndim == 2 and len(shape) == 4:  # Cadene's first files store 1x1 kernels as matrices
            value = value[:, :, None, None]
        if tuple(value.shape) != shape:
            raise ModelError(
                f"{where} does not hold an Xception: {name} is {tuple(renamed[name].shape)}, expected {shape}"
            )
        if not bool(torch.isfinite(value).all()):
            raise ModelError(f"{where} is damaged: {name} holds a number that is not finite; fetch it again")
        state[name] = value.to(torch.float32)
    return state, rows


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _stated_pooling(notes: Mapping[str, str], where: str) -> Pooling | None:
    """What a safetensors note named pooling states."""
    match notes.get("pooling"):
        case None:
            return None
        case "torch":
            return "torch"
        case "same":
            return "same"
        case other:
            raise ModelError(
                f"{where} states the pooling {other[:40]!r}, expected torch or same; it was made by another "
                "program"
            )


def _stated_px(notes: Mapping[str, str]) -> int | None:
    """The side a safetensors note states: as `train` writes it, or in words, as in "224 px"."""
    if notes.get("input_px", "").isdecimal():
        return int(notes["input_px"])
    found = re.search(r"\b(\d{2,4}) px\b", " ".join(notes.values()))
    return int(found.group(1)) if found else None
