"""What `--backend auto` takes, what it says, and that a named back-end never falls back."""

import logging
import shutil
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stream_detector import assets, optional
from stream_detector.errors import BackendError, MissingDependency, ModelError
from stream_detector.scorers import choice
from stream_detector.scorers.choice import choose_scorer, read_spec, resolve, usable_backends
from stream_detector.scorers.engine_sidecar import engine_cache
from stream_detector.scorers.onnx_scorer import OnnxCudaScorer
from tests.fake_cuda import FakeMachine, make_engine, put
from tests.small_models import write_small_onnx


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine that the user built, and no ONNX Runtime for GPUs, takes part."""
    monkeypatch.setattr(choice, "engine_cache", lambda: tmp_path / "cache")

    def none_installed(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(optional, "version", none_installed)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "small.onnx"
    write_small_onnx(path, "fp16")
    return path


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    for suffix in (".onnx", ".json"):
        shutil.copyfile(exported.with_suffix(suffix), tmp_path / f"small{suffix}")
    return tmp_path / "small.onnx"


def test_auto_takes_openvino_where_there_is_no_gpu_and_says_why_in_one_line(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    FakeMachine(has_driver=False).install(monkeypatch)
    with caplog.at_level(logging.INFO, "stream_detector"):
        choose_scorer(model=model, backend="auto", precision="auto", max_batch=1).close()
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    folder = model.parent
    assert record.getMessage() == (
        f"small.onnx runs on openvino (not tensorrt: no engine at {folder / 'small.engine'}; "
        f"not tensorrt-rtx: no engine at {folder / 'small.rtx.engine'}; "
        f"not onnx-cuda: onnxruntime-gpu is not installed)"
    )


def test_auto_takes_an_engine_beside_the_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = FakeMachine()
    machine.install(monkeypatch, "tensorrt", "tensorrt-rtx")
    make_engine(model.parent, model, machine, "tensorrt-rtx")
    assert resolve(model, "auto", "auto").backend == "tensorrt-rtx"
    make_engine(model.parent, model, machine, "tensorrt")
    scorer = choose_scorer(model=model, backend="auto", precision="auto", max_batch=2)
    assert (scorer.backend, scorer.precision) == ("tensorrt", "fp16")
    assert scorer.spec == read_spec(model, backend="auto", precision="auto")
    scorer.close()


def test_auto_takes_the_packaged_models_engine_from_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine()
    machine.install(monkeypatch, "tensorrt")
    (tmp_path / "cache").mkdir()
    engine = make_engine(tmp_path / "cache", assets.xception_fp16(), machine)
    found = resolve(None, "auto", "auto")
    assert (found.model, found.backend) == (engine, "tensorrt")
    assert engine_cache().name == "stream-detector"


def no_driver(machine: FakeMachine, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has_driver = False


def no_package(machine: FakeMachine, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tensorrt")
    monkeypatch.setattr(choice, "find_spec", lambda name: None if name == "tensorrt" else object())


def another_model(machine: FakeMachine, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small_onnx(model, "fp16", seed=1)


@pytest.mark.parametrize(
    ("lack", "says"),
    [
        (no_driver, "small.engine is there, but this machine has no NVIDIA driver"),
        (no_package, "small.engine is there, but tensorrt is not installed"),
        (another_model, "small.engine is there, but it was built from"),
    ],
)
def test_an_engine_that_auto_passes_over_is_worth_a_warning(
    lack: Any,
    says: str,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = FakeMachine()
    machine.install(monkeypatch, "tensorrt")
    make_engine(model.parent, model, machine)
    lack(machine, model, monkeypatch)
    scorer = choose_scorer(model=model, backend="auto", precision="auto", max_batch=1)
    scorer.close()
    assert scorer.backend == "openvino"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert says in record.getMessage()


def test_an_engine_with_all_its_parts_that_fails_is_an_error_also_under_auto(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine(wrong_from_batch=1)
    machine.install(monkeypatch, "tensorrt")
    make_engine(model.parent, model, machine)
    with pytest.raises(BackendError, match="computes wrongly on this GPU"):
        choose_scorer(model=model, backend="auto", precision="auto", max_batch=1)


def test_without_openvino_auto_takes_onnx(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    assert resolve(model, "auto", "auto").backend == "onnx"


def test_auto_takes_onnx_cuda_where_its_package_and_a_gpu_are_there(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeMachine().install(monkeypatch)
    monkeypatch.setattr(optional, "version", lambda _: "1.22.0")
    assert resolve(model, "auto", "auto").backend == "onnx-cuda"
    assert resolve(model, "auto", "fp32").backend == "openvino"


@pytest.mark.parametrize(
    ("backend", "error", "says"),
    [
        ("tensorrt", ModelError, "there is no tensorrt engine of small.onnx: expected"),
        ("tensorrt-rtx", ModelError, r"engine_build tensorrt .*small.onnx --rtx"),
        ("onnx-cuda", BackendError, "no NVIDIA driver"),
    ],
)
def test_a_named_back_end_never_falls_back(
    backend: Any, error: type[Exception], says: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeMachine(has_driver=False).install(monkeypatch)
    with pytest.raises(error, match=says) as refused:
        choose_scorer(model=model, backend=backend, precision="auto", max_batch=1)
    assert refused.value.exit_code == 4  # type: ignore[attr-defined]  # all of ours have one


def test_an_engine_file_runs_on_what_it_was_built_for(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = FakeMachine()
    machine.install(monkeypatch, "tensorrt-rtx")
    engine = make_engine(model.parent, model, machine, "tensorrt-rtx")
    assert resolve(engine, "auto", "auto").backend == "tensorrt-rtx"
    plan = engine.rename(engine.with_suffix(".plan"))
    with pytest.raises(ModelError, match=r"its sidecar .* is missing"):
        resolve(plan, "auto", "auto")
    engine = make_engine(model.parent, model, machine, "tensorrt-rtx")
    with pytest.raises(BackendError, match="it was built for tensorrt-rtx"):
        resolve(engine, "tensorrt", "auto")
    with pytest.raises(BackendError, match=r"a .engine file runs on tensorrt or tensorrt-rtx"):
        resolve(engine, "openvino", "auto")
    another_model(machine, model, monkeypatch)
    with pytest.raises(ModelError, match=r"does not belong to small\.onnx"):
        resolve(model, "tensorrt-rtx", "auto")


def fake_onnxruntime(monkeypatch: pytest.MonkeyPatch, *, available: str, running: str) -> None:
    session = SimpleNamespace(get_providers=lambda: [running])
    fake = SimpleNamespace(
        get_available_providers=lambda: [available],
        SessionOptions=SimpleNamespace,
        InferenceSession=lambda *_, **__: session,
    )
    put(monkeypatch, "onnxruntime", fake)


def test_onnx_runtime_must_really_run_on_the_gpu(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeMachine().install(monkeypatch)
    fake_onnxruntime(monkeypatch, available="CPUExecutionProvider", running="")
    with pytest.raises(BackendError, match="has no CUDA provider: found CPUExecutionProvider"):
        OnnxCudaScorer(model, max_batch=1)
    fake_onnxruntime(monkeypatch, available="CUDAExecutionProvider", running="CPUExecutionProvider")
    with pytest.raises(BackendError, match="expected CUDAExecutionProvider, found CPUExecutionProvider"):
        OnnxCudaScorer(model, max_batch=1)
    with pytest.raises(BackendError, match="on an NVIDIA GPU it runs in fp16"):
        OnnxCudaScorer(model, precision="fp32", max_batch=1)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r"stream-detector\[cuda\]"):
        OnnxCudaScorer(model, max_batch=1)


def test_the_report_asks_the_driver_before_it_loads_tensorrt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text("raise SystemExit('a real one may kill the process')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    FakeMachine(has_driver=False).install(monkeypatch)
    found = {report.name: report for report in usable_backends()}
    assert list(found) == ["tensorrt", "tensorrt-rtx", "onnx-cuda", "openvino", "onnx"]
    assert not found["tensorrt"].usable
    assert "no NVIDIA driver" in found["tensorrt"].detail
    assert found["openvino"].usable
