"""The book's layers and activations: forward and backward against float64 formulas, on every backend."""

import numpy as np
import pytest

import nnxp.compat.nnfs as nnfs
from nnxp.compat.nnfs import (
    Activation_Linear,
    Activation_ReLU,
    Activation_Sigmoid,
    Activation_Softmax,
    Layer_Dense,
    Layer_Dropout,
    Layer_Input,
)


@pytest.fixture(name="X")
def _inputs(random):
    return random.normal(size=(4, 3)).astype(np.float32)


@pytest.fixture(name="dY")
def _gradient(random):
    return random.normal(size=(4, 2)).astype(np.float32)


@pytest.fixture
def dense(begun, random):
    """Three inputs, two outputs, no weight or bias 0."""
    layer = Layer_Dense(3, 2)
    layer.set_parameters(random.normal(size=(3, 2)), random.normal(size=(1, 2)))
    return layer


def wide(backend, *arrays):
    return [backend.to_numpy(a).astype(np.float64) for a in arrays]


# -- dense


def test_starts_small_from_the_legacy_stream(equal):
    """0.01 · N(0, 1), rounded to float32 before and after the product; zero biases in a row."""
    np.random.seed(4)
    layer = Layer_Dense(3, 5)
    equal(layer.weights, np.float32(0.01) * np.random.RandomState(4).randn(3, 5).astype(np.float32), rtol=0, atol=0)
    equal(layer.biases, np.zeros((1, 5)), atol=0)


def test_dense_forward(dense, X, begun, equal, array):
    W, b = wide(begun, dense.weights, dense.biases)
    dense.forward(array(X))
    equal(dense.inputs, X, rtol=0, atol=0)
    equal(dense.output, X @ W + b)


def test_dense_backward(dense, X, dY, begun, equal, array):
    W, _ = wide(begun, dense.weights, dense.biases)
    dense.forward(array(X))
    dense.backward(array(dY))
    equal(dense.dweights, X.T.astype(float) @ dY)
    equal(dense.dbiases, dY.sum(axis=0, keepdims=True, dtype=float))
    equal(dense.dinputs, dY @ W.T)


RATES = {
    "weight_regularizer_l1": 0.25,
    "weight_regularizer_l2": 0.5,
    "bias_regularizer_l1": 2,
    "bias_regularizer_l2": 4,
}


@pytest.mark.parametrize("chosen", [*([name] for name in RATES), list(RATES)], ids="+".join)
def test_penalties_are_in_the_gradient(chosen, X, dY, begun, equal, array):
    """λ·sign w for L1, 2λw for L2; only where a rate was given."""
    rates = dict.fromkeys(RATES, 0) | {name: RATES[name] for name in chosen}
    layer = Layer_Dense(3, 2, **rates)
    W, b = np.float32([[0.5, -0.25], [0.0, 2.0], [-1.5, 1.0]]), np.float32([[-0.5, 0.0]])
    layer.set_parameters(W, b)
    layer.forward(array(X))
    layer.backward(array(dY))
    l1w, l2w, l1b, l2b = rates.values()
    equal(layer.dweights, X.T.astype(float) @ dY + l1w * np.sign(W) + 2 * l2w * W)
    equal(layer.dbiases, dY.sum(axis=0, keepdims=True, dtype=float) + l1b * np.sign(b) + 2 * l2b * b)


def test_lists_and_whole_numbers(dense, begun, equal):
    W, b = wide(begun, dense.weights, dense.biases)
    for rows in ([[1, 2, 3], [-1, 0, 4]], np.array([[1, 2, 3], [-1, 0, 4]]), [(1.0, 2.0, 3.0)]):
        dense.forward(rows)
        equal(dense.output, np.array(rows, dtype=float) @ W + b, rtol=1e-5)
    dense.backward([[1, 2]])
    equal(dense.dweights, np.array([[1, 2], [2, 4], [3, 6]]))


@pytest.mark.parametrize("later", [{}, {"training": True}, {"training": False}], ids=str)
def test_forward_of_early_and_of_late_chapters(later, dense, X, begun, equal, array):
    W, b = wide(begun, dense.weights, dense.biases)
    dense.forward(array(X), **later)
    equal(dense.output, X @ W + b)


def test_a_script_may_set_weights_itself(dense, X, equal, array):
    """Host arrays, in float64: they are read in float32."""
    dense.weights, dense.biases = 0.1 * np.arange(6.0).reshape(3, 2), np.ones((1, 2))
    dense.forward(array(X))
    equal(dense.output, X @ (0.1 * np.arange(6.0).reshape(3, 2)) + 1)


def test_parameters_are_copied_in(begun, equal, dense):
    W, b = np.ones((3, 2), dtype=np.float32), np.zeros((1, 2), dtype=np.float32)
    dense.set_parameters(W, b)
    W += 5
    equal(dense.get_parameters()[0], np.ones((3, 2)))


def test_float64_features_make_float32_products(begun):
    """Features that a script gives in float64 stay so until the product; the gradient is float32 too."""
    layer = Layer_Dense(2, 3)
    layer.forward(np.ones((4, 2)))
    layer.backward(np.ones((4, 3)))
    assert {a.dtype for a in (layer.output, layer.dweights, layer.dinputs)} == {begun.dtype}


# -- activations

Z = np.float32([[-2.0, 0.0, 3.0], [1.0, -0.5, 0.25]])
DY = np.float32([[1.0, -2.0, 0.5], [-1.5, 0.75, 2.0]])


def softmax(z):
    e = np.exp(z.astype(float) - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_slope(z):
    """Row by row with the whole Jacobian, diag(y) - y yᵀ."""
    return np.stack([(np.diag(y) - np.outer(y, y)) @ dy for y, dy in zip(softmax(z), DY.astype(float), strict=True)])


def sigmoid(z):
    return 1 / (1 + np.exp(-z.astype(float)))


ACTIVATIONS = [
    # class, output, dinputs, predictions
    (Activation_ReLU, lambda z: np.maximum(z, 0), lambda z: DY * (z > 0), lambda z: np.maximum(z, 0)),
    (Activation_Linear, lambda z: z, lambda z: DY, lambda z: z),
    (Activation_Sigmoid, sigmoid, lambda z: DY * sigmoid(z) * (1 - sigmoid(z)), lambda z: z > 0),
    (Activation_Softmax, softmax, softmax_slope, lambda z: np.argmax(z, axis=1)),
]


@pytest.mark.parametrize(("make", "output", "slope", "predictions"), ACTIVATIONS)
def test_activations(make, output, slope, predictions, begun, equal, array):
    activation = make()
    activation.forward(array(Z))
    equal(activation.inputs, Z, rtol=0, atol=0)
    equal(activation.output, output(Z))
    activation.backward(array(DY))
    equal(activation.dinputs, slope(Z))
    found = begun.to_numpy(activation.predictions(activation.output))
    np.testing.assert_allclose(found, predictions(Z), rtol=2e-6)


def test_sigmoid_predicts_above_a_half(begun):
    found = Activation_Sigmoid().predictions([[0.5, 0.50001, 0.2]])
    assert found.dtype == begun.integer_dtype
    assert begun.to_numpy(found).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("make", [case[0] for case in ACTIVATIONS])
def test_activations_take_lists_and_the_later_argument(make, equal, begun):
    activation = make()
    activation.forward([[1, -2], [3, 0]], training=True)
    expected = begun.to_numpy(activation.output)
    activation.forward(np.array([[1, -2], [3, 0]]))
    equal(activation.output, expected, rtol=0, atol=0)


def test_large_inputs_neither_overflow_nor_warn(equal, array):
    huge = np.float32([[1e4, -1e4, 0.0]])
    for make, expected in ((Activation_Sigmoid, [[1, 0, 0.5]]), (Activation_Softmax, [[1, 0, 0]])):
        activation = make()
        activation.forward(array(huge))
        equal(activation.output, np.array(expected))


# -- dropout and input


def test_dropout(begun, equal, array):
    """The attribute is the share that is kept; the mask is NumPy's binomial, as in the book; the rest is scaled."""
    layer, x = Layer_Dropout(0.25), np.float32(np.arange(1, 201).reshape(20, 10))
    assert layer.rate == 0.75
    np.random.seed(6)
    mask = np.random.RandomState(6).binomial(1, 0.75, size=(20, 10)) / 0.75
    layer.forward(array(x), training=True)
    equal(layer.output, x * mask)
    layer.backward(array(x[::-1].copy()))
    equal(layer.dinputs, x[::-1] * mask)
    assert 100 < np.count_nonzero(begun.to_numpy(layer.output)) < 190


def test_dropout_draws_anew(begun):
    nnfs.init(begun)
    layer, outputs = Layer_Dropout(0.5), []
    for _ in range(2):
        layer.forward(np.ones((4, 8), dtype=np.float32))
        outputs.append(begun.to_numpy(layer.output))
    assert np.any(outputs[0] != outputs[1])


def test_dropout_outside_training(equal, array):
    """It is the identity, forward and backward, and draws nothing."""
    layer, state = Layer_Dropout(0.5), np.random.get_state()
    layer.forward(array(Z), training=True)
    np.random.set_state(state)
    layer.forward(array(Z), training=False)
    equal(layer.output, Z, rtol=0, atol=0)
    layer.backward(array(DY))
    equal(layer.dinputs, DY, rtol=0, atol=0)
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])
    assert np.random.get_state()[2] == state[2]


def test_early_chapters_dropout_drops(begun):
    """``forward(inputs)`` without the later argument is training."""
    nnfs.init(begun)
    layer = Layer_Dropout(0.5)
    layer.forward(np.ones((4, 8), dtype=np.float32))
    assert set(begun.to_numpy(layer.output).ravel()) == {0.0, 2.0}


def test_no_dropout(equal, array):
    layer = Layer_Dropout(0)
    layer.forward(array(Z))
    equal(layer.output, Z, rtol=0, atol=0)


def test_input(equal, array):
    layer = Layer_Input()
    layer.forward(array(Z), training=True)
    equal(layer.output, Z, rtol=0, atol=0)
