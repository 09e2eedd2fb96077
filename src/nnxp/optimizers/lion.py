"""Steps of one length, in the direction that a moving average points to."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from nnxp import _check
from nnxp.ops.record import Record, record
from nnxp.optimizers._base import GradientOptimizer, LearningRate, decay

__all__ = ["Lion"]


@dataclass(frozen=True)
class Lion(GradientOptimizer):
    r"""The sign of a moment: $w \leftarrow w - \eta\,(\mathrm{sign}(\beta_1 m + (1 - \beta_1) g) + \lambda w)$;
    $m \leftarrow \beta_2 m + (1 - \beta_2) g$.

    Every element moves by $\eta$, so the rate is to be three to ten times smaller than Adam's, and $\lambda$ larger by
    the same factor. Source: Chen et al., *Symbolic discovery of optimization algorithms* (NeurIPS 2023), whose rate
    1e-4 and betas are the defaults (Keras: 0.001; PyTorch has no Lion). Nothing is corrected for its start at zero.
    """

    learning_rate: LearningRate = 1e-4
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.0

    slots: ClassVar[tuple[str, ...]] = ("first_moment",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.fraction("Lion", "beta_1", self.beta_1)
        _check.fraction("Lion", "beta_2", self.beta_2)
        _check.non_negative("Lion", "weight_decay", self.weight_decay)

    def _update(self) -> Record:
        return record("lion", "w g first_moment learning_rate beta_1 beta_2", "w first_moment")

    def _step(self) -> tuple[Record, ...]:
        return (*decay(self.weight_decay), self._update())
