import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine_build.gates import GATES
from engine_build.onnx_export import export_onnx
from engine_build.quantize import quantize
from stream_detector.errors import ModelError
from stream_detector.model_spec import read_sidecar
from stream_detector.records import Image
from stream_detector.scorers.onnx_scorer import OnnxScorer
from stream_detector.scorers.openvino_scorer import OpenVinoScorer
from tests.checkpoints import small_xception
from tests.conftest import REPOSITORY
from tests.noted_steps import NotedSteps
from tests.small_models import SIZE_PX, small_spec


@pytest.fixture
def crops() -> Image:
    """Smooth pictures of different brightness: noise alone gives every crop one logit."""
    rng = np.random.default_rng(0)
    levels = rng.uniform(30, 220, 24)
    pictures = [rng.normal(level, 10, (SIZE_PX, SIZE_PX, 3)) for level in levels]
    return np.clip(np.stack(pictures), 0, 255).astype(np.uint8)


def test_a_quantized_network_loads_as_int8_and_ranks_crops_as_before(crops: Image, tmp_path: Path) -> None:
    fp32, int8 = tmp_path / "small.onnx", tmp_path / "small-int8.xml"
    export_onnx(small_xception(), fp32, small_spec())
    spec = small_spec().model_copy(update={"format": "openvino", "precision": "int8"})
    steps = NotedSteps()
    written = quantize(fp32, crops, int8, spec, steps=steps)
    assert steps.names == ["INT8 quantization: ranges", "INT8 quantization: biases"]
    steps.assert_each_came_to_its_end()
    assert set(written.files) == {"small-int8.xml", "small-int8.bin"}
    assert read_sidecar(int8) == written
    with (
        closing(OpenVinoScorer(int8, max_batch=24)) as quantized,
        closing(OnnxScorer(fp32, max_batch=24)) as exact,
    ):
        assert quantized.precision == "int8"
        correlation = np.corrcoef(quantized.score(crops).logit, exact.score(crops).logit)[0, 1]
    assert correlation > 0.95


_AWARE = """
import sys
from pathlib import Path
import numpy as np
from engine_build.quantize import quantize
from tests.small_models import small_spec
fp32, crops, path = map(Path, sys.argv[1:])
spec = small_spec().model_copy(update={"format": "openvino", "precision": "int8"})
quantize(fp32, np.load(crops), path, spec, accuracy_aware=True)
"""


def test_the_accuracy_aware_way_puts_layers_back_until_the_gate_is_kept(crops: Image, tmp_path: Path) -> None:
    fp32, spec = tmp_path / "small.onnx", small_spec()
    export_onnx(small_xception(), fp32, spec)
    plain, aware = tmp_path / "plain.xml", tmp_path / "aware.xml"
    quantize(fp32, crops, plain, spec.model_copy(update={"format": "openvino", "precision": "int8"}))
    np.save(tmp_path / "crops.npy", crops)
    # In a process of its own: NNCF leaves the log of whoever runs this switched off.
    command = [sys.executable, "-c", _AWARE, str(fp32), str(tmp_path / "crops.npy"), str(aware)]
    subprocess.run(command, check=True, timeout=300, cwd=REPOSITORY)
    with closing(OnnxScorer(fp32, max_batch=24)) as scorer:
        exact = scorer.score(crops).logit
    used, quantized_layers = [], []
    for path in (plain, aware):
        with closing(OpenVinoScorer(path, max_batch=24)) as scorer:
            found = scorer.score(crops).logit
        dp = np.abs(np.tanh(found / 2) - np.tanh(exact / 2)).mean() / 2
        used.append(GATES["int8"].used(mean_dp=dp, correlation=np.corrcoef(found, exact)[0, 1]))
        quantized_layers.append(path.read_text(encoding="utf-8").count('type="FakeQuantize"'))
    assert used[0] > 1, "the plain way keeps the gate here: nothing is left to be put back"
    assert used[1] <= 0.9
    assert 0 < quantized_layers[1] < quantized_layers[0]


def test_a_spec_for_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected an .xml with a spec for openvino int8"):
        quantize(
            tmp_path / "a.onnx",
            np.zeros((1, SIZE_PX, SIZE_PX, 3), np.uint8),
            tmp_path / "b.xml",
            small_spec(),
        )
