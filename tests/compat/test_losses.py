"""The book's losses: one value a sample, their mean, and the gradient, against float64 formulas on every backend."""

import numpy as np
import pytest

from nnxp.compat.nnfs import (
    Activation_Softmax,
    Activation_Softmax_Loss_CategoricalCrossentropy,
    Layer_Dense,
    Loss,
    Loss_BinaryCrossentropy,
    Loss_CategoricalCrossentropy,
    Loss_MeanAbsoluteError,
    Loss_MeanSquaredError,
)

REAL = np.float32([[1.0, 2.0], [3.0, -4.0], [0.5, 0.0]]), np.float32([[0.0, 2.0], [5.0, -1.0], [0.5, -2.0]])
SHARES = np.float32([[0.25, 0.5], [0.75, 0.125], [0.5, 0.9]]), np.array([[1, 0], [0, 1], [1, 1]])
ROWS = np.float32([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75], [0.25, 0.5, 0.25]])
LABELS, ONE_HOT = np.array([0, 2, 1]), np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]])


def surprise(p, y):
    p, y = p.astype(float), y.astype(float)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def binary_slope(p, y):
    p, y = p.astype(float), y.astype(float)
    return (p - y) / (p * (1 - p))


RIGHT = np.float64([0.5, 0.75, 0.5])  # the probabilities of LABELS
CROSS = (lambda p, y: -np.log(RIGHT)), (lambda p, y: -ONE_HOT / RIGHT[:, None] / 3)
CASES = {
    # loss, predictions, targets, one loss a sample, gradient of their mean
    "squared": (
        Loss_MeanSquaredError,
        *REAL,
        lambda p, y: ((p - y) ** 2).mean(axis=1),
        lambda p, y: 2 * (p - y) / p.size,
    ),
    "absolute": (
        Loss_MeanAbsoluteError,
        *REAL,
        lambda p, y: abs(p - y).mean(axis=1),
        lambda p, y: np.sign(p - y) / p.size,
    ),
    "binary": (
        Loss_BinaryCrossentropy,
        *SHARES,
        lambda p, y: surprise(p, y).mean(axis=1),
        lambda p, y: binary_slope(p, y) / p.size,
    ),
    "classes": (Loss_CategoricalCrossentropy, ROWS, LABELS, *CROSS),
    "one-hot": (Loss_CategoricalCrossentropy, ROWS, ONE_HOT, *CROSS),
}
EVERY = pytest.mark.parametrize(("make", "p", "y", "values", "slope"), CASES.values(), ids=CASES)


@EVERY
def test_one_loss_a_sample(make, p, y, values, slope, equal, array):
    equal(make().forward(array(p), array(y)), values(p, y))


@EVERY
def test_calculate_gives_their_mean(make, p, y, values, slope, begun, array):
    """As a NumPy scalar, which the book's scripts print and add."""
    loss = make().calculate(array(p), array(y))
    assert isinstance(loss, np.float32)
    assert loss == pytest.approx(values(p, y).mean(), rel=2e-6)


@EVERY
def test_backward(make, p, y, values, slope, equal, array):
    loss = make()
    loss.backward(array(p), array(y))
    equal(loss.dinputs, slope(p, y))


@EVERY
def test_lists(make, p, y, values, slope, begun):
    loss = make()
    assert loss.calculate(p.tolist(), y.tolist()) == pytest.approx(values(p, y).mean(), rel=2e-6)
    loss.backward(p.tolist(), y.tolist())
    np.testing.assert_allclose(begun.to_numpy(loss.dinputs), slope(p, y), rtol=2e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_of_any_integer_type(dtype, begun):
    labels = LABELS.astype(dtype)
    assert Loss_CategoricalCrossentropy().calculate(ROWS, labels) == pytest.approx(-np.log(RIGHT).mean(), rel=2e-6)


def test_certainty_is_clipped(begun):
    """To 1e-7, so a confident mistake costs 16.1 and a certain success as good as nothing."""
    loss = Loss_CategoricalCrossentropy()
    assert loss.calculate([[0.0, 1.0]], [0]) == pytest.approx(-np.log(1e-7), rel=1e-6)
    assert loss.calculate([[0.0, 1.0]], [1]) == pytest.approx(1e-7, rel=0.2)  # float32 has no number nearer to 1 - 1e-7
    for y, slope in ((0, 1e7), (1, -1e7)):
        binary = Loss_BinaryCrossentropy()
        binary.backward(np.float32([[1.0 - y]]), [[y]])
        assert begun.to_numpy(binary.dinputs)[0, 0] == pytest.approx(slope, rel=0.2)


# -- penalties


def layers():
    rates = {"weight_regularizer_l1": 0.5, "weight_regularizer_l2": 2, "bias_regularizer_l1": 4}
    first, second = Layer_Dense(2, 2, **rates, bias_regularizer_l2=8), Layer_Dense(2, 1, weight_regularizer_l2=1)
    first.set_parameters([[1.0, -2.0], [0.0, 0.5]], [[0.25, -0.5]])
    second.set_parameters([[3.0], [1.0]], [[7.0]])
    return first, second


FIRST, SECOND = 0.5 * 3.5 + 2 * 5.25 + 4 * 0.75 + 8 * 0.3125, 10.0


def test_penalty_of_a_layer(begun):
    """λ₁·Σ|w| + λ₂·Σw², exact here."""
    first, second = layers()
    assert Loss_MeanSquaredError().regularization_loss(first) == FIRST
    assert Loss_MeanSquaredError().regularization_loss(second) == SECOND
    assert Loss_MeanSquaredError().regularization_loss(Layer_Dense(2, 2)) == 0


def test_penalties_of_remembered_layers(begun):
    loss = Loss_MeanSquaredError()
    assert loss.regularization_loss() == 0
    loss.remember_trainable_layers(layers())
    assert loss.regularization_loss() == FIRST + SECOND
    data, penalty = loss.calculate([[1.0]], [[3.0]], include_regularization=True)
    assert (data, penalty) == (4, FIRST + SECOND)
    assert loss.calculate([[1.0]], [[3.0]]) == 4


# -- over a pass


def test_accumulates_over_samples(begun):
    """Batches of two sizes: the mean over samples, not over batches."""
    loss = Loss_MeanSquaredError()
    loss.new_pass()
    loss.calculate([[1.0], [2.0], [3.0]], [[0.0], [0.0], [0.0]])
    loss.calculate([[4.0]], [[0.0]])
    assert loss.calculate_accumulated() == pytest.approx(30 / 4)
    loss.remember_trainable_layers(layers())
    assert loss.calculate_accumulated(include_regularization=True) == (pytest.approx(30 / 4), FIRST + SECOND)
    loss.new_pass()
    loss.calculate([[4.0]], [[0.0]])
    assert loss.calculate_accumulated() == 16


# -- softmax with its loss

Z = np.float32([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5], [0.0, 0.0, 0.0]])


def softmax(z):
    e = np.exp(z.astype(float))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("y", [LABELS, ONE_HOT], ids=["classes", "one-hot"])
def test_softmax_with_its_loss(y, begun, equal, array):
    both = Activation_Softmax_Loss_CategoricalCrossentropy()
    loss = both.forward(array(Z), array(y))
    p = softmax(Z)
    assert loss == pytest.approx(-np.log(p[range(3), LABELS]).mean(), rel=2e-6)
    equal(both.output, p)
    both.backward(both.output, array(y))
    equal(both.dinputs, (p - ONE_HOT) / 3)


def test_both_ways_back_agree(begun, equal, array):
    """The combined class, and the softmax behind the loss."""
    both, activation, loss = (
        Activation_Softmax_Loss_CategoricalCrossentropy(),
        Activation_Softmax(),
        Loss_CategoricalCrossentropy(),
    )
    activation.forward(array(Z))
    loss.backward(activation.output, LABELS)
    activation.backward(loss.dinputs)
    both.backward(activation.output, LABELS)
    equal(both.dinputs, begun.to_numpy(activation.dinputs))


def test_backward_changes_none_of_its_arguments(begun):
    p, y = softmax(Z).astype(np.float32), LABELS.copy()
    both = Activation_Softmax_Loss_CategoricalCrossentropy()
    both.backward(p, y)
    np.testing.assert_array_equal(p, softmax(Z).astype(np.float32))
    np.testing.assert_array_equal(y, LABELS)


def test_a_loss_of_the_scripts_own():
    """With ``forward`` and ``backward`` alone, as the book writes one."""

    class Huge(Loss):
        def forward(self, y_pred, y_true):
            return np.mean((y_pred - y_true) ** 4, axis=-1)

        def backward(self, dvalues, y_true):
            self.dinputs = 4 * (dvalues - y_true) ** 3 / len(dvalues)

    loss = Huge()
    assert loss.calculate(np.array([[1.0], [2.0]]), np.array([[0.0], [0.0]])) == 8.5
    loss.backward(np.array([[1.0], [2.0]]), np.array([[0.0], [0.0]]))
    np.testing.assert_array_equal(loss.dinputs, [[2], [16]])
