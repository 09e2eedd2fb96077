"""Metrics: what each batch adds, and the number that all batches make in the end.

A metric sees exactly what ``predict`` returns. Batches are merged by adding counts, never by averaging averages, so a
ragged last batch weighs what it should; what cannot be added (the ranks of `AUC`) is made of all samples at the end.
Nothing is read from the device before that.

==========================================================  =========================  ===============================
class                                                       targets                    name, which ``metrics`` takes
==========================================================  =========================  ===============================
`CategoricalAccuracy`, `BinaryAccuracy`,                    classes, binary, real      ``"accuracy"``
`RegressionAccuracy`
`TopKAccuracy`                                              classes                    ``"top_5_accuracy"``
`Precision`, `Recall`, `F1`                                 binary, classes            ``"precision"``, ``"recall"``,
                                                                                       ``"f1"``
`ConfusionMatrix`                                           classes                    ``"confusion_matrix"``
`AUC`                                                       binary                     ``"auc"``
`MeanAbsoluteError`, `MeanSquaredError`                     real, binary               ``"mae"``, ``"mse"``
`RSquared`                                                  real                       ``"r2"``
==========================================================  =========================  ===============================

By name, ``Model(metrics=[…])`` takes the one that fits the loss. By itself a metric measures arrays:

>>> CategoricalAccuracy().value([[0.9, 0.1], [0.2, 0.8]], [0, 0])
0.5
"""

from nnxp.metrics._base import Metric
from nnxp.metrics._names import resolve
from nnxp.metrics.accuracy import BinaryAccuracy, CategoricalAccuracy, RegressionAccuracy, TopKAccuracy
from nnxp.metrics.classes import F1, ConfusionMatrix, Precision, Recall
from nnxp.metrics.distances import MeanAbsoluteError, MeanSquaredError, RSquared
from nnxp.metrics.ranks import AUC

__all__ = [
    "AUC",
    "F1",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "ConfusionMatrix",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "RSquared",
    "Recall",
    "RegressionAccuracy",
    "TopKAccuracy",
    "resolve",
]
