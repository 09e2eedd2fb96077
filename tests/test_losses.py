"""Losses as objects: values, reductions, and what they say of targets that they cannot read."""

from dataclasses import FrozenInstanceError
from math import log, nan

import numpy as np
import pytest

import nnxp
from nnxp import losses
from nnxp.errors import ConfigurationError, DataError, DtypeError, NnxpError, ShapeError
from nnxp.layers import Linear
from nnxp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
)
from nnxp.optimizers import SGD

ONE_BY_ONE = True

ROUNDINGS = 1e-6
"""Relative, for float32: eight ULP, as many as these small sums and logarithms round."""

REAL = [[1.0, 2.0], [3.0, -4.0]], [[0.0, 2.0], [5.0, -1.0]]  # errors 1, 0, -2, -3
SHARES = [[0.25, 0.5], [0.75, 0.5]], [[1.0, 0.0], [0.0, 0.5]]
ODDS = [[0.0, log(3)], [-log(3), 0.0]], [[1.0, 0.0], [0.0, 0.5]]  # σ: 1/2, 3/4; 1/4, 1/2
CLASSES = [[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]
LOGITS = [[log(2), 0.0, 0.0], [0.0, 0.0, log(6)]]  # softmax of these is CLASSES
ROWS = [[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]

VALUES = [
    # loss, predictions, targets, the sum over elements or samples, their number, the gradient of the sum
    (MeanSquaredError, {}, *REAL, 14.0, 4, [[2, 0], [-4, -6]]),
    (MeanAbsoluteError, {}, *REAL, 6.0, 4, [[1, 0], [-1, -1]]),
    (BinaryCrossentropy, {}, *SHARES, 4 * log(2) + 2 * log(2), 4, [[-4, 2], [4, 0]]),
    (
        BinaryCrossentropy,
        {"from_logits": True},
        *ODDS,
        log(2) + log(4) + log(4 / 3) + log(2),
        4,
        [[-0.5, 0.75], [0.25, 0]],
    ),
    (CategoricalCrossentropy, {}, CLASSES, [0, 2], log(2) + log(4 / 3), 2, [[-2, 0, 0], [0, 0, -4 / 3]]),
    (
        CategoricalCrossentropy,
        {},
        CLASSES,
        ROWS,
        log(4) + (log(8) + log(4 / 3)) / 2,
        2,
        [[0, -4, 0], [0, -4, -2 / 3]],
    ),
    (
        CategoricalCrossentropy,
        {"from_logits": True},
        LOGITS,
        [0, 2],
        log(2) + log(4 / 3),
        2,
        [[-0.5, 0.25, 0.25], [0.125, 0.125, -0.25]],
    ),
    (
        CategoricalCrossentropy,
        {"from_logits": True},
        LOGITS,
        ROWS,
        log(4) + (log(8) + log(4 / 3)) / 2,
        2,
        [[0.5, -0.75, 0.25], [0.125, -0.375, 0.25]],
    ),
    # smoothing by 0.3: targets of 0.8 and 0.1
    (
        CategoricalCrossentropy,
        {"label_smoothing": 0.3},
        CLASSES,
        [0, 2],
        1.2 * log(2) + 0.6 * log(2) + 0.8 * log(4 / 3),
        2,
        [[-1.6, -0.4, -0.4], [-0.8, -0.8, -16 / 15]],
    ),
    (
        CategoricalCrossentropy,
        {"label_smoothing": 0.3, "from_logits": True},
        LOGITS,
        [0, 2],
        1.8 * log(2) + 0.8 * log(4 / 3),
        2,
        [[-0.3, 0.15, 0.15], [0.025, 0.025, -0.05]],
    ),
    (
        CategoricalCrossentropy,
        {"class_weights": [2, 1, 4]},
        CLASSES,
        [0, 2],
        2 * log(2) + 4 * log(4 / 3),
        2,
        [[-4, 0, 0], [0, 0, -16 / 3]],
    ),
    (
        CategoricalCrossentropy,
        {"class_weights": (2.0, 1.0, 4.0), "from_logits": True},
        LOGITS,
        [0, 2],
        2 * log(2) + 4 * log(4 / 3),
        2,
        [[-1, 0.5, 0.5], [0.5, 0.5, -1]],
    ),
    # first smoothed, then weighted: targets of 0.2, 0.8, 0.4 and 0.2, 0.45, 1.8
    (
        CategoricalCrossentropy,
        {"class_weights": np.array([2.0, 1.0, 4.0]), "label_smoothing": 0.3, "from_logits": True},
        LOGITS,
        ROWS,
        2.6 * log(2) + 1.95 * log(2) + 1.8 * log(4 / 3),
        2,
        [[0.5, -0.45, -0.05], [0.10625, -0.14375, 0.0375]],
    ),
    (BinaryCrossentropy, {"positive_weight": 3}, *SHARES, 11 * log(2), 4, [[-12, 2], [4, -2]]),
    (BinaryCrossentropy, {"positive_weight": [3.0, 2.0]}, *SHARES, 10.5 * log(2), 4, [[-12, 2], [4, -1]]),
    (
        BinaryCrossentropy,
        {"positive_weight": 3, "from_logits": True},
        *ODDS,
        7 * log(2) + log(4 / 3),
        4,
        [[-1.5, 0.75], [0.25, -0.5]],
    ),
    (KLDivergence, {}, CLASSES, [0, 2], log(2) + log(4 / 3), 2, [[-2, 0, 0], [0, 0, -4 / 3]]),
    (KLDivergence, {}, CLASSES, ROWS, log(4) + log(4) / 2 + log(2 / 3) / 2, 2, [[0, -4, 0], [0, -4, -2 / 3]]),
    (KLDivergence, {}, CLASSES, CLASSES, 0.0, 2, [[-1, -1, -1], [-1, -1, -1]]),
    (
        KLDivergence,
        {"from_logits": True},
        LOGITS,
        ROWS,
        log(4) + log(4) / 2 + log(2 / 3) / 2,
        2,
        [[0.5, -0.75, 0.25], [0.125, -0.375, 0.25]],
    ),
    (Huber, {}, *REAL, 0.5 + 1.5 + 2.5, 4, [[1, 0], [-1, -1]]),
    (Huber, {"delta": 2.0}, *REAL, 0.5 + 2 + 4, 4, [[1, 0], [-2, -2]]),
    # cosh log 2 = 5/4 and cosh log 3 = 5/3; tanh: 3/5 and 4/5
    (
        LogCosh,
        {},
        [[log(2), 0.0], [1 - log(3), 2.0]],
        [[0.0, 0.0], [1.0, 2.0]],
        log(5 / 4) + log(5 / 3),
        4,
        [[0.6, 0], [-0.8, 0]],
    ),
    (Hinge, {}, [[2.0, 0.5], [-0.5, 0.25]], [[1, 1], [0, 0]], 0 + 0.5 + 0.5 + 1.25, 4, [[0, -1], [1, 1]]),
]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("make", "options", "y_pred", "y", "total", "count", "slopes"), VALUES)
def test_value_and_gradient(make, options, y_pred, y, total, count, slopes, reduction, backend, array):
    loss = make(reduction=reduction, **options)
    divisor = count if reduction == "mean" else 1
    p = array(y_pred)
    value, gradient = loss.value(p, array(y)), loss.gradient(p, array(y))
    assert tuple(value.shape) == ()
    assert value.dtype == gradient.dtype == backend.dtype
    assert float(value) == pytest.approx(total / divisor, rel=ROUNDINGS, abs=ROUNDINGS / 10)
    assert backend.owns(gradient)
    np.testing.assert_allclose(
        backend.to_numpy(gradient), np.array(slopes) / divisor, rtol=4 * ROUNDINGS, atol=ROUNDINGS / 10
    )


@pytest.mark.parametrize("name", [name for name in losses.__all__ if name != "Loss"])
def test_every_loss_has_values(name):
    assert getattr(losses, name) in {case[0] for case in VALUES}


# -- sample weights


@pytest.fixture(params=["mean", "sum"])
def reduction(request):
    return request.param


weighted_cases = pytest.mark.parametrize(
    ("make", "options", "y_pred", "y"),
    [case[:4] for case in VALUES[::2]],
    ids=lambda value: getattr(value, "__name__", ""),
)


def asked(loss, p, y, backend, weights=None):
    """Value and gradient on the host."""
    value = float(loss.value(p, y, sample_weight=weights))
    return value, backend.to_numpy(loss.gradient(p, y, sample_weight=weights))


class TestSampleWeights:
    @weighted_cases
    def test_ones_change_nothing(self, make, options, y_pred, y, reduction, backend, array):
        loss, p = make(reduction=reduction, **options), array(y_pred)
        value, gradient = asked(loss, p, array(y), backend)
        for ones in ([1, 1], array([1.0, 1.0]), np.ones(2, dtype=bool)):
            weighted, slopes = asked(loss, p, array(y), backend, ones)
            assert weighted == pytest.approx(value, rel=ROUNDINGS, abs=ROUNDINGS / 10)
            np.testing.assert_allclose(slopes, gradient, rtol=ROUNDINGS, atol=ROUNDINGS / 10)

    @weighted_cases
    def test_in_a_sum_they_are_repetitions(self, make, options, y_pred, y, backend, array):
        """A weight of 2 is a sample twice, and a weight of 0 is a sample left out."""
        loss, p, y = make(reduction="sum", **options), np.array(y_pred), np.array(y)
        twice, slopes = asked(loss, array(p), array(y), backend, array([2.0, 1.0]))
        expected, rows = asked(loss, array(p[[0, 0, 1]]), array(y[[0, 0, 1]]), backend)
        assert twice == pytest.approx(expected, rel=ROUNDINGS, abs=ROUNDINGS / 10)
        np.testing.assert_allclose(slopes, np.stack([rows[0] + rows[1], rows[2]]), rtol=ROUNDINGS)
        alone, slopes = asked(loss, array(p), array(y), backend, array([0.0, 1.0]))
        expected, rows = asked(loss, array(p[1:]), array(y[1:]), backend)
        assert alone == pytest.approx(expected, rel=ROUNDINGS, abs=ROUNDINGS / 10)
        np.testing.assert_allclose(slopes, np.concatenate([0 * rows, rows]), rtol=ROUNDINGS)

    @weighted_cases
    def test_a_mean_divides_by_the_number_of_samples(self, make, options, y_pred, y, backend, array):
        """Whatever the weights are: batches add up to the whole."""
        loss, p, y = make(**options), np.array(y_pred), np.array(y)
        value, gradient = asked(loss, array(p), array(y), backend, [3.0, 0.5])
        parts = [asked(loss, array(p[i : i + 1]), array(y[i : i + 1]), backend, [w]) for i, w in enumerate((3.0, 0.5))]
        assert value == pytest.approx(sum(part[0] for part in parts) / 2, rel=ROUNDINGS, abs=ROUNDINGS / 10)
        np.testing.assert_allclose(gradient, np.concatenate([part[1] for part in parts]) / 2, rtol=ROUNDINGS)

    @weighted_cases
    def test_zeros_make_nothing_count(self, make, options, y_pred, y, reduction, backend, array):
        value, gradient = asked(make(reduction=reduction, **options), array(y_pred), array(y), backend, [0, 0])
        assert value == 0
        np.testing.assert_array_equal(gradient, 0 * np.array(y_pred))

    @pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2, 2)])
    def test_predictions_of_any_number_of_axes(self, shape, backend, array, random):
        p, y = random.standard_normal((2, *shape))
        value, gradient = asked(MeanSquaredError(reduction="sum"), array(p), array(y), backend, [0.5, 0.0, 2.0])
        w = np.array([0.5, 0.0, 2.0]).reshape(3, *(1 for _ in shape[1:]))
        assert value == pytest.approx((w * (p - y) ** 2).sum(), rel=4 * ROUNDINGS)
        np.testing.assert_allclose(gradient, 2 * w * (p - y), rtol=4 * ROUNDINGS)

    @pytest.mark.parametrize(
        ("weights", "error", "message"),
        [
            ([1.0], ShapeError, r"shape \(2,\), one number a sample, got \(1,\)\."),
            ([1.0, 1.0, 1.0], ShapeError, r"shape \(2,\), one number a sample, got \(3,\)\."),
            ([[1.0], [1.0]], ShapeError, r"shape \(2,\), one number a sample, got \(2, 1\)\."),
            (2.0, ShapeError, r"shape \(2,\), one number a sample, got \(\)\."),
            ([1.0, -0.5], DataError, r"weights to have finite values of at least 0, got -0\.5 at \[1\]; check them\."),
            ([nan, 1.0], DataError, r"weights to have finite values of at least 0, got nan at \[0\]; check them\."),
            ([1.0, np.inf], DataError, r"weights to have finite values of at least 0, got inf at \[1\]; check them\."),
            (["a", "b"], DtypeError, "weights to be an array of numbers, got list"),
            ([1j, 1.0], DtypeError, "weights of real numbers, got complex"),
            ([[1.0], [1.0, 2.0]], DtypeError, "weights to be an array of numbers, got list"),
        ],
    )
    def test_bad_ones(self, weights, error, message, array):
        loss = MeanSquaredError()
        for ask in (loss.value, loss.gradient):
            with pytest.raises(error, match="^sample_weight expected " + message):
                ask(array([[1.0], [2.0]]), array([[1.0], [2.0]]), sample_weight=weights)


@pytest.mark.parametrize(("make", "options", "y_pred", "y", "total", "count", "slopes"), VALUES)
def test_host_targets_are_taken(make, options, y_pred, y, total, count, slopes, array):
    """Lists, and NumPy arrays in float64 beside predictions in float32."""
    for targets in (y, np.array(y)):
        value = float(make(**options).value(array(y_pred), targets))
        assert value == pytest.approx(total / count, rel=ROUNDINGS, abs=ROUNDINGS / 10)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "bool"])
def test_binary_and_real_targets_of_any_real_dtype(dtype, backend, array):
    y = array(np.array([[0, 1]], dtype=dtype))
    for loss in (BinaryCrossentropy(), MeanSquaredError()):
        expected = {BinaryCrossentropy: (log(2) + log(4)) / 2, MeanSquaredError: (0.25 + 0.75**2) / 2}
        assert float(loss.value(array([[0.5, 0.25]]), y)) == pytest.approx(expected[type(loss)], rel=ROUNDINGS)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_class_indices_of_any_integer_dtype(dtype, backend, array):
    y = np.array([0, 2], dtype=dtype)
    checked = CategoricalCrossentropy().check(y, (2, 3), backend, values=True)
    assert checked.dtype == backend.integer_dtype
    assert float(CategoricalCrossentropy().value(array(CLASSES), y)) == pytest.approx(
        (log(2) + log(4 / 3)) / 2, rel=ROUNDINGS
    )


def test_host_predictions():
    """A list of predictions is NumPy's, in float32."""
    assert MeanSquaredError().value([[1.0, 3.0]], [[0.0, 1.0]]) == 2.5


CCE, BCE, MSE, MAE = CategoricalCrossentropy(), BinaryCrossentropy(), MeanSquaredError(), MeanAbsoluteError()
KL, HINGE, HUBER, LOG_COSH = KLDivergence(), Hinge(), Huber(), LogCosh()
ALL = [CCE, BCE, MSE, MAE, KL, HINGE, HUBER, LOG_COSH]

BAD_TARGETS = [
    # loss, the predictions' shape, targets, error, what the message says
    (CCE, (3, 3), [[0], [1], [2]], ShapeError, r"expected y of shape \(3,\) .* got \(3, 1\); use y\[:, 0\]\."),
    (CCE, (3, 3), [0, 1], ShapeError, "one row of y for each of the 3 rows of x, got 2 rows in y"),
    (CCE, (3, 3), 1, ShapeError, r"got \(\)"),
    (CCE, (3, 3), [[1.0, 0.0]] * 3, ShapeError, r"or \(3, 3\) \(probabilities\), got \(3, 2\)"),
    (CCE, (3, 3), [[1.0, 0.0, 0.0]] * 2, ShapeError, r"got \(2, 3\)"),
    (CCE, (3, 3), [[[1.0, 0.0, 0.0]]] * 3, ShapeError, r"got \(3, 1, 3\)"),
    (
        CCE,
        (3,),
        [0, 1, 2],
        ShapeError,
        r"predictions of shape \(batch, classes\), got \(3,\); end the network with a Dense",
    ),
    (CCE, (3, 3), [0, 1, 3], DataError, r"class indices y in 0\.\.2 \(3 outputs\), got 3 at y\[2\]; renumber"),
    (CCE, (3, 3), [0, -1, 1], DataError, r"in 0\.\.2 \(3 outputs\), got -1 at y\[1\]; renumber the classes from 0"),
    (CCE, (3, 3), [0.0, 1.0, 2.0], DtypeError, r"class indices y of an integer dtype, got float\d\d; use y\.astype"),
    (CCE, (3, 3), [True, False, True], DtypeError, "class indices y of an integer dtype, got bool"),
    (
        CCE,
        (2, 2),
        [[0.5, 0.5], [0.5, 0.6]],
        DataError,
        r"row sums of y to have rows that sum to 1, got 1\.1.* at \[1\]",
    ),
    (CCE, (2, 2), [[1.5, -0.5], [1.0, 0.0]], DataError, r"finite probabilities of at least 0, got -0\.5 at \[0, 1\]"),
    (CCE, (2, 2), [[nan, 1.0], [1.0, 0.0]], DataError, r"finite probabilities of at least 0, got nan at \[0, 0\]"),
    (BCE, (3, 1), [0.0, 1.0, 0.0], ShapeError, r"shape \(3, 1\), like the predictions, got \(3,\); use y\[:, None\]"),
    (BCE, (3, 1), [[0.0]] * 2, ShapeError, "one row of y for each of the 3 rows of x, got 2 rows in y"),
    (BCE, (2, 1), [[0.0], [2.0]], DataError, r"values in \[0, 1\], got 2\.0 at \[1, 0\]; scale or relabel y"),
    (BCE, (2, 1), [[-1], [1]], DataError, r"values in \[0, 1\], got -1\.0 at \[0, 0\]"),
    (BCE, (2, 1), [[nan], [1.0]], DataError, r"finite values, got nan at \[0, 0\]"),
    (MSE, (3, 1), [1.0, 2.0, 3.0], ShapeError, r"shape \(3, 1\), like the predictions, got \(3,\); use y\[:, None\]"),
    (MSE, (3,), [[1.0], [2.0], [3.0]], ShapeError, r"shape \(3,\), like the predictions, got \(3, 1\); they are never"),
    (MSE, (3, 2), [[1.0]] * 3, ShapeError, r"got \(3, 1\); they are never broadcast"),
    (MSE, (3, 2), 1.0, ShapeError, "one row of y for each of the 3 rows of x, got a single number"),
    (MSE, (2, 1), [[nan], [1.0]], DataError, r"MeanSquaredError expected y to have finite values, got nan at \[0, 0\]"),
    (MAE, (2, 1), [[1.0], [np.inf]], DataError, r"MeanAbsoluteError expected y to have finite .*got inf at \[1, 0\]"),
    (MAE, (2, 1), [1.0, 2.0], ShapeError, r"use y\[:, None\]"),
    (KL, (3, 3), [[0], [1], [2]], ShapeError, r"expected y of shape \(3,\) .* got \(3, 1\); use y\[:, 0\]\."),
    (KL, (3,), [0, 1, 2], ShapeError, r"predictions of shape \(batch, classes\), got \(3,\)"),
    (KL, (3, 3), [0, 1, 3], DataError, r"class indices y in 0\.\.2 \(3 outputs\), got 3 at y\[2\]; renumber"),
    (KL, (2, 2), [[0.5, 0.5], [0.5, 0.6]], DataError, "row sums of y to have rows that sum to 1"),
    (HINGE, (2, 1), [[-1.0], [1.0]], DataError, r"values in \[0, 1\], got -1\.0 at \[0, 0\]; scale or relabel y"),
    (HINGE, (2, 1), [0, 1], ShapeError, r"use y\[:, None\]"),
    (HUBER, (2, 1), [[nan], [1.0]], DataError, r"Huber expected y to have finite values, got nan at \[0, 0\]"),
    (HUBER, (3, 2), [[1.0]] * 3, ShapeError, r"got \(3, 1\); they are never broadcast"),
    (LOG_COSH, (2, 1), [[1.0], [np.inf]], DataError, r"LogCosh expected y to have finite .*got inf at \[1, 0\]"),
    (LOG_COSH, (2, 1), [[1.0]], ShapeError, "one row of y for each of the 2 rows of x, got 1 rows in y"),
]


@pytest.mark.parametrize(("loss", "shape", "y", "error", "message"), BAD_TARGETS)
def test_targets_that_cannot_be_read(loss, shape, y, error, message, backend, array):
    """The same sentence on every backend, with the loss's name in it, from host arrays and from its own."""
    predictions = array(np.full(shape, 0.5))
    for targets in (y, backend.asarray(y)):
        for ask in (loss.value, loss.gradient):
            with pytest.raises(error, match=message) as caught:
                ask(predictions, targets)
            assert str(caught.value).startswith(type(loss).__name__)


@pytest.mark.parametrize("loss", ALL, ids=str)
@pytest.mark.parametrize(
    "y",
    [["cat", "dog"], np.array([["a"], ["b"]]), [None, 1], [[1.0], [1.0, 2.0]], np.array([[1j], [1.0]]), object()],
    ids=["strings", "an array of strings", "None", "ragged", "complex", "an object"],
)
def test_targets_that_are_no_real_numbers(loss, y, backend, array):
    """Refused on every backend, with an error of nnxp that is a TypeError or a ValueError; CCE cannot take (2, 1)."""
    with pytest.raises((DtypeError, ShapeError), match=rf"^{type(loss).__name__} expected") as caught:
        loss.value(array(np.full((2, 1), 0.5)), y)
    assert isinstance(caught.value, NnxpError)


@pytest.mark.parametrize(
    ("loss", "y"), [(CCE, [0, 7]), (CCE, [[0.5, 0.6]] * 2), (BCE, [[2.0, 0.0]] * 2), (MSE, [[nan, 0.0]] * 2)]
)
def test_values_are_read_on_request_only(loss, y, backend):
    """Reading them waits for the device, so a training step checks shapes and types alone."""
    with pytest.raises(DataError):
        loss.check(y, (2, 2), backend, values=True)
    assert loss.check(y, (2, 2), backend, values=False).shape[0] == 2


@pytest.mark.parametrize("total", [1.0005, 0.9995])
def test_rows_may_be_rounded(total, array):
    """Probabilities in float32, or written with three digits, sum to 1 only nearly."""
    assert np.isfinite(float(CCE.value(array([[0.5, 0.5]]), [[0.5, total - 0.5]])))


class TestConfiguration:
    @pytest.mark.parametrize("make", [type(loss) for loss in ALL])
    @pytest.mark.parametrize("reduction", ["none", "MEAN", None, 1])
    def test_reduction(self, make, reduction):
        with pytest.raises(ConfigurationError, match=rf"{make.__name__}: reduction must be one of 'mean', 'sum', got"):
            make(reduction=reduction)

    def test_arguments_have_names(self):
        with pytest.raises(TypeError, match="positional"):
            MeanSquaredError("sum")

    @pytest.mark.parametrize("loss", ALL, ids=str)
    def test_is_frozen(self, loss):
        with pytest.raises(FrozenInstanceError):
            loss.reduction = "sum"
        assert loss == type(loss)()
        assert loss != type(loss)(reduction="sum")

    def test_the_parent_is_abstract(self):
        with pytest.raises(TypeError, match="abstract"):
            Loss()

    @pytest.mark.parametrize(
        ("loss", "shape", "divisor"),
        [
            (CCE, (4, 3), 4),
            (BCE, (4, 3), 12),
            (MSE, (4, 3), 12),
            (MAE, (5, 1), 5),
            (MSE, (2, 3, 4), 24),
            (KL, (4, 3), 4),
        ],
    )
    def test_divisor(self, loss, shape, divisor):
        assert loss.divisor(shape) == divisor
        assert type(loss)(reduction="sum").divisor(shape) == 1

    @pytest.mark.parametrize(
        ("loss", "targets"),
        [
            *((loss, "classes") for loss in (CCE, KL)),
            *((loss, "binary") for loss in (BCE, HINGE)),
            *((loss, "real") for loss in (MSE, MAE, HUBER, LOG_COSH)),
        ],
        ids=str,
    )
    def test_what_targets_are(self, loss, targets):
        assert loss.targets == targets

    @pytest.mark.parametrize(
        ("make", "option", "value", "message"),
        [
            *[
                (CategoricalCrossentropy, "label_smoothing", value, r"must be a number in \[0, 1\), got")
                for value in (1, 1.0, -0.1, nan, "0.1", None, True)
            ],
            *[
                (make, name, value, "must be a list of numbers, got")
                for make, name in ((CategoricalCrossentropy, "class_weights"), (BinaryCrossentropy, "positive_weight"))
                for value in ({0: 1.0, 1: 2.0}, {1.0, 2.0}, [], "12", b"12", np.array(2.0))
            ],
            (CategoricalCrossentropy, "class_weights", 2.0, "must be a list of numbers, got 2.0"),
            (CategoricalCrossentropy, "class_weights", object(), "must be a list of numbers, got <object"),
            *[
                (make, f"every number in {name}", value, "must be a number of at least 0, got")
                for make, name in ((CategoricalCrossentropy, "class_weights"), (BinaryCrossentropy, "positive_weight"))
                for value in ([1.0, -1.0], [1.0, nan], [np.inf], ["1"], [[1.0, 2.0]], [True], [None])
            ],
            *[
                (BinaryCrossentropy, "positive_weight", value, "must be a number of at least 0, got")
                for value in (-1, nan, np.inf, True, object())
            ],
            *[
                (Huber, "delta", value, "must be a positive number, got")
                for value in (0, 0.0, -1.0, nan, np.inf, "1", None, False)
            ],
        ],
    )
    def test_options(self, make, option, value, message):
        with pytest.raises(ConfigurationError, match=rf"^{make.__name__}: {option} {message}"):
            make(**{option.rsplit(" ", 1)[-1]: value})

    def test_lists_of_numbers_become_tuples(self):
        """So that a loss is one value: equal, and with a hash."""
        for given in ([1, 2], (1.0, 2.0), np.array([1.0, 2.0]), np.array([1, 2]), (n for n in (1, 2))):
            assert CategoricalCrossentropy(class_weights=given).class_weights == (1.0, 2.0)
        assert BinaryCrossentropy(positive_weight=[1, 2]) == BinaryCrossentropy(positive_weight=np.array([1.0, 2.0]))
        assert len({CategoricalCrossentropy(class_weights=[1, 2]), CategoricalCrossentropy(class_weights=(1, 2))}) == 1

    WRONG = (
        (
            CategoricalCrossentropy(class_weights=[1, 2], from_logits=True),
            r"2 class_weights for 3 classes; give one for",
        ),
        (
            BinaryCrossentropy(positive_weight=[1, 2], from_logits=True),
            r"2 numbers in positive_weight for outputs of shape \(3,\); give one for each output",
        ),
    )

    @pytest.mark.parametrize(("loss", "message"), WRONG, ids=["classes", "positives"])
    def test_as_many_weights_as_outputs(self, loss, message, backend, array):
        """Which is seen when predictions or a model's first batch are there."""
        p, y = array(np.full((3, 3), 0.5)), array(np.eye(3))
        for ask in (loss.value, loss.gradient):
            with pytest.raises(ConfigurationError, match=f"^{type(loss).__name__}: {message}"):
                ask(p, y)
        calls = ("fit", "evaluate", "train_step", "loss_and_gradients")
        model = nnxp.Model([Linear()], loss=loss, optimizer=SGD(), backend=backend)
        for call in calls:
            with pytest.raises(ConfigurationError, match=f"^{type(loss).__name__}: {message}"):
                getattr(model, call)(p, y, **({"progress": "off"} if call == "fit" else {}))
        assert backend.to_numpy(model.predict(p)).shape == (3, 3)

    def test_positive_weights_want_an_axis_of_outputs(self, array):
        loss = BinaryCrossentropy(positive_weight=[1, 2, 3])
        with pytest.raises(ConfigurationError, match=r"3 numbers in positive_weight for outputs of shape \(\)"):
            loss.value(array([0.5, 0.5, 0.5]), array([1.0, 0.0, 1.0]))

    def test_positive_weights_lie_along_the_last_axis(self, array):
        loss = BinaryCrossentropy(positive_weight=[0.0, 2.0], reduction="sum")
        value = loss.value(array(np.full((1, 3, 2), 0.5)), np.ones((1, 3, 2)))
        assert float(value) == pytest.approx(6 * log(2), rel=ROUNDINGS)

    @pytest.mark.parametrize("weight", [np.float32(2.0), np.int64(2), 2])
    def test_a_positive_weight_is_a_float(self, weight):
        assert type(BinaryCrossentropy(positive_weight=weight).positive_weight) is float

    @pytest.mark.parametrize(
        ("loss", "threshold"),
        [(BCE, 0.5), (BinaryCrossentropy(from_logits=True), 0.0), (HINGE, 0.0), (MSE, 0.5)],
        ids=str,
    )
    def test_threshold(self, loss, threshold):
        assert loss.threshold == threshold

    def test_no_option_is_plain(self, array):
        """Neither smoothing by 0 nor a positive weight of None adds an op."""
        for loss in (CategoricalCrossentropy(label_smoothing=0), BCE):
            assert loss.target_records() == ()
            assert [step.op for step in loss.value_records()] == [loss.op]
        assert BCE.op == "binary_crossentropy"
