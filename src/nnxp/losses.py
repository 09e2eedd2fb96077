r"""Losses: each one consistent pair of a value and its gradient, with one reduction.

``reduction="mean"`` divides by the number of elements (categorical: of samples), ``"sum"`` does not divide. Where a
network ends in the matching Softmax or Sigmoid, training computes value and gradient from that head's *input*, so
nothing is clipped and nothing overflows; the same follows from ``from_logits=True`` on a network without a head.
"""

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from math import prod
from typing import Any, ClassVar, Literal

from nnxp import _check
from nnxp._targets import class_targets, probability_targets, real_targets
from nnxp._types import Array, Shape
from nnxp.backend import Backend, backend_of
from nnxp.ops.record import Record, record

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
]

Reduction = Literal["mean", "sum"]


@dataclass(frozen=True)
class Loss(ABC):
    """Immutable configuration; the records name the ops that compute it."""

    _: KW_ONLY
    reduction: Reduction = "mean"

    targets: ClassVar[Literal["classes", "binary", "real"]]
    """What y holds; it decides what ``"accuracy"`` means."""

    def __post_init__(self) -> None:
        _check.choice(type(self).__name__, "reduction", self.reduction, ("mean", "sum"))

    @property
    @abstractmethod
    def op(self) -> str:
        """The op of the value; the gradient's has ``_backward`` behind it."""

    @abstractmethod
    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        """The targets as the ops read them; ``expected`` is the predictions' shape. Raises on bad ones."""

    def divisor(self, shape: Shape) -> float:
        """What the sum over predictions of this shape is divided by."""
        return float(self._count(shape)) if self.reduction == "mean" else 1.0

    def value_record(self) -> Record:
        """The record that makes ``data_loss`` from ``y_pred`` and ``y``."""
        return record(self.op, "y_pred y divisor", "data_loss")

    def gradient_record(self) -> Record:
        """The record that makes ``dy_pred``."""
        return record(self.op + "_backward", "y_pred y divisor", "dy_pred")

    def value(self, y_pred: Array, y: Any) -> Array:
        """The loss, as a 0-d array on the predictions' device."""
        return self._call(self.op, y_pred, y)

    def gradient(self, y_pred: Array, y: Any) -> Array:
        """The derivative of `value` by ``y_pred``."""
        return self._call(self.op + "_backward", y_pred, y)

    def _call(self, op: str, y_pred: Array, y: Any) -> Array:
        backend = backend_of(y_pred)
        y_pred = backend.asarray(y_pred)
        shape = _check.shape(y_pred)
        y = self.check(y, shape, backend, values=True)
        return getattr(backend.ops, op)(y_pred, y, self.divisor(shape))

    def _count(self, shape: Shape) -> int:
        return prod(shape)


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    r"""$-\sum_{bk} y_{bk} \log p_{bk} / B$ for class indices ``y[B]`` or probabilities ``y[B,K]``.

    With ``from_logits=True`` predictions are logits z and $p = \mathrm{softmax}(z)$. Probabilities that did not come
    from a Softmax head are clipped to [1e-7, 1 - 1e-7] in value and gradient.
    """

    _: KW_ONLY
    from_logits: bool = False

    targets: ClassVar[Literal["classes"]] = "classes"

    @property
    def op(self) -> str:
        return "categorical_crossentropy_from_logits" if self.from_logits else "categorical_crossentropy"

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return class_targets("CategoricalCrossentropy", y, expected, backend, values=values)

    def _count(self, shape: Shape) -> int:
        return shape[0]


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    r"""$-\sum (y \log p + (1 - y) \log(1 - p)) / N$ for targets in [0, 1], each output a yes or no of its own.

    With ``from_logits=True`` predictions are logits z and $p = \sigma(z)$. Probabilities that did not come from a
    Sigmoid head are clipped to [1e-7, 1 - 1e-7] in value and gradient.
    """

    _: KW_ONLY
    from_logits: bool = False

    targets: ClassVar[Literal["binary"]] = "binary"

    @property
    def op(self) -> str:
        return "binary_crossentropy_from_logits" if self.from_logits else "binary_crossentropy"

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return probability_targets("BinaryCrossentropy", y, expected, backend, values=values)


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    r"""$\sum (p - y)^2 / N$.

    >>> loss = MeanSquaredError()
    >>> float(loss.value([[1.0], [2.0]], [[3.0], [2.0]]))
    2.0
    >>> loss.gradient([[1.0], [2.0]], [[3.0], [2.0]]).tolist()
    [[-2.0], [0.0]]
    """

    targets: ClassVar[Literal["real"]] = "real"
    op = "squared_error"

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return real_targets("MeanSquaredError", y, expected, backend, values=values)


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    r"""$\sum |p - y| / N$; the gradient is 0 where p = y."""

    targets: ClassVar[Literal["real"]] = "real"
    op = "absolute_error"

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return real_targets("MeanAbsoluteError", y, expected, backend, values=values)
