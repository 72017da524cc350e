import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from stream_detector import assets
from stream_detector.crops import cut_face
from stream_detector.errors import BackendError, ModelError
from stream_detector.model_spec import ModelSpec, file_sha256, read_sidecar, write_sidecar
from stream_detector.records import Box, Image
from stream_detector.scorers.choice import choose_scorer, packaged_models, read_spec, usable_backends
from stream_detector.scorers.onnx_scorer import OnnxScorer
from stream_detector.scorers.openvino_scorer import OpenVinoScorer
from stream_detector.stages import Scorer
from tests.small_models import CELLS, SIZE_PX, write_small_onnx

WAYS: dict[str, Callable[[], Scorer]] = {
    "openvino int8": lambda: OpenVinoScorer(assets.xception_int8(), max_batch=4),
    "openvino fp32": lambda: OpenVinoScorer(assets.xception_fp16(), precision="fp32", max_batch=4),
    "onnx": lambda: OnnxScorer(assets.xception_fp16(), max_batch=4),
}
OPENERS: list[Callable[[Path], Scorer]] = [
    lambda path: OpenVinoScorer(path, max_batch=2),
    lambda path: OnnxScorer(path, max_batch=2),
]


PACKAGED_PX = read_sidecar(assets.xception_int8()).contract.input_px


@pytest.fixture(scope="module")
def crops() -> Image:
    """Four crops of the portrait: three cuts, and one of them dark."""
    picture = np.asarray(cv2.imread(str(assets.portrait())), np.uint8)[:, :, ::-1]
    cuts = [
        cut_face(picture, Box(160 + dx, 60, 300 + dx, 200), margin=1.35, size_px=PACKAGED_PX)
        for dx in (0, 20, -40)
    ]
    return np.stack([*cuts, cuts[0] // 3])


@pytest.fixture(scope="module", params=list(WAYS))
def scorer(request: pytest.FixtureRequest) -> Iterator[Scorer]:
    opened = WAYS[request.param]()
    yield opened
    opened.close()


class TestEveryScorer:
    """What `stages.Scorer` promises, on the packaged model."""

    def test_answers_one_logit_and_one_map_per_crop(self, scorer: Scorer, crops: Image) -> None:
        scores = scorer.score(crops)
        cells = scorer.spec.contract.evidence_cells
        assert scores.logit.shape == (4,)
        assert scores.evidence.shape == (4, cells, cells)
        assert {scores.logit.dtype.name, scores.evidence.dtype.name} == {"float32"}
        assert np.isfinite(scores.logit).all()
        assert np.ptp(scores.logit) > 0.01

    def test_the_mean_of_the_evidence_differs_from_the_logit_by_the_bias_alone(
        self, scorer: Scorer, crops: Image
    ) -> None:
        scores = scorer.score(crops)
        bias = scores.logit - scores.evidence.mean((1, 2))
        assert np.ptp(bias) < 1e-5

    def test_a_crops_result_does_not_depend_on_its_batch(self, scorer: Scorer, crops: Image) -> None:
        together = scorer.score(crops)
        for order in ([0], [3], [1, 0], [2, 3, 1], [3, 2, 1, 0]):
            some = scorer.score(crops[order])
            assert np.array_equal(some.logit, together.logit[order])
            assert np.array_equal(some.evidence, together.evidence[order])

    def test_the_next_call_overwrites_nothing(self, scorer: Scorer, crops: Image) -> None:
        first = scorer.score(crops[:1])
        logit, evidence = first.logit.copy(), first.evidence.copy()
        scorer.score(crops[3:])
        assert np.array_equal(first.logit, logit)
        assert np.array_equal(first.evidence, evidence)

    def test_takes_crops_that_are_read_only_or_not_contiguous(self, scorer: Scorer, crops: Image) -> None:
        mirrored = crops[:2, :, ::-1]
        expected = scorer.score(np.ascontiguousarray(mirrored)).logit
        assert np.array_equal(scorer.score(mirrored).logit, expected)
        frozen = crops[:1].copy()
        frozen.flags.writeable = False
        assert np.array_equal(scorer.score(frozen).logit, scorer.score(crops[:1]).logit)

    @pytest.mark.parametrize(
        ("shape", "dtype"),
        [
            ((0, PACKAGED_PX, PACKAGED_PX, 3), np.uint8),
            ((5, PACKAGED_PX, PACKAGED_PX, 3), np.uint8),
            ((1, PACKAGED_PX + 32, PACKAGED_PX + 32, 3), np.uint8),
            ((1, 3, PACKAGED_PX, PACKAGED_PX), np.uint8),
            ((PACKAGED_PX, PACKAGED_PX, 3), np.uint8),
            ((1, PACKAGED_PX, PACKAGED_PX, 3), np.float32),
        ],
    )
    def test_refuses_what_the_contract_does_not_allow(
        self, scorer: Scorer, shape: tuple[int, ...], dtype: type
    ) -> None:
        with pytest.raises(ValueError, match=r"crops must be|a batch holds"):
            scorer.score(np.zeros(shape, dtype))


@pytest.mark.parametrize("way", list(WAYS))
def test_closing_twice_is_fine_and_a_closed_scorer_says_so(way: str, crops: Image) -> None:
    scorer = WAYS[way]()
    scorer.close()
    scorer.close()
    with pytest.raises(BackendError, match="is closed"):
        scorer.score(crops)


def test_every_way_agrees_on_the_portrait(crops: Image) -> None:
    scores = {}
    for way, opened in WAYS.items():
        scorer = opened()
        scores[way] = 1 / (1 + np.exp(-scorer.score(crops).logit))
        scorer.close()
    assert np.allclose(scores["openvino fp32"], scores["onnx"], atol=1e-4)
    assert np.abs(scores["openvino int8"] - scores["onnx"]).max() < 0.1


def test_bf16_runs_where_the_cpu_has_it_and_is_refused_where_not(crops: Image) -> None:
    has_it = "bf16" in next(report.detail for report in usable_backends() if report.name == "openvino")
    if not has_it:
        with pytest.raises(BackendError, match="no arithmetic for it"):
            choose_scorer(model=None, backend="auto", precision="bf16", max_batch=4)
        return
    scorer = choose_scorer(model=None, backend="auto", precision="bf16", max_batch=4)
    assert scorer.precision == "bf16"
    rough = scorer.score(crops).logit
    scorer.close()
    exact = choose_scorer(model=None, backend="onnx", precision="auto", max_batch=4)
    assert 0 < np.abs(rough - exact.score(crops).logit).max() < 0.5
    exact.close()


@pytest.mark.parametrize(
    ("backend", "precision", "expected"),
    [
        ("auto", "auto", ("openvino", "int8")),
        ("openvino", "fp32", ("openvino", "fp32")),
        ("onnx", "auto", ("onnx", "fp32")),
    ],
)
def test_the_packaged_model_follows_from_what_is_asked(
    backend: str, precision: str, expected: tuple[str, str]
) -> None:
    scorer = choose_scorer(model=None, backend=backend, precision=precision, max_batch=1)  # type: ignore[arg-type]
    assert (scorer.backend, scorer.precision) == expected
    assert scorer.spec == read_spec(None, backend=backend, precision=precision)  # type: ignore[arg-type]
    scorer.close()


@pytest.mark.parametrize(
    ("model", "backend", "precision", "why"),
    [
        (None, "onnx", "int8", "choose --backend openvino"),
        (assets.xception_int8(), "onnx", "auto", "a .xml file runs on openvino"),
        (assets.xception_int8(), "auto", "bf16", "its weights are int8"),
        (assets.xception_int8(), "auto", "fp32", "its weights are int8"),
        (assets.xception_fp16(), "openvino", "int8", "its weights are fp16"),
        (assets.xception_fp16(), "onnx", "bf16", "it runs in fp32"),
    ],
)
def test_an_impossible_combination_is_refused_and_nothing_falls_back(
    model: Path | None, backend: str, precision: str, why: str
) -> None:
    with pytest.raises(BackendError, match=why):
        choose_scorer(model=model, backend=backend, precision=precision, max_batch=1)  # type: ignore[arg-type]


def test_another_kind_of_file_is_refused_by_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected one of .engine, .onnx, .plan, .xml, found '.pth'"):
        choose_scorer(model=tmp_path / "weights.pth", backend="auto", precision="auto", max_batch=1)


def test_the_packaged_models_share_one_contract_and_come_from_one_checkpoint() -> None:
    specs = [read_sidecar(path) for path in packaged_models()]
    assert len({spec.contract.sha256 for spec in specs}) == 1
    assert len({spec.source_weights_sha256 for spec in specs}) == 1
    assert {(spec.format, spec.precision) for spec in specs} == {("openvino", "int8"), ("onnx", "fp16")}
    assert len({spec.band for spec in specs}) == 1


def test_the_notice_states_every_packaged_file_and_its_hash() -> None:
    folder = assets.portrait().parent
    text = (folder / "NOTICE.md").read_text(encoding="utf-8")
    for path in folder.iterdir():
        if path.is_file() and path.suffix not in (".py", ".md"):
            assert f"`{file_sha256(path)}`" in text, path.name


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    write_small_onnx(path)
    return path


@pytest.fixture
def model(small_model: Path, tmp_path: Path) -> Path:
    """A copy of a small model with its sidecar, to damage."""
    for suffix in (".onnx", ".json"):
        shutil.copyfile(small_model.with_suffix(suffix), tmp_path / f"small{suffix}")
    return tmp_path / "small.onnx"


@pytest.mark.parametrize("opened", OPENERS)
def test_a_users_own_model_runs(opened: Callable[[Path], Scorer], model: Path) -> None:
    scorer = opened(model)
    scores = scorer.score(np.full((2, SIZE_PX, SIZE_PX, 3), 90, np.uint8))
    scorer.close()
    assert scores.evidence.shape == (2, CELLS, CELLS)


def replace_content(model: Path, content: bytes) -> None:
    """Other bytes under the same name, and a sidecar that vouches for them."""
    spec = read_sidecar(model)
    model.write_bytes(content)
    write_sidecar(model, spec.without_files(), [model])


@pytest.mark.parametrize("opened", OPENERS)
@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x08\x07"])
def test_a_damaged_file_is_refused_with_a_sentence(
    opened: Callable[[Path], Scorer], content: bytes, model: Path
) -> None:
    replace_content(model, content)
    with pytest.raises(ModelError, match=r"small\.onnx") as refused:
        opened(model)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("opened", OPENERS)
def test_a_truncated_file_is_refused(opened: Callable[[Path], Scorer], model: Path) -> None:
    replace_content(model, model.read_bytes()[: model.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"small\.onnx"):
        opened(model)


@pytest.mark.parametrize("opened", OPENERS)
def test_a_sidecar_of_another_spec_is_refused(opened: Callable[[Path], Scorer], model: Path) -> None:
    spec = read_sidecar(model).without_files()
    write_sidecar(model, spec.model_copy(update={"terms": "anything goes"}), [model])
    with pytest.raises(ModelError, match="do not belong together: they differ in terms"):
        opened(model)


@pytest.mark.parametrize("opened", OPENERS)
def test_a_file_without_a_spec_inside_is_refused(opened: Callable[[Path], Scorer], model: Path) -> None:
    graph = onnx.load(model)
    del graph.metadata_props[:]
    replace_content(model, graph.SerializeToString())
    with pytest.raises(ModelError, match="holds no model spec"):
        opened(model)


@pytest.mark.parametrize("opened", OPENERS)
def test_a_graph_that_does_not_fit_its_contract_is_refused(
    opened: Callable[[Path], Scorer], model: Path
) -> None:
    spec = read_sidecar(model).without_files()
    wider = spec.model_copy(update={"contract": spec.contract.model_copy(update={"input_px": 128})})
    write_sidecar(model, wider, [model])
    with pytest.raises(
        ModelError, match=r"inputs are faces uint8 \(n, 96, 96, 3\), expected faces uint8 \(n, 128, 128, 3\)"
    ):
        opened(model)


@pytest.mark.parametrize("opened", OPENERS)
def test_a_model_without_its_sidecar_is_refused(opened: Callable[[Path], Scorer], model: Path) -> None:
    model.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match=r"its sidecar small\.json is missing"):
        opened(model)


def ir_copy(folder: Path, change: Callable[[ModelSpec], ModelSpec]) -> Path:
    """The packaged IR in `folder` with a sidecar that states something else."""
    source = assets.xception_int8()
    for suffix in (".xml", ".bin"):
        shutil.copyfile(source.with_suffix(suffix), folder / f"model{suffix}")
    path = folder / "model.xml"
    write_sidecar(path, change(read_sidecar(source).without_files()), [path, path.with_suffix(".bin")])
    return path


def test_an_ir_of_another_contract_is_refused(tmp_path: Path) -> None:
    def wider_margin(spec: ModelSpec) -> ModelSpec:
        margins = {name: margin + 0.1 for name, margin in spec.contract.margins.items()}
        return spec.model_copy(update={"contract": spec.contract.model_copy(update={"margins": margins})})

    with pytest.raises(ModelError, match="made for another contract than its sidecar states"):
        OpenVinoScorer(ir_copy(tmp_path, wider_margin), max_batch=1)


def test_an_ir_whose_weights_were_swapped_is_refused(tmp_path: Path) -> None:
    path = ir_copy(tmp_path, lambda spec: spec)
    with path.with_suffix(".bin").open("r+b") as weights:
        weights.seek(1000)
        weights.write(b"\xff\x00\xff")
    with pytest.raises(ModelError, match=r"model\.bin is not the file its sidecar was written for"):
        OpenVinoScorer(path, max_batch=1)


def test_scoring_loads_no_torch() -> None:
    code = (
        "import sys; from stream_detector.scorers.choice import choose_scorer; import numpy as np; "
        "s = choose_scorer(model=None, backend='auto', precision='auto', max_batch=1); "
        f"s.score(np.zeros((1, {PACKAGED_PX}, {PACKAGED_PX}, 3), np.uint8)); s.close(); "
        "unwanted = 'torch', 'onnxruntime', 'openvino_telemetry', 'nncf'; "
        "import json; print(json.dumps([m for m in unwanted if sys.modules.get(m)]))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(out.stdout) == []
