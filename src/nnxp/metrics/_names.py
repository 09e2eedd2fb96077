"""Metrics by name."""

from collections.abc import Callable
from functools import partial

from nnxp.errors import ConfigurationError
from nnxp.losses import Loss
from nnxp.metrics._base import Metric
from nnxp.metrics.accuracy import BinaryAccuracy, CategoricalAccuracy, RegressionAccuracy, TopKAccuracy
from nnxp.metrics.classes import F1, ConfusionMatrix, Precision, Recall
from nnxp.metrics.distances import MeanAbsoluteError, MeanSquaredError, RSquared
from nnxp.metrics.ranks import AUC

__all__ = ["resolve"]

_NAMED: dict[str, dict[str, Callable[[], Metric]]] = {
    "accuracy": {"classes": CategoricalAccuracy, "binary": BinaryAccuracy, "real": RegressionAccuracy},
    "auc": {"binary": AUC},
    "confusion_matrix": {"classes": ConfusionMatrix},
    "f1": {"classes": partial(F1, "macro"), "binary": F1},
    "mae": {"real": MeanAbsoluteError, "binary": MeanAbsoluteError},
    "mse": {"real": MeanSquaredError, "binary": MeanSquaredError},
    "precision": {"classes": partial(Precision, "macro"), "binary": Precision},
    "r2": {"real": RSquared},
    "recall": {"classes": partial(Recall, "macro"), "binary": Recall},
    "top_5_accuracy": {"classes": TopKAccuracy},
}
"""What a name means for each kind of targets."""


def resolve(metric: str | Metric, loss: Loss) -> Metric:
    """A metric by name or as it is; a name is the one that fits the loss."""
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str) or metric not in _NAMED:
        names = ", ".join(map(repr, _NAMED))
        raise ConfigurationError(
            f"Model: metrics must hold objects of nnxp.metrics or names ({names}), got {metric!r}."
        )
    kinds = _NAMED[metric]
    if loss.targets not in kinds:
        raise ConfigurationError(
            f"Model: the metric {metric!r} is for targets of the kind {' or '.join(map(repr, kinds))}; those of "
            f"{type(loss).__name__} are {loss.targets!r}."
        )
    return kinds[loss.targets]()
