import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine_build.weights import build_detector, read_weights
from stream_detector.errors import ModelError
from tests.checkpoints import full_state, save


def _cadene(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("fc.", "last_linear."): value for name, value in state.items()}


def _flat_pointwise(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: v[:, :, 0, 0] if n.endswith("pointwise.weight") else v for n, v in _cadene(state).items()}


def _faceforensics(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"model.{name.replace('fc.', 'last_linear.1.')}": value for name, value in state.items()}


def _deepfakebench(state: dict[str, Tensor]) -> dict[str, Tensor]:
    unused = {"backbone.adjust_channel.0.weight": torch.zeros(512, 2048, 1, 1)}
    return {f"backbone.{name}": value for name, value in _cadene(state).items()} | unused


def _parallel(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": value for name, value in _deepfakebench(state).items()}


@pytest.mark.parametrize(
    ("renamed", "layout", "input_px"),
    [
        (dict, "timm", None),
        (_cadene, "cadene", None),
        (_flat_pointwise, "cadene", None),
        (_faceforensics, "faceforensics", 299),
        (_deepfakebench, "deepfakebench", 256),
        (_parallel, "deepfakebench", 256),
    ],
)
def test_every_layout_is_read_under_timms_names(
    renamed: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    layout: str,
    input_px: int | None,
    tmp_path: Path,
) -> None:
    path = save(renamed(full_state()), tmp_path / "checkpoint.pth")
    weights = read_weights(path)
    assert (weights.layout, weights.rows, weights.input_px) == (layout, 2, input_px)
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert weights.state.keys() == full_state().keys()
    assert weights.state["block4.rep.1.pointwise.weight"].shape == (728, 728, 1, 1)
    assert weights.state["fc.bias"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "net"])
def test_a_state_dict_inside_a_training_checkpoint_is_found(wrapper: str, tmp_path: Path) -> None:
    path = save({"epoch": 3, wrapper: full_state()}, tmp_path / "checkpoint.pt")
    assert read_weights(path).layout == "timm"


def test_a_head_with_one_row_makes_a_detector(tmp_path: Path) -> None:
    weights = read_weights(save(full_state(rows=1), tmp_path / "checkpoint.pth"))
    assert build_detector(weights).fc.out_features == 1


@pytest.mark.parametrize(("rows", "found"), [(0, "no dense layer"), (1000, "1000 rows")])
def test_weights_that_are_no_detector_are_read_but_not_built(rows: int, found: str, tmp_path: Path) -> None:
    state = full_state(rows=max(rows, 1))
    if rows == 0:
        del state["fc.weight"], state["fc.bias"]
    weights = read_weights(save(state, tmp_path / "imagenet.pth"))
    assert weights.rows == rows
    with pytest.raises(ModelError, match=rf"no fake detector: it has .*{found}"):
        build_detector(weights)


class _Touch:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._path),)


def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    torch_file = save({**full_state(), "extra": _Touch(ran)}, tmp_path / "full_c23.p")
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps({"conv1.weight": _Touch(ran)}, protocol=2))
    for path in (torch_file, bare):
        with pytest.raises(ModelError, match=r"save model\.state_dict\(\)|found damage"):
            read_weights(path)
    assert not ran.exists()


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = save({"conv1.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "whole.pth").read_bytes()
    tensors = tmp_path / "whole.safetensors"
    save_file({"conv1.weight": torch.zeros(32, 3, 3, 3)}, tensors)
    for name, content in (
        ("half.pth", whole[: len(whole) // 2]),
        ("empty.pth", b""),
        ("half.safetensors", tensors.read_bytes()[:200]),
        ("empty.safetensors", b""),
        ("text.safetensors", b"not tensors at all"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ModelError, match=f"cannot read {name}"):
            read_weights(path)


def test_a_wrong_shape_is_named_with_what_was_expected(tmp_path: Path) -> None:
    state = full_state()
    state["conv2.weight"] = torch.zeros(64, 32, 5, 5)
    with pytest.raises(ModelError, match=r"conv2.weight is \(64, 32, 5, 5\), expected \(64, 32, 3, 3\)"):
        read_weights(save(state, tmp_path / "wrong.pth"))


def test_a_checkpoint_says_how_its_max_pools_pad_and_no_other_way_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "trained.safetensors"
    state = {name: value.contiguous() for name, value in full_state(rows=1).items()}
    save_file(state, path, {"pooling": "same"})
    weights = read_weights(path)
    assert weights.pooling == "same"
    assert build_detector(weights).pooling == "same"
    with pytest.raises(ModelError, match=r"trained with max-pools that pad as 'same', expected 'torch'"):
        build_detector(weights, pooling="torch")
    save_file(state, path, {"pooling": "valid"})
    with pytest.raises(ModelError, match=r"states the pooling 'valid', expected torch or same"):
        read_weights(path)


def test_missing_and_unknown_tensors_are_named(tmp_path: Path) -> None:
    state = full_state()
    state["conv9.weight"] = state.pop("conv3.pointwise.weight")
    with pytest.raises(ModelError, match=r"lacks conv3.pointwise.weight and has the unknown conv9.weight"):
        read_weights(save(state, tmp_path / "other.pth"))


def test_another_network_is_an_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"unknown layout: found 1 tensors \(features.0.weight"):
        read_weights(save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth"))


def test_a_number_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    state = full_state()
    state["bn1.bias"] = torch.full((32,), torch.nan)
    with pytest.raises(ModelError, match=r"bn1\.bias holds a number that is not finite"):
        read_weights(save(state, tmp_path / "nan.pth"))


@pytest.mark.parametrize(
    ("name", "why"), [("keras.h5", "Keras .h5"), ("model.onnx", "expected one of"), ("model", "no suffix")]
)
def test_other_kinds_of_file_are_refused(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=why):
        read_weights(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot find the checkpoint"):
        read_weights(tmp_path / "none.pth")


def test_the_research_checkpoint_states_its_size(research_data: Path) -> None:
    weights = read_weights(research_data / "checkpoints" / "xception_sbi_v0.safetensors")
    assert (weights.layout, weights.rows, weights.input_px) == ("timm", 2, 224)


def test_keras_imagenet_weights_are_read_without_a_head(research_data: Path) -> None:
    assert read_weights(research_data / "weights" / "xception_imagenet_notop.safetensors").rows == 0
