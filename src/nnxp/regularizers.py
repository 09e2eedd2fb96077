"""Penalties on a layer's parameters: each adds its value to the loss, and its gradient to the parameter's."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from nnxp import _check
from nnxp.ops.record import Record, record

__all__ = ["L1", "L2", "Regularizer"]


class Regularizer(ABC):
    """Immutable configuration. Its records read ``w``, ``dw`` and ``rate``."""

    rate: float

    @abstractmethod
    def value_record(self) -> Record:
        """The record that makes ``penalty`` from ``w``."""

    @abstractmethod
    def gradient_record(self) -> Record:
        """The record that makes ``dw`` from ``dw`` and ``w``."""


@dataclass(frozen=True)
class L1(Regularizer):
    r"""The penalty $\lambda \lVert w \rVert_1$; its subgradient is 0 at 0."""

    rate: float

    def __post_init__(self) -> None:
        _check.non_negative("L1", "rate", self.rate)

    def value_record(self) -> Record:
        return record("l1", "w rate", "penalty")

    def gradient_record(self) -> Record:
        return record("l1_backward", "dw w rate", "dw")


@dataclass(frozen=True)
class L2(Regularizer):
    r"""The penalty $\lambda \lVert w \rVert_2^2$, with gradient $2 \lambda w$ (not $\lambda w$)."""

    rate: float

    def __post_init__(self) -> None:
        _check.non_negative("L2", "rate", self.rate)

    def value_record(self) -> Record:
        return record("l2", "w rate", "penalty")

    def gradient_record(self) -> Record:
        return record("l2_backward", "dw w rate", "dw")
