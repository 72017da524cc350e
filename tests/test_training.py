"""The recipe, the pairs, and runs of a few steps on a tiny network."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lightning_fabric
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from engine_build.about import read_about
from engine_build.augment import augment, framed
from engine_build.cli import app
from engine_build.degrade import coded_h264
from engine_build.face_crops import StoredFace, read_faces
from engine_build.norms import estimate_norms
from engine_build.package import base_spec
from engine_build.real_clips import RealClips
from engine_build.recipe import Recipe, make_recipe, steps_for
from engine_build.self_blend import self_blended
from engine_build.train import Description, Machine, Outcome, train
from engine_build.training_data import (
    Pairs,
    StepBatches,
    ValidationPairs,
    check_apart,
    films_and_stills,
    usable_faces,
)
from engine_build.training_run import Detector, Run
from engine_build.training_state import load_state, save_state, write_whole
from engine_build.weights import build_detector, read_weights
from engine_build.xception import Xception
from stream_detector.errors import ModelError, UsageError
from tests.checkpoints import small_xception
from tests.conftest import REPOSITORY
from tests.test_training_faces import SIDE_PX, landmarks, picture_of, write_faces

DESCRIPTION = Description("tiny", "noise", "none", "chance")
STEPS = 6


def recipe(**more: object) -> Recipe:
    values = {"size_px": 64, "steps": STEPS, "batch": 4, "blend_share": 1.0, "gradual": False}
    return make_recipe(**{**values, "validate_every": 3, "learning_rate": 1e-3, **more})


def run(
    faces: list[StoredFace],
    out: Path,
    plan: Recipe,
    workers: int = 0,
    kill_at: int | None = None,
    end_after: int | None = None,
    real_clips: Sequence[StoredFace] = (),
) -> Outcome:
    """A run of the tiny network; `kill_at` ends the process without a word after that step."""
    done = 0

    def on_step(step: int) -> None:
        nonlocal done
        done = step
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    return train(
        small_xception(rows=1),
        faces,
        plan,
        DESCRIPTION,
        out=out,
        machine=Machine(workers=workers, save_every_s=0),
        real_clips=real_clips,
        on_step=on_step,
        ended=lambda: done == end_after,
    )


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("stored"), 12)


@pytest.fixture(scope="module")
def whole_run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(read_faces(folder), tmp_path_factory.mktemp("whole"), recipe())


def test_folding_the_norms_into_each_step_changes_neither_logit_nor_gradient() -> None:
    network = small_xception(rows=1).eval()
    pictures = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    detector = Detector(network, dropout=0.0)
    detector(pictures)[0].sum().backward()
    folded = {
        name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None
    }
    network.zero_grad()
    logits, _ = network((pictures.permute(0, 3, 1, 2).float() - 127.5) / 127.5)
    logits.sum().backward()
    torch.testing.assert_close(detector(pictures)[0], logits)
    assert folded.keys() == dict(network.named_parameters()).keys()
    for name, value in network.named_parameters():
        torch.testing.assert_close(folded[name], value.grad, rtol=1e-3, atol=1e-4)
    assert detector.state_dict().keys() == {f"network.{name}" for name in network.state_dict()}


def test_a_gradual_run_trains_the_head_then_the_last_blocks_then_all() -> None:
    plan = recipe(gradual=True, steps=100)
    assert [plan.stage(step) for step in (0, 9, 10, 29, 30, 99)] == [0, 0, 1, 1, 2, 2]
    names = ("fc.weight", "conv4.pointwise.weight", "block12.skip.weight", "block8.rep.1.weight", "bn1.bias")
    for stage, trained in enumerate(([1, 0, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1])):
        assert [int(plan.trains(name, stage, blocks=12)) for name in names] == trained
    frozen = recipe(freeze_blocks=8)
    assert [int(frozen.trains(name, 2, blocks=12)) for name in names] == [1, 1, 1, 0, 0]


def test_the_learning_rate_climbs_then_falls_to_a_hundredth() -> None:
    plan = recipe(steps=1000, learning_rate=2e-4)
    rates = [plan.learning_rate_at(step) for step in range(1000)]
    assert max(rates) == rates[50] == pytest.approx(2e-4)
    assert rates[:50] == sorted(rates[:50])
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert rates[-1] == pytest.approx(2e-6, rel=0.01)


def test_an_epoch_shows_every_real_face_once(folder: Path) -> None:
    assert steps_for(1, reals=9, batch=4) == 5
    batches = list(StepBatches(0, 3, pairs=4, rank=1, ranks=2))
    assert batches == [[2, 3], [6, 7], [10, 11]]
    assert list(StepBatches(2, 3, pairs=4, rank=1, ranks=2)) == batches[2:]


@pytest.mark.parametrize("wrong", [{"batch": 5}, {"size_px": 10}, {"learning_rate": -1.0}, {"steps": 0}])
def test_a_recipe_that_makes_no_sense_is_refused_by_the_name_of_its_option(wrong: dict[str, float]) -> None:
    option = next(iter(wrong)).removesuffix("_px").replace("_", "-")
    with pytest.raises(UsageError, match=f"--{option} makes no sense"):
        recipe(**wrong)


def test_real_and_fake_are_augmented_alike() -> None:
    seen = set()
    for seed in range(25):
        (first, second), _ = augment([picture_of(1)] * 2, np.random.default_rng(seed), size_px=64)
        assert first.shape == (64, 64, 3)
        assert np.array_equal(first, second)
        seen.add(first.tobytes())
    assert len(seen) == 25
    (one, other), _ = augment(
        [picture_of(1), picture_of(1)[:120, :120]], np.random.default_rng(0), size_px=64
    )
    assert one.shape == other.shape


def test_a_filmed_picture_carries_what_the_pictures_before_it_left() -> None:
    first, then = picture_of(1), np.roll(picture_of(1), 3, axis=1)
    alone = coded_h264([then], {"qp": "38"})[0]
    filmed = coded_h264([first, then], {"qp": "38"})
    assert len(filmed) == 2
    assert np.array_equal(filmed[0], coded_h264([first], {"qp": "38"})[0])
    assert not np.array_equal(filmed[1], alone)
    assert np.abs(filmed[1].astype(int) - then).mean() < 2 * np.abs(alone.astype(int) - then).mean()


def test_a_training_crop_is_as_wide_as_the_detector_would_cut_it_and_never_quite_in_the_middle() -> None:
    sides, corners = [], set()
    for seed in range(30):
        part, moved = framed(picture_of(2), np.random.default_rng(seed))
        x, y = moved.astype(int)
        assert np.array_equal(part, picture_of(2)[y : y + len(part), x : x + len(part)])
        sides.append(len(part) / (SIDE_PX / 1.8))
        corners.add((int(x), int(y)))
    assert 1.17 <= min(sides) < 1.3 < max(sides) <= 1.5
    assert len(corners) > 10


def test_outside_the_face_a_self_blend_is_the_real_face_shown_with_it() -> None:
    altered = 0
    for seed in range(12):
        real, fake, _ = self_blended(picture_of(3), landmarks(), np.random.default_rng(seed))
        assert np.array_equal(real[:8, :8], fake[:8, :8])
        assert not np.array_equal(real, fake)
        altered += not np.array_equal(real, picture_of(3))
    assert 0 < altered < 12


def test_a_pair_is_the_same_whoever_asks_and_whenever(folder: Path) -> None:
    reals, _ = usable_faces(read_faces(folder), "train", blend_share=1)
    fakes = [replace(face, label=1) for face in reals]
    for share in (0.0, 0.5, 1.0):
        one = Pairs(reals, fakes, size_px=64, seed=3, blend_share=share)
        again = Pairs(reals, fakes, size_px=64, seed=3, blend_share=share)
        backwards = {number: again[number] for number in (20, 7, 0)}
        assert all(torch.equal(one[number], pair) for number, pair in backwards.items())
        assert one[0].shape == (2, 64, 64, 3)
        assert not torch.equal(one[0], Pairs(reals, fakes, size_px=64, seed=4, blend_share=share)[0])


def test_frames_of_films_are_shown_as_often_as_asked(folder: Path) -> None:
    reals, _ = usable_faces(read_faces(folder), "train", blend_share=1)
    faces = [replace(face, clip="film" if n < 2 else f"still{n}") for n, face in enumerate(reals)]
    stills = len(faces) - 2
    assert stills > 2
    films, rest = films_and_stills(faces)
    assert (len(films), len(rest)) == (2, stills)
    pairs = Pairs(faces, [], size_px=64, seed=3, blend_share=1, film_share=0.5)
    turns = 2 * stills
    shown = [pairs.real(number) for number in range(2 * turns)]
    assert Counter(face.clip for face in shown)["film"] == turns
    assert all(shown[number].clip == "film" for number in range(1, 2 * turns, 2))
    assert {face.clip for face in shown[: 2 * stills]} == {"film", *(face.clip for face in rest)}
    with pytest.raises(ModelError, match=r"found 0 frames of clips .* leave --film-share out"):
        Pairs(rest, [], size_px=64, seed=3, blend_share=1, film_share=0.5)


def test_a_run_without_fakes_or_with_one_person_in_both_splits_is_refused(folder: Path) -> None:
    faces = read_faces(folder)
    with pytest.raises(ModelError, match=r"lists 9 real faces and no fake.*--self-blend"):
        usable_faces(faces, "train", blend_share=0.5)
    with pytest.raises(ModelError, match=r"no real one"):
        usable_faces(faces, "test", blend_share=0)
    bare = [replace(face, points_px=None) for face in faces]
    with pytest.raises(ModelError, match=r"no real one with landmarks"):
        usable_faces(bare, "train", blend_share=1)
    with pytest.raises(ModelError, match=r"1 identities are in the training and in the validation"):
        check_apart([*faces, replace(faces[0], split="train")])


def test_a_run_leaves_a_checkpoint_a_description_a_log_and_a_curve(whole_run: Outcome) -> None:
    folder = whole_run.checkpoint.parent
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "best.safetensors",
        "about.json",
        "log.csv",
        "learning_curve.png",
        "state.pt",
        "tensorboard",
    }
    assert [row.step for row in whole_run.rows] == [3, 6]
    assert all(0 <= row.val_auc <= 1 and row.train_loss > 0 for row in whole_run.rows)
    assert whole_run.best_auc == max(row.val_auc for row in whole_run.rows)
    lines = (folder / "log.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("step,stage,train_loss,val_loss,val_auc")
    assert len(lines) == 3
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "tensorboard").glob("events*"))
    with safe_open(str(whole_run.checkpoint), framework="pt") as file:
        notes = file.metadata()
    assert (notes["input_px"], notes["margin"]) == ("64", "1.35")
    about = read_about(whole_run.about)
    assert about.input_px == 64
    assert "self-blends" in about.trained_on


def test_training_moves_the_weights_but_no_batchnorm_statistics(whole_run: Outcome) -> None:
    before, after = small_xception(rows=1).state_dict(), weights_of(whole_run.checkpoint)
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if "running_" in name or "num_batches" in name} == still


def test_norms_are_estimated_from_pictures_and_nothing_else_changes() -> None:
    network = small_xception(rows=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batches = [torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8) for _ in range(2)]
    estimate_norms(network, batches)
    mapped = [network.conv1((batch.permute(0, 3, 1, 2) - 127.5) / 127.5) for batch in batches]
    norm = network.bn1
    assert isinstance(norm, torch.nn.BatchNorm2d)
    means, variances = (
        torch.stack([each(found, dim=(0, 2, 3)) for found in mapped]).mean(0)
        for each in (torch.mean, torch.var)
    )
    torch.testing.assert_close(norm.running_mean, means)
    torch.testing.assert_close(norm.running_var, variances)
    assert norm.momentum == torch.nn.BatchNorm2d(1).momentum
    assert not network.training
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if "running_" in name or "num_batches" in name}


def test_a_run_may_begin_with_norms_of_its_own_pictures_and_keeps_them(folder: Path, tmp_path: Path) -> None:
    before = small_xception(rows=1).state_dict()
    started = run(read_faces(folder), tmp_path / "a", recipe(norms="estimated"))
    after = weights_of(started.checkpoint)
    assert not torch.equal(before["bn1.running_mean"], after["bn1.running_mean"])
    again = run(read_faces(folder), tmp_path / "b", recipe(norms="estimated"))
    for name, value in weights_of(again.checkpoint).items():
        assert torch.equal(value, after[name])


def test_a_run_killed_without_a_word_ends_with_the_very_same_weights(
    folder: Path, whole_run: Outcome, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from engine_build.face_crops import read_faces\n"
        "from tests.test_training import recipe, run\n"
        "run(read_faces(Path(sys.argv[1])), Path(sys.argv[2]), recipe(), kill_at=5)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path)],
        cwd=REPOSITORY,
        timeout=120,
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr
    again = run(read_faces(folder), tmp_path, recipe(), workers=1)
    assert [row.val_auc for row in again.rows] == [row.val_auc for row in whole_run.rows]
    assert [row.train_loss for row in again.rows] == [row.train_loss for row in whole_run.rows]
    for name in ("weights", "averaged"):
        one, other = (torch.load(o.checkpoint.parent / "state.pt")[name] for o in (whole_run, again))
        assert all(torch.equal(value, other[key]) for key, value in one.items())
    best = weights_of(whole_run.checkpoint)
    assert all(torch.equal(best[key], value) for key, value in weights_of(again.checkpoint).items())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_and_ends_it_in_one_sentence(
    folder: Path, tmp_path: Path, number: int, code: int
) -> None:
    state = {k: v for k, v in Xception().state_dict().items() if not k.startswith("fc.")}
    save_file(state, tmp_path / "start.safetensors")
    words = ["train", str(folder), "--weights", str(tmp_path / "start.safetensors"), "--self-blend"]
    words += ["--size", "64", "--steps", "500", "--batch", "2", "--workers", "1", "--precision", "fp32"]
    words += ["--validate-every", "2", "--out", str(tmp_path / "run")]
    with subprocess.Popen(
        [sys.executable, "-m", "engine_build", *words], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    ) as training:
        try:
            assert training.stderr is not None
            while "step 2/500" not in training.stderr.readline():
                assert training.poll() is None
            training.send_signal(number)
            _, said = training.communicate(timeout=120)
        finally:
            training.kill()
    assert training.returncode == code, said
    assert "Traceback" not in said
    assert "leaked" not in said
    (step,) = re.findall(r"stopped after step (\d+) of 500, which is saved; the same command", said)
    assert torch.load(tmp_path / "run" / "state.pt")["step"] == int(step)


def test_a_finished_run_started_again_does_nothing(folder: Path, whole_run: Outcome) -> None:
    before = whole_run.checkpoint.stat().st_mtime_ns
    again = run(read_faces(folder), whole_run.checkpoint.parent, recipe())
    assert again.rows == whole_run.rows
    assert whole_run.checkpoint.stat().st_mtime_ns == before


def test_a_folder_of_another_run_is_refused_and_the_difference_named(
    folder: Path, whole_run: Outcome
) -> None:
    out = whole_run.checkpoint.parent
    with pytest.raises(
        ModelError, match=r'other options .*"seed":1 instead of|other options .*"seed":0 instead'
    ):
        run(read_faces(folder), out, recipe(seed=1))
    with pytest.raises(ModelError, match="other data"):
        run(read_faces(folder)[:-1], out, recipe())


def test_all_stages_of_a_gradual_run_with_listed_fakes_train_something(folder: Path, tmp_path: Path) -> None:
    faces = read_faces(folder)
    both = [*faces, *(replace(f, label=1, method="noise") for f in faces)]
    outcome = run(both, tmp_path, recipe(gradual=True, blend_share=0.0, steps=10, validate_every=1))
    assert [row.stage for row in outcome.rows] == [0, 1, 1, 2, 2, 2, 2, 2, 2, 2]


def test_weights_that_call_real_videos_fake_are_kept_only_where_there_are_no_others(
    folder: Path, whole_run: Outcome, tmp_path: Path
) -> None:
    faces = read_faces(folder)
    shown = write_faces(tmp_path / "clips", 4)
    clips = [replace(f, clip=f"v{i // 2}", identity=f"v{i // 2}") for i, f in enumerate(read_faces(shown))]
    found = run(faces, tmp_path / "a", recipe(steps=12, most_over_half=1.0), real_clips=clips)
    shares = [row.real_over_half for row in found.rows]
    assert all(share in (0.0, 0.5, 1.0) for share in shares)
    assert found.best_auc == max(row.val_auc for row in found.rows)
    assert f"{found.rows[0].real_over_half:.0%} of the real clips over one half" in found.rows[0].sentence(12)
    assert "of 2 real clips scored over one half" in read_about(found.about).reported[1]
    assert whole_run.rows[0].real_over_half is None

    fabric = lightning_fabric.Fabric(accelerator="cpu", devices=1)
    judged = Run(
        fabric, small_xception(rows=1), recipe(most_over_half=0.5), path=tmp_path / "state.pt", data="d"
    )
    few, many = (
        replace(found.rows[0], step=n, val_auc=a, real_over_half=s)
        for n, a, s in ((1, 0.6, 0.5), (2, 0.9, 1))
    )
    assert max([few, many], key=judged._merit) is few
    assert max([many, replace(many, val_auc=0.95)], key=judged._merit).val_auc == 0.95
    every = RealClips(clips, size_px=64, margin=1.35)
    assert every.share_over_half(lambda pictures: torch.full((len(pictures),), 1.0)) == 1.0
    assert every.share_over_half(lambda pictures: torch.full((len(pictures),), -1.0)) == 0.0

    with pytest.raises(ModelError, match=r"hold 4 faces and no real one.*--real-clips"):
        RealClips([replace(face, label=1) for face in clips], size_px=64, margin=1.35)
    with pytest.raises(ModelError, match=r"1 identities are in the training and in the validation"):
        known = next(face for face in faces if face.split == "train")
        run(
            faces,
            tmp_path / "b",
            recipe(),
            real_clips=[replace(clips[0], identity=known.identity or known.clip)],
        )


def test_a_run_ends_when_the_validation_auc_rises_no_more(folder: Path, tmp_path: Path) -> None:
    plan = recipe(steps=40, validate_every=1, patience=2, learning_rate=1e-12)
    outcome = run(read_faces(folder), tmp_path, plan)
    assert outcome.stopped_early
    assert len(outcome.rows) < 40


def test_a_gradient_that_is_no_number_stops_the_run_with_a_sentence(folder: Path, tmp_path: Path) -> None:
    network = small_xception(rows=1)
    with torch.no_grad():
        network.fc.weight[0, 0] = torch.inf
    with pytest.raises(ModelError, match=r"training stopped at step 0.*expected finite numbers"):
        train(network, read_faces(folder), recipe(), DESCRIPTION, out=tmp_path, machine=Machine(workers=0))


def test_a_damaged_picture_is_named_also_by_a_loading_process(folder: Path, tmp_path: Path) -> None:
    damaged = write_faces(tmp_path, 8)
    for picture in (damaged / "real").iterdir():
        picture.write_bytes(b"no picture")
    with pytest.raises(ModelError, match=r"^cannot use .*\.png.*expected a square picture"):
        run(read_faces(damaged), tmp_path / "out", recipe(), workers=1)


def test_a_damaged_state_is_refused_and_a_failed_write_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state(path, {"recipe": "r", "data": "d", "step": 1})

    def full(draft: Path) -> None:
        draft.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ModelError, match=r"cannot write .*No space left on device.*make room"):
        write_whole(path, full)
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    kept = load_state(path, recipe="r", data="d")
    assert kept is not None
    assert kept["step"] == 1
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"it is damaged.*delete it"):
        load_state(path, recipe="r", data="d")


@pytest.mark.parametrize("more", [{"sam": 0.05}, {"mask_weight": 1.0}, {"norms": "batch", "batch": 8}])
def test_a_run_with_an_option_of_its_own_learns_otherwise_and_goes_on_where_it_was_killed(
    folder: Path, whole_run: Outcome, tmp_path: Path, more: dict[str, object]
) -> None:
    faces = read_faces(folder)
    whole = run(faces, tmp_path / "whole", recipe(**more))
    part = run(faces, tmp_path / "part", recipe(**more), end_after=4)
    assert part.step == 4
    again = run(faces, tmp_path / "part", recipe(**more))
    assert [row.val_auc for row in again.rows] == [row.val_auc for row in whole.rows]
    plain, found, gone_on = (weights_of(o.checkpoint) for o in (whole_run, whole, again))
    assert all(torch.equal(found[name], gone_on[name]) for name in found)
    assert found.keys() == plain.keys()
    assert not torch.equal(found["fc.weight"], plain["fc.weight"])


def test_statistics_of_each_batch_leave_their_running_mean(folder: Path, tmp_path: Path) -> None:
    before = small_xception(rows=1).state_dict()
    after = weights_of(run(read_faces(folder), tmp_path, recipe(norms="batch", batch=8)).checkpoint)
    assert not torch.equal(before["bn1.running_mean"], after["bn1.running_mean"])
    assert not torch.equal(before["bn1.running_var"], after["bn1.running_var"])


def test_a_sharpness_aware_step_takes_the_gradient_uphill_and_leaves_from_where_it_was(
    folder: Path, tmp_path: Path
) -> None:
    reals, _ = usable_faces(read_faces(folder), "train", blend_share=1)
    batch = torch.stack([Pairs(reals, [], size_px=64, seed=0, blend_share=1)[n] for n in range(2)])
    plan = recipe(sam=0.5, dropout=0.0, precision="fp32")
    fabric = lightning_fabric.Fabric(accelerator="cpu", devices=1)
    stepped = Run(fabric, small_xception(rows=1), plan, path=tmp_path / "state.pt", data="d")
    gradients = []
    inner = stepped._gradients

    def noted(pictures: torch.Tensor) -> torch.Tensor:
        where = stepped._detector.network.fc.weight.detach().clone()
        loss = inner(pictures)
        gradient = stepped._detector.network.fc.weight.grad
        assert gradient is not None
        gradients.append((where, gradient.clone()))
        return loss

    stepped._gradients = noted  # type: ignore[method-assign]
    stepped.one_step(batch)
    (start, slope), (uphill, _) = gradients
    moved = uphill - start
    assert 0 < moved.norm() <= 0.5 + 1e-5
    torch.testing.assert_close(moved / moved.norm(), slope / slope.norm(), rtol=1e-3, atol=1e-4)
    rate = plan.learning_rate_at(0)
    assert (stepped._detector.network.fc.weight - start).abs().max() <= 1.01 * rate


def test_masks_follow_the_geometry_of_their_pictures_and_nothing_else(folder: Path) -> None:
    side = 128
    blob = np.zeros((side, side), np.float32)
    blob[30:60, 40:90] = 1
    drawn = np.dstack([blob * 255] * 3).astype(np.uint8)
    apart = []
    for seed in range(20):
        (picture,), (mask,) = augment([drawn], np.random.default_rng(seed), size_px=64, masks=[blob])
        assert mask.shape == (64, 64)
        assert mask.dtype == np.float32
        assert 0 <= mask.min() <= mask.max() < 1.001
        bright = picture.mean(2) > picture.mean(2).mean() + 20
        apart.append((bright != (mask > 0.5)).mean())
    assert np.median(apart) < 0.06
    reals, _ = usable_faces(read_faces(folder), "train", blend_share=1)
    masked = Pairs(reals, [], size_px=64, seed=3, blend_share=1, masked=True)
    plain = Pairs(reals, [], size_px=64, seed=3, blend_share=1)
    for number in range(4):
        assert torch.equal(masked[number][..., :3], plain[number])
        assert masked[number][0, ..., 3].max() == 0 < masked[number][1, ..., 3].max()


def test_masks_are_refused_where_fakes_have_none() -> None:
    with pytest.raises(UsageError, match=r"only self-blends come with a mask"):
        recipe(mask_weight=1.0, blend_share=0.5)


def test_validation_shows_each_face_in_several_ways_of_which_the_first_stays(folder: Path) -> None:
    held = usable_faces(read_faces(folder), "val", blend_share=1)
    once = ValidationPairs(*held, size_px=64, margin=1.35, blend_share=1)
    thrice = ValidationPairs(*held, size_px=64, margin=1.35, blend_share=1, draws=3)
    assert len(thrice) == 3 * len(once)
    assert all(torch.equal(once[n], thrice[n]) for n in range(len(once)))
    assert not torch.equal(thrice[0], thrice[len(once)])


def test_a_mean_of_checkpoints_is_their_mean(tmp_path: Path) -> None:
    first, second = (Xception(rows=2).state_dict() for _ in range(2))
    second["bn1.num_batches_tracked"] += 5
    for name, state in (("a", first), ("b", second)):
        save_file(state, tmp_path / f"{name}.safetensors", metadata={"input_px": "192", "pooling": "same"})
    words = ["mean", str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]
    done = CliRunner().invoke(
        app, [*words, "--share", "0.25", "--share", "0.75", "--out", str(tmp_path / "m.safetensors")]
    )
    assert done.exit_code == 0, done.exception
    found = read_weights(tmp_path / "m.safetensors")
    assert (found.input_px, found.pooling, found.rows) == (192, "same", 2)
    for name in ("fc.weight", "block5.rep.1.conv1.weight"):
        torch.testing.assert_close(found.state[name], first[name] * 0.25 + second[name] * 0.75)
    with safe_open(str(tmp_path / "m.safetensors"), framework="pt") as file:
        assert "0.25 of a.safetensors" in file.metadata()["description"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["a.safetensors"], "needs two checkpoints or more, got 1"),
        (["a.safetensors", "b.safetensors", "--share", "0.5"], "given 1 times for 2 checkpoints"),
        (["a.safetensors", "b.safetensors", "--share", "0.5", "--share", "0.6"], "adds up to 1.1"),
        (["a.safetensors", "b.safetensors"], r"differ in pooling \(same, torch\)"),
    ],
)
def test_a_mean_that_makes_no_sense_is_refused(tmp_path: Path, words: list[str], why: str) -> None:
    for name, pooling in (("a", "same"), ("b", "torch")):
        save_file(Xception().state_dict(), tmp_path / f"{name}.safetensors", metadata={"pooling": pooling})
    found = [str(tmp_path / word) if word.endswith("safetensors") else word for word in words]
    done = CliRunner().invoke(app, ["mean", *found, "--out", str(tmp_path / "m.safetensors")])
    assert isinstance(done.exception, ModelError | UsageError)
    assert re.search(why, str(done.exception))


def test_the_command_makes_what_package_takes_with_no_further_step(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {k: v for k, v in Xception().state_dict().items() if not k.startswith("fc.")}
    save_file(state, tmp_path / "start.safetensors")
    done = CliRunner().invoke(
        app,
        [
            *("train", str(folder), "--weights", str(tmp_path / "start.safetensors"), "--self-blend"),
            *(
                "--size",
                "64",
                "--steps",
                "1",
                "--batch",
                "2",
                "--workers",
                "0",
                "--out",
                str(tmp_path / "run"),
            ),
        ],
    )
    assert done.exit_code == 0, done.exception
    weights = read_weights(tmp_path / "run" / "best.safetensors")
    spec = base_spec(weights, read_about(tmp_path / "run" / "about.json"))
    assert (weights.rows, spec.contract.input_px) == (1, 64)
    assert build_detector(weights).fc.out_features == 1
