"""Splits share no person, however people are connected, and say so where they cannot be made."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_build.splits import SPLITS, Clip, Shares, balanced, check_splits, make_splits, read_official
from stream_detector.errors import SourceError, UsageError

PEOPLE = [f"{number:03}" for number in range(40)]
clip = st.builds(
    Clip,
    name=st.just("clip.mp4"),
    label=st.integers(0, 1),
    identities=st.lists(st.sampled_from(PEOPLE), min_size=0, max_size=3, unique=True).map(tuple),
    kind=st.sampled_from(["Deepfakes c23", "FaceSwap c23"]),
)


def faceforensics(pairs: int) -> list[Clip]:
    """Two people a pair, each once as they are and twice with the other's face."""
    clips = []
    for number in range(pairs):
        a, b = f"{2 * number:03}", f"{2 * number + 1:03}"
        clips += [Clip(f"{a}.mp4", 0, (a,), "youtube c23"), Clip(f"{b}.mp4", 0, (b,), "youtube c23")]
        for method in ("Deepfakes", "FaceSwap"):
            clips += [Clip(f"{x}_{y}.mp4", 1, (x, y), f"{method} c23") for x, y in ((a, b), (b, a))]
    return clips


def groups(clips: list[Clip]) -> int:
    """How many groups of connected people there are, found by merging sets."""
    found: list[set[str]] = []
    for number, each in enumerate(clips):
        people = set(each.identities) or {f"nobody {number}"}
        for other in [group for group in found if group & people]:
            found.remove(other)
            people |= other
        found.append(people)
    return len(found)


@given(st.lists(clip, min_size=1, max_size=60), st.integers(0, 9), st.sampled_from([0.0, 0.1, 0.3]))
def test_nobody_is_in_two_splits_and_the_same_seed_splits_the_same(
    clips: list[Clip], seed: int, share: float
) -> None:
    shares = Shares(val=share, test=0.2)
    if groups(clips) < sum(shares.of(split) > 0 for split in SPLITS):
        with pytest.raises(UsageError, match="connected through shared videos"):
            make_splits(clips, shares=shares, seed=seed)
        return
    splits = make_splits(clips, shares=shares, seed=seed)
    assert make_splits(clips, shares=shares, seed=seed) == splits
    of_person: dict[str, set[str]] = {}
    for each, split in zip(clips, splits, strict=True):
        for identity in each.identities:
            of_person.setdefault(identity, set()).add(split)
    assert all(len(found) == 1 for found in of_person.values())
    assert set(splits) == {split for split in SPLITS if shares.of(split) > 0}


@given(st.lists(clip, min_size=1, max_size=60), st.integers(0, 9))
def test_balanced_splits_have_as_many_fakes_as_reals_and_only_leave_clips_out(
    clips: list[Clip], seed: int
) -> None:
    splits = ["train" if number % 3 else "val" for number in range(len(clips))]
    labels = {split: {clips[n].label for n in range(len(clips)) if splits[n] == split} for split in SPLITS}
    if any(len(found) == 1 for found in labels.values()):
        with pytest.raises(UsageError, match="expected some of each"):
            balanced(clips, splits, seed=seed)
        return
    chosen = balanced(clips, splits, seed=seed)
    assert all(after in ("", before) for before, after in zip(splits, chosen, strict=True))
    counts = Counter((split, each.label) for each, split in zip(clips, chosen, strict=True) if split)
    whole = Counter((split, each.label) for each, split in zip(clips, splits, strict=True))
    for split in SPLITS:
        assert counts[split, 0] == counts[split, 1] == min(whole[split, 0], whole[split, 1])


def test_balancing_takes_as_much_from_each_method() -> None:
    clips = faceforensics(20)
    chosen = balanced(clips, ["train"] * len(clips), seed=3)
    kinds = Counter(each.kind for each, split in zip(clips, chosen, strict=True) if split)
    assert kinds == {"youtube c23": 40, "Deepfakes c23": 20, "FaceSwap c23": 20}


def test_shares_are_met_for_reals_and_fakes_alike() -> None:
    clips = faceforensics(100)
    splits = make_splits(clips, shares=Shares(0.2, 0.1), seed=1)
    counts = Counter((split, each.label) for each, split in zip(clips, splits, strict=True))
    assert [counts[split, 0] for split in SPLITS] == pytest.approx([140, 40, 20], abs=4)
    assert [counts[split, 1] for split in SPLITS] == pytest.approx([280, 80, 40], abs=8)
    assert splits != make_splits(clips, shares=Shares(0.2, 0.1), seed=2)


def test_reals_and_fakes_of_different_people_reach_every_split() -> None:
    clips = [Clip(f"{n}.mp4", int(n < 30), (str(n),)) for n in range(40)]
    splits = make_splits(clips, shares=Shares(), seed=0)
    assert {(each.label, split) for each, split in zip(clips, splits, strict=True)} == {
        (label, split) for label in (0, 1) for split in SPLITS
    }


def test_official_lists_decide_and_the_rest_is_dealt_out(tmp_path: Path) -> None:
    clips = [*faceforensics(3), Clip("01__a.mp4", 0, ("actor-01",)), Clip("02__a.mp4", 0, ("actor-02",))]
    for split, pairs in zip(SPLITS, ([["000", "001"]], [["002", "003"]], [["004", "005"]]), strict=True):
        (tmp_path / f"{split}.json").write_text(json.dumps(pairs), encoding="utf-8")
    splits = make_splits(clips, shares=Shares(), seed=0, official=read_official(tmp_path))
    assert splits[:18] == ["train"] * 6 + ["val"] * 6 + ["test"] * 6
    assert splits[18:] == ["train", "val"] or splits[18:] == ["val", "train"]


def test_official_lists_that_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot read .*train\.json: No such file"):
        read_official(tmp_path)
    for split in SPLITS:
        (tmp_path / f"{split}.json").write_text('[["000", "001"]]', encoding="utf-8")
    with pytest.raises(SourceError, match=r"val\.json lists 000, which train\.json has too"):
        read_official(tmp_path)
    (tmp_path / "train.json").write_text('{"000": "001"}', encoding="utf-8")
    with pytest.raises(SourceError, match=r"train\.json is no official list"):
        read_official(tmp_path)
    with pytest.raises(UsageError, match=r"put 000 into train and 001 into test, but .* connect them"):
        make_splits(faceforensics(1), shares=Shares(), seed=0, official={"000": "train", "001": "test"})


def test_somebody_in_two_splits_is_named() -> None:
    clips = [Clip("a.mp4", 0, ("ann",)), Clip("b.mp4", 1, ("ann", "bob"))]
    check_splits(clips, ["train", ""])
    with pytest.raises(UsageError, match=r"ann is in a\.mp4 \(train\) and in b\.mp4 \(val\)"):
        check_splits(clips, ["train", "val"])


def test_what_cannot_be_split_is_described() -> None:
    with pytest.raises(UsageError, match="no readable video to split"):
        make_splits([], shares=Shares(), seed=0)
    with pytest.raises(UsageError, match=r"cannot split 5 videos of 1 people into 3 parts.*in 1 group;"):
        make_splits([Clip("a.mp4", n % 2, ("ann",)) for n in range(5)], shares=Shares(), seed=0)
    with pytest.raises(UsageError, match="cannot balance train: found 0 real and 2 fake"):
        balanced([Clip("a.mp4", 1, ("ann",))] * 2, ["train"] * 2, seed=0)
    with pytest.raises(UsageError, match="make no sense"):
        Shares(0.5, 0.5)
