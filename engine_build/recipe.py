"""How a training run goes: what is trained when, how fast, and for how long."""

import math
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream_detector.errors import UsageError

_HEAD_SHARE, _LAST_BLOCKS_SHARE = 0.1, 0.3
"""Up to the first share of a gradual run only the dense layer is trained, up to the second also the
last blocks; then everything."""
_LAST_BLOCKS = 4
"""How many blocks the second stage unfreezes, besides the two convolutions after them."""
_WARM_UP_SHARE, _WARM_UP_STEPS = 0.05, 200
"""The learning rate climbs for this share of the run, and for at most so many steps."""


class Recipe(BaseModel):
    """Everything that decides the result besides the data and the starting weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size_px: Annotated[int, Field(ge=64, le=1024)] = 224
    """Side of the network's input; scores at another size mean little."""
    steps: Annotated[int, Field(ge=1)]
    """Optimizer steps of the whole run; the schedule counts these, never seconds."""
    batch: Annotated[int, Field(ge=2)] = 32
    """Pictures per step over all devices, half of them fake."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-3
    """On matrices and kernels; not on biases and BatchNorms."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """On the pooled features."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay of the running mean of the weights, which is what gets validated and kept."""
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    blend_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the fakes that are self-blends of the real face beside them."""
    film_share: Annotated[float | None, Field(gt=0, lt=1)] = None
    """Of the real faces shown, how many are frames of clips that give several; None: each picture alike."""
    gradual: bool = True
    """First the dense layer, then the last blocks, then all; False: all from the first step."""
    mask_weight: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Of a second loss: where the fake is blended, cell by cell of the last map; needs blend_share 1."""
    sam: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Length of the step uphill before each gradient (Foret et al., "Sharpness-Aware Minimization", ICLR
    2021, algorithm 1); 0: none. Twice the cost."""
    norms: Literal["starting", "estimated", "batch"] = "starting"
    """BatchNorm statistics. Fixed: those of the starting weights, or taken anew from the training pictures
    before the first step. Or those of each batch, their running mean being kept: of 64 pictures or more,
    since few tell a face from its own blend by what they have in common."""
    freeze_blocks: Annotated[int, Field(ge=0)] = 0
    """The stem and this many blocks are never trained."""
    validate_every: Annotated[int, Field(ge=1)]
    """Steps between validations."""
    most_over_half: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Of real clips, where some are given: weights that score more of them over one half are not kept while
    there are others."""
    patience: Annotated[int, Field(ge=1)] = 8
    """The run ends after this many validations without a better AUC, once everything is trained."""
    precision: Literal["bf16", "fp32"] = "bf16"
    seed: int = 0

    @model_validator(mode="after")
    def _masked(self) -> Self:
        if self.mask_weight and self.blend_share < 1:
            raise ValueError(
                "only self-blends come with a mask: give --self-blend, or leave --mask-weight out"
            )
        return self

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if self.batch % 2:
            raise ValueError(
                f"a batch holds pairs of a real and a fake face, so it must be even, got {self.batch}"
            )
        return self

    def stage(self, step: int) -> int:
        """What step `step` trains: 0 the dense layer, 1 also the last blocks, 2 everything."""
        if not self.gradual or step >= self.steps * _LAST_BLOCKS_SHARE:
            return 2
        return 0 if step < self.steps * _HEAD_SHARE else 1

    def trains(self, name: str, stage: int, *, blocks: int) -> bool:
        """Whether `stage` trains the parameter of the network called `name`.

        Args:
            blocks: how many blocks the network has.
        """
        if name.startswith("fc."):
            return True
        if re.match(r"(conv|bn)[34]\.", name):
            return stage >= 1
        block = re.match(r"block(\d+)\.", name)
        number = int(block.group(1)) if block else 0
        if number <= self.freeze_blocks and (block is not None or self.freeze_blocks):
            return False
        return stage == 2 or (stage == 1 and number > blocks - _LAST_BLOCKS)

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to a hundredth (Loshchilov & Hutter, ICLR 2017)."""
        warm_up = max(1, min(_WARM_UP_STEPS, round(self.steps * _WARM_UP_SHARE)))
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        done = (step - warm_up) / max(1, self.steps - warm_up)
        return self.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def steps_for(epochs: int, *, reals: int, batch: int) -> int:
    """How many steps show every real face `epochs` times."""
    return math.ceil(epochs * reals / (batch // 2))


def make_recipe(**values: object) -> Recipe:
    """A recipe from named values.

    Raises:
        UsageError: a value is out of range; the sentence names the option.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "batch"
        option = "--" + name.removesuffix("_px").replace("_", "-")
        raise UsageError(
            f"{option} makes no sense: {first['msg'].removeprefix('Value error, ')}; "
            "see engine_build train --help"
        ) from error
