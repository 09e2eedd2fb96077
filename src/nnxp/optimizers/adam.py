"""Adaptive moments, with decay of the weights, and with a maximum in place of the second moment."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from nnxp import _check
from nnxp.ops.record import Record, record
from nnxp.optimizers._base import decay
from nnxp.optimizers._moments import Moments

__all__ = ["Adam", "AdamW", "Adamax"]

_ADAM = record(
    "adam",
    "w g first_moment second_moment learning_rate beta_1 beta_2 epsilon correction_1 correction_2",
    "w first_moment second_moment",
)


@dataclass(frozen=True)
class Adam(Moments):
    r"""Adaptive moments: $w \leftarrow w - \eta\,\hat m / (\sqrt{\hat v} + \epsilon)$.

    $\hat m = m / (1 - \beta_1^{t+1})$ and $\hat v = v / (1 - \beta_2^{t+1})$ are moving averages of $g$ and $g^2$,
    corrected for their start at zero. Source: Kingma & Ba (ICLR 2015), algorithm 1. $\epsilon$ is outside the root and
    added to the corrected root, as in the paper and PyTorch; the default 1e-7 is that of Keras and of *Neural Networks
    from Scratch* (PyTorch and the paper: 1e-8).
    """

    def _update(self) -> Record:
        return _ADAM

    def varying(self, step: int) -> dict[str, float]:
        return super().varying(step) | self._corrections(step)


@dataclass(frozen=True)
class AdamW(Moments):
    r"""Adam on weights that decay by themselves: $w \leftarrow w - \eta \lambda w$, and then the update of `Adam`.

    So the decay is not divided by $\sqrt{\hat v}$, as that of a penalty is. Source: Loshchilov & Hutter (ICLR 2019).
    $\lambda$ is multiplied by the learning rate, as in PyTorch and Keras (the paper: by its schedule alone), the
    default is PyTorch's 0.01 (Keras: 0.004), and all parameters decay, biases too. $\epsilon$ is Adam's.
    """

    _: KW_ONLY
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.non_negative("AdamW", "weight_decay", self.weight_decay)

    def _update(self) -> Record:
        return _ADAM

    def _step(self) -> tuple[Record, ...]:
        return (*decay(self.weight_decay), self._update())

    def varying(self, step: int) -> dict[str, float]:
        return super().varying(step) | self._corrections(step)


@dataclass(frozen=True)
class Adamax(Moments):
    r"""Adam in the norm of the maximum: $u \leftarrow \max(\beta_2 u, |g|)$; $w \leftarrow w - \eta\,\hat m / (u +
    \epsilon)$.

    $\hat m$ is Adam's; u needs no correction. Source: Kingma & Ba (ICLR 2015), algorithm 2, which has no $\epsilon$.
    Here, as in Keras, it is added to u, so that a gradient that was always zero moves nothing and leaves u at zero;
    PyTorch adds it to |g|. The learning rate is 0.001 as in Keras (the paper and PyTorch: 0.002).
    """

    slots: ClassVar[tuple[str, ...]] = ("first_moment", "largest_gradient")

    def _update(self) -> Record:
        return record(
            "adamax",
            "w g first_moment largest_gradient learning_rate beta_1 beta_2 epsilon correction_1",
            "w first_moment largest_gradient",
        )

    def varying(self, step: int) -> dict[str, float]:
        return super().varying(step) | {"correction_1": self._corrections(step)["correction_1"]}
