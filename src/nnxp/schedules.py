"""Schedules: the learning rate as a function of the step, which counts updates from 0."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from nnxp import _check

__all__ = ["InverseTimeDecay", "Schedule"]


class Schedule(ABC):
    """Immutable configuration; calling it with a step gives that update's learning rate."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The learning rate of update ``step``."""


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    r"""$\eta_t = \eta / (1 + d\,t)$: the ``decay`` of the book *Neural Networks from Scratch*.

    >>> rate = InverseTimeDecay(0.02, decay=0.01)
    >>> rate(0), rate(100)
    (0.02, 0.01)
    """

    learning_rate: float
    decay: float

    def __post_init__(self) -> None:
        _check.positive("InverseTimeDecay", "learning_rate", self.learning_rate)
        _check.non_negative("InverseTimeDecay", "decay", self.decay)

    def __call__(self, step: int) -> float:
        return self.learning_rate * (1.0 / (1.0 + self.decay * step))
