"""Gradient descent."""

from dataclasses import KW_ONLY, dataclass

from nnxp import _check
from nnxp.ops.record import Record, record
from nnxp.optimizers._base import GradientOptimizer, LearningRate

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD(GradientOptimizer):
    r"""Gradient descent: $w \leftarrow w - \eta g$, with momentum $v \leftarrow \mu v - \eta g$, $w \leftarrow w + v$.

    The learning rate stands inside v, as in Sutskever et al. (ICML 2013) and Keras; PyTorch keeps it outside, which
    differs while the rate changes. ``nesterov=True`` looks ahead: $w \leftarrow w + \mu v - \eta g$.
    """

    learning_rate: LearningRate = 0.01
    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.fraction("SGD", "momentum", self.momentum)
        _check.flag("SGD", "nesterov", self.nesterov)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]  # without momentum there is nothing to remember
        """``velocity``, where there is momentum."""
        return ("velocity",) if self.momentum else ()

    def _update(self) -> Record:
        if not self.momentum:
            return record("sgd", "w g learning_rate", "w")
        rule = "nesterov" if self.nesterov else "momentum"
        return record(rule, "w g velocity learning_rate momentum", "w velocity")
