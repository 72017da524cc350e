"""Small Xceptions, and checkpoints in every layout, made at test time."""

from pathlib import Path

import torch
from torch import Tensor

from engine_build.xception import Pooling, Xception


def small_xception(*, rows: int = 2, pooling: Pooling = "torch", seed: int = 0) -> Xception:
    """A narrow network with one middle block, whose BatchNorms are not trivial."""
    torch.manual_seed(seed)
    model = Xception(rows=rows, pooling=pooling, width=0.125, middle_blocks=1)
    for name, value in model.state_dict().items():
        if name.endswith("running_mean"):
            value.uniform_(-0.2, 0.2)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return model.eval()


def full_state(rows: int = 2) -> dict[str, Tensor]:
    """Every key of the full network with its shape, in values that take no memory."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Xception().state_dict().items()}
    state = {
        name: torch.full((1,), 0.5).expand(shape) if shape else torch.tensor(3)
        for name, shape in shapes.items()
    }
    state["fc.weight"] = torch.full((rows, 2048), 0.25)
    state["fc.bias"] = torch.arange(rows, dtype=torch.float32)
    return state


def save(state: object, path: Path) -> Path:
    """`torch.save`, and the path."""
    torch.save(state, path)
    return path
