"""Engines from the real TensorRT-RTX builder, which needs no GPU; only running them is fake."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

from engine_build.onnx_export import export_onnx
from engine_build.tensorrt_build import build_engine, describe, requirements
from stream_detector import assets
from stream_detector.errors import (
    BackendError,
    MissingDependency,
    ModelError,
    StreamDetectorError,
    UsageError,
)
from stream_detector.model_spec import file_sha256, read_sidecar, write_sidecar
from stream_detector.scorers import driver
from stream_detector.scorers.engine_sidecar import BUCKETS, EngineTensor, read_engine_sidecar, warm_up_crops
from tests.checkpoints import small_xception
from tests.conftest import REPOSITORY
from tests.fake_cuda import FakeMachine, run
from tests.noted_steps import NotedSteps
from tests.small_models import small_spec


@pytest.fixture(scope="module")
def real() -> ModuleType:
    """The real builder."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("needs TensorRT-RTX, a builder without GPU (pip install tensorrt-rtx==1.7.1.116)")
    return importlib.import_module("tensorrt_rtx")


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without NVIDIA's driver, also where there is one."""
    FakeMachine(has_driver=False).install(monkeypatch)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    export_onnx(small_xception(), path, small_spec("fp16"))
    return path


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.usefixtures("no_driver")
def test_the_packaged_model_becomes_an_fp16_engine_of_any_batch(real: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "engines" / "x.rtx.engine"
    steps = NotedSteps()
    made = build_engine(assets.xception_fp16(), out, backend="tensorrt-rtx", steps=steps)
    assert left_in(out.parent) == {"x.rtx.engine", "x.rtx.engine.json", "x.rtx.engine.layers.json"}
    layers = json.loads(out.with_name("x.rtx.engine.layers.json").read_text())["network"]
    assert [layer["dtype"] for layer in layers if layer["type"] == "CONVOLUTION"] == ["HALF"] * 74
    assert {layer["dtype"] for layer in layers if layer["type"] in ("MATRIX_MULTIPLY", "REDUCE")} == {"FLOAT"}
    contract = read_sidecar(assets.xception_fp16()).contract
    side, cells = contract.input_px, contract.evidence_cells
    assert made.io == (
        EngineTensor(name="faces", dtype="uint8", shape=(-1, side, side, 3)),
        EngineTensor(name="logit", dtype="float32", shape=(-1,)),
        EngineTensor(name="evidence", dtype="float32", shape=(-1, cells, cells)),
    )
    assert max(step.done for step in steps.steps if "building: " in step.name) > 50  # its own phases
    sidecar = read_engine_sidecar(out)
    assert sidecar == made
    assert sidecar.parity == "not run"
    assert (sidecar.gpu, sidecar.trt_version) == (None, real.__version__)
    assert sidecar.onnx_sha256 == file_sha256(assets.xception_fp16())
    assert sidecar.spec.without_files() == read_sidecar(assets.xception_fp16()).without_files().model_copy(
        update={"format": "tensorrt-rtx"}
    )


def test_the_reference_is_what_onnx_runtime_answers(real: ModuleType, small: Path, tmp_path: Path) -> None:
    made = build_engine(small, tmp_path / "x.engine", backend="tensorrt-rtx")
    expected = run(small.read_bytes(), warm_up_crops(made.spec.contract.input_px))[0]
    assert made.warm_up_logits == pytest.approx(expected.tolist(), abs=0.01)


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
@pytest.mark.parametrize("slow", [False, True])
def test_with_a_gpu_every_batch_is_measured_before_the_engine_gets_its_name(
    real: ModuleType, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    machine = FakeMachine(onnx=small.read_bytes())
    machine.install(monkeypatch, "tensorrt", real=real)
    steps = NotedSteps()
    out = tmp_path / "small.engine"
    made = build_engine(small, out, backend="tensorrt", slow=slow, steps=steps)
    assert isinstance(made.parity, tuple)
    assert [bucket.batch for bucket in made.parity] == list(BUCKETS)
    assert max(bucket.max_dlogit for bucket in made.parity) < 0.01
    assert machine.batches == list(BUCKETS)
    assert (made.gpu, made.compute_capability, made.cuda_runtime) == (machine.gpu, "8.9", "12.6")
    assert made.flags.optimization_level == (5 if slow else 3)
    assert read_engine_sidecar(out) == made
    assert left_in(tmp_path) >= {"small.engine.timing", "small.engine.layers.json"}
    assert steps.names[-1] == "parity at every batch"
    assert machine.memory == {}


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_an_engine_that_computes_wrongly_never_gets_its_name(
    real: ModuleType, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine(onnx=small.read_bytes(), wrong_from_batch=8)
    machine.install(monkeypatch, "tensorrt", real=real)
    before = left_in(tmp_path)
    with pytest.raises(BackendError, match="at batch 8 its logits differ from FP32 by up to 1"):
        build_engine(small, tmp_path / "small.engine", backend="tensorrt")
    assert left_in(tmp_path) == before


def test_an_engine_for_another_profile_states_it(real: ModuleType, small: Path, tmp_path: Path) -> None:
    made = build_engine(small, tmp_path / "x.plan", backend="tensorrt-rtx", opt=4, max_batch=8)
    assert (made.batch.opt, made.batch.max, made.batch.buckets) == (4, 8, (1, 2, 4, 8))


@pytest.mark.parametrize(
    ("opt", "most", "name"), [(0, 64, "x.engine"), (16, 8, "x.engine"), (8, 12, "x.engine"), (1, 1, "x.onnx")]
)
def test_a_profile_or_name_that_makes_no_sense_is_a_usage_error(
    small: Path, tmp_path: Path, opt: int, most: int, name: str
) -> None:
    with pytest.raises(UsageError, match=r"makes? no sense"):
        build_engine(small, tmp_path / name, backend="tensorrt-rtx", opt=opt, max_batch=most)


def other_opset(proto: Any) -> None:
    proto.opset_import[0].version = 18


def other_names(proto: Any) -> None:
    proto.graph.input[0].name = "pixels"
    proto.graph.node[0].input[0] = "pixels"


def no_spec(proto: Any) -> None:
    del proto.metadata_props[:]


def vector_of_weights(proto: Any) -> None:
    """The head as a product with a vector, from which TensorRT's parser drops the batch."""
    weight = next(constant for constant in proto.graph.initializer if constant.name == "fc.weight")
    del weight.dims[0]
    mean = next(node for node in proto.graph.node if node.name == "head.mean")
    del next(a for a in mean.attribute if a.name == "axes").ints[1:]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_opset, r"is of opset \{'': 18\}, expected 17"),
        (other_names, "inputs are pixels uint8"),
        (no_spec, "holds no model spec"),
        (
            vector_of_weights,
            r"reads logit of small\.onnx as float32 \(1,\), expected float32 with a free batch",
        ),
    ],
)
def test_another_onnx_file_is_refused_and_leaves_nothing_behind(
    real: ModuleType, small: Path, tmp_path: Path, change: Any, says: str
) -> None:
    spec = read_sidecar(small).without_files()
    proto = onnx.load(small)
    change(proto)
    small.write_bytes(proto.SerializeToString())
    write_sidecar(small, spec, [small])
    before = left_in(tmp_path)
    with pytest.raises(ModelError, match=says):
        build_engine(small, tmp_path / "x.engine", backend="tensorrt-rtx")
    assert left_in(tmp_path) == before


def test_an_fp32_file_and_garbage_are_refused(real: ModuleType, small: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.onnx"
    export_onnx(small_xception(), wide, small_spec("fp32"))
    with pytest.raises(ModelError, match=r"wide\.onnx, which is onnx in fp32: expected an ONNX file in fp16"):
        build_engine(wide, tmp_path / "x.engine", backend="tensorrt-rtx")
    spec = read_sidecar(small).without_files()
    small.write_bytes(b"garbage" * 99)
    write_sidecar(small, spec, [small])
    with pytest.raises(ModelError, match="it is no ONNX file"):
        build_engine(small, tmp_path / "x.engine", backend="tensorrt-rtx")
    small.write_bytes(b"other garbage")
    with pytest.raises(ModelError, match="is not the file its sidecar was written for"):
        build_engine(small, tmp_path / "x.engine", backend="tensorrt-rtx")


@pytest.mark.usefixtures("no_driver")
def test_tensorrt_is_not_even_imported_without_a_driver(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text("raise SystemExit('a real one may kill the process')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        BackendError, match=r"only on the GPU that runs it: this machine has no NVIDIA driver"
    ):
        build_engine(small, tmp_path / "x.engine", backend="tensorrt")
    assert "no engine can be built here" in list(describe(requirements("tensorrt")))


def test_a_version_this_program_was_not_written_for_is_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in ("10.2.0", "12.0.0", "8.6.1"):
        FakeMachine(trt_version=found).install(monkeypatch, "tensorrt")
        with pytest.raises(BackendError, match=f"tensorrt is {found}, expected 10.3 to 11.x"):
            build_engine(small, tmp_path / "x.engine", backend="tensorrt")


def test_a_missing_builder_says_what_to_install(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(MissingDependency, match=r"stream-detector\[tensorrt-rtx\]"):
        build_engine(small, tmp_path / "x.engine", backend="tensorrt-rtx")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(
    real: ModuleType, small: Path, tmp_path: Path
) -> None:
    import resource  # Windows has none

    before = left_in(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # Python ignores SIGXFSZ: an OSError
    try:
        with pytest.raises(
            ModelError, match=r"cannot write .*x\.engine: .*make room or choose another place"
        ):
            build_engine(small, tmp_path / "x.engine", backend="tensorrt-rtx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert left_in(tmp_path) == before


def test_the_check_tells_building_from_running(monkeypatch: pytest.MonkeyPatch, real: ModuleType) -> None:
    FakeMachine(has_driver=False).install(monkeypatch)
    found = requirements("tensorrt-rtx")
    assert {item.name: item.met for item in found} == {
        "GPU": False,
        "tensorrt-rtx": True,
        "onnx": True,
        "onnxruntime": True,
        "cuda-bindings": False,
    }
    assert list(describe(found))[-1].startswith("an engine can be built here, but not run")
    FakeMachine().install(monkeypatch, "tensorrt")
    assert list(describe(requirements("tensorrt")))[-1] == "an engine can be built, checked and run here"


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "engine_build", "tensorrt", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPOSITORY,
    )


def test_the_command_builds_where_auto_looks(real: ModuleType, small: Path) -> None:
    done = command(str(small), "--rtx", "--max", "8", "--opt", "4")
    assert done.returncode == 0, done.stderr
    assert f"{small.with_suffix('.rtx.engine')}: tensorrt-rtx {real.__version__}" in done.stdout
    assert small.with_suffix(".rtx.engine").is_file()


def test_the_command_answers_a_mistake_with_a_sentence_and_its_exit_code(small: Path) -> None:
    done = command(str(small), "--rtx", "--max", "7")
    assert done.returncode == UsageError.exit_code
    assert "--opt 32 and --max 7 make no sense" in done.stderr
    try:
        driver.find_gpu()
    except StreamDetectorError:
        assert command("--check").returncode == BackendError.exit_code
