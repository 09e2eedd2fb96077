"""The book's accuracies: the share of predictions that are right, of a batch and of a pass."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Array
from nnxp._values import numbers
from nnxp.compat.nnfs._arithmetic import current, host_scalar, own
from nnxp.errors import OrderError, ShapeError

__all__ = ["Accuracy", "Accuracy_Categorical", "Accuracy_Regression", "as_it_is"]


class Accuracy(ABC):
    """What all accuracies share."""

    def __init__(self) -> None:
        self.new_pass()

    @abstractmethod
    def compare(self, predictions: Array, y: Array) -> Array:
        """Which predictions are right."""

    def init(self, y: Any, reinit: bool = False) -> None:  # noqa: B027  # most have nothing to learn
        """Learn from the training targets what right means."""

    def calculate(self, predictions: Any, y: Any) -> float:
        """The share of these predictions that are right."""
        backend, name = current(), type(self).__name__
        predictions, y = (
            backend.asarray(numbers(name, what, a)) for what, a in (("predictions", predictions), ("y", y))
        )
        right = self.compare(predictions, y)
        count = int(host_scalar(backend.xp.sum(backend.xp.astype(right, backend.integer_dtype))))
        size = 1
        for length in _check.shape(right):
            size *= length
        self.accumulated_sum += count
        self.accumulated_count += size  # all outputs: with the number of rows, several outputs give more than 1
        return count / size

    def calculate_accumulated(self) -> float:
        """The share of all predictions since `new_pass` that are right."""
        if not self.accumulated_count:
            raise OrderError(f"{type(self).__name__}: nothing was calculated since new_pass(); call calculate first.")
        return self.accumulated_sum / self.accumulated_count

    def new_pass(self) -> None:
        """Begin to count anew."""
        self.accumulated_sum = 0
        self.accumulated_count = 0


class Accuracy_Categorical(Accuracy):
    """Predicted classes against class numbers or one-hot rows; with ``binary``, zeros and ones, output by output."""

    def __init__(self, *, binary: bool = False) -> None:
        super().__init__()
        self.binary = binary

    def compare(self, predictions: Array, y: Array) -> Array:
        if not self.binary and y.ndim == 2 and predictions.ndim == 1:
            y = current().xp.argmax(y, axis=1)
        _same_shape("Accuracy_Categorical", predictions, y)
        if current().is_floating(y.dtype) and not current().is_floating(predictions.dtype):
            predictions = current().xp.astype(predictions, y.dtype)
        return predictions == y


class Accuracy_Regression(Accuracy):
    """Predictions closer than std(y) / 250 to their targets, with the y that `init` was given."""

    def __init__(self) -> None:
        super().__init__()
        self.precision: float | None = None

    def init(self, y: Any, reinit: bool = False) -> None:
        """Take std(y) / 250 as the precision, unless there is one; ``reinit`` takes it anew."""
        if self.precision is None or reinit:
            values = numbers("Accuracy_Regression", "y", y)
            self.precision = float(np.std(current().to_numpy(values), dtype=np.float64)) / 250

    def compare(self, predictions: Array, y: Array) -> Array:
        if self.precision is None:
            raise OrderError("Accuracy_Regression has no precision yet: call init(y) with the training targets first.")
        _same_shape("Accuracy_Regression", predictions, y)
        return current().xp.abs(predictions - y) < self.precision


def as_it_is(owner: str, name: str, a: Any) -> Array:
    """On the current backend, classes as whole numbers and other values in their own precision."""
    a = numbers(owner, name, a)
    floating = _check.dtype_name(a.dtype).startswith("float")
    return own(owner, name, a) if floating else current().asarray(a, dtype=current().integer_dtype)


def _same_shape(owner: str, predictions: Array, y: Array) -> None:
    got, expected = _check.shape(y), _check.shape(predictions)
    if got != expected:
        remedy = "y.reshape(-1, 1)" if expected == (*got, 1) else "one target for each prediction"
        raise ShapeError(f"{owner} expected y of shape {expected}, like the predictions, got {got}; use {remedy}.")
