"""What Adam and its relatives share: two moving averages with their rates, and an ε."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from nnxp import _check
from nnxp.optimizers._base import GradientOptimizer, LearningRate

__all__ = ["Moments"]


@dataclass(frozen=True)
class Moments(GradientOptimizer):
    """The configuration that is common to them."""

    learning_rate: LearningRate = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        _check.fraction(name, "beta_1", self.beta_1)
        _check.fraction(name, "beta_2", self.beta_2)
        _check.positive(name, "epsilon", self.epsilon)

    def _corrections(self, step: int) -> dict[str, float]:
        r"""What the moments are divided by because they began at zero: $1 - \beta_i^{t+1}$."""
        return {
            "correction_1": 1 - float(self.beta_1) ** (step + 1),
            "correction_2": 1 - float(self.beta_2) ** (step + 1),
        }
