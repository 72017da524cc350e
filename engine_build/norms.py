"""BatchNorm statistics taken anew from the pictures that a network is about to be trained on."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from engine_build.xception import Xception


def estimate_norms(network: Xception, batches: Iterable[Tensor]) -> None:
    """Replace the running mean and variance of every BatchNorm by their average over `batches`.

    Weights stay. Each layer is measured on what the layers before it give when they normalise by the
    batch itself (Li et al., "Adaptive Batch Normalization for practical domain adaptation", Pattern
    Recognition 80, 2018, section 3). The fewer pictures a batch holds, the rougher.

    Args:
        network: in place; left in evaluation mode.
        batches: (n, S, S, 3) uint8 RGB each, n > 1; one at least.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch: a plain average over all batches
    network.train()
    with torch.no_grad():
        for batch in batches:
            network.features((batch.permute(0, 3, 1, 2).float() - 127.5) / 127.5)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
