import pytest
import torch

from engine_build.xception import MaxPool, Xception
from tests.checkpoints import small_xception
from tests.small_models import CELLS, SIZE_PX


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(3, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("pooling", ["torch", "same"])
def test_folding_batch_norm_changes_no_output(rows: int, pooling: str, pictures: torch.Tensor) -> None:
    model = small_xception(rows=rows, pooling=pooling)  # type: ignore[arg-type]
    with torch.inference_mode():
        before, after = model(pictures), model.folded()(pictures)
    assert torch.allclose(before[0], after[0], atol=1e-5)
    assert torch.allclose(before[1], after[1], atol=1e-5)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in model.folded().modules())
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in model.modules()), (
        "the original was changed"
    )


@pytest.mark.parametrize("rows", [1, 2])
def test_the_mean_of_the_evidence_plus_the_bias_is_the_logit(rows: int, pictures: torch.Tensor) -> None:
    model = small_xception(rows=rows)
    with torch.inference_mode():
        logit, evidence = model(pictures)
        bias = model.direction()[1]
    assert evidence.shape == (3, CELLS, CELLS)
    assert torch.allclose(evidence.mean((1, 2)) + bias, logit, atol=1e-6)


def test_with_two_rows_the_sigmoid_of_the_logit_is_the_softmax_of_the_fake_row(
    pictures: torch.Tensor,
) -> None:
    model = small_xception()
    with torch.inference_mode():
        pooled = model.features(pictures).mean((2, 3))
        fake = torch.softmax(model.fc(pooled), dim=1)[:, 1]
        logit, _ = model(pictures)
    assert torch.allclose(torch.sigmoid(logit), fake, atol=1e-6)


def test_the_full_network_has_the_papers_size_and_74_convolutions() -> None:
    with torch.device("meta"):
        model = Xception()
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in model.modules()) == 74
    without_head = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("fc."))
    assert without_head == 22_855_952 - 2048 * 1000 - 1000  # Keras states 22.9 M with its 1000 classes


def test_pooling_same_starts_at_the_first_pixel_of_an_even_side_only() -> None:
    even = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert MaxPool("same")(even).flatten().tolist() == [10, 11, 14, 15]
    assert MaxPool("torch")(even).flatten().tolist() == [5, 7, 13, 15]
    odd = torch.arange(25.0).reshape(1, 1, 5, 5)
    assert torch.equal(MaxPool("same")(odd), MaxPool("torch")(odd))


def test_a_head_of_three_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or 2 rows, got 3"):
        Xception(rows=3)
