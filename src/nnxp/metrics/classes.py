"""What is taken for what: precision, recall and F1, and the matrix behind them."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np

from nnxp import _check
from nnxp._types import Array
from nnxp.metrics._base import Metric, check_classes, check_same_shape, share
from nnxp.ops import Ops

__all__ = ["F1", "ConfusionMatrix", "Precision", "Recall"]

Average = Literal["binary", "macro", "weighted"]


@dataclass(frozen=True)
class ConfusionMatrix(Metric):
    """How many samples of each class were taken for each: a host array of whole numbers ``[K,K]``.

    Rows are the true classes, columns the predicted ones; classes that never occur have their zeros. ``evaluate``
    returns the array, the history holds it as lists, and the progress display leaves it out.

    >>> ConfusionMatrix().value([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [0, 1, 1])
    array([[1, 0],
           [1, 1]])
    """

    name = "confusion_matrix"

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        check_classes("ConfusionMatrix", y_pred, y, "; for yes or no there are Precision and Recall")
        return ops.class_pairs(y_pred, y), y_pred.shape[1]

    def merge(self, columns: Sequence[Any]) -> Sequence[Any]:
        return (_matrix(*columns),)

    def result(self, counts: Sequence[Any]) -> Array:
        return counts[0]


@dataclass(frozen=True)
class _Score(Metric):
    """A score for each class, of how often it was hit, predicted and true."""

    average: Average = "binary"
    _: KW_ONLY
    threshold: float = 0.5

    def __post_init__(self) -> None:
        name = type(self).__name__
        _check.choice(name, "average", self.average, ("binary", "macro", "weighted"))
        _check.fraction(name, "threshold", self.threshold)

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        name = type(self).__name__
        if self.average == "binary":
            check_same_shape(name, y_pred, y, f"; for classes use {name}('macro')")
            return tuple(ops.binary_hits(y_pred, y, self.threshold))
        check_classes(name, y_pred, y, f"; for yes or no use {name}()")
        return ops.class_pairs(y_pred, y), y_pred.shape[1]

    def merge(self, columns: Sequence[Any]) -> Sequence[Any]:
        if self.average == "binary":
            return super().merge(columns)
        matrix = _matrix(*columns)
        return np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)

    def result(self, counts: Sequence[Any]) -> float:
        hits, predicted, actual = (np.atleast_1d(np.asarray(count, np.float64)) for count in counts)
        weights = actual if self.average == "weighted" else (predicted + actual > 0) * 1.0
        return float(share(np.sum(weights * self._score(hits, predicted, actual)), np.sum(weights)))

    @abstractmethod
    def _score(self, hits: Array, predicted: Array, actual: Array) -> Array:
        """The score of each class."""


@dataclass(frozen=True)
class Precision(_Score):
    """The share of what was predicted that is true: hits / predicted.

    ``average`` says what the targets are:

    - ``"binary"``: yes or no, for all outputs together; yes is a prediction above ``threshold``, a target above 0.5.
    - ``"macro"``: classes, of which the one of the largest prediction is taken; the mean over all classes that occur in
      targets or predictions.
    - ``"weighted"``: the same, each class weighted by its targets.

    What would be 0 / 0 is 0. Where each sample has one class, the mean that is called micro is the accuracy. These are
    scikit-learn's definitions.

    >>> Precision().value([[0.9], [0.6], [0.2]], [[1], [0], [1]])
    0.5
    """

    name = "precision"

    def _score(self, hits: Array, predicted: Array, actual: Array) -> Array:
        return share(hits, predicted)


@dataclass(frozen=True)
class Recall(_Score):
    """The share of what is true that was predicted: hits / actual; ``average`` and ``threshold`` as for `Precision`.

    >>> Recall().value([[0.9], [0.2], [0.6], [0.7]], [[1], [1], [1], [1]])
    0.75
    """

    name = "recall"

    def _score(self, hits: Array, predicted: Array, actual: Array) -> Array:
        return share(hits, actual)


@dataclass(frozen=True)
class F1(_Score):
    """The harmonic mean of precision and recall: 2·hits / (predicted + actual); ``average`` and ``threshold`` as for
    `Precision`.

    >>> F1("macro").value([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [0, 1, 1])
    0.6666666666666666
    """

    name = "f1"

    def _score(self, hits: Array, predicted: Array, actual: Array) -> Array:
        return share(2 * hits, predicted + actual)


def _matrix(pairs: Array, classes: Sequence[int]) -> Array:
    """The confusion matrix of pairs of classes, as the op makes them."""
    size = classes[0]
    return np.bincount(pairs, minlength=size * size).reshape(size, size)
