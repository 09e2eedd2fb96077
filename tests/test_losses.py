"""Losses as objects: values, reductions, and what they say of targets that they cannot read."""

from dataclasses import FrozenInstanceError
from math import log, nan

import numpy as np
import pytest

from nnxp import losses
from nnxp.errors import ConfigurationError, DataError, DtypeError, NnxpError, ShapeError
from nnxp.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanAbsoluteError, MeanSquaredError

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
    assert float(value) == pytest.approx(total / divisor, rel=ROUNDINGS)
    assert backend.owns(gradient)
    np.testing.assert_allclose(
        backend.to_numpy(gradient), np.array(slopes) / divisor, rtol=4 * ROUNDINGS, atol=ROUNDINGS / 10
    )


@pytest.mark.parametrize("name", [name for name in losses.__all__ if name != "Loss"])
def test_every_loss_has_values(name):
    assert getattr(losses, name) in {case[0] for case in VALUES}


@pytest.mark.parametrize(("make", "options", "y_pred", "y", "total", "count", "slopes"), VALUES)
def test_host_targets_are_taken(make, options, y_pred, y, total, count, slopes, array):
    """Lists, and NumPy arrays in float64 beside predictions in float32."""
    for targets in (y, np.array(y)):
        assert float(make(**options).value(array(y_pred), targets)) == pytest.approx(total / count, rel=ROUNDINGS)


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


@pytest.mark.parametrize("loss", [CCE, BCE, MSE, MAE], ids=str)
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
    @pytest.mark.parametrize("make", [CategoricalCrossentropy, BinaryCrossentropy, MeanSquaredError, MeanAbsoluteError])
    @pytest.mark.parametrize("reduction", ["none", "MEAN", None, 1])
    def test_reduction(self, make, reduction):
        with pytest.raises(ConfigurationError, match=rf"{make.__name__}: reduction must be one of 'mean', 'sum', got"):
            make(reduction=reduction)

    def test_arguments_have_names(self):
        with pytest.raises(TypeError, match="positional"):
            MeanSquaredError("sum")

    @pytest.mark.parametrize("loss", [CCE, BCE, MSE, MAE], ids=str)
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
        [(CCE, (4, 3), 4), (BCE, (4, 3), 12), (MSE, (4, 3), 12), (MAE, (5, 1), 5), (MSE, (2, 3, 4), 24)],
    )
    def test_divisor(self, loss, shape, divisor):
        assert loss.divisor(shape) == divisor
        assert type(loss)(reduction="sum").divisor(shape) == 1

    @pytest.mark.parametrize(
        ("loss", "targets"), [(CCE, "classes"), (BCE, "binary"), (MSE, "real"), (MAE, "real")], ids=str
    )
    def test_what_targets_are(self, loss, targets):
        assert loss.targets == targets
