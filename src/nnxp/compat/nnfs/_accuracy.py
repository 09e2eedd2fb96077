"""The book's accuracies: the share of predictions that are right, of a batch and of a pass."""

from abc import ABC, abstractmethod
from math import prod
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Array
from nnxp._values import numbers
from nnxp.compat.nnfs._arithmetic import current, host_scalar, own
from nnxp.errors import DataError, OrderError, ShapeError

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
        if 0 in _check.shape(right):
            raise DataError(f"{name} expected at least one prediction, got none: the data is empty.")
        count = int(host_scalar(backend.xp.sum(backend.xp.astype(right, backend.integer_dtype))))
        size = prod(_check.shape(right))
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
        if not self.binary and y.ndim == 2 and y.shape[1] > 1 and predictions.ndim == 1:
            y = current().xp.argmax(y, axis=1)
        predictions, y = _comparable("Accuracy_Categorical", predictions, y)
        return predictions == y


class Accuracy_Regression(Accuracy):
    """Predictions closer than std(y) / 250 to their targets, with the y that `init` was given."""

    def __init__(self) -> None:
        super().__init__()
        self.precision: float | None = None

    def init(self, y: Any, reinit: bool = False) -> None:
        """Take std(y) / 250 as the precision, unless there is one; ``reinit`` takes it anew."""
        if self.precision is None or reinit:
            values = current().to_numpy(numbers("Accuracy_Regression", "y", y))
            if not values.size or not np.all(np.isfinite(values)):
                what = "none" if not values.size else "NaN or infinity among them"
                raise DataError(f"Accuracy_Regression.init expected finite targets y, got {what}; drop those rows.")
            self.precision = float(np.std(values, dtype=np.float64)) / 250

    def compare(self, predictions: Array, y: Array) -> Array:
        if self.precision is None:
            raise OrderError("Accuracy_Regression has no precision yet: call init(y) with the training targets first.")
        predictions, y = _comparable("Accuracy_Regression", predictions, y)
        return current().xp.abs(predictions - y) < self.precision


def as_it_is(owner: str, name: str, a: Any) -> Array:
    """On the current backend, classes as whole numbers and other values in their own precision."""
    a = numbers(owner, name, a)
    floating = _check.dtype_name(a.dtype).startswith("float")
    return own(owner, name, a) if floating else current().asarray(a, dtype=current().integer_dtype)


def _comparable(owner: str, predictions: Array, y: Array) -> tuple[Array, Array]:
    """Both, if they have one shape; classes and truth values in a type that the other side can be compared with."""
    got, expected = _check.shape(y), _check.shape(predictions)
    if got != expected:
        columns = {(*got, 1): "y.reshape(-1, 1)", got[:-1]: "y[:, 0]"} if got[1:] in ((), (1,)) else {}
        remedy = columns.get(expected, "one target for each prediction")
        raise ShapeError(f"{owner} expected y of shape {expected}, like the predictions, got {got}; use {remedy}.")
    astype, floating = current().xp.astype, current().is_floating
    common = next((a.dtype for a in (predictions, y) if floating(a.dtype)), current().integer_dtype)
    predictions, y = (a if floating(a.dtype) else astype(a, common) for a in (predictions, y))
    return predictions, y
