"""Learning without a gradient."""

from dataclasses import dataclass
from typing import ClassVar

from nnxp import _check
from nnxp.ops.record import Record, record
from nnxp.optimizers._base import Optimizer

__all__ = ["RandomSearch"]


@dataclass(frozen=True)
class RandomSearch(Optimizer):
    r"""Learning without a gradient: try $w + s \cdot N(0, 1)$, and keep it where its loss is lower.

    Both losses are taken on the batch of the update, so mini-batches are compared fairly; the better parameters are
    chosen on the device, without a word to the host. The noise of an update is a function of the seed, the step and
    the parameter, the same on every backend. It finds little in many dimensions: that is what it is here to show.
    Source: Kinsley & Kukieła, *Neural Networks from Scratch in Python*, chapter 6.
    """

    scale: float = 0.05

    needs_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check.positive("RandomSearch", "scale", self.scale)

    def records(self) -> tuple[Record, ...]:
        return (record("perturb", "w noise scale", "candidate"),)
