"""What only all samples together tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.metrics._base import Metric, check_same_shape
from nnxp.ops import Ops

__all__ = ["AUC"]


@dataclass(frozen=True)
class AUC(Metric):
    r"""The area under the ROC curve: how probable it is that a yes is predicted higher than a no.

    $\sum_{i, j} \left([p_i > p_j] + \tfrac12 [p_i = p_j]\right) / (N_+ N_-)$ over all pairs of a target i above 0.5 and
    a target j that is not, counted exactly. Any scale will do: probabilities or logits. All outputs count together;
    scikit-learn's ``roc_auc_score`` takes the mean over several outputs.

    It is NaN, without a warning, where there is no pair (targets of one kind only) or where a prediction is NaN. The
    predictions of all batches are kept on the device until it is read.

    Source: Hanley & McNeil, *The meaning and use of the area under a receiver operating characteristic (ROC) curve*
    (Radiology, 1982).

    >>> AUC().value([[0.9], [0.4], [0.4], [0.1]], [[1], [1], [0], [0]])
    0.875
    """

    name = "auc"

    def counts(self, ops: Ops, y_pred: Array, y: Array) -> tuple[Any, ...]:
        check_same_shape("AUC", y_pred, y)
        return y_pred, y

    def result(self, counts: Sequence[Any]) -> float:
        predicted, yes = counts[0].reshape(-1), counts[1].reshape(-1) > 0.5
        values, place = np.unique(predicted, return_inverse=True)
        ups = np.bincount(place[yes], minlength=values.size)
        downs = np.bincount(place[~yes], minlength=values.size)
        pairs = int(ups.sum()) * int(downs.sum())
        if not pairs or np.isnan(predicted).any():
            return nan
        below = np.cumsum(downs) - downs
        return int(np.sum(ups * (2 * below + downs))) / (2 * pairs)
