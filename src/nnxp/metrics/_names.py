"""Metrics by name."""

import re
from collections.abc import Callable

from nnxp.errors import ConfigurationError
from nnxp.losses import Loss
from nnxp.metrics._base import Metric
from nnxp.metrics.accuracy import BinaryAccuracy, CategoricalAccuracy, RegressionAccuracy, TopKAccuracy
from nnxp.metrics.classes import F1, ConfusionMatrix, Precision, Recall
from nnxp.metrics.distances import MeanAbsoluteError, MeanSquaredError, RSquared
from nnxp.metrics.ranks import AUC

__all__ = ["resolve"]

_NAMED: dict[str, dict[str, Callable[[Loss], Metric]]] = {
    "accuracy": {
        "classes": lambda loss: CategoricalAccuracy(),
        "binary": lambda loss: BinaryAccuracy(loss.threshold),
        "real": lambda loss: RegressionAccuracy(),
    },
    "auc": {"binary": lambda loss: AUC()},
    "confusion_matrix": {"classes": lambda loss: ConfusionMatrix()},
    "f1": {"classes": lambda loss: F1("macro"), "binary": lambda loss: F1(threshold=loss.threshold)},
    "mae": {"real": lambda loss: MeanAbsoluteError(), "binary": lambda loss: MeanAbsoluteError()},
    "mse": {"real": lambda loss: MeanSquaredError(), "binary": lambda loss: MeanSquaredError()},
    "precision": {
        "classes": lambda loss: Precision("macro"),
        "binary": lambda loss: Precision(threshold=loss.threshold),
    },
    "r2": {"real": lambda loss: RSquared()},
    "recall": {"classes": lambda loss: Recall("macro"), "binary": lambda loss: Recall(threshold=loss.threshold)},
    "top_5_accuracy": {"classes": lambda loss: TopKAccuracy()},
}
"""What a name means for each kind of targets."""


def resolve(metric: str | Metric, loss: Loss) -> Metric:
    """A metric by name or as it is; a name is the one that fits the loss."""
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str) and (top := re.fullmatch(r"top_([1-9]\d*)_accuracy", metric)):
        return _fitting(metric, loss, {"classes": lambda loss: TopKAccuracy(int(top[1]))})
    if not isinstance(metric, str) or metric not in _NAMED:
        names = ", ".join(map(repr, _NAMED))
        raise ConfigurationError(
            f"Model: metrics must hold objects of nnxp.metrics or names ({names}), got {metric!r}."
        )
    return _fitting(metric, loss, _NAMED[metric])


def _fitting(metric: str, loss: Loss, kinds: dict[str, Callable[[Loss], Metric]]) -> Metric:
    if loss.targets not in kinds:
        raise ConfigurationError(
            f"Model: the metric {metric!r} is for targets of the kind {' or '.join(map(repr, kinds))}; those of "
            f"{type(loss).__name__} are {loss.targets!r}."
        )
    return kinds[loss.targets](loss)
