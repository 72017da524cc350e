"""How far a precision may be from FP32 before it must not become the default."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits on the difference to the network in torch FP32, on the same crops."""

    mean_dp: float
    """Largest mean |difference of score| over real crops."""
    correlation: float
    """Smallest correlation of their logits."""
    auc: float
    """Largest |difference of AUC|, real crops against self-blends."""

    def holds(self, *, mean_dp: float, correlation: float, auc_difference: float) -> bool:
        """Whether all three limits are kept."""
        return mean_dp <= self.mean_dp and correlation >= self.correlation and abs(auc_difference) <= self.auc

    def used(self, *, mean_dp: float, correlation: float) -> float:
        """How much of the gate the scores use: 0 nothing, 1 all of it, more than 1 misses it."""
        return max(mean_dp / self.mean_dp, (1 - correlation) / (1 - self.correlation))


GATES = {"bf16": Gate(0.01, 0.99, 0.01), "int8": Gate(0.02, 0.99, 0.01)}
"""Precision -> its gate."""
