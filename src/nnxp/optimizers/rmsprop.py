"""Steps in units of the recent gradients' size."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from nnxp import _check
from nnxp.ops.record import Record, record
from nnxp.optimizers._base import GradientOptimizer, LearningRate

__all__ = ["RMSprop"]


@dataclass(frozen=True)
class RMSprop(GradientOptimizer):
    r"""Steps in units of the recent gradients' size: $c \leftarrow \rho c + (1 - \rho) g^2$;
    $w \leftarrow w - \eta g / (\sqrt c + \epsilon)$.

    Source: Tieleman & Hinton, lecture 6.5 (2012). $\rho$ is 0.9 as there and in Keras (PyTorch: 0.99, called alpha);
    $\epsilon$ is outside the root, as in PyTorch (Keras: inside).
    """

    learning_rate: LearningRate = 0.001
    _: KW_ONLY
    rho: float = 0.9
    epsilon: float = 1e-7

    slots: ClassVar[tuple[str, ...]] = ("squared_average",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.fraction("RMSprop", "rho", self.rho)
        _check.positive("RMSprop", "epsilon", self.epsilon)

    def _update(self) -> Record:
        return record("rmsprop", "w g squared_average learning_rate rho epsilon", "w squared_average")
