"""Metrics: what they count, and that batches are merged by counts."""

from dataclasses import FrozenInstanceError
from math import isnan

import numpy as np
import pytest

import nnxp
from nnxp import metrics
from nnxp.backend import Backend
from nnxp.errors import ConfigurationError, DtypeError, ShapeError
from nnxp.layers import Linear, Softmax
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
from nnxp.metrics import (
    AUC,
    F1,
    BinaryAccuracy,
    CategoricalAccuracy,
    ConfusionMatrix,
    Metric,
    Precision,
    Recall,
    RegressionAccuracy,
    RSquared,
    TopKAccuracy,
    resolve,
)
from nnxp.metrics._base import columns_of, kept
from nnxp.optimizers import SGD

ONE_BY_ONE = True

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
    (TopKAccuracy(1), PREDICTED, [0, 1, 2], (1, 3)),
    (TopKAccuracy(2), PREDICTED, [1, 1, 2], (2, 3)),  # of equals, the first
    (TopKAccuracy(2), PREDICTED, np.eye(3)[[2, 0, 0]], (1, 3)),
    (TopKAccuracy(3), PREDICTED, [0, 1, 2], (3, 3)),
    (TopKAccuracy(), PREDICTED, [0, 1, 2], (3, 3)),  # more than there are
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


# -- values; every one must be the same however the rows are batched

YES = [[0.9], [0.6], [0.5], [0.2], [0.7]]
TRUE = [[1.0], [0.0], [1.0], [1.0], [0.0]]  # above 0.5 are 3, of which 1 is true; true are 3
WIDE = [[0.9, 0.1, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0], [0.6, 0.4, 0.0, 0.0], [0.0, 0.9, 0.1, 0.0], [0.0, 0.1, 0.9, 0.0]]
CLASSES = [0, 0, 1, 1, 2]  # taken for 0, 1, 0, 1, 2; nothing is a 3

VALUES = [
    # metric, predictions, targets, value
    *[(metric, y_pred, y, expected[0] / expected[1]) for metric, y_pred, y, expected in CASES],
    (Precision(), YES, TRUE, 1 / 3),
    (Recall(), YES, TRUE, 1 / 3),
    (F1(), YES, TRUE, 1 / 3),
    (Precision(threshold=0.1), YES, TRUE, 3 / 5),
    (Recall(threshold=0.1), YES, TRUE, 1.0),
    (F1(threshold=0.1), YES, TRUE, 3 / 4),
    (Precision(), [[0.9, 0.9], [0.1, 0.9]], [[1.0, 0.0], [1.0, 0.8]], 2 / 3),  # all outputs together
    (Precision(threshold=0.0), [[2.0], [-1.0]], [[0.0], [1.0]], 0.0),
    *[(metric, [[0.1], [0.2]], [[0.0], [0.0]], 0.0) for metric in (Precision(), Recall(), F1())],  # 0 / 0
    (Precision("macro"), WIDE, CLASSES, (1 / 2 + 1 / 2 + 1) / 3),  # the class that never occurs does not count
    (Recall("macro"), WIDE, CLASSES, (1 / 2 + 1 / 2 + 1) / 3),
    (F1("macro"), WIDE, np.eye(4)[CLASSES], (1 / 2 + 1 / 2 + 1) / 3),
    (Precision("weighted"), WIDE, CLASSES, (2 / 2 + 2 / 2 + 1) / 5),
    (Precision("macro"), WIDE, [3, 3, 3, 3, 2], (0 + 0 + 1 + 0) / 4),  # predicted but not true, true but not predicted
    (Recall("weighted"), WIDE, [3, 3, 3, 3, 2], (4 * 0 + 1 * 1) / 5),
    (F1("weighted"), WIDE, [3, 3, 3, 3, 3], 0.0),
    (
        ConfusionMatrix(),
        WIDE,
        CLASSES,
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]],
    ),
    (ConfusionMatrix(), WIDE, np.eye(4)[[1, 1, 1, 0, 0]], [[0, 1, 1, 0], [2, 1, 0, 0], [0] * 4, [0] * 4]),
    (AUC(), YES, TRUE, 2 / 6),  # 0.9 wins against both, 0.5 and 0.2 against none
    (AUC(), [[0.4], [0.4], [0.4]], [[1.0], [0.0], [0.0]], 0.5),  # of equals, half
    (AUC(), [[3.0], [-2.0], [0.0], [-2.0]], [[1.0], [0.0], [1.0], [1.0]], 2.5 / 3),
    (AUC(), [[0.9, 0.8], [0.1, 0.2]], [[1.0, 0.0], [0.0, 1.0]], 3 / 4),
    (AUC(), [[np.inf], [-np.inf]], [[1.0], [0.0]], 1.0),
    (metrics.MeanAbsoluteError(), [[1.0, 2.0], [3.0, 4.0]], [[1.5, 2.0], [3.0, 1.0]], 3.5 / 4),
    (metrics.MeanSquaredError(), [[1.0, 2.0], [3.0, 4.0]], [[1.5, 2.0], [3.0, 1.0]], 9.25 / 4),
    (RSquared(), [[1.0, 2.0], [3.0, 5.0]], [[1.0, 2.0], [3.0, 4.0]], 1 - 1 / 5),
    (RSquared(), [[2.5, 2.5], [2.5, 2.5]], [[1.0, 2.0], [3.0, 4.0]], 0.0),
    (RSquared(), [[4.0, 3.0], [2.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]], -3.0),
    (RSquared(), [[2.0], [2.0]], [[2.0], [2.0]], 1.0),  # nothing to explain
    (RSquared(), [[2.0], [3.0]], [[2.0], [2.0]], 0.0),
]
EVERY = list({repr(metric): metric for metric, *_ in VALUES}.values())


def test_every_metric_is_here():
    public = {getattr(metrics, name) for name in metrics.__all__} - {Metric, resolve}
    assert {type(metric) for metric in EVERY} == public


def in_batches(metric, backend, y_pred, y, sizes):
    """The metric of batches that all lie in the same memory, one after the other."""
    found, start = [], 0
    for size in sizes:
        rows = slice(start, start + size)
        part = [backend.asarray(np.array(a)[rows].copy()) for a in (y_pred, y)]
        found.append(kept(metric.counts(backend.ops, *part), backend))
        if backend.writable:  # the next batch overwrites it
            for a in part:
                a[...] = 7
        start += size
    return metric.result(metric.merge(columns_of(found, backend)))


@pytest.mark.parametrize(("metric", "y_pred", "y", "expected"), VALUES)
def test_value(metric, y_pred, y, expected, typed_backend):
    y_pred = typed_backend.asarray(np.array(y_pred))
    value = metric.value(y_pred, typed_backend.asarray(np.array(y)))
    if isinstance(metric, ConfusionMatrix):
        assert value.tolist() == expected
        assert isinstance(value, np.ndarray)
        assert value.dtype.kind == "i"
    else:
        assert value == pytest.approx(expected, rel=1e-6)  # sums of a few float32 numbers
        assert type(value) is float


@pytest.mark.parametrize(("metric", "y_pred", "y", "expected"), VALUES)
def test_ragged_batches_make_the_value_of_one(metric, y_pred, y, expected, backend):
    for sizes in ([1] * len(y), [len(y) - 1, 1], [1, len(y) - 1]):
        value = in_batches(metric, backend, y_pred, y, [size for size in sizes if size])
        np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize(("metric", "y_pred", "y", "expected"), VALUES)
def test_values_of_lists(metric, y_pred, y, expected):
    y_pred, y = np.array(y_pred).tolist(), np.array(y).tolist()
    np.testing.assert_allclose(metric.value(y_pred, y), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("metric", "targets"), [(Precision(), "yes"), (Precision("macro"), "classes"), (AUC(), "yes"), (RSquared(), "real")]
)
def test_many_batches_of_many_samples(metric, targets, backend, random):
    y_pred = random.random((500, 4)).astype("float32")
    y = {"yes": y_pred > random.random((500, 4)), "classes": random.integers(0, 4, 500), "real": 100 + y_pred**2}[
        targets
    ]
    y = y if targets == "classes" else y.astype("float32")
    whole = metric.value(backend.asarray(y_pred), backend.asarray(y))
    sizes = [64] * 7 + [52]
    assert in_batches(metric, backend, y_pred, y, sizes) == pytest.approx(whole, rel=1e-5)  # float32 sums of residuals


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
def test_r_squared_far_from_zero(offset, typed_backend, random):
    """Targets with a spread of a few in front of a large number: their squares have no digit left of it in float32."""
    dtype = str(typed_backend.dtype).rpartition(".")[2]
    y = (offset + 3 * random.standard_normal((1000, 2))).astype(dtype)
    y[::3] += np.asarray(10, dtype)  # batches with other means
    y_pred = (y + random.standard_normal(y.shape)).astype(dtype)
    wide_pred, wide = y_pred.astype("float64"), y.astype("float64")
    expected = 1 - ((wide_pred - wide) ** 2).sum() / ((wide - wide.mean()) ** 2).sum()
    for sizes in ([1000], [333, 333, 333, 1], [1] * 10 + [990]):
        value = in_batches(RSquared(), typed_backend, y_pred, y, sizes)
        # float32: a thousand roundings, in the worst order
        assert value == pytest.approx(expected, abs=1e-4 if dtype == "float32" else 1e-12)
    order = np.argsort(y[:, 0])  # each batch knows almost nothing of the spread
    value = in_batches(RSquared(), typed_backend, y_pred[order], y[order], [100] * 10)
    assert value == pytest.approx(expected, abs=1e-4 if dtype == "float32" else 1e-12)


class TestAUC:
    @pytest.mark.parametrize("target", [0.0, 1.0])
    def test_of_one_kind_only(self, target, backend):
        """No pair to compare: no number, and no warning (which would be an error here)."""
        assert isnan(AUC().value(backend.asarray([[0.3], [0.4]]), backend.asarray([[target], [target]])))

    def test_one_kind_in_each_batch(self, backend):
        assert in_batches(AUC(), backend, [[0.3], [0.4], [0.2]], [[0.0], [1.0], [1.0]], [1, 2]) == 0.5

    def test_of_no_number(self, backend, array):
        assert isnan(AUC().value(array([[np.nan], [0.4]]), array([[1.0], [0.0]])))

    def test_counts_are_exact(self, random):
        """Each pair by itself, with many ties."""
        y_pred, y = random.integers(0, 10, (300, 1)) / 10, random.integers(0, 2, (300, 1))
        ups, downs = y_pred[y == 1], y_pred[y == 0]
        wins = sum((ups[:, None] > downs).ravel()) + sum((ups[:, None] == downs).ravel()) / 2
        assert AUC().value(y_pred, y) == wins / (ups.size * downs.size)


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


LOSSES = {
    "classes": CategoricalCrossentropy(),
    "binary": BinaryCrossentropy(),
    "real": MeanSquaredError(),
}
NAMES = {
    # name: what it is for classes, for yes or no, and for numbers
    "accuracy": (CategoricalAccuracy(), BinaryAccuracy(), RegressionAccuracy()),
    "auc": (None, AUC(), None),
    "confusion_matrix": (ConfusionMatrix(), None, None),
    "f1": (F1("macro"), F1(), None),
    "mae": (None, metrics.MeanAbsoluteError(), metrics.MeanAbsoluteError()),
    "mse": (None, metrics.MeanSquaredError(), metrics.MeanSquaredError()),
    "precision": (Precision("macro"), Precision(), None),
    "r2": (None, None, RSquared()),
    "recall": (Recall("macro"), Recall(), None),
    "top_5_accuracy": (TopKAccuracy(5), None, None),
}


class TestResolve:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_name_is_the_one_that_fits_the_loss(self, name):
        for loss, metric in zip(LOSSES.values(), NAMES[name], strict=True):
            if metric is not None:
                assert resolve(name, loss) == metric
                assert metric.name == name
            else:
                kind = type(loss).__name__
                with pytest.raises(
                    ConfigurationError, match=f"metric '{name}' is for targets of the kind .*; those of {kind} are"
                ):
                    resolve(name, loss)

    def test_every_metric_has_a_name(self):
        found = {type(metric) for row in NAMES.values() for metric in row if metric is not None}
        assert found == {type(metric) for metric in EVERY}

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

    @pytest.mark.parametrize("metric", ["acc", "Accuracy", "top_0_accuracy", None, CategoricalAccuracy, 1, ["auc"]])
    def test_errors(self, metric):
        with pytest.raises(
            ConfigurationError,
            match=r"metrics must hold objects of nnxp\.metrics or names \('accuracy', 'auc', .*\), got",
        ):
            resolve(metric, CategoricalCrossentropy())


def test_top_k_has_its_k_in_its_name():
    assert TopKAccuracy(3).name == "top_3_accuracy"
    assert resolve("top_3_accuracy", CategoricalCrossentropy()) == TopKAccuracy(3)
    with pytest.raises(ConfigurationError, match=r"'top_12_accuracy' is for targets of the kind 'classes'"):
        resolve("top_12_accuracy", MeanSquaredError())


def test_a_share_of_nothing_is_no_number():
    assert isnan(BinaryAccuracy().value(np.zeros((0, 1)), np.zeros((0, 1))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TopKAccuracy(0), "TopKAccuracy: k must be a whole number of at least 1, got 0"),
        (lambda: TopKAccuracy(2.5), "TopKAccuracy: k must be a whole number of at least 1, got 2.5"),
        (lambda: Precision("micro"), "Precision: average must be one of 'binary', 'macro', 'weighted', got 'micro'"),
        (lambda: Recall(0.5), "Recall: average must be one of 'binary', 'macro', 'weighted', got 0.5"),
        (lambda: F1(threshold=1.0), r"F1: threshold must be a number in \[0, 1\), got 1.0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


LABELS = np.array([0, 1])
ROWS = np.array([[0.2, 0.8], [0.6, 0.4]])
COLUMN = np.array([[0.2], [0.6]])


@pytest.mark.parametrize(
    ("metric", "y_pred", "y", "message"),
    [
        (
            BinaryAccuracy(),
            ROWS,
            LABELS,
            r"expected y of shape \(2, 2\), like the .*, got \(2,\); for class indices use",
        ),
        (
            Precision(),
            ROWS,
            LABELS,
            r"Precision expected y of shape \(2, 2\), .*; for classes use Precision\('macro'\)",
        ),
        (F1("macro"), COLUMN, COLUMN, r"F1 expected .* \(2, 1\) and \(2, 1\); for yes or no use F1\(\)\."),
        (
            ConfusionMatrix(),
            COLUMN,
            COLUMN,
            r"ConfusionMatrix expected predictions of shape \(batch, classes\) and y of",
        ),
        (CategoricalAccuracy(), COLUMN, COLUMN, "CategoricalAccuracy expected predictions of shape"),
        (TopKAccuracy(), ROWS[:, :, None], LABELS, r"TopKAccuracy expected .*, got \(2, 2, 1\) and \(2,\)"),
        (AUC(), ROWS, LABELS, r"AUC expected y of shape \(2, 2\), like the predictions, got \(2,\)"),
        (RSquared(), COLUMN, LABELS, r"RSquared expected y of shape \(2, 1\), like the predictions, got \(2,\)"),
        (metrics.MeanSquaredError(), COLUMN, LABELS, "MeanSquaredError expected y of shape"),
        (metrics.MeanAbsoluteError(), COLUMN, LABELS, "MeanAbsoluteError expected y of shape"),
        (RegressionAccuracy(0.5), COLUMN, LABELS, "RegressionAccuracy expected y of shape"),
    ],
)
def test_targets_are_never_broadcast(metric, y_pred, y, message, backend, array):
    with pytest.raises(ShapeError, match=message):
        metric.counts(backend.ops, array(y_pred), array(y))


def test_values_look_at_their_targets(backend, array):
    with pytest.raises(ShapeError, match=r"RSquared expected y of shape \(2, 1\).*use y\[:, None\]"):
        RSquared().value(array(COLUMN), array(LABELS))
    with pytest.raises(DtypeError, match="CategoricalAccuracy expected class indices y of an integer dtype"):
        CategoricalAccuracy().value(array(ROWS), array(LABELS * 1.0))
    with pytest.raises(ValueError, match=r"ConfusionMatrix expected"):
        ConfusionMatrix().value(array(ROWS), array([0, 2]))


# -- in a model


def ready(layers, loss, wanted, backend):
    """A model without parameters: it says what it is told."""
    return nnxp.Model(layers, loss=loss, optimizer=SGD(), metrics=wanted, backend=backend)


@pytest.mark.parametrize("batch_size", [None, 3, 1])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_model_measures_classes(batch_size, shuffle, backend, random):
    """All metrics of one kind of targets at once, in fit, in its validation and in evaluate."""
    x, y = random.standard_normal((10, 6)), random.integers(0, 6, 10)
    wanted = ["accuracy", "confusion_matrix", "f1", "precision", "recall", "top_5_accuracy", TopKAccuracy(2)]
    model = ready([Softmax()], CategoricalCrossentropy(), wanted, backend)
    compare(model, x, y, backend, batch_size, shuffle)
    matrix = model.evaluate(x, y)["confusion_matrix"]
    assert isinstance(matrix, np.ndarray)
    assert matrix.sum() == 10
    assert model.history["confusion_matrix"] == [matrix.tolist()] * 2
    assert nnxp.History(model.history) == model.history


@pytest.mark.parametrize("batch_size", [None, 3, 1])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_model_measures_yes_and_no(batch_size, shuffle, backend, random):
    x, y = random.uniform(0.1, 0.9, (10, 2)), random.integers(0, 2, (10, 2)) * 1.0
    wanted = ["accuracy", "auc", "f1", "precision", "recall", "mae", "mse"]
    compare(ready([Linear()], BinaryCrossentropy(), wanted, backend), x, y, backend, batch_size, shuffle)


@pytest.mark.parametrize("batch_size", [None, 3, 1])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_model_measures_numbers(batch_size, shuffle, backend, random):
    x = 100 + random.standard_normal((10, 2))
    y = x + 0.5 * random.standard_normal((10, 2))
    wanted = [RegressionAccuracy(0.3), "mae", "mse", "r2"]
    compare(ready([Linear()], MeanSquaredError(), wanted, backend), x, y, backend, batch_size, shuffle)


def compare(model, x, y, backend, batch_size, shuffle):
    x, y = backend.asarray(x), backend.asarray(y)
    history = model.fit(
        x, y, epochs=2, batch_size=batch_size, shuffle=shuffle, validation_data=(x, y), progress="lines"
    )
    logs = model.evaluate(x, y, batch_size=batch_size)
    y_pred = model.predict(x)
    for metric in model.metrics:
        expected = metric.value(y_pred, y)
        for found in (logs[metric.name], *history[metric.name], *history["val_" + metric.name]):
            np.testing.assert_allclose(found, expected, rtol=1e-4)  # residuals of float32 numbers around 100


def test_a_matrix_is_not_printed(backend, array, capsys):
    model = ready([Softmax()], CategoricalCrossentropy(), ["confusion_matrix", "accuracy"], backend)
    for progress in ("lines", "bar"):
        model.fit(array(ROWS), array(LABELS), epochs=1, progress=progress)
        printed = capsys.readouterr().err
        assert "accuracy 0.0000" in printed
        assert "confusion" not in printed


@pytest.mark.parametrize("wanted", [[F1(), F1("macro")], ["f1", F1("macro")], [TopKAccuracy(5), "top_5_accuracy"]])
def test_two_of_one_name(wanted):
    with pytest.raises(
        ConfigurationError, match=r"two metrics have one name: \['(f1', 'f1|top_5_accuracy', 'top_5_acc)"
    ):
        ready([Softmax()], CategoricalCrossentropy(), wanted, "numpy")


class Largest(Metric):
    """Of one's own: a number of each batch that is not added."""

    name = "largest"

    def counts(self, ops, y_pred, y):
        return y.shape[0], y_pred[:, 0]

    def result(self, counts):
        samples, predictions = counts
        return float(predictions.max()) + samples


def test_a_metric_of_ones_own(backend, random):
    x = random.standard_normal((7, 1)).astype("float32")
    model = ready([Linear()], MeanSquaredError(), [Largest()], backend)
    history = model.fit(backend.asarray(x), backend.asarray(x), epochs=2, batch_size=3, progress="off")
    assert history["largest"] == [float(x.max()) + 7] * 2


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        (BinaryAccuracy(), "threshold"),
        (RegressionAccuracy(), "tolerance"),
        (TopKAccuracy(), "k"),
        (F1(), "average"),
        (Precision(), "threshold"),
        *[(metric, "other") for metric in (AUC(), ConfusionMatrix(), RSquared(), metrics.MeanSquaredError())],
    ],
    ids=str,
)
def test_is_frozen(metric, name):
    with pytest.raises(FrozenInstanceError):
        setattr(metric, name, 0.1)
    assert metric == type(metric)()
    assert metric != Largest()


def test_the_parent_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Metric()
