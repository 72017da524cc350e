import json
from pathlib import Path

import pytest

from stream_detector.errors import ModelError
from stream_detector.model_spec import (
    Contract,
    ModelSpec,
    check_graph,
    parse_spec,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from tests.small_models import small_spec

INPUTS = {"faces": ("uint8", (None, 96, 96, 3))}
OUTPUTS = {"logit": ("float32", (None,)), "evidence": ("float32", (None, 3, 3))}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    path.write_bytes(b"a model")
    write_sidecar(path, small_spec(), [path])
    return path


def edit(model: Path, **fields: object) -> None:
    """Change fields of the sidecar by hand."""
    content = json.loads(sidecar_path(model).read_text(encoding="utf-8"))
    sidecar_path(model).write_text(json.dumps({**content, **fields}), encoding="utf-8")


def test_a_sidecar_is_read_as_it_was_written(model: Path) -> None:
    spec = read_sidecar(model)
    assert spec.without_files() == small_spec()
    assert spec.files.keys() == {"small.onnx"}
    assert spec.model_sha256 == spec.files["small.onnx"]


def test_a_model_of_two_files_has_one_hash_that_follows_both(tmp_path: Path) -> None:
    files = [tmp_path / "a.xml", tmp_path / "a.bin"]
    hashes = set()
    for contents in (b"1", b"2"), (b"1", b"3"), (b"4", b"2"):
        for path, content in zip(files, contents, strict=True):
            path.write_bytes(content)
        hashes.add(write_sidecar(files[0], small_spec(), files).model_sha256)
    assert len(hashes) == 3


def test_an_edited_sidecar_is_refused(model: Path) -> None:
    edit(model, terms="anything goes")
    with pytest.raises(ModelError, match=r"small\.json was edited"):
        read_sidecar(model)


def test_a_changed_model_is_refused(model: Path) -> None:
    model.write_bytes(b"another model")
    with pytest.raises(ModelError, match=r"small\.onnx is not the file its sidecar was written for"):
        read_sidecar(model)


def test_a_sidecar_of_another_model_is_refused(model: Path) -> None:
    other = model.with_name("other.onnx")
    other.write_bytes(b"a model")
    sidecar_path(other).write_bytes(sidecar_path(model).read_bytes())
    with pytest.raises(ModelError, match=r"is for small\.onnx, not for other\.onnx"):
        read_sidecar(other)


@pytest.mark.parametrize("text", ["", "not json", "[1, 2]", '"text"', "\x00\x01"])
def test_a_sidecar_that_is_no_json_object_is_refused(text: str, model: Path) -> None:
    sidecar_path(model).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"cannot read the sidecar .*restore it"):
        read_sidecar(model)


@pytest.mark.parametrize("missing", ["the model", "the sidecar"])
def test_a_missing_file_is_named(missing: str, model: Path) -> None:
    (model if missing == "the model" else sidecar_path(model)).unlink()
    with pytest.raises(ModelError, match="cannot find the model" if missing == "the model" else "is missing"):
        read_sidecar(model)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema_version", 2),
        ("precision", "int4"),
        ("format", "caffe"),
        ("source_weights_sha256", "xyz"),
        ("surprise", 1),
        ("band", {"low": 0.8, "high": 0.2, "source": ""}),
        ("quality", {"min_face_px": -1, "min_sharpness": 0, "source": ""}),
    ],
)
def test_a_field_that_does_not_fit_is_named(field: str, value: object) -> None:
    content = {**small_spec().model_dump(mode="json"), field: value}
    with pytest.raises(
        ModelError, match=f"the model spec in x.json does not fit this program: field {field}"
    ):
        parse_spec(content, "x.json")


def test_the_contracts_hash_changes_with_every_field_and_with_nothing_else() -> None:
    spec = small_spec()
    contract = spec.contract
    others = [
        contract.model_copy(update={"input_px": 128}),
        contract.model_copy(update={"margins": {"full-range-sparse": 1.36}}),
        contract.model_copy(update={"evidence_cells": 4}),
    ]
    assert len({contract.sha256, *(other.sha256 for other in others)}) == 4
    assert Contract.model_validate(contract.model_dump()).sha256 == contract.sha256
    assert spec.model_copy(update={"terms": "other"}).contract.sha256 == contract.sha256


def test_a_spec_survives_json() -> None:
    assert ModelSpec.model_validate_json(small_spec().model_dump_json()) == small_spec()


def test_an_unmeasured_face_model_has_no_margin() -> None:
    assert small_spec().margin("full-range-sparse") == 1.35
    with pytest.raises(
        ModelError, match="no crop margin for the face model 'short-range'; it knows full-range-sparse"
    ):
        small_spec().margin("short-range")


def test_a_graph_that_fits_is_accepted() -> None:
    check_graph(small_spec(), "small.onnx", INPUTS, OUTPUTS)


@pytest.mark.parametrize(
    ("inputs", "outputs", "found"),
    [
        ({"faces": ("float32", (None, 96, 96, 3))}, OUTPUTS, "faces float32"),
        ({"faces": ("uint8", (1, 96, 96, 3))}, OUTPUTS, r"faces uint8 \(1, 96, 96, 3\)"),
        ({"x": ("uint8", (None, 96, 96, 3))}, OUTPUTS, "x uint8"),
        (INPUTS, {"logit": ("float32", (None,))}, r"outputs are logit float32 \(n\), expected"),
        (INPUTS, {**OUTPUTS, "extra": ("float32", (None,))}, "extra float32"),
    ],
)
def test_a_graph_that_does_not_fit_is_described(
    inputs: dict[str, tuple[str, tuple[int | None, ...]]],
    outputs: dict[str, tuple[str, tuple[int | None, ...]]],
    found: str,
) -> None:
    with pytest.raises(ModelError, match=f"small.onnx does not fit its contract: .*{found}"):
        check_graph(small_spec(), "small.onnx", inputs, outputs)
