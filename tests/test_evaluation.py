"""Figures, samples, scores by the real pipeline, and the card written from them."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.clips import encode_demo
from engine_build.about import About
from engine_build.cli import app
from engine_build.evaluation import Evaluation, read_evaluation
from engine_build.evaluation_figures import (
    Clip,
    best_threshold,
    comparable,
    equal_error_rate,
    factor_table,
    level,
)
from engine_build.evaluation_media import crop_samples, find_samples
from engine_build.evaluation_scores import ScoreFile, Way, score_all
from engine_build.model_card import with_evaluation
from engine_build.video_table import Video, VideoFacts, write_table
from stream_detector import assets
from stream_detector.errors import ModelError, UsageError
from tests.test_training_faces import picture_of, write_faces


def clip_of(label: int, *p: float, kind: str = "video", method: str = "m") -> Clip:
    return Clip(label, kind, np.array(p), {"method": method, "kind": kind})


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo clip as a real and as a fake one, a broken clip, and a still of a fake."""
    root = tmp_path_factory.mktemp("media")
    for folder in ("set_c40/real/youtube", "set_c40/fake/FaceSwap", "set_fake"):
        (root / folder).mkdir(parents=True)
    encode_demo(root / "set_c40/real/youtube/001.mp4", seconds=2, rate_hz=10)
    whole = (root / "set_c40/real/youtube/001.mp4").read_bytes()
    (root / "set_c40/fake/FaceSwap/002_001.mp4").write_bytes(whole)
    (root / "set_c40/fake/FaceSwap/broken.mp4").write_bytes(b"no video at all")
    cv2.imwrite(str(root / "set_fake/003.png"), picture_of(3))
    return root


@pytest.fixture(scope="module")
def evaluated(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the command wrote, and what it printed."""
    out = tmp_path_factory.mktemp("result")
    done = CliRunner().invoke(
        app,
        [
            "evaluate",
            "--clips",
            str(tree),
            "--duration",
            "2",
            "--score-hz",
            "4",
            "--draws",
            "20",
            "--out",
            str(out),
        ],
    )
    assert done.exit_code == 0, done.exception
    return out, done.stdout


def test_labels_methods_and_compression_follow_from_the_folders(tree: Path) -> None:
    found = {s.clip: (s.label, s.kind, s.method, s.compression, s.identity) for s in find_samples(tree)}
    assert found == {
        "set_c40/real/youtube/001.mp4": (0, "video", "youtube", "c40", "001"),
        "set_c40/fake/FaceSwap/002_001.mp4": (1, "video", "FaceSwap", "c40", "002"),
        "set_c40/fake/FaceSwap/broken.mp4": (1, "video", "FaceSwap", "c40", "broken"),
        "set_fake/003.png": (1, "still", "set_fake", "", "003"),
    }


def test_a_folder_that_nobody_labelled_is_refused_until_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "stylegan").mkdir()
    cv2.imwrite(str(tmp_path / "stylegan/1.png"), picture_of(1))
    with pytest.raises(UsageError, match=r"nothing says whether stylegan .* is real or fake"):
        find_samples(tmp_path)
    assert [s.label for s in find_samples(tmp_path, fakes=["stylegan"])] == [1]
    with pytest.raises(ModelError, match="cannot find"):
        find_samples(tmp_path / "absent")


def test_a_list_of_clips_is_read_and_a_wrong_label_named_with_its_line(tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text("path,label,method,group\na.mp4,fake,swap,women\nb.png,0,,\n", encoding="utf-8")
    found = [(s.label, s.kind, s.method, s.group) for s in find_samples(listing)]
    assert found == [(1, "video", "swap", "women"), (0, "still", "real", "")]
    listing.write_text("path,label\na.mp4,perhaps\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"line 2: the label is 'perhaps'"):
        find_samples(listing)


def test_a_table_made_by_index_is_read_too_one_split_of_it_and_nothing_unreadable(tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"

    def video(name: str, label: int, split: str, frames: int = 9) -> Video:
        facts = VideoFacts(size_bytes=1, modified_ns=1, frames=frames, problem="" if frames else "damaged")
        return Video(name, label, "Deepfakes" if label else "youtube", "c23", ("000", "003"), facts, split)

    write_table(
        [
            video("a.mp4", 0, "test"),
            video("b/c.mp4", 1, "test"),
            video("d.mp4", 1, "train"),
            video("e.mp4", 0, "test", 0),
        ],
        table,
    )
    found = [
        (s.path, s.label, s.method, s.compression, s.identity) for s in find_samples(table, split="test")
    ]
    assert found == [
        (tmp_path / "a.mp4", 0, "youtube", "c23", "000;003"),
        (tmp_path / "b/c.mp4", 1, "Deepfakes", "c23", "000;003"),
    ]
    assert len(find_samples(table)) == 3
    with pytest.raises(ModelError, match=r"holds nothing of the split 'val' to score"):
        find_samples(table, split="val")


def test_the_equal_error_rate_and_the_best_threshold_of_known_scores() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert equal_error_rate(labels, np.array([0.1, 0.2, 0.3, 0.6, 0.5, 0.7, 0.8, 0.9])) == pytest.approx(0.25)
    assert equal_error_rate(labels, np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])) == 0
    assert best_threshold([0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9]) == pytest.approx(0.5)


def test_figures_lie_in_their_intervals_and_frames_count_for_frames() -> None:
    clips = [clip_of(0, 0.1, 0.3), clip_of(0, 0.6), clip_of(1, 0.4, 0.9, 0.8), clip_of(1, 0.7)]
    per_clip = level("clip", clips, {"one half": 0.5}, frames=False, draws=200)
    per_frame = level("frame", clips, {"one half": 0.5}, frames=True, draws=200)
    assert (per_clip.reals, per_clip.fakes) == (2, 2)
    assert (per_frame.reals, per_frame.fakes) == (3, 4)
    assert per_clip.auc.value == 1
    assert per_clip.at[0].false_alarms.value == 0.5
    assert per_frame.at[0].missed.value == 0.25
    for each in (per_clip.auc, per_clip.ece, per_frame.log_loss, per_frame.at[0].f1):
        assert each.low <= each.value <= each.high


def test_a_factor_of_one_label_is_set_against_the_other_of_its_kind() -> None:
    clips = [
        clip_of(0, 0.3, method="youtube"),
        clip_of(1, 0.9, method="swap"),
        clip_of(1, 0.1, kind="still", method="gan"),
    ]
    found = {row.value: None if row.auc is None else row.auc.value for row in factor_table(clips, draws=20)}
    assert found == {"gan": 0, "swap": 1, "youtube": 1, "still": 0, "video": 1}
    assert [clip.kind for clip in comparable(clips)] == ["video", "video"]
    with pytest.raises(ModelError, match="on 0 real and 2 fake clips"):
        comparable(clips[1:])


def test_the_same_clip_as_real_and_fake_cannot_be_told_apart(evaluated: tuple[Path, str]) -> None:
    out, printed = evaluated
    found = read_evaluation(out / "evaluation.json")
    assert [(each.name, each.auc.value) for each in found.levels] == [("clip", 0.5), ("frame", 0.5)]
    assert found.levels[1].reals == found.levels[1].fakes > 4
    assert found.kinds == ("video",)
    assert len(found.unscored) == 1
    assert "broken.mp4" in found.unscored[0]
    assert {row.factor for row in found.factors} == {"method", "compression", "kind", "face size"}
    assert printed.startswith("## Evaluation")
    for name in ("roc.png", "reliability.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_scores_are_kept_a_cut_line_is_dropped_and_another_model_is_refused(
    tree: Path, evaluated: tuple[Path, str], tmp_path: Path
) -> None:
    lines = (evaluated[0] / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    path = tmp_path / "scores.jsonl"
    path.write_text("\n".join(lines)[:-5], encoding="utf-8")
    header = json.loads(lines[0])
    keep = ScoreFile(path, header)
    samples = find_samples(tree)
    assert sum(keep.get(sample) is not None for sample in samples) == len(lines) - 2
    known = [sample for sample in samples if keep.get(sample) is not None]
    moved_away = Way(Path("absent.xml"), "auto", "auto", 4.0, 2.0)
    assert [s.sample for s in score_all(known, moved_away, keep=keep)] == known
    with pytest.raises(ModelError, match="another model"):
        ScoreFile(path, {**header, "spec": "0"})


def test_crops_are_scored_without_the_pipeline(tmp_path: Path) -> None:
    samples = crop_samples(write_faces(tmp_path, 8), "val")
    gone = replace(samples[0], path=tmp_path / "gone.png", clip="gone")
    way = Way(None, "auto", "auto", 2.0, None)
    scores = score_all([*samples, gone], way, keep=ScoreFile(tmp_path / "s.jsonl", {}))
    assert [len(each.p) for each in scores] == [1, 1, 0]
    assert "cannot use" in scores[2].why_not
    with pytest.raises(ModelError, match="no face of the split 'test'"):
        crop_samples(tmp_path / "faces", "test")


def packaged_card() -> str:
    return (Path(assets.__file__).parent / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_card_gets_front_matter_results_and_findings_once(evaluated: tuple[Path, str]) -> None:
    found = read_evaluation(evaluated[0] / "evaluation.json")
    once = with_evaluation(packaged_card(), found)
    assert with_evaluation(once, found) == once
    front = once.split("---\n")[1]
    assert "model-index:\n- name:" in front
    assert f"value: {found.levels[0].auc.value}" in front
    assert once.count("## Evaluation") == once.count("## Limits") == 1
    assert "what follows from these figures" in once.lower()


def test_a_card_of_another_checkpoint_and_a_file_that_is_no_evaluation_are_refused(
    evaluated: tuple[Path, str], tmp_path: Path
) -> None:
    found = read_evaluation(evaluated[0] / "evaluation.json")
    other: Evaluation = found.model_copy(update={"weights_sha256": "0" * 64})
    with pytest.raises(ModelError, match="does not name the checkpoint 000000000000"):
        with_evaluation(packaged_card(), other)
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    done = CliRunner().invoke(app, ["card", str(tmp_path / "x.json")])
    assert isinstance(done.exception, ModelError)
    assert "is no evaluation" in str(done.exception)


def test_a_checkpoint_without_a_card_gets_one_from_its_description(
    evaluated: tuple[Path, str], tmp_path: Path
) -> None:
    about = tmp_path / "about.json"
    described = About(name="mine", trained_on="my faces", terms="mine alone", input_px=96, limits=("A toy.",))
    about.write_text(described.model_dump_json(), encoding="utf-8")
    result, out = str(evaluated[0] / "evaluation.json"), tmp_path / "CARD.md"
    done = CliRunner().invoke(app, ["card", result, "--about", str(about), "--out", str(out)])
    assert done.exit_code == 0, done.exception
    card = out.read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: other")
    for part in ("# Model card: mine", "my faces", "96x96", "- A toy.", "were not measured", "## Evaluation"):
        assert part in card
    assert card.index("## Evaluation") < card.index("## Limits")
    done = CliRunner().invoke(app, ["card", result, "--about", str(about)])
    assert "--about begins a new card" in str(done.exception)


def test_the_card_command_leaves_the_packaged_card(evaluated: tuple[Path, str], tmp_path: Path) -> None:
    out = tmp_path / "CARD.md"
    done = CliRunner().invoke(app, ["card", str(evaluated[0] / "evaluation.json"), "--out", str(out)])
    assert done.exit_code == 0, done.exception
    assert out.read_text(encoding="utf-8").startswith("---\nlicense: other")
