"""The Xception network in torch, and only that.

picture (n, 3, S, S) in [-1, 1]
  conv1 conv2          3x3, unpadded, the first with stride 2        S -> about S/2
  block1 .. block3     two separable convolutions, pool, skip        halves each time
  block4 .. block11    three separable convolutions, identity skip
  block12              grows to 1024 channels                        halves once more
  conv3 conv4          separable, 1536 and 2048 channels
  head                 one dense layer over the mean of the map      logit, evidence
"""

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

Pooling = Literal["torch", "same"]
"""Where a 3x3 max-pool of stride 2 starts: one pixel outside ("torch", timm and Cadene), or, on an
even side, at the first pixel ("same", TensorFlow and Keras)."""


class SeparableConv2d(nn.Module):
    """A 3x3 convolution per channel, then a 1x1 across channels (Chollet, CVPR 2017, section 3)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) -> (n, c_out, h, w)."""
        return self.pointwise(self.conv1(x))  # type: ignore[no-any-return]


class MaxPool(nn.Module):
    """3x3, stride 2: (n, c, h, w) -> (n, c, ceil(h/2), ceil(w/2)), starting as `pooling` says."""

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        if self.pooling == "same" and x.shape[-1] % 2 == 0:
            return functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
        return functional.max_pool2d(x, 3, 2, padding=1)


class Block(nn.Module):
    """Separable convolutions with a skip around them; numbered in `rep` as timm and Cadene do."""

    def __init__(
        self, channels: list[int], *, pool: Pooling | None = None, starts_with_relu: bool = True
    ) -> None:
        """`channels` names the input and then each convolution's output."""
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out in pairwise(channels):
            layers += [nn.ReLU(), SeparableConv2d(channels_in, channels_out), nn.BatchNorm2d(channels_out)]
        if not starts_with_relu:
            del layers[0]
        if pool is not None:
            layers.append(MaxPool(pool))
        self.rep = nn.Sequential(*layers)
        self.skip: nn.Module | None = None
        if pool is not None:
            self.skip = nn.Conv2d(channels[0], channels[-1], 1, stride=2, bias=False)
            self.skipbn: nn.Module = nn.BatchNorm2d(channels[-1])

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) -> (n, c_out, h, w), both sides halved where the block pools."""
        around = x if self.skip is None else self.skipbn(self.skip(x))
        return self.rep(x) + around  # type: ignore[no-any-return]


class Xception(nn.Module):
    """Xception (Chollet, CVPR 2017, figure 5) whose head answers "how fake, and where".

    Parameter names are timm's `legacy_xception` (Cadene's, with `fc` for the dense layer). With two
    rows in `fc`, row 1 is fake, and softmax over the two equals a sigmoid of their difference; so the
    logit is row 1 minus row 0. With one row, that row is the logit.
    """

    def __init__(
        self, *, rows: int = 2, pooling: Pooling = "torch", width: float = 1.0, middle_blocks: int = 8
    ) -> None:
        """
        Args:
            rows: of the dense layer, 1 or 2.
            pooling: how the max-pools pad.
            width: factor on every channel count; 1 is the paper's network, less makes tests fast.
            middle_blocks: 8 in the paper.

        Raises:
            ValueError: another number of rows.
        """
        if rows not in (1, 2):
            raise ValueError(f"the head must have 1 or 2 rows, got {rows}")
        super().__init__()
        self.pooling = pooling
        stem, first, second, third, middle, grown, wide, last = (
            max(4, round(c * width)) for c in (32, 64, 128, 256, 728, 1024, 1536, 2048)
        )
        self.conv1 = nn.Conv2d(3, stem, 3, stride=2, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, first, 3, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(first)
        self.block1 = Block([first, second, second], pool=pooling, starts_with_relu=False)
        self.block2 = Block([second, third, third], pool=pooling)
        self.block3 = Block([third, middle, middle], pool=pooling)
        self.middle_blocks = middle_blocks
        for number in range(middle_blocks):
            self.add_module(f"block{4 + number}", Block([middle] * 4))
        self.add_module(f"block{4 + middle_blocks}", Block([middle, middle, grown], pool=pooling))
        self.conv3 = SeparableConv2d(grown, wide)
        self.bn3: nn.Module = nn.BatchNorm2d(wide)
        self.conv4 = SeparableConv2d(wide, last)
        self.bn4: nn.Module = nn.BatchNorm2d(last)
        self.fc = nn.Linear(last, rows)

    def features(self, x: Tensor) -> Tensor:
        """The last feature map.

        Args:
            x: (n, 3, S, S) RGB in [-1, 1].

        Returns:
            (n, c, h, w), not negative; 7x7 for S = 224, 10x10 for S = 299.
        """
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        for number in range(1, 5 + self.middle_blocks):
            x = self.get_submodule(f"block{number}")(x)
        x = functional.relu(self.bn3(self.conv3(x)))
        return functional.relu(self.bn4(self.conv4(x)))

    def head(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logit and evidence of a feature map, in the type of the dense layer.

        The mean over the map and the dense layer are both linear, so they change places: weighting
        each cell first gives the class activation map (Zhou et al., CVPR 2016, section 2) in logit
        units, exactly, and its mean plus the bias is the logit.

        Args:
            features: (n, c, h, w).

        Returns:
            logit (n,), evidence (n, h, w).
        """
        weight, bias = self.direction()
        n, channels, height, width = features.shape
        cells = torch.matmul(weight, features.to(weight.dtype).reshape(n, channels, height * width))
        return cells.mean(1) + bias, cells.reshape(n, height, width)

    def direction(self) -> tuple[Tensor, Tensor]:
        """What the dense layer adds up to: weight (c,) and bias () of the logit."""
        weight, bias = self.fc.weight, self.fc.bias
        if self.fc.out_features == 1:
            return weight[0], bias[0]
        return weight[1] - weight[0], bias[1] - bias[0]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, S, S) RGB in [-1, 1] -> logit (n,), evidence (n, h, w)."""
        return self.head(self.features(x))

    def folded(self) -> Self:
        """A copy for inference whose BatchNorms are folded into the convolutions before them."""
        copied = copy.deepcopy(self).eval()
        for conv, norm in self._norms():
            _fold(copied, conv, norm)
        return copied

    def folded_weights(self) -> dict[str, Tensor]:
        """The weights that `folded` has, as functions of this network's own: gradients flow through them.

        With fixed statistics a BatchNorm is one factor and one term per channel, so that training may
        multiply kernels in place of pictures; torch.func.functional_call runs the copy with these.
        """
        weights: dict[str, Tensor] = dict(self.named_parameters())
        for conv, norm in self._norms():
            before, after = _pair(self, conv, norm)
            assert after.running_mean is not None
            assert after.running_var is not None
            factor = weights.pop(f"{norm}.weight") * torch.rsqrt(after.running_var + after.eps)
            weights[f"{conv}.weight"] = before.weight * factor[:, None, None, None]
            weights[f"{conv}.bias"] = weights.pop(f"{norm}.bias") - after.running_mean * factor
        return weights

    def _norms(self) -> Iterator[tuple[str, str]]:
        """Each convolution that a BatchNorm follows, and that BatchNorm, by name."""
        yield from (
            ("conv1", "bn1"),
            ("conv2", "bn2"),
            ("conv3.pointwise", "bn3"),
            ("conv4.pointwise", "bn4"),
        )
        for number in range(1, 5 + self.middle_blocks):
            block = f"block{number}"
            for index, layer in self.get_submodule(f"{block}.rep").named_children():
                if isinstance(layer, SeparableConv2d):
                    yield f"{block}.rep.{index}.pointwise", f"{block}.rep.{int(index) + 1}"
            if self.get_submodule(block).skip is not None:
                yield f"{block}.skip", f"{block}.skipbn"


def _pair(model: nn.Module, conv: str, norm: str) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    before, after = model.get_submodule(conv), model.get_submodule(norm)
    if not isinstance(before, nn.Conv2d) or not isinstance(after, nn.BatchNorm2d):
        raise TypeError(f"{conv} and {norm} must be a convolution and a BatchNorm")
    return before, after


def _fold(model: nn.Module, conv: str, norm: str) -> None:
    """Fold the BatchNorm named `norm` into the convolution named `conv`, in place."""
    for name, layer in ((conv, fuse_conv_bn_eval(*_pair(model, conv, norm))), (norm, nn.Identity())):
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)
