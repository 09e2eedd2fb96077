"""How far predictions are from their targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.metrics._base import Metric, check_same_shape
from nnxp.ops import Ops

__all__ = ["MeanAbsoluteError", "MeanSquaredError", "RSquared"]


class _Mean(Metric):
    """A sum over the number of elements."""

    def result(self, counts: Sequence[Any]) -> float:
        total, size = counts
        return float(total) / float(size)


@dataclass(frozen=True)
class MeanAbsoluteError(_Mean):
    r"""$\sum |p - y| / N$ over all N elements.

    >>> MeanAbsoluteError().value([[1.0], [2.0]], [[3.0], [2.0]])
    1.0
    """

    name = "mae"

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        check_same_shape("MeanAbsoluteError", y_pred, y)
        return ops.absolute_error(y_pred, y, 1.0), prod(y_pred.shape)


@dataclass(frozen=True)
class MeanSquaredError(_Mean):
    r"""$\sum (p - y)^2 / N$ over all N elements.

    >>> MeanSquaredError().value([[1.0], [2.0]], [[3.0], [2.0]])
    2.0
    """

    name = "mse"

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        check_same_shape("MeanSquaredError", y_pred, y)
        return ops.squared_error(y_pred, y, 1.0), prod(y_pred.shape)


@dataclass(frozen=True)
class RSquared(Metric):
    r"""$R^2 = 1 - \sum (p - y)^2 / \sum (y - \bar y)^2$: the share of the targets' variance that is explained.

    1 is perfect, 0 is as good as always saying the mean, and there is no limit below. Several outputs count together,
    around one mean; scikit-learn's ``r2_score`` makes a number for each, and returns their mean. Targets that are all
    the same give 1 where they are met and else 0, as there.

    Each batch gives its sum of squares around its own mean; these are merged in float64, after Chan, Golub & LeVeque
    (*Algorithms for computing the sample variance*, The American Statistician, 1983), so an offset costs no digits.

    >>> RSquared().value([[1.0], [2.0], [4.0]], [[1.0], [2.0], [3.0]])
    0.5
    """

    name = "r2"

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        check_same_shape("RSquared", y_pred, y)
        return (ops.squared_error(y_pred, y, 1.0), *ops.moments(y), prod(y_pred.shape))

    def merge(self, columns: Sequence[Any]) -> Sequence[Any]:
        residual, centre, s, q, size = (np.asarray(column, np.float64) for column in columns)
        mean = centre + s / size
        total_mean = np.sum(size * mean) / np.sum(size)
        return np.sum(residual), np.sum(q - s**2 / size) + np.sum(size * (mean - total_mean) ** 2)

    def result(self, counts: Sequence[Any]) -> float:
        residual, total = map(float, counts)
        if total <= 0:
            return float(residual == 0)
        return 1.0 - residual / total
