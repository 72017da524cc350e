from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine_build.onnx_export import export_onnx
from engine_build.quantize import quantize
from stream_detector.errors import ModelError
from stream_detector.model_spec import read_sidecar
from stream_detector.scorers.onnx_scorer import OnnxScorer
from stream_detector.scorers.openvino_scorer import OpenVinoScorer
from tests.checkpoints import SIZE_PX, small_spec, small_xception


def test_a_quantized_network_loads_as_int8_and_ranks_crops_as_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    crops = np.stack(  # smooth pictures of different brightness: noise alone gives every crop one logit
        [
            np.clip(rng.normal(rng.uniform(30, 220), 10, (SIZE_PX, SIZE_PX, 3)), 0, 255).astype(np.uint8)
            for _ in range(24)
        ]
    )
    fp32, int8 = tmp_path / "small.onnx", tmp_path / "small-int8.xml"
    export_onnx(small_xception(), fp32, small_spec())
    spec = small_spec().model_copy(update={"format": "openvino", "precision": "int8"})
    written = quantize(fp32, crops, int8, spec)
    assert set(written.files) == {"small-int8.xml", "small-int8.bin"}
    assert read_sidecar(int8) == written
    with (
        closing(OpenVinoScorer(int8, max_batch=24)) as quantized,
        closing(OnnxScorer(fp32, max_batch=24)) as exact,
    ):
        assert quantized.precision == "int8"
        correlation = np.corrcoef(quantized.score(crops).logit, exact.score(crops).logit)[0, 1]
    assert correlation > 0.95


def test_a_spec_for_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected an .xml with a spec for openvino int8"):
        quantize(
            tmp_path / "a.onnx",
            np.zeros((1, SIZE_PX, SIZE_PX, 3), np.uint8),
            tmp_path / "b.xml",
            small_spec(),
        )
