"""Penalties on a layer's parameters: each adds its value to the loss, and its gradient to the parameter's."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from nnxp import _check
from nnxp.ops.record import Record, record

__all__ = ["L1", "L1L2", "L2", "Penalty", "Regularizer"]


class Regularizer(ABC):
    """Immutable configuration: a penalty is a sum of simple ones."""

    @abstractmethod
    def penalties(self) -> tuple["Penalty", ...]:
        """The simple penalties, in the order in which they are added."""


class Penalty(Regularizer):
    """A penalty with a rate. Its records read ``w``, ``dw`` and ``rate``."""

    rate: float

    def penalties(self) -> tuple["Penalty", ...]:
        return (self,)

    @abstractmethod
    def value_record(self) -> Record:
        """The record that makes ``penalty`` from ``w``."""

    @abstractmethod
    def gradient_record(self) -> Record:
        """The record that makes ``dw`` from ``dw`` and ``w``."""


@dataclass(frozen=True)
class L1(Penalty):
    r"""The penalty $\lambda \lVert w \rVert_1$; its subgradient is 0 at 0."""

    rate: float

    def __post_init__(self) -> None:
        _check.non_negative("L1", "rate", self.rate)

    def value_record(self) -> Record:
        return record("l1", "w rate", "penalty")

    def gradient_record(self) -> Record:
        return record("l1_backward", "dw w rate", "dw")


@dataclass(frozen=True)
class L2(Penalty):
    r"""The penalty $\lambda \lVert w \rVert_2^2$, with gradient $2 \lambda w$ (not $\lambda w$)."""

    rate: float

    def __post_init__(self) -> None:
        _check.non_negative("L2", "rate", self.rate)

    def value_record(self) -> Record:
        return record("l2", "w rate", "penalty")

    def gradient_record(self) -> Record:
        return record("l2_backward", "dw w rate", "dw")


@dataclass(frozen=True)
class L1L2(Regularizer):
    r"""Both: $\lambda_1 \lVert w \rVert_1 + \lambda_2 \lVert w \rVert_2^2$."""

    l1: float
    l2: float

    def __post_init__(self) -> None:
        _check.non_negative("L1L2", "l1", self.l1)
        _check.non_negative("L1L2", "l2", self.l2)

    def penalties(self) -> tuple[Penalty, ...]:
        return L1(self.l1), L2(self.l2)
