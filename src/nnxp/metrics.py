"""Metrics: counts that add up over batches, and the number that they make in the end.

A metric sees exactly what ``predict`` returns. Batches are merged by adding counts, never by averaging averages, so a
ragged last batch weighs what it should.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from nnxp import _check
from nnxp._types import Array
from nnxp.errors import ConfigurationError
from nnxp.losses import Loss
from nnxp.ops import Ops

__all__ = ["BinaryAccuracy", "CategoricalAccuracy", "Metric", "RegressionAccuracy", "resolve"]


class Metric(ABC):
    """Immutable configuration."""

    name: ClassVar[str]

    @abstractmethod
    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        """What one batch adds: 0-d arrays on the device, or plain ints."""

    @abstractmethod
    def result(self, counts: Sequence[float]) -> float:
        """The metric of all that was counted."""

    def fitted(self, y: Array) -> "Metric":
        """The metric for targets like these (host array); most do not depend on them."""
        return self


class _Share(Metric):
    """Right ones over all."""

    def result(self, counts: Sequence[float]) -> float:
        right, total = counts
        return float(right) / float(total)


@dataclass(frozen=True)
class CategoricalAccuracy(_Share):
    """The share of samples whose largest prediction is in the target's column."""

    name: ClassVar[str] = "accuracy"

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        return ops.categorical_matches(y_pred, y), y_pred.shape[0]


@dataclass(frozen=True)
class BinaryAccuracy(_Share):
    """The share of outputs on the right side of the threshold: above it for targets of 1, not above it for 0."""

    threshold: float = 0.5
    name: ClassVar[str] = "accuracy"

    def __post_init__(self) -> None:
        _check.fraction("BinaryAccuracy", "threshold", self.threshold)

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        return ops.binary_matches(y_pred, y, self.threshold), prod(y_pred.shape)


@dataclass(frozen=True)
class RegressionAccuracy(_Share):
    """The share of outputs closer to their target than a tolerance: std(y) / 250 of the training data, if none is
    given.

    Source: Kinsley & Kukieła, *Neural Networks from Scratch in Python*, chapter 17.
    """

    tolerance: float | None = None
    name: ClassVar[str] = "accuracy"

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
        return ops.tolerance_matches(y_pred, y, self.tolerance), prod(y_pred.shape)


_ACCURACY: dict[str, type[Metric]] = {
    "classes": CategoricalAccuracy,
    "real": RegressionAccuracy,
}


def resolve(metric: str | Metric, loss: Loss) -> Metric:
    """A metric by name or as it is; ``"accuracy"`` is the one that fits the loss."""
    if isinstance(metric, Metric):
        return metric
    if metric == "accuracy":
        return BinaryAccuracy(loss.threshold) if loss.targets == "binary" else _ACCURACY[loss.targets]()
    raise ConfigurationError(f"Model: metrics must hold 'accuracy' or objects of nnxp.metrics, got {metric!r}.")
