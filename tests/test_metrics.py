"""Metrics: what they count, and that batches are merged by counts."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from nnxp.backend import Backend
from nnxp.errors import ConfigurationError
from nnxp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
)
from nnxp.metrics import BinaryAccuracy, CategoricalAccuracy, Metric, RegressionAccuracy, resolve

PREDICTED = [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]]


def counts(metric: Metric, backend: Backend, y_pred: object, y: object) -> list[float]:
    return [float(count) for count in metric.counts(backend.ops, y_pred, y)]


CASES = [
    # metric, predictions, targets, (right, all)
    (CategoricalAccuracy(), PREDICTED, [0, 2, 1], (3, 3)),
    (CategoricalAccuracy(), PREDICTED, [0, 1, 2], (1, 3)),
    (CategoricalAccuracy(), PREDICTED, np.eye(3)[[0, 2, 0]], (2, 3)),
    (CategoricalAccuracy(), PREDICTED, [[0.6, 0.4, 0.0], [0.0, 0.6, 0.4], [0.1, 0.8, 0.1]], (2, 3)),
    (CategoricalAccuracy(), [[0.5, 0.5], [0.5, 0.5]], [0, 1], (1, 2)),  # of equals, the first
    (CategoricalAccuracy(), [[-3.0, -2.0]], [1], (1, 1)),  # logits will do
    (BinaryAccuracy(), [[0.6, 0.4], [0.5, 0.9]], [[1.0, 0.0], [0.0, 0.0]], (3, 4)),  # 0.5 itself is a no
    (BinaryAccuracy(threshold=0.3), [[0.6, 0.4], [0.2, 0.3]], [[1.0, 0.0], [0.0, 0.0]], (3, 4)),
    (BinaryAccuracy(threshold=0.0), [[1.5], [-0.5]], [[1.0], [0.0]], (2, 2)),  # logits
    (BinaryAccuracy(), [[0.9], [0.1]], [[0.8], [0.2]], (2, 2)),  # soft targets have a side too
    (RegressionAccuracy(0.5), [[1.0, 2.0], [3.0, 4.0]], [[1.25, 2.0], [3.5, 5.0]], (2, 4)),  # at the tolerance: a miss
    (RegressionAccuracy(10), [[1.0]], [[-5.0]], (1, 1)),
]


@pytest.mark.parametrize(("metric", "y_pred", "y", "expected"), CASES)
def test_counts(metric, y_pred, y, expected, backend, array):
    assert counts(metric, backend, array(y_pred), array(y)) == list(expected)
    assert metric.result(expected) == expected[0] / expected[1]


@pytest.mark.parametrize(("metric", "y_pred", "y", "expected"), CASES)
def test_counts_stay_on_the_device(metric, y_pred, y, expected, backend, array):
    """Whole numbers, so that merging a million batches loses nothing; the total needs no device."""
    right, total = metric.counts(backend.ops, array(y_pred), array(y))
    assert backend.xp.isdtype(right.dtype, "integral")
    assert right.device == backend.device
    assert isinstance(total, int)


@pytest.mark.parametrize(("metric", "y_pred", "y", "expected"), CASES)
def test_batches_add_up(metric, y_pred, y, expected, backend, array):
    """The counts of single rows, added, are those of all rows: a ragged last batch weighs what it should."""
    rows = [
        counts(metric, backend, array(np.array(y_pred)[i : i + 1]), array(np.array(y)[i : i + 1]))
        for i in range(len(y_pred))
    ]
    assert np.sum(rows, axis=0).tolist() == list(expected)


def test_a_result_is_a_float():
    assert type(CategoricalAccuracy().result([np.int64(1), 3])) is float


class TestRegressionAccuracy:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_tolerance_of_the_targets(self, dtype):
        """std(y) / 250, over all elements, in float64 whatever y is in."""
        y = np.array([[1.0, 2.0], [3.0, 6.0]], dtype=dtype)
        fitted = RegressionAccuracy().fitted(y)
        assert fitted == RegressionAccuracy(np.sqrt(3.5) / 250)
        assert type(fitted.tolerance) is float

    def test_deviation_of_many_float32_targets(self):
        """A sum of squares in float32 would have lost the digits."""
        y = 1e4 + np.tile(np.array([-1.0, 1.0], dtype=np.float32), 50_000)
        assert RegressionAccuracy().fitted(y.astype(np.float32)).tolerance == pytest.approx(1 / 250, rel=1e-9)

    def test_a_given_tolerance_stays(self):
        metric = RegressionAccuracy(0.25)
        assert metric.fitted(np.array([1.0, 100.0])) is metric
        assert RegressionAccuracy(0.0).fitted(np.array([1.0, 100.0])).tolerance == 0

    def test_is_fitted_once(self):
        """Validation is measured with the tolerance of the training data."""
        fitted = RegressionAccuracy().fitted(np.array([0.0, 1.0]))
        assert fitted.fitted(np.array([0.0, 1000.0])) is fitted

    def test_without_a_tolerance(self, backend, array):
        with pytest.raises(ConfigurationError, match=r"RegressionAccuracy: no tolerance yet; give one, or take fitted"):
            RegressionAccuracy().counts(backend.ops, array([[1.0]]), array([[1.0]]))

    @pytest.mark.parametrize("tolerance", [-1, np.nan, "1"])
    def test_errors(self, tolerance):
        with pytest.raises(
            ConfigurationError, match="RegressionAccuracy: tolerance must be a number of at least 0, got"
        ):
            RegressionAccuracy(tolerance)


class TestResolve:
    @pytest.mark.parametrize(
        ("loss", "metric"),
        [
            (CategoricalCrossentropy(), CategoricalAccuracy()),
            (BinaryCrossentropy(), BinaryAccuracy()),
            (BinaryCrossentropy(from_logits=True), BinaryAccuracy(0.0)),
            (BinaryCrossentropy(positive_weight=3.0), BinaryAccuracy(0.5)),
            (Hinge(), BinaryAccuracy(0.0)),
            (KLDivergence(), CategoricalAccuracy()),
            (Huber(), RegressionAccuracy()),
            (LogCosh(), RegressionAccuracy()),
            (MeanSquaredError(), RegressionAccuracy()),
            (MeanAbsoluteError(), RegressionAccuracy()),
        ],
        ids=str,
    )
    def test_accuracy_is_the_one_that_fits_the_loss(self, loss, metric):
        assert resolve("accuracy", loss) == metric
        assert metric.name == "accuracy"

    def test_of_a_metric(self):
        metric = BinaryAccuracy(0.7)
        assert resolve(metric, CategoricalCrossentropy()) is metric

    @pytest.mark.parametrize("metric", ["acc", "Accuracy", None, CategoricalAccuracy, 1])
    def test_errors(self, metric):
        with pytest.raises(ConfigurationError, match=r"metrics must hold 'accuracy' or objects of nnxp\.metrics, got"):
            resolve(metric, CategoricalCrossentropy())


@pytest.mark.parametrize(
    ("metric", "name"), [(BinaryAccuracy(), "threshold"), (RegressionAccuracy(), "tolerance")], ids=str
)
def test_is_frozen(metric, name):
    with pytest.raises(FrozenInstanceError):
        setattr(metric, name, 0.1)


def test_the_parent_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Metric()
