"""What its maker says of a checkpoint: a small JSON file that goes with it."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_detector.errors import ModelError


class About(BaseModel):
    """What cannot be read from the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    trained_on: Annotated[str, Field(min_length=1)]
    terms: Annotated[str, Field(min_length=1)]
    input_px: Annotated[int, Field(ge=64, le=1024)]
    """The side it was trained at."""
    reported: tuple[str, ...] = ()
    """Figures of the training run, a sentence each."""
    limits: Annotated[tuple[str, ...], Field(min_length=1)]
    """What it cannot do, a sentence each."""


def read_about(path: Path) -> About:
    """Read and check the file.

    Raises:
        ModelError: it is missing, no JSON, or lacks a field.
    """
    try:
        return About.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"cannot read {path}: {error.strerror}; give the description of the checkpoint with --about"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ModelError(
            f"{path.name} does not describe a checkpoint: {field}: {first['msg']}; correct it"
        ) from error
