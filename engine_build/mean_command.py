"""`engine_build mean`: checkpoints of one lineage, averaged weight by weight."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from engine_build.training_state import save_weights
from engine_build.weights import Weights, build_detector, read_weights
from stream_detector.errors import ModelError, UsageError


def mean_command(
    checkpoints: Annotated[
        list[Path], typer.Argument(metavar="CHECKPOINT...", help="Two or more, one trained from another.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .safetensors file to write.")],
    share: Annotated[
        list[float] | None,
        typer.Option(metavar="SHARE", help="Of each checkpoint, in their order.  [default: equal shares]"),
    ] = None,
) -> None:
    """Average the weights of checkpoints that were trained from one another; nothing is measured."""
    if len(checkpoints) < 2:
        raise UsageError(f"a mean needs two checkpoints or more, got {len(checkpoints)}; name another")
    shares = share or [1 / len(checkpoints)] * len(checkpoints)
    if len(shares) != len(checkpoints) or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UsageError(
            f"--share was given {len(shares)} times for {len(checkpoints)} checkpoints and adds up to "
            f"{sum(shares):g}; expected once for each, adding up to 1"
        )
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out} makes no sense: expected a name that ends in .safetensors; choose one")
    read = [read_weights(path) for path in checkpoints]
    state, notes = mean(read, shares)
    names = [
        f"{share:g} of {path.name} ({weights.sha256[:12]})"
        for share, path, weights in zip(shares, checkpoints, read, strict=True)
    ]
    save_weights(out, state, {**notes, "description": f"mean of weights: {', '.join(names)}"})


def mean(checkpoints: Sequence[Weights], shares: Sequence[float]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The mean of the weights, and notes for its file.

    A network fine-tuned a little further from where another ended lies in the same valley, and points
    between the two often tell as well as the better one while they move less away from what the earlier
    one knew (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, section 3).

    Args:
        checkpoints: two or more, of one lineage: weights that share no past add up to nothing.
        shares: of each; they add up to 1.

    Raises:
        ModelError: a checkpoint is no fake detector, or they differ in head, side or pooling.
    """
    networks = [build_detector(weights) for weights in checkpoints]
    for what, found in (
        ("rows of the dense layer", [network.fc.out_features for network in networks]),
        ("pooling", [network.pooling for network in networks]),
        ("input side in pixels", [w.input_px for w in checkpoints if w.input_px is not None]),
    ):
        if len(set(found)) > 1:
            raise ModelError(
                f"the checkpoints differ in {what} ({', '.join(map(str, found))}): expected the same; a mean "
                "makes sense only of checkpoints that were trained from one another"
            )
    states = [network.state_dict() for network in networks]
    state = {
        name: sum((each[name] * share for each, share in zip(states, shares, strict=True)), value * 0)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }
    px = next((w.input_px for w in checkpoints if w.input_px is not None), None)
    return state, {"pooling": networks[0].pooling, **({"input_px": str(px)} if px else {})}
