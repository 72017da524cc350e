"""The TensorRT scorer on a machine of our own making: what it promises, and every refusal."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_detector import assets
from stream_detector.errors import BackendError, MissingDependency, ModelError, StreamDetectorError
from stream_detector.model_spec import EVIDENCE_NAME
from stream_detector.records import Image
from stream_detector.scorers.engine_sidecar import (
    BUCKETS,
    EngineBackend,
    EngineSidecar,
    EngineTensor,
    engine_sidecar_path,
    read_engine_sidecar,
    warm_up_crops,
)
from stream_detector.scorers.onnx_scorer import OnnxScorer
from stream_detector.scorers.tensorrt_scorer import TENSORRT_MODULES, TensorRtScorer
from stream_detector.stages import Scorer
from tests.fake_cuda import FakeMachine, make_engine
from tests.small_models import SIZE_PX, write_small_onnx
from tests.test_scorers import TestEveryScorer as _Promises
from tests.test_scorers import crops as _crops

crops = _crops
WARM_UP_SHA256 = "03596c8a831592f0f3f946904b501dfa64f0d7d3e3ff9c2bb45654c2130a297f"


@pytest.fixture(scope="module")
def small_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    write_small_onnx(path, "fp16")
    return path


@pytest.fixture(scope="class", params=["tensorrt", "tensorrt-rtx", "tensorrt with graphs"])
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorer]:
    backend: EngineBackend = "tensorrt-rtx" if request.param == "tensorrt-rtx" else "tensorrt"
    machine = FakeMachine()
    with pytest.MonkeyPatch.context() as monkeypatch:
        machine.install(monkeypatch, backend)
        engine = make_engine(tmp_path_factory.mktemp("engine"), assets.xception_fp16(), machine, backend)
        opened = TensorRtScorer(engine, max_batch=4, graphs="graphs" in request.param)
        yield opened
        opened.close()
    assert machine.memory == {}
    assert machine.handles == set()


class TestTensorRt(_Promises):
    """What `stages.Scorer` promises of every scorer."""


def faces(number: int) -> Image:
    return warm_up_crops(SIZE_PX)[np.arange(number) % 8]


def test_an_odd_batch_is_padded_to_the_next_bucket(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine()
    machine.install(monkeypatch, "tensorrt")
    scorer = TensorRtScorer(make_engine(tmp_path, small_onnx, machine), max_batch=64)
    assert machine.batches == list(BUCKETS)
    assert [bucket.batch for bucket in scorer.parity] == list(BUCKETS)
    machine.batches.clear()
    reference = OnnxScorer(small_onnx, max_batch=64)
    for number in (1, 3, 64, 5, 33, 2):
        found, expected = scorer.score(faces(number)), reference.score(faces(number))
        assert np.allclose(found.logit, expected.logit, atol=1e-4)
        assert np.allclose(found.evidence, expected.evidence, atol=1e-4)
    assert machine.batches == [1, 4, 64, 8, 64, 2]
    reference.close()
    scorer.close()


def test_graphs_are_captured_after_a_plain_run_and_replayed_from_then_on(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine()
    machine.install(monkeypatch, "tensorrt")
    scorer = TensorRtScorer(make_engine(tmp_path, small_onnx, machine), max_batch=4, graphs=True)
    assert machine.batches == [1, 1, 2, 2, 4, 4]
    assert machine.launched_graphs == 3
    assert np.allclose(scorer.score(faces(3)).logit, scorer.score(faces(4)).logit[:3])
    assert machine.launched_graphs == 5
    scorer.close()
    assert machine.memory == {}
    assert machine.handles == set()


def test_a_batch_the_gpu_refuses_is_an_error_and_not_the_last_answer(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine()
    machine.install(monkeypatch, "tensorrt")
    scorer = TensorRtScorer(make_engine(tmp_path, small_onnx, machine), max_batch=4)
    machine.refused_batches = frozenset({2})
    with pytest.raises(BackendError, match=r"small\.engine refused a batch of 2: Cask convolution execution"):
        scorer.score(faces(2))
    assert scorer.score(faces(1)).logit.shape == (1,)
    scorer.close()
    scorer.close()
    with pytest.raises(BackendError, match="is closed"):
        scorer.score(faces(1))
    with pytest.raises(BackendError, match="is closed"):
        scorer.layers_json()


@dataclass(frozen=True)
class Refusal:
    """One thing that can be wrong, and the sentence it gets."""

    what: str
    error: type[StreamDetectorError]
    says: str
    machine: dict[str, Any] = field(default_factory=dict)
    change: Callable[[EngineSidecar], EngineSidecar] = lambda sidecar: sidecar
    spoil: Callable[[Path], object] = lambda path: None
    packages: tuple[EngineBackend, ...] = ("tensorrt", "tensorrt-rtx")
    backend: EngineBackend = "tensorrt"
    options: dict[str, Any] = field(default_factory=dict)


def updated(**fields: Any) -> Callable[[EngineSidecar], EngineSidecar]:
    return lambda sidecar: sidecar.model_copy(update=fields)


def edit(path: Path, **fields: Any) -> None:
    beside = engine_sidecar_path(path)
    beside.write_text(json.dumps({**json.loads(beside.read_text()), **fields}))


def another_contract(sidecar: EngineSidecar) -> EngineSidecar:
    contract = sidecar.spec.contract.model_copy(update={"input_px": 128})
    spec = sidecar.spec.model_copy(update={"contract": contract})
    return sidecar.model_copy(update={"spec": spec, "contract_sha256": contract.sha256})


REFUSALS = [  # in the order in which they are checked
    Refusal("no engine", ModelError, "cannot find the engine", spoil=Path.unlink),
    Refusal(
        "no sidecar",
        ModelError,
        "an engine is not loaded on trust",
        spoil=lambda p: engine_sidecar_path(p).unlink(),
    ),
    Refusal(
        "sidecar no JSON",
        ModelError,
        "expected JSON, found",
        spoil=lambda p: engine_sidecar_path(p).write_text("{"),
    ),
    Refusal(
        "sidecar a list",
        ModelError,
        "expected a JSON object, found list",
        spoil=lambda p: engine_sidecar_path(p).write_text("[]"),
    ),
    Refusal(
        "another format",
        ModelError,
        "does not fit this program: field format",
        spoil=lambda p: edit(p, format=2),
    ),
    Refusal("edited sidecar", ModelError, "was edited", spoil=lambda p: edit(p, gpu="NVIDIA H200")),
    Refusal(
        "edited engine",
        ModelError,
        "is not the engine its sidecar was written for",
        spoil=lambda p: p.write_bytes(p.read_bytes()[:-1] + b"x"),
    ),
    Refusal(
        "contract hash",
        ModelError,
        "contradicts itself: it states contract 000000000000…",
        change=updated(contract_sha256="0" * 64),
    ),
    Refusal(
        "precision asked for",
        BackendError,
        "an engine runs in the precision it was built for",
        options={"precision": "fp32"},
    ),
    Refusal(
        "more than the profile",
        BackendError,
        "takes at most 4 faces at once, expected 8",
        options={"max_batch": 8, "most": 4},
    ),
    Refusal(
        "no driver",
        BackendError,
        "this machine has no NVIDIA driver: libcuda.so.1 does not load",
        {"has_driver": False},
    ),
    Refusal(
        "broken driver",
        BackendError,
        "cuInit answered error 100, expected 0",
        {"failing": frozenset({"cuInit"})},
    ),
    Refusal("driver without GPU", BackendError, "finds no GPU here", {"gpus": 0}),
    Refusal(
        "another system",
        BackendError,
        "built for another operating system: expected Plan 9",
        change=updated(os="Plan 9"),
    ),
    Refusal(
        "another processor",
        BackendError,
        "another processor architecture: expected vax",
        change=updated(arch="vax"),
    ),
    Refusal(
        "another generation",
        BackendError,
        "another compute capability: expected 9.0, found 8.9",
        change=updated(compute_capability="9.0"),
    ),
    Refusal(
        "another GPU",
        BackendError,
        "another GPU: expected NVIDIA L4, found NVIDIA GeForce RTX 4090",
        change=updated(gpu="NVIDIA L4"),
    ),
    Refusal(
        "GPU that RTX does not serve",
        BackendError,
        "TensorRT-RTX does not serve NVIDIA H200 (compute capability 9.0)",
        {"gpu": "NVIDIA H200", "compute_capability": (9, 0)},
        backend="tensorrt-rtx",
    ),
    Refusal(
        "no package", MissingDependency, "pip install 'stream-detector[tensorrt]'", packages=("tensorrt-rtx",)
    ),
    Refusal(
        "another version",
        BackendError,
        "was built by tensorrt 10.3.0, installed is 10.16.1.11",
        change=updated(trt_version="10.3.0"),
    ),
    Refusal(
        "old driver",
        BackendError,
        "the NVIDIA driver is too old: it serves CUDA 12.8, cuda-bindings is made for CUDA 13.0",
        {"runtime_version": 13000},
    ),
    Refusal(
        "TensorRT does not start",
        BackendError,
        "does not start: CUDA initialization failure with error: 35",
        {"runtime_starts": False},
    ),
    Refusal("plan does not load", ModelError, "magic tag does not match", {"plan_loads": False}),
    Refusal("another contract", ModelError, "does not fit its contract: inputs are", change=another_contract),
    Refusal("no room", BackendError, "has no room for small.engine", {"failing": frozenset({"context"})}),
    Refusal(
        "no memory on the GPU",
        BackendError,
        "CUDA refused cudaMalloc: cudaErrorMemoryAllocation (2)",
        {"failing": frozenset({"cudaMalloc"})},
    ),
    Refusal(
        "address refused",
        BackendError,
        "refused the memory for evidence",
        {"failing": frozenset({EVIDENCE_NAME})},
    ),
    Refusal(
        "batch refused",
        BackendError,
        "refused a batch of 2: Cask convolution execution",
        {"refused_batches": frozenset({2})},
    ),
    Refusal(
        "wrong from batch 8 on",
        BackendError,
        "at batch 8 its logits differ from FP32 by up to 1",
        {"wrong_from_batch": 8},
        options={"max_batch": 8},
    ),
    Refusal(
        "not a number",
        BackendError,
        "at batch 1 its logits differ from FP32 by up to nan",
        {"wrong_from_batch": 1, "wrong_by": float("nan")},
    ),
]
_SEEN: dict[str, str] = {}


class _Table:
    """Shows every refusal and its sentence at the end of the run."""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("what a TensorRT engine is refused for, in the order of the checks")
        for what, sentence in _SEEN.items():
            terminalreporter.write_line(f"{what}: {sentence}")


@pytest.fixture(scope="module", autouse=True)
def _show_the_table(request: pytest.FixtureRequest) -> None:
    request.config.pluginmanager.register(_Table())


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.what)
def test_whatever_is_wrong_is_refused_with_its_sentence_and_leaves_nothing_on_the_gpu(
    refusal: Refusal, small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine(**refusal.machine)
    built_on = FakeMachine()
    options = {"max_batch": 2, **refusal.options}
    most = options.pop("most", 64)
    engine = make_engine(tmp_path, small_onnx, built_on, refusal.backend, change=refusal.change, most=most)
    refusal.spoil(engine)
    for name in TENSORRT_MODULES.values():
        monkeypatch.setitem(sys.modules, name, None)
    machine.install(monkeypatch, *refusal.packages)
    with pytest.raises(refusal.error) as refused:
        TensorRtScorer(engine, **options)
    sentence = str(refused.value)
    assert refusal.says in sentence
    assert "\n" not in sentence
    assert ";" in sentence, "no next step"
    assert machine.memory == {}
    assert machine.handles == set()
    _SEEN[refusal.what] = sentence.replace(str(tmp_path), "…")


def test_the_checks_come_in_the_order_of_the_table(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything_wrong = FakeMachine(has_driver=False)
    engine = make_engine(tmp_path, small_onnx, everything_wrong, change=updated(gpu="x", trt_version="1"))
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    everything_wrong.install(monkeypatch)
    with pytest.raises(BackendError, match="no NVIDIA driver"):
        TensorRtScorer(engine, max_batch=1)
    everything_wrong.has_driver = True
    with pytest.raises(BackendError, match="another GPU"):
        TensorRtScorer(engine, max_batch=1)


def test_bindings_without_cuda_say_what_to_install(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine()
    machine.install(monkeypatch, "tensorrt")
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(MissingDependency, match=r"stream-detector\[tensorrt\]"):
        TensorRtScorer(make_engine(tmp_path, small_onnx, machine), max_batch=1)


def test_a_package_whose_libraries_are_missing_is_called_broken(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine()
    machine.install(monkeypatch)
    (tmp_path / "tensorrt.py").write_text(
        "raise ImportError('libnvonnxparser.so.11: cannot open shared object file')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingDependency, match=r"does not load: libnvonnxparser\.so\.11"):
        TensorRtScorer(make_engine(tmp_path, small_onnx, machine), max_batch=1)


def test_warm_up_crops_are_the_same_everywhere() -> None:
    one = warm_up_crops(224)
    assert one.shape == (8, 224, 224, 3)
    assert hashlib.sha256(one.tobytes()).hexdigest() == WARM_UP_SHA256


def test_the_sidecar_states_the_tensors(small_onnx: Path, tmp_path: Path) -> None:
    sidecar = read_engine_sidecar(make_engine(tmp_path, small_onnx, FakeMachine()))
    assert sidecar.io[0] == EngineTensor(name="faces", dtype="uint8", shape=(-1, SIZE_PX, SIZE_PX, 3))
