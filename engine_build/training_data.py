"""Pairs of a real and a fake face, picture by picture decided by the seed and nothing else."""

import math
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from engine_build.augment import augment, framed
from engine_build.degrade import degrade
from engine_build.face_crops import StoredFace, cut_stored
from engine_build.self_blend import TRAINING, self_blended
from stream_detector.errors import ModelError
from stream_detector.records import Image

MAX_VALIDATION_PAIRS = 1000
"""Validation looks at no more: past this the AUC's own error is below .01."""
_ORDER, _DRAW, _CHECK = 1, 2, 3
"""Keep the random streams of one seed apart."""
_FILM_KIND = 2
"""Beside 0, the real faces, and 1, the fakes."""


class Pairs(Dataset[Tensor]):
    """The endless sequence of training pairs. Pair n is the same whoever asks, and whenever."""

    def __init__(
        self,
        reals: Sequence[StoredFace],
        fakes: Sequence[StoredFace],
        *,
        size_px: int,
        seed: int,
        blend_share: float,
        masked: bool = False,
        film_share: float | None = None,
    ) -> None:
        """
        Args:
            reals, fakes: of the training split.
            size_px: side of the network's input.
            seed: decides every draw.
            blend_share: of the fakes, how many are self-blends of the real face beside them.
            masked: give a fourth channel, where the fake is blended; only with a blend_share of 1.
            film_share: of the real faces shown, how many are frames of a film; None: every picture equally
                often.

        Raises:
            ModelError: a film share is given, and there are no films or nothing else.
        """
        self._fakes = fakes
        self._size_px, self._seed, self._blend_share = size_px, seed, blend_share
        self._masked = masked
        self._films: list[StoredFace] = []
        self._stills = list(reals)
        self._film_share = film_share or 0.0
        if film_share is not None:
            self._films, self._stills = films_and_stills(reals)
            if not self._films or not self._stills:
                raise ModelError(
                    f"a share of films can only be kept with both films and stills: found {len(self._films)} "
                    f"frames of clips with several pictures and {len(self._stills)} other pictures; leave "
                    "--film-share out"
                )

    def __getitem__(self, number: int) -> Tensor:
        """(2, size_px, size_px, 3 or 4) uint8: real, fake.

        Raises:
            ModelError: a picture cannot be read.
        """
        rng = np.random.default_rng((self._seed, _DRAW, number))
        chosen = self.real(number)
        state = rng.bit_generator.state
        real, moved = framed(chosen.picture(), rng)
        masks = []
        if rng.random() < self._blend_share:
            real, fake, mask = self_blended(real, chosen.landmarks - moved, rng, TRAINING)
            masks = [np.zeros_like(mask), mask] if self._masked else []
        else:
            listed = self._fakes[_turn(self._seed, 1, len(self._fakes), number)]
            same = np.random.default_rng()
            same.bit_generator.state = state
            fake, _ = framed(listed.picture(), same)
        pictures, masks = augment([real, fake], rng, size_px=self._size_px, masks=masks)
        if masks:
            pictures = [
                np.dstack([p, (m * 255).round()]).astype(np.uint8)
                for p, m in zip(pictures, masks, strict=True)
            ]
        return _tensor(pictures)

    def real(self, number: int) -> StoredFace:
        """The real face of pair `number`: every still once before any comes again, in a new order each time
        round; and every frame of a film, in turns of their own."""
        before, after = (math.floor(n * self._film_share) for n in (number, number + 1))
        if after > before:
            return self._films[_turn(self._seed, _FILM_KIND, len(self._films), before)]
        return self._stills[_turn(self._seed, 0, len(self._stills), number - before)]


class ValidationPairs(Dataset[Tensor]):
    """A fixed set of pairs of held-out faces, cut as the detector cuts them, degraded like video."""

    def __init__(
        self,
        reals: Sequence[StoredFace],
        fakes: Sequence[StoredFace],
        *,
        size_px: int,
        margin: float,
        blend_share: float,
        draws: int = 1,
    ) -> None:
        """
        Args:
            reals, fakes: held out.
            size_px: side of the network's input.
            margin: of the crops, as the detector cuts them.
            blend_share: as of `Pairs`.
            draws: how often each face is shown, each time degraded and blended anew; the pairs of the
                first draw are the same for any number.
        """
        self._reals, self._fakes, self._draws = reals, fakes, draws
        self._size_px, self._margin, self._blend_share = size_px, margin, blend_share

    def __len__(self) -> int:
        return min(MAX_VALIDATION_PAIRS, self._draws * len(self._reals))

    def __getitem__(self, number: int) -> Tensor:
        """(2, size_px, size_px, 3) uint8: real, fake.

        Raises:
            ModelError: a picture cannot be read.
        """
        rng = np.random.default_rng((_CHECK, number))
        chosen = self._reals[_turn(0, 0, len(self._reals), number)]
        real = chosen.picture()
        if rng.random() < self._blend_share:
            real, fake, _ = self_blended(real, chosen.landmarks, rng)
        else:
            fake = self._fakes[_turn(0, 1, len(self._fakes), number)].picture()
        cut = [
            cut_stored(
                degrade(picture, np.random.default_rng((_CHECK, number, 1))),
                margin=self._margin,
                size_px=self._size_px,
            )
            for picture in (real, fake)
        ]
        return _tensor(cut)


class Loading(Dataset[Tensor | str]):
    """Pairs whose errors travel as sentences: torch would wrap them in a traceback of the worker."""

    def __init__(self, pairs: Pairs | ValidationPairs) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs) if isinstance(self._pairs, ValidationPairs) else 0

    def __getitem__(self, number: int) -> Tensor | str:
        """The pair, or why there is none."""
        try:
            return self._pairs[number]
        except ModelError as error:
            return str(error)


def batch_of(items: Sequence[Tensor | str]) -> Tensor | str:
    """(n, 2, S, S, 3) of n pairs, or the first sentence; a DataLoader's collate function."""
    said = [item for item in items if isinstance(item, str)]
    return said[0] if said else torch.stack([item for item in items if isinstance(item, Tensor)])


def loaded(batch: Tensor | str) -> Tensor:
    """What `batch_of` made, in the process that trains.

    Raises:
        ModelError: a picture cannot be read.
    """
    if isinstance(batch, str):
        raise ModelError(batch)
    return batch


class StepBatches:
    """Which pairs each step trains on, from the step where a run continues; a DataLoader's batch sampler."""

    def __init__(self, first: int, last: int, *, pairs: int, rank: int, ranks: int) -> None:
        """
        Args:
            first: 0-based step to begin with.
            last: one past the last step.
            pairs: per step over all `ranks`; a multiple of `ranks`.
            rank: which of the processes this one is.
        """
        self._first, self._last = first, last
        self._pairs, self._rank, self._own = pairs, rank, pairs // ranks

    def __len__(self) -> int:
        return max(0, self._last - self._first)

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._first, self._last):
            start = step * self._pairs + self._rank * self._own
            yield list(range(start, start + self._own))


def usable_faces(
    faces: Sequence[StoredFace], split: str, *, blend_share: float
) -> tuple[list[StoredFace], list[StoredFace]]:
    """The real and the fake faces of `split` that a run with this share of self-blends can use.

    Raises:
        ModelError: there are none of a kind the run needs.
    """
    mine = [face for face in faces if face.split == split]
    reals = [face for face in mine if face.label == 0 and (not blend_share or face.points_px is not None)]
    fakes = [face for face in mine if face.label == 1]
    if not reals:
        needed = " with landmarks" if blend_share else ""
        raise ModelError(
            f"the split {split!r} holds {len(mine)} faces and no real one{needed}: expected some; check "
            "index.csv and landmarks.npz"
        )
    if not fakes and blend_share < 1:
        raise ModelError(
            f"the split {split!r} lists {len(reals)} real faces and no fake: expected some of each; add "
            "fakes, or train with --self-blend"
        )
    return reals, fakes


def films_and_stills(faces: Sequence[StoredFace]) -> tuple[list[StoredFace], list[StoredFace]]:
    """The faces of clips that give several pictures, and the others."""
    pictures = Counter(face.clip for face in faces)
    films = [face for face in faces if pictures[face.clip] > 1]
    return films, [face for face in faces if pictures[face.clip] == 1]


def check_apart(faces: Sequence[StoredFace]) -> None:
    """Refuse faces of one person in training and validation.

    Raises:
        ModelError: an identity is in both; validation would only measure memory.
    """
    train, val = (
        {name for f in faces if f.split == split for name in (f.identity or f.clip).split(";")}
        for split in ("train", "val")
    )
    if both := sorted(train & val):
        raise ModelError(
            f"{len(both)} identities are in the training and in the validation split "
            f"({', '.join(both[:3])}): expected none; split by identity again"
        )


def begin_loading(_worker: int) -> None:
    """What every loading worker does first: one worker is one core, and Ctrl-C is the trainer's to heed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _turn(seed: int, kind: int, count: int, number: int) -> int:
    """Which of `count` faces has turn `number`: every face once, in a new order each time round."""
    return int(_order(seed, kind, count, number // count)[number % count])


@lru_cache(maxsize=4)
def _order(seed: int, kind: int, count: int, time_round: int) -> np.ndarray:
    return np.random.default_rng((seed, _ORDER, kind, time_round)).permutation(count)


def _tensor(pictures: Sequence[Image]) -> Tensor:
    return torch.from_numpy(np.stack(pictures))
