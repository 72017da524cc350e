"""The state of a training run, and one step of it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from engine_build.real_clips import RealClips
from engine_build.recipe import Recipe
from engine_build.training_clock import RunClock
from engine_build.training_data import loaded
from engine_build.training_log import Row
from engine_build.training_state import load_state, save_state
from engine_build.xception import Xception
from stream_detector.errors import ModelError
from stream_detector.optional import require

_Tensors = tuple[Tensor, ...] | list[Tensor]


class Detector(nn.Module):
    """Xception as it is trained: dropout on the pooled features and, where asked for, a head for masks.

    Where BatchNorm statistics are fixed, each step folds the BatchNorms into the kernels and runs the
    folded network: the same sums, and on CPUs over half as many pictures a second more.
    """

    def __init__(
        self, network: Xception, dropout: float, *, batch_norms: bool = False, masks: bool = False
    ) -> None:
        """
        Args:
            network: trained in place.
            dropout: on the pooled features.
            batch_norms: in training, normalise by each batch's own statistics.
            masks: say of each cell of the last map whether it is blended, too.
        """
        super().__init__()
        self.network = network
        self.dropout = nn.Dropout(dropout)
        self._batch_norms = batch_norms
        self.masks = nn.Conv2d(network.fc.in_features, 1, 1) if masks else None
        # In a tuple, so that it is no part of the parameters and the state: its weights are never used.
        self._folded = (_Features(network.folded()),)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
        """(n, S, S, 3) uint8 RGB -> logit (n,) float32; and of each cell, (n, h, w), if trained on masks."""
        inputs = (pictures.permute(0, 3, 1, 2).float() - 127.5) / 127.5
        if self.training and self._batch_norms:
            features = self.network.features(inputs)
        else:
            weights = {f"network.{name}": value for name, value in self.network.folded_weights().items()}
            features = functional_call(self._folded[0], weights, inputs)
        with torch.autocast(pictures.device.type, enabled=False):
            features = features.float()
            weight, bias = self.network.direction()
            pooled: Tensor = self.dropout(features.mean((2, 3)))
            cells = None if self.masks is None else self.masks(features)[:, 0]
            return pooled @ weight + bias, cells


class _Features(nn.Module):
    """The last feature map as a call, which is what functional_call calls."""

    def __init__(self, network: Xception) -> None:
        super().__init__()
        self.network = network.to("meta")

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network.features(inputs)


class Run:
    """One run, somewhere between its first and its last step."""

    def __init__(
        self,
        fabric: Any,
        network: Xception,
        recipe: Recipe,
        *,
        path: Path,
        data: str,
    ) -> None:
        """Start the run, or continue the one `path` holds.

        Args:
            fabric: launched.
            network: with its starting weights; trained in place.
            path: of the state.
            data: identifies what is trained on.

        Raises:
            ModelError: `path` is damaged, or holds another run.
        """
        own = recipe.norms == "batch"
        torch.manual_seed(recipe.seed)  # the head for masks is drawn
        detector = Detector(network, recipe.dropout, batch_norms=own, masks=recipe.mask_weight > 0)
        detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self._fabric, self._detector, self.recipe = fabric, detector, recipe
        self._path = path
        self._identity: Mapping[str, str] = {"recipe": recipe.model_dump_json(), "data": data}
        state = load_state(path, **self._identity)
        self.step, self.best_step, self.best_auc = 0, 0, -1.0
        self.rows: list[Row] = []
        self.stopped = False
        self._losses: list[float] = []
        if state is not None:
            detector.load_state_dict(state["weights"])
            self.step, self.best_step, self.best_auc = state["step"], state["best_step"], state["best_auc"]
            self.rows, self.stopped = [Row(**row) for row in state["rows"]], state["stopped"]
            self._losses = state["losses"]
        detector.to(fabric.device)
        self.averaged = AveragedModel(detector, multi_avg_fn=_running_mean(recipe.ema), use_buffers=own)
        if state is not None:
            self.averaged.load_state_dict(state["averaged"])
        self._stage = -1
        self._enter_stage(None if state is None else state["optimizer"])

    def _enter_stage(self, optimizer_state: dict[str, Any] | None) -> None:
        """Freeze and unfreeze, with a fresh optimizer unless its state is given."""
        # A run continued exactly at a border holds the optimizer of the stage it ended.
        self._stage = self.recipe.stage(self.step if optimizer_state is None else max(0, self.step - 1))
        network = self._detector.network
        blocks = 4 + network.middle_blocks
        groups: dict[float, list[Tensor]] = {0.0: [], self.recipe.weight_decay: []}
        for name, parameter in self._detector.named_parameters():
            own = name.removeprefix("network.")
            trained = own == name or self.recipe.trains(own, self._stage, blocks=blocks)
            parameter.requires_grad_(trained)
            parameter.grad = None
            if trained:
                groups[self.recipe.weight_decay if parameter.ndim > 1 else 0.0].append(parameter)
        optimizer = torch.optim.AdamW(
            [{"params": each, "weight_decay": decay} for decay, each in groups.items() if each],
            lr=self.recipe.learning_rate,
            betas=(0.9, 0.99),
        )
        if optimizer_state is not None:
            optimizer.load_state_dict(optimizer_state)
        self._model, self._optimizer = self._fabric.setup(self._detector, optimizer)

    def one_step(self, batch: Tensor) -> None:
        """Train on (n, 2, S, S, 3) uint8 pairs, or (n, 2, S, S, 4) where the recipe weighs masks.

        Raises:
            ModelError: the loss or a gradient is not finite.
        """
        if self.recipe.stage(self.step) != self._stage:
            self._enter_stage(None)
        fabric, recipe = self._fabric, self.recipe
        self._model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate_at(self.step)
        pictures = batch.flatten(0, 1).to(fabric.device, non_blocking=True)
        loss = self._gradients(pictures)
        if recipe.sam:
            with self._uphill():
                self._gradients(pictures)
        norm = fabric.clip_gradients(
            self._model, self._optimizer, max_norm=recipe.clip_norm, error_if_nonfinite=False
        )
        value = float(loss)
        if not bool(torch.isfinite(norm)):
            raise ModelError(
                f"training stopped at step {self.step}: the loss is {value:g} and the length of the gradient "
                f"{float(norm):g}, expected finite numbers; the last state is kept: try a lower "
                "--learning-rate or --precision fp32, with another --out"
            )
        self._optimizer.step()
        self.averaged.update_parameters(self._detector)
        self._losses.append(value)
        self.step += 1

    def _gradients(self, pictures: Tensor) -> Tensor:
        """Those of (2 n, S, S, 3 or 4) uint8, real and fake in turn; returns the verdict's loss."""
        # Dropout's draws, which are the same for both gradients of a step.
        torch.manual_seed(hash((self.recipe.seed, self.step, self._fabric.global_rank)) % 2**63)
        labels = torch.tensor([0.0, 1.0], device=pictures.device).repeat(len(pictures) // 2)
        logits, cells = self._model(pictures[..., :3])
        loss: Tensor = functional.binary_cross_entropy_with_logits(logits, labels)
        total = loss
        if cells is not None:
            masks = functional.adaptive_avg_pool2d(pictures[..., 3].float() / 255, cells.shape[1:])
            total = loss + self.recipe.mask_weight * functional.binary_cross_entropy_with_logits(cells, masks)
        self._optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(total)
        return loss.detach()

    @contextmanager
    def _uphill(self) -> Iterator[None]:
        """Inside, the weights are a step of length `sam` up the gradient from where they are."""
        moved = [p for group in self._optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms = [module for module in self._detector.modules() if isinstance(module, nn.BatchNorm2d)]
        before = [parameter.detach().clone() for parameter in moved]
        momenta = [norm.momentum for norm in norms]
        with torch.no_grad():
            length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in moved]))
            scale = self.recipe.sam / (length + 1e-12)
            torch._foreach_add_(moved, torch._foreach_mul([p.grad for p in moved], scale))
        for norm in norms:
            norm.momentum = 0.0  # the running statistics are those of the weights that are kept
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(moved, before)
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum

    def validate(
        self, checker: DataLoader[Tensor | str], clock: RunClock, real_clips: RealClips | None = None
    ) -> Row:
        """Measure the averaged weights, and judge whether they are the best so far."""
        metrics = require("sklearn.metrics", why="validating", extra="build")
        self.averaged.eval()

        def of(pictures: Tensor) -> Tensor:
            found: Tensor = self.averaged(pictures.to(self._fabric.device))[0]
            return found.float().cpu()

        with torch.no_grad(), self._fabric.autocast():
            logits = [of(loaded(batch).flatten(0, 1)) for batch in checker]
            over_half = None if real_clips is None else real_clips.share_over_half(of)
        found = torch.cat(logits)
        labels = torch.tensor([0.0, 1.0]).repeat(len(found) // 2)
        row = Row(
            step=self.step,
            stage=self._stage,
            train_loss=sum(self._losses) / len(self._losses),
            val_loss=float(functional.binary_cross_entropy_with_logits(found, labels)),
            val_auc=float(metrics.roc_auc_score(labels.numpy(), found.numpy())),
            learning_rate=self.recipe.learning_rate_at(self.step - 1),
            batches_per_s=clock.batches_per_s,
            loading_share=clock.loading_share,
            real_over_half=over_half,
        )
        self._losses = []
        self.rows.append(row)
        best = max(self.rows, key=self._merit)
        self.best_step, self.best_auc = best.step, best.val_auc
        waited = sum(each.step > self.best_step and each.stage == 2 for each in self.rows)
        self.stopped = waited >= self.recipe.patience
        return row

    def _merit(self, row: Row) -> tuple[bool, float]:
        """What the kept weights have most of: few enough false alarms, then AUC; of equals the first."""
        return (row.real_over_half or 0.0) <= self.recipe.most_over_half, row.val_auc

    @property
    def network(self) -> Xception:
        """The network with the averaged weights."""
        network = self.averaged.module.network
        assert isinstance(network, Xception)
        return network

    def save(self) -> None:
        """Write the whole state; the other processes wait."""
        if self._fabric.is_global_zero:
            save_state(
                self._path,
                {
                    **self._identity,
                    "step": self.step,
                    "best_step": self.best_step,
                    "best_auc": self.best_auc,
                    "stopped": self.stopped,
                    "losses": self._losses,
                    "rows": [asdict(row) for row in self.rows],
                    "weights": self._detector.state_dict(),
                    "averaged": self.averaged.state_dict(),
                    "optimizer": self._optimizer.state_dict(),
                },
            )
        self._fabric.barrier()


def _running_mean(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """An average that forgets; while few steps are done it forgets faster, so that it is not the start."""

    @torch.no_grad()
    def update(averaged: _Tensors, current: _Tensors, steps: Tensor | int) -> None:
        done = int(steps)
        kept = min(decay, (1 + done) / (10 + done))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - kept)
        else:  # a count of batches
            torch._foreach_copy_(averaged, current)

    return update
