"""What all metrics share: counts of a batch, their columns over many batches, and a result."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._targets import class_targets, real_targets
from nnxp._types import Array, Shape
from nnxp.backend import Backend, backend_of
from nnxp.errors import ShapeError
from nnxp.ops import Ops

__all__ = ["Counting", "Metric", "check_classes", "check_same_shape", "columns_of", "kept", "share"]


@dataclass(frozen=True)
class Counting:
    """An op over predictions and targets that counts right ones, the numbers that it takes, and out of how many."""

    op: str
    numbers: tuple[float, ...]
    total: int


class Metric(ABC):
    """Immutable configuration."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in logs and in the history; a plain class attribute will do."""

    @abstractmethod
    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        """What one batch adds: plain numbers, 0-d arrays on the device, or arrays with a row for each sample."""

    def counting(self, predicted: Shape, targets: Shape) -> Counting | None:
        """The op over predictions and targets of these shapes whose one number is the first of `counts`, the second
        being known beforehand: then a device can count within its step. None where it is not so."""
        return None

    def merge(self, columns: Sequence[Any]) -> Sequence[Any]:
        """The counts of all batches from the columns of those of each (see `columns_of`): numbers are added up."""
        return [column if isinstance(column, np.ndarray) else sum(column) for column in columns]

    @abstractmethod
    def result(self, counts: Sequence[Any]) -> Any:
        """The metric of all that was counted: a float, or a host array."""

    def fitted(self, y: Array) -> "Metric":
        """The metric for targets like these (host array); most do not depend on them."""
        return self

    def value(self, y_pred: Any, y: Any) -> Any:
        """The metric of these predictions and targets: arrays of one library, or lists."""
        backend = backend_of(y_pred)
        y_pred = backend.asarray(y_pred, dtype=backend.dtype)
        shape = _check.shape(y_pred)
        indices = np.ndim(y) == 1 and len(shape) == 2 and shape[1] > 1
        y = (class_targets if indices else real_targets)(type(self).__name__, y, shape, backend, values=True)
        metric = self.fitted(backend.to_numpy(y))
        return metric.result(metric.merge(columns_of([metric.counts(backend.ops, y_pred, y)], backend)))


def kept(counts: tuple[Any, ...], backend: Backend) -> tuple[Any, ...]:
    """The counts of a batch, apart from the memory that the next batch will use: arrays with axes are copied."""
    return tuple(backend.xp.asarray(a, copy=True) if getattr(a, "ndim", 0) else a for a in counts)


def columns_of(batches: Sequence[tuple[Any, ...]], backend: Backend) -> list[Any]:
    """The counts of several batches, each kind by itself and on the host: lists of numbers, one from each batch, or a
    NumPy array of all rows."""
    return [_read(column, backend) for column in zip(*batches, strict=True)]


def _read(column: Sequence[Any], backend: Backend) -> Any:
    if isinstance(column[0], int | float):
        return list(column)
    if column[0].ndim:
        return backend.to_numpy(backend.xp.concat(list(column)))
    return backend.read(column)


def share(part: Any, whole: Any) -> Array:
    """part / whole in float64, and 0 where nothing can be shared out."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def check_same_shape(owner: str, y_pred: Array, y: Array, remedy: str = "") -> None:
    """Refuse targets that would be broadcast against the predictions."""
    found, expected = _check.shape(y), _check.shape(y_pred)
    if found != expected:
        raise ShapeError(f"{owner} expected y of shape {expected}, like the predictions, got {found}{remedy}.")


def check_classes(owner: str, y_pred: Array, y: Array, remedy: str = "") -> None:
    """Refuse what is not predictions of classes with their indices or probabilities."""
    found, predicted = _check.shape(y), _check.shape(y_pred)
    if len(predicted) != 2 or found not in (predicted[:1], predicted) or found == (*predicted[:1], 1):
        raise ShapeError(
            f"{owner} expected predictions of shape (batch, classes) and y of shape (batch,) or (batch, classes), got "
            f"{predicted} and {found}{remedy}."
        )
