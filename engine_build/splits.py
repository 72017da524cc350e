"""Which videos train, validate and test, so that no person is in two of these."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stream_detector.errors import SourceError, UsageError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Clip:
    """What deciding on a split needs to know of a video."""

    name: str
    """For sentences."""
    label: int
    """0 = real, 1 = fake."""
    identities: tuple[str, ...]
    """Everybody who is in it; a fake of A with the face of B has both."""
    kind: str = ""
    """Method and compression: balancing takes about the same from each."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of the videos goes where; the rest trains."""

    val: float = 0.15
    test: float = 0.15

    def __post_init__(self) -> None:
        if not (0 <= self.val < 1 and 0 <= self.test < 1 and self.val + self.test < 1):
            raise UsageError(
                f"shares of {self.val} for validation and {self.test} for testing make no sense: expected "
                "0 or more each, less than 1 together; choose others"
            )

    def of(self, split: Split) -> float:
        return {"train": 1 - self.val - self.test, "val": self.val, "test": self.test}[split]


def make_splits(
    clips: Sequence[Clip],
    *,
    shares: Shares,
    seed: int,
    official: Mapping[str, Split] | None = None,
) -> list[Split]:
    """Deal clips out so that people who ever share a clip stay together.

    Groups are the connected components of "shares a clip with". They are dealt out largest first, in an
    order drawn from `seed`, each to the split that lacks most of what the group has, reals and fakes
    counted apart.

    Args:
        official: identity -> split. Whoever is connected with a listed person goes along; the rest is
            dealt out by `shares`.

    Returns:
        One split per clip.

    Raises:
        UsageError: no clips, fewer groups than splits, or a clip joins people of two official splits.
    """
    if not clips:
        raise UsageError("there is no readable video to split: check the data set")
    group_of = _groups(clips)
    members: dict[int, list[int]] = defaultdict(list)
    for number, group in enumerate(group_of):
        members[group].append(number)
    split_of = _official_groups(clips, group_of, official or {})
    free = [group for group in members if group not in split_of]
    wanted = [split for split in SPLITS if shares.of(split) > 0]
    if free and len(free) < len(wanted) and not split_of:
        people = len({identity for clip in clips for identity in clip.identities})
        raise UsageError(
            f"cannot split {len(clips)} videos of {people} people into {len(wanted)} parts: everybody is "
            f"connected through shared videos in {len(free)} group{'s' if len(free) > 1 else ''}; add other "
            "people, set a share to 0, or put all into one part with --only"
        )
    split_of |= _dealt(clips, {group: members[group] for group in free}, shares, seed)
    splits = [split_of[group] for group in group_of]
    check_splits(clips, splits)
    return splits


def check_splits(clips: Sequence[Clip], splits: Sequence[str]) -> None:
    """Make sure that nobody is in two splits. An empty split stands for "left out".

    Raises:
        UsageError: somebody is.
    """
    seen: dict[str, tuple[str, str]] = {}
    for clip, split in zip(clips, splits, strict=True):
        for identity in clip.identities if split else ():
            other, name = seen.setdefault(identity, (split, clip.name))
            if other != split:
                raise UsageError(
                    f"{identity} is in {name} ({other}) and in {clip.name} ({split}): expected everybody in "
                    "one split only; correct the lists or the identities"
                )


def balanced(clips: Sequence[Clip], splits: Sequence[str], *, seed: int) -> list[str]:
    """The same splits with the larger class cut down to the smaller one in each, evenly over the kinds.

    Returns:
        One split per clip; "" where the clip is left out.

    Raises:
        UsageError: a split holds one class only.
    """
    order = np.random.default_rng(seed).permutation(len(clips))
    chosen = [""] * len(clips)
    for split in SPLITS:
        numbers = [int(n) for n in order if splits[n] == split]
        reals, fakes = (_turns(clips, [n for n in numbers if clips[n].label == label]) for label in (0, 1))
        if bool(reals) != bool(fakes):
            raise UsageError(
                f"cannot balance {split}: found {len(reals)} real and {len(fakes)} fake videos, expected "
                "some of each; leave out --balanced, or use another --seed"
            )
        for number in [n for each in zip(reals, fakes, strict=False) for n in each]:
            chosen[number] = split
    return chosen


def read_official(folder: Path) -> dict[str, Split]:
    """Identity -> split from train.json, val.json and test.json: lists of pairs of identities.

    Raises:
        SourceError: a list is missing or damaged, or somebody is in two of them.
    """
    found: dict[str, Split] = {}
    for split in SPLITS:
        path = folder / f"{split}.json"
        try:
            pairs = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SourceError(
                f"cannot read {path}: {reason}; expected the official lists train.json, val.json, test.json"
            ) from error
        if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
            raise SourceError(f'{path} is no official list: expected pairs such as [["071", "054"], …]')
        for identity in (identity for pair in pairs for identity in pair):
            if found.setdefault(identity, split) != split:
                raise SourceError(
                    f"{path} lists {identity}, which {found[identity]}.json has too: expected everybody in "
                    "one list only; fetch the lists again"
                )
    return found


def _is_pair(found: object) -> bool:
    return isinstance(found, list) and len(found) == 2 and all(isinstance(i, str) and i for i in found)


def _groups(clips: Sequence[Clip]) -> list[int]:
    """One group number per clip: the connected components of shared identities."""
    parent: dict[str, str] = {}

    def root(identity: str) -> str:
        parent.setdefault(identity, identity)
        while parent[identity] != identity:
            parent[identity] = parent[parent[identity]]
            identity = parent[identity]
        return identity

    # A clip that names nobody is a group of its own; NUL occurs in no file name.
    named = [clip.identities or (f"\0{number}",) for number, clip in enumerate(clips)]
    for first, *others in named:
        for other in others:
            parent[root(other)] = root(first)
    numbers: dict[str, int] = {}
    return [numbers.setdefault(root(identities[0]), len(numbers)) for identities in named]


def _official_groups(
    clips: Sequence[Clip], group_of: Sequence[int], official: Mapping[str, Split]
) -> dict[int, Split]:
    """Group -> split where the official lists decide."""
    found: dict[int, tuple[str, Split]] = {}
    for clip, group in zip(clips, group_of, strict=True):
        for identity in clip.identities:
            if identity not in official:
                continue
            other, split = found.setdefault(group, (identity, official[identity]))
            if split != official[identity]:
                raise UsageError(
                    f"the official lists put {other} into {split} and {identity} into {official[identity]}, "
                    f"but shared videos, such as {clip.name}, connect them; remove those videos"
                )
    return {group: split for group, (_, split) in found.items()}


def _dealt(
    clips: Sequence[Clip], members: Mapping[int, list[int]], shares: Shares, seed: int
) -> dict[int, Split]:
    """Group -> split by shares."""
    counts = {group: Counter(clips[n].label for n in numbers) for group, numbers in members.items()}
    totals = sum(counts.values(), Counter[int]())
    held: dict[Split, Counter[int]] = {split: Counter() for split in SPLITS if shares.of(split) > 0}
    drawn = [list(members)[i] for i in np.random.default_rng(seed).permutation(len(members))]
    split_of: dict[int, Split] = {}
    for group in sorted(drawn, key=lambda group: -counts[group].total()):

        def need(split: Split, adds: Counter[int] = counts[group]) -> tuple[float, bool, float]:
            lacking = sum(n * (1 - held[split][k] / (shares.of(split) * totals[k])) for k, n in adds.items())
            # An empty split goes first, so that none stays empty while there are groups.
            return lacking, not held[split], shares.of(split)

        best = max(held, key=need)
        split_of[group] = best
        held[best] += counts[group]
    return split_of


def _turns(clips: Sequence[Clip], numbers: Iterable[int]) -> list[int]:
    """`numbers` so that the kinds take turns for as long as they last."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for number in numbers:
        by_kind[clips[number].kind].append(number)
    turns = [(turn, kind, n) for kind, each in by_kind.items() for turn, n in enumerate(each)]
    return [number for _, _, number in sorted(turns)]
