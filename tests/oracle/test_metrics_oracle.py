"""scikit-learn's scores on the same predictions: counts are the same, so results are, to float64's last digits."""

import numpy as np
import pytest

from nnxp.metrics import (
    AUC,
    F1,
    BinaryAccuracy,
    CategoricalAccuracy,
    ConfusionMatrix,
    MeanAbsoluteError,
    MeanSquaredError,
    Precision,
    Recall,
    RSquared,
    TopKAccuracy,
)

sklearn = pytest.importorskip("sklearn.metrics")

N, K = 200, 6
TOLERANCE = 1e-12
"""Relative: sums of a few hundred numbers in float64, in another order."""


@pytest.fixture(params=["all classes", "one never true", "one never predicted", "one never at all", "one class only"])
def classes(request, random):
    """Probabilities and labels."""
    p, y = random.random((N, K)), random.integers(0, K, N)
    if request.param in ("one never true", "one never at all"):
        y[y == K - 1] = 0
    if request.param in ("one never predicted", "one never at all"):
        p[:, K - 1] = 0
    if request.param == "one class only":
        y[:] = 2
    return p / p.sum(axis=1, keepdims=True), y


@pytest.fixture(params=["mixed", "all yes", "all no", "never predicted", "always predicted"])
def yes(request, random):
    """Probabilities of a yes, in tenths, and targets."""
    p, y = random.integers(0, 11, (N, 1)) / 10, random.integers(0, 2, (N, 1))
    p = {"never predicted": p * 0.4, "always predicted": 0.6 + 0.4 * p}.get(request.param, p)
    y = {"all yes": np.ones_like(y), "all no": np.zeros_like(y)}.get(request.param, y)
    return p, y


def test_accuracy(classes):
    p, y = classes
    assert CategoricalAccuracy().value(p, y) == sklearn.accuracy_score(y, p.argmax(axis=1))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_accuracy(classes, k):
    p, y = classes
    assert TopKAccuracy(k).value(p, y) == sklearn.top_k_accuracy_score(y, p, k=k, labels=range(K))


def test_of_equal_predictions_theirs_takes_the_last():
    p, y = np.full((2, 3), 1 / 3), np.array([0, 2])
    assert TopKAccuracy(1).value(p[:1], y[:1]) == 1
    assert TopKAccuracy(1).value(p, y) == CategoricalAccuracy().value(p, y) == 0.5
    assert [sklearn.top_k_accuracy_score([label], p[:1], k=1, labels=range(3)) for label in y] == [0, 1]


def test_confusion_matrix(classes):
    p, y = classes
    expected = sklearn.confusion_matrix(y, p.argmax(axis=1), labels=range(K))
    np.testing.assert_array_equal(ConfusionMatrix().value(p, y), expected)


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_scores_of_classes(classes, average):
    p, y = classes
    expected = sklearn.precision_recall_fscore_support(y, p.argmax(axis=1), average=average, zero_division=0)[:3]
    found = [score(average).value(p, y) for score in (Precision, Recall, F1)]
    assert found == pytest.approx(expected, rel=TOLERANCE)


def test_micro_is_the_accuracy(classes):
    p, y = classes
    expected = sklearn.precision_recall_fscore_support(y, p.argmax(axis=1), average="micro", zero_division=0)[:3]
    assert expected == pytest.approx([CategoricalAccuracy().value(p, y)] * 3, rel=TOLERANCE)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.7])
def test_scores_of_yes_or_no(yes, threshold):
    p, y = yes
    expected = sklearn.precision_recall_fscore_support(y[:, 0], p[:, 0] > threshold, average="binary", zero_division=0)
    found = [score(threshold=threshold).value(p, y) for score in (Precision, Recall, F1)]
    assert found == pytest.approx(expected[:3], rel=TOLERANCE)
    assert BinaryAccuracy(threshold).value(p, y) == sklearn.accuracy_score(y[:, 0], p[:, 0] > threshold)


@pytest.mark.filterwarnings("ignore:Only one class is present")  # they warn; ours is NaN, and says nothing
def test_auc(yes):
    p, y = yes
    np.testing.assert_allclose(AUC().value(p, y), sklearn.roc_auc_score(y[:, 0], p[:, 0]), rtol=TOLERANCE)


def test_auc_of_several_outputs_counts_them_together(random):
    p, y = random.random((N, 3)), random.integers(0, 2, (N, 3))
    assert AUC().value(p, y) == pytest.approx(sklearn.roc_auc_score(y, p, average="micro"), rel=TOLERANCE)
    assert AUC().value(p, y) != pytest.approx(sklearn.roc_auc_score(y, p), rel=1e-3)


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_errors_of_numbers(offset, random):
    y = offset + random.standard_normal((N, 3)) * [1, 2, 3]
    p = y + random.standard_normal((N, 3))
    flat = y.ravel(), p.ravel()
    # at 1e8 the mean itself is known to 1e-8
    assert RSquared().value(p, y) == pytest.approx(sklearn.r2_score(*flat), rel=TOLERANCE if offset == 0 else 1e-7)
    assert MeanAbsoluteError().value(p, y) == pytest.approx(sklearn.mean_absolute_error(y, p), rel=TOLERANCE)
    assert MeanSquaredError().value(p, y) == pytest.approx(sklearn.mean_squared_error(y, p), rel=TOLERANCE)


def test_their_r_squared_is_the_mean_over_outputs(random):
    y = random.standard_normal((N, 2)) * [1, 10]
    p = y + random.standard_normal((N, 2))
    by_column = [RSquared().value(p[:, [column]], y[:, [column]]) for column in range(2)]
    assert sklearn.r2_score(y, p) == pytest.approx(np.mean(by_column), rel=TOLERANCE)
    assert RSquared().value(p, y) > np.mean(by_column) + 0.1


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_r_squared_of_equal_targets(error):
    y = np.full((5, 1), 3.0)
    assert RSquared().value(y + error, y) == sklearn.r2_score(y, y + error)
