"""Stored faces, self-blends, degradation, and what is measured on them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine_build.about import read_about
from engine_build.degrade import SMALLEST_PX, degrade
from engine_build.face_crops import cut_stored, face_box, read_faces
from engine_build.operating_range import measure_range, p_fake
from engine_build.package import split_faces
from engine_build.quantize import calibration_crops, model_crops
from engine_build.self_blend import self_blend
from stream_detector.crops import cut_face
from stream_detector.errors import ModelError
from stream_detector.records import Box, Image, Scores
from tests.small_models import small_spec

SIDE_PX = 180


def picture_of(seed: int) -> Image:
    """A smooth picture with detail in it, different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 12, 3), np.uint8)
    smooth = cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    noisy = smooth + rng.integers(-20, 21, smooth.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def landmarks() -> np.ndarray:
    """478 points on a disc in the middle."""
    rng = np.random.default_rng(9)
    angle, radius = rng.uniform(0, 2 * np.pi, 478), rng.uniform(0.5, 1, 478) * SIDE_PX / 4
    points = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None] + SIDE_PX / 2
    return points.astype(np.float32)


def write_faces(folder: Path, count: int) -> Path:
    """A folder of `count` stored faces, every fourth held out."""
    faces = folder / "faces"
    (faces / "real").mkdir(parents=True)
    lines = ["path,split,clip"]
    for number in range(count):
        name = f"faces/real/{number:03}.png"
        cv2.imwrite(str(folder / name), picture_of(number))
        lines.append(f"{name},{'val' if number % 4 == 0 else 'train'},clip{number}")
    (faces / "index.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = np.array([line.split(",")[0] for line in lines[1:]])
    np.savez(faces / "landmarks.npz", path=names, points_px=np.stack([landmarks()] * count))
    return faces


def test_a_degraded_picture_is_smaller_even_and_the_same_for_the_same_seed() -> None:
    sides = set()
    for seed in range(30):
        out = degrade(picture_of(0), np.random.default_rng(seed))
        again = degrade(picture_of(0), np.random.default_rng(seed))
        assert np.array_equal(out, again)
        assert out.dtype == np.uint8
        assert SMALLEST_PX <= out.shape[0] == out.shape[1] <= SIDE_PX
        assert out.shape[0] % 2 == 0
        sides.add(out.shape[0])
    assert len(sides) > 5


def test_a_degraded_picture_still_shows_the_same() -> None:
    for seed in range(10):
        out = cv2.resize(degrade(picture_of(1), np.random.default_rng(seed)), (SIDE_PX, SIDE_PX))
        assert np.abs(out.mean((0, 1)) - picture_of(1).mean((0, 1))).max() < 8


def test_a_self_blend_differs_inside_the_face_and_is_the_same_for_the_same_seed() -> None:
    picture = picture_of(2)
    middle = slice(SIDE_PX // 4, 3 * SIDE_PX // 4)
    changed = []
    for seed in range(12):
        fake = self_blend(picture, landmarks(), np.random.default_rng(seed))
        assert fake.shape == picture.shape
        assert np.array_equal(fake, self_blend(picture, landmarks(), np.random.default_rng(seed)))
        changed.append(np.abs(fake.astype(int) - picture)[middle, middle].mean())
    assert min(changed) > 0.1


def test_the_face_box_of_a_stored_crop_is_its_middle() -> None:
    assert face_box(400) == Box(89, 89, 311, 311)
    picture = picture_of(3)
    expected = cut_face(picture, face_box(SIDE_PX), margin=1.35, size_px=96)
    assert np.array_equal(cut_stored(picture, margin=1.35, size_px=96), expected)


def test_faces_are_dealt_out_so_that_no_face_is_in_two_sets(tmp_path: Path) -> None:
    sets = split_faces(write_faces(tmp_path, 20))
    names = [[face.path.name for face in part] for part in (sets.calibration, sets.unused, sets.held_out)]
    assert [len(part) for part in names] == [15, 0, 5]
    assert len({name for part in names for name in part}) == 20
    again = split_faces(tmp_path / "faces")
    assert [face.path for face in again.calibration] == [face.path for face in sets.calibration]


def test_calibration_sees_every_face_once_and_is_repeatable(tmp_path: Path) -> None:
    faces = read_faces(write_faces(tmp_path, 16))
    crops = calibration_crops(faces, margin=1.35, size_px=96)
    assert (crops.shape, crops.dtype.name) == ((16, 96, 96, 3), "uint8")
    assert np.array_equal(crops, calibration_crops(faces, margin=1.35, size_px=96))
    assert len({crop.tobytes() for crop in crops}) == 16
    with pytest.raises(ModelError, match="no face of the training split"):
        calibration_crops([], margin=1.35, size_px=96)


class _Brightness:
    """A scorer whose logit is the brightness of the crop: known in advance, and cheap."""

    spec = small_spec()
    backend, precision, max_batch, best_batch = "none", "fp32", 16, 16

    def score(self, faces: Image) -> Scores:
        logit = (faces.mean((1, 2, 3)) / 32 - 4).astype(np.float32)
        return Scores(logit=logit, evidence=np.zeros((len(faces), 3, 3), np.float32))

    def close(self) -> None:
        pass


def test_the_band_leaves_two_in_a_hundred_real_clips_above_and_half_below(tmp_path: Path) -> None:
    faces = read_faces(write_faces(tmp_path, 60))
    found = measure_range(_Brightness(), faces, margin=1.35, training=faces[:8])
    scores = np.concatenate(
        [
            p_fake(
                _Brightness()
                .score(model_crops(faces, margin=1.35, size_px=96, seed=100 + s, degraded=True))
                .logit.astype(float)
            )
            for s in range(4)
        ]
    )
    assert (scores > found.band.high).mean() <= 0.02
    assert 0.4 < (scores < found.band.low).mean() < 0.6
    assert found.quality.min_sharpness > 0
    assert {sum(counts) for counts in found.histograms.values()} == {60, 240}


def test_too_few_faces_choose_no_band(tmp_path: Path) -> None:
    faces = read_faces(write_faces(tmp_path, 8))
    with pytest.raises(ModelError, match="cannot choose a band from 8 held-out"):
        measure_range(_Brightness(), faces, margin=1.35, training=faces)


def test_a_folder_that_lacks_something_is_described(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot find .*index\.csv"):
        read_faces(tmp_path)
    faces = write_faces(tmp_path, 4)
    (tmp_path / "faces/real/000.png").write_bytes(b"no picture")
    with pytest.raises(ModelError, match=r"000\.png: expected a square picture, found no picture"):
        read_faces(faces)[0].picture()
    with (faces / "index.csv").open("a", encoding="utf-8") as index:
        index.write("faces/real/999.png,val,clip\n")
    with pytest.raises(ModelError, match=r"has no points for faces/real/999\.png"):
        read_faces(faces)


@pytest.mark.parametrize(("text", "why"), [("", "the whole"), ("{}", "name"), ('{"name": 3}', "name")])
def test_a_description_that_lacks_something_is_refused(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=rf"about\.json does not describe a checkpoint: {why}"):
        read_about(tmp_path / "about.json")
    with pytest.raises(ModelError, match="No such file"):
        read_about(tmp_path / "none.json")
