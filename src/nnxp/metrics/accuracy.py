"""The share of predictions that are right."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan, prod
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Array, Shape
from nnxp.errors import ConfigurationError
from nnxp.metrics._base import Counting, Metric, check_classes, check_same_shape
from nnxp.ops import Ops

__all__ = ["BinaryAccuracy", "CategoricalAccuracy", "RegressionAccuracy", "TopKAccuracy"]


class _Share(Metric):
    """Right ones over all."""

    def result(self, counts: Sequence[Any]) -> float:
        right, total = counts
        return float(right) / float(total) if total else nan


@dataclass(frozen=True)
class CategoricalAccuracy(_Share):
    """The share of samples whose largest prediction is in the target's column."""

    name = "accuracy"

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        check_classes("CategoricalAccuracy", y_pred, y)
        return ops.categorical_matches(y_pred, y), y_pred.shape[0]

    def counting(self, predicted: Shape, targets: Shape) -> Counting | None:
        fitting = len(predicted) == 2 and predicted[1] > 1 and targets in (predicted[:1], predicted)
        return Counting("categorical_matches", (), predicted[0]) if fitting else None


@dataclass(frozen=True)
class TopKAccuracy(_Share):
    """The share of samples whose target's column is among those of the ``k`` largest predictions.

    Of equal predictions the first is the larger, as in `CategoricalAccuracy`, which this is for k = 1; scikit-learn's
    ``top_k_accuracy_score`` takes the last.

    >>> TopKAccuracy(2).value([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2])
    0.5
    """

    k: int = 5

    def __post_init__(self) -> None:
        _check.positive_int("TopKAccuracy", "k", self.k)

    @property
    def name(self) -> str:
        return f"top_{self.k}_accuracy"

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        check_classes("TopKAccuracy", y_pred, y)
        return ops.top_matches(y_pred, y, self.k), y_pred.shape[0]


@dataclass(frozen=True)
class BinaryAccuracy(_Share):
    """The share of outputs on the right side of the threshold: above it for targets of 1, not above it for 0."""

    threshold: float = 0.5
    name = "accuracy"

    def __post_init__(self) -> None:
        _check.fraction("BinaryAccuracy", "threshold", self.threshold)

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        check_same_shape("BinaryAccuracy", y_pred, y, "; for class indices use CategoricalAccuracy()")
        return ops.binary_matches(y_pred, y, self.threshold), prod(y_pred.shape)

    def counting(self, predicted: Shape, targets: Shape) -> Counting | None:
        fitting = predicted == targets
        return Counting("binary_matches", (self.threshold,), prod(predicted)) if fitting else None


@dataclass(frozen=True)
class RegressionAccuracy(_Share):
    """The share of outputs closer to their target than a tolerance: std(y) / 250 of the training data, if none is
    given.

    Source: Kinsley & Kukieła, *Neural Networks from Scratch in Python*, chapter 17.
    """

    tolerance: float | None = None
    name = "accuracy"

    def __post_init__(self) -> None:
        if self.tolerance is not None:
            _check.non_negative("RegressionAccuracy", "tolerance", self.tolerance)

    def fitted(self, y: Array) -> "RegressionAccuracy":
        return self if self.tolerance is not None else replace(self, tolerance=float(np.std(y, dtype=np.float64)) / 250)

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        if self.tolerance is None:
            raise ConfigurationError(
                "RegressionAccuracy: no tolerance yet; give one, or take fitted(y) of the targets."
            )
        check_same_shape("RegressionAccuracy", y_pred, y)
        return ops.tolerance_matches(y_pred, y, self.tolerance), prod(y_pred.shape)

    def counting(self, predicted: Shape, targets: Shape) -> Counting | None:
        fitting = predicted == targets and self.tolerance is not None
        return Counting("tolerance_matches", (float(self.tolerance or 0),), prod(predicted)) if fitting else None
