import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine_build import parity
from engine_build.about import About
from engine_build.model_card import model_card
from engine_build.onnx_export import export_onnx
from engine_build.operating_range import OperatingRange
from engine_build.parity import measure_parity
from engine_build.quantize import quantize
from tests.checkpoints import small_xception
from tests.small_models import SIZE_PX, small_spec


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> parity.Parity:
    folder = tmp_path_factory.mktemp("parity")
    model = small_xception()
    rng = np.random.default_rng(0)
    crops = np.stack(
        [
            np.clip(rng.normal(level, 10, (SIZE_PX, SIZE_PX, 3)), 0, 255).astype(np.uint8)
            for level in rng.uniform(30, 220, 24)
        ]
    )
    fp32, fp16, int8 = folder / "fp32.onnx", folder / "fp16.onnx", folder / "int8.xml"
    export_onnx(model, fp32, small_spec())
    export_onnx(model, fp16, small_spec("fp16"))
    quantize(fp32, crops, int8, small_spec().model_copy(update={"format": "openvino", "precision": "int8"}))
    return measure_parity(
        model, fp32_onnx=fp32, fp16_onnx=fp16, int8_xml=int8, real=crops[:16], fake=crops[16:]
    )


def test_every_way_of_running_is_compared_or_said_to_be_missing(table: parity.Parity) -> None:
    names = [row.name for row in table.rows] + list(table.skipped)
    assert len(names) == 5
    assert (table.real_crops, table.fake_crops) == (16, 8)
    exact = table.rows[0]
    assert exact.name == "FP32, ONNX Runtime"
    assert exact.max_dlogit < 1e-4
    assert exact.correlation > 0.99999
    by_name = {row.name: row for row in table.rows}
    assert by_name["INT8, OpenVINO"].mean_dlogit > exact.mean_dlogit
    assert by_name["INT8, OpenVINO"].passed is not None


def test_the_table_survives_json_and_shows_every_row(table: parity.Parity) -> None:
    content = json.loads(json.dumps(table.as_json()))
    assert [row["name"] for row in content["rows"]] == [row.name for row in table.rows]
    text = table.as_markdown()
    assert all(row.name in text for row in table.rows)


def test_the_gate_misses_when_any_of_its_three_figures_does() -> None:
    reference = np.linspace(-4, 4, 40)
    order = np.random.default_rng(0).permutation(40)

    def compared(found: np.ndarray) -> parity.Agreement:
        return parity._compare(
            "x", "int8", found[order], reference[order], 20, parity._auc(reference[order], 20)
        )

    assert compared(reference).passed is True
    assert compared(reference + 0.5).passed is False  # the scores moved, though order and correlation hold
    assert compared(-reference).passed is False


def test_the_card_takes_its_numbers_from_the_measurement(table: parity.Parity) -> None:
    spec = small_spec()
    found = OperatingRange(band=spec.band, quality=spec.quality, histograms={"real": tuple(range(10))})
    about = About(
        name="small", trained_on="nothing", terms="none", input_px=SIZE_PX, limits=("It is a toy.",)
    )
    card = model_card(about, spec, found, table)
    assert table.as_markdown() in card
    assert "| real | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |" in card
    assert "- It is a toy." in card
    missed = any(row.passed is False for row in table.rows)
    assert ("Missed:" in card) == missed


def test_a_checkpoint_that_cannot_be_read_ends_the_command_with_a_sentence(tmp_path: Path) -> None:
    checkpoint = tmp_path / "broken.pth"
    checkpoint.write_bytes(b"no checkpoint")
    command = [sys.executable, "-m", "engine_build", "export", str(checkpoint)]
    command += [
        "--about",
        "engine_build/checkpoints/xception-sbi-v1.json",
        "--out",
        str(tmp_path / "out.onnx"),
    ]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parent.parent
    )
    assert ended.returncode == 4
    assert ended.stderr.startswith("engine_build: cannot read broken.pth")
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out.onnx").exists()
