"""Steps in units of all gradients so far, and the rule that forgets the old ones and needs no learning rate."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from nnxp import _check
from nnxp.ops.record import Record, record
from nnxp.optimizers._base import GradientOptimizer, LearningRate

__all__ = ["Adadelta", "Adagrad"]


@dataclass(frozen=True)
class Adagrad(GradientOptimizer):
    r"""Steps that shrink as gradients add up: $c \leftarrow c + g^2$; $w \leftarrow w - \eta g / (\sqrt c + \epsilon)$.

    Source: Duchi, Hazan & Singer (JMLR 12, 2011). c begins at 0, as in PyTorch and in *Neural Networks from Scratch*
    (Keras: 0.1), and $\epsilon$ is outside the root, as in PyTorch (Keras: inside).
    """

    learning_rate: LearningRate = 0.01
    _: KW_ONLY
    epsilon: float = 1e-7

    slots: ClassVar[tuple[str, ...]] = ("squared_sum",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.positive("Adagrad", "epsilon", self.epsilon)

    def _update(self) -> Record:
        return record("adagrad", "w g squared_sum learning_rate epsilon", "w squared_sum")


@dataclass(frozen=True)
class Adadelta(GradientOptimizer):
    r"""Steps in units of the recent steps: $c \leftarrow \rho c + (1 - \rho) g^2$; $d = g \sqrt{u + \epsilon} /
    \sqrt{c + \epsilon}$; $u \leftarrow \rho u + (1 - \rho) d^2$; $w \leftarrow w - \eta d$.

    Source: Zeiler (arXiv 1212.5701, 2012), whose $\rho$ = 0.95 and $\epsilon$ = 1e-6 are the defaults (PyTorch: 0.9
    and 1e-6, Keras: 0.95 and 1e-7). The paper has no $\eta$, so it is 1, as in PyTorch; Keras's 0.001 makes hardly any
    steps. $\epsilon$ is inside both roots everywhere. It also sets the length of the first steps, which are slow.
    """

    learning_rate: LearningRate = 1.0
    _: KW_ONLY
    rho: float = 0.95
    epsilon: float = 1e-6

    slots: ClassVar[tuple[str, ...]] = ("squared_average", "squared_steps")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.fraction("Adadelta", "rho", self.rho)
        _check.positive("Adadelta", "epsilon", self.epsilon)

    def _update(self) -> Record:
        return record(
            "adadelta",
            "w g squared_average squared_steps learning_rate rho epsilon",
            "w squared_average squared_steps",
        )
