"""Real videos that a run is not trained on and must not learn to call fake."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from engine_build.face_crops import StoredFace, cut_stored
from stream_detector.errors import ModelError

_BATCH = 32


class RealClips:
    """Crops of real videos in memory, cut as the detector cuts them."""

    def __init__(self, faces: Sequence[StoredFace], *, size_px: int, margin: float) -> None:
        """
        Args:
            faces: as `engine_build crops` stores them; fake ones are left out.
            size_px: side of the network's input.
            margin: of the crops.

        Raises:
            ModelError: none is real, or a picture cannot be read.
        """
        reals = [face for face in faces if face.label == 0]
        if not reals:
            raise ModelError(
                f"the clips that must not be called fake hold {len(faces)} faces and no real one: expected "
                "crops of real videos; check --real-clips"
            )
        names, self._clip = np.unique([face.clip for face in reals], return_inverse=True)
        self._clips = len(names)
        cut = [cut_stored(face.picture(), margin=margin, size_px=size_px) for face in reals]
        self._pictures = torch.from_numpy(np.stack(cut))

    def __len__(self) -> int:
        """How many clips."""
        return self._clips

    def share_over_half(self, logits: Callable[[Tensor], Tensor]) -> float:
        """The share of clips whose mean probability is over one half.

        Args:
            logits: of (n, S, S, 3) uint8 RGB, (n,).
        """
        count = len(self._pictures)
        found = [logits(self._pictures[first : first + _BATCH]) for first in range(0, count, _BATCH)]
        p = torch.sigmoid(torch.cat(found)).numpy()
        means = np.bincount(self._clip, weights=p, minlength=self._clips) / np.bincount(self._clip)
        return float((means > 0.5).mean())
