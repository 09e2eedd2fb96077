"""The book's optimizers: two updates by hand, the decaying rate, and what is remembered of whom."""

import copy

import numpy as np
import pytest

from nnxp.compat.nnfs import Layer_Dense, Optimizer_Adagrad, Optimizer_Adam, Optimizer_RMSprop, Optimizer_SGD

W, B = np.float32([[1.0, -2.0], [0.5, 0.25]]), np.float32([[0.5, -1.0]])
GRADIENTS = [
    (np.float32([[0.5, 1.0], [-2.0, 0.25]]), np.float32([[1.0, -0.5]])),
    (np.float32([[-1.0, 0.5], [0.5, 0.5]]), np.float32([[0.25, 2.0]])),
]


def sgd(w, g, memory, t, rate):
    return w - rate * g


def momentum(w, g, memory, t, rate):
    memory["v"] = 0.9 * memory.get("v", 0) - rate * g
    return w + memory["v"]


def adagrad(w, g, memory, t, rate):
    memory["c"] = memory.get("c", 0) + g**2
    return w - rate * g / (np.sqrt(memory["c"]) + 1e-4)


def rmsprop(w, g, memory, t, rate):
    memory["c"] = 0.8 * memory.get("c", 0) + 0.2 * g**2
    return w - rate * g / (np.sqrt(memory["c"]) + 1e-4)


def adam(w, g, memory, t, rate):
    memory["m"] = 0.7 * memory.get("m", 0) + 0.3 * g
    memory["c"] = 0.8 * memory.get("c", 0) + 0.2 * g**2
    m, c = memory["m"] / (1 - 0.7 ** (t + 1)), memory["c"] / (1 - 0.8 ** (t + 1))
    return w - rate * m / (np.sqrt(c) + 1e-4)


CASES = [
    (sgd, Optimizer_SGD, {}),
    (momentum, Optimizer_SGD, {"momentum": 0.9}),
    (adagrad, Optimizer_Adagrad, {"epsilon": 1e-4}),
    (rmsprop, Optimizer_RMSprop, {"epsilon": 1e-4, "rho": 0.8}),
    (adam, Optimizer_Adam, {"epsilon": 1e-4, "beta_1": 0.7, "beta_2": 0.8}),
]
EVERY = pytest.mark.parametrize(("rule", "make", "options"), CASES, ids=[rule.__name__ for rule, *_ in CASES])


def layer_at(w=W, b=B):
    layer = Layer_Dense(2, 2)
    layer.set_parameters(w, b)
    return layer


def update(optimizer, *layers, gradients):
    optimizer.pre_update_params()
    for layer in layers:
        layer.dweights, layer.dbiases = gradients
        optimizer.update_params(layer)
    optimizer.post_update_params()


@EVERY
def test_two_updates(rule, make, options, equal):
    """Of two layers with one optimizer, at a falling rate; float64 by hand."""
    optimizer = make(learning_rate=0.1, decay=0.5, **options)
    layers, expected = (layer_at(), layer_at(W[::-1].copy(), -B)), [[W, B], [W[::-1], -B]]
    memories = [[{}, {}], [{}, {}]]
    for t, gradients in enumerate(GRADIENTS):
        update(optimizer, *layers, gradients=gradients)
        for parameters, memory in zip(expected, memories, strict=True):
            parameters[:] = [
                rule(p.astype(float), g.astype(float), m, t, 0.1 / (1 + 0.5 * t))
                for p, g, m in zip(parameters, gradients, memory, strict=True)
            ]
    for layer, (w, b) in zip(layers, expected, strict=True):
        equal(layer.weights, w)
        equal(layer.biases, b)


@EVERY
def test_the_rate_falls(rule, make, options):
    """η / (1 + decay·iterations), set before the update; the first has the whole rate."""
    optimizer, rates = make(learning_rate=0.5, decay=1.0, **options), []
    assert (optimizer.current_learning_rate, optimizer.iterations) == (0.5, 0)
    layer = layer_at()
    for _ in range(3):
        update(optimizer, layer, gradients=GRADIENTS[0])
        rates.append(optimizer.current_learning_rate)
    assert rates == [0.5, 0.25, 0.5 * (1 / 3)]
    assert (optimizer.learning_rate, optimizer.iterations) == (0.5, 3)


@EVERY
def test_without_decay_the_rate_stays(rule, make, options):
    optimizer = make(learning_rate=0.5, **options)
    update(optimizer, layer_at(), gradients=GRADIENTS[0])
    assert optimizer.current_learning_rate == 0.5


@EVERY
def test_float64_gradients_leave_float32_parameters(rule, make, options, begun):
    layer = layer_at()
    update(make(**options), layer, gradients=[g.astype(float) for g in GRADIENTS[0]])
    assert layer.weights.dtype == layer.biases.dtype == begun.dtype


@EVERY
def test_parameters_taken_earlier_stay(rule, make, options, begun):
    """A script keeps the best ones: an update makes new arrays."""
    layer = layer_at()
    kept = layer.get_parameters()
    update(make(**options), layer, gradients=GRADIENTS[0])
    np.testing.assert_array_equal(begun.to_numpy(kept[0]), W)


def test_defaults_move_by_the_rate(begun):
    """The first step of Adagrad and Adam is the rate itself, of RMSprop √10 of it (ρ = 0.9), for gradients of 1."""
    ones = np.ones((2, 2), dtype=np.float32), np.ones((1, 2), dtype=np.float32)
    steps = {Optimizer_SGD: 1.0, Optimizer_Adagrad: 1.0, Optimizer_RMSprop: 0.001 * 10**0.5, Optimizer_Adam: 0.001}
    for make, step in steps.items():
        layer = layer_at(np.zeros((2, 2)), np.zeros((1, 2)))
        update(make(), layer, gradients=ones)
        np.testing.assert_allclose(begun.to_numpy(layer.weights), -step, rtol=2e-6)


def test_momentum_may_be_given_later(equal):
    optimizer, layer = Optimizer_SGD(learning_rate=0.1), layer_at()
    update(optimizer, layer, gradients=GRADIENTS[0])
    optimizer.momentum = 0.9
    update(optimizer, layer, gradients=GRADIENTS[1])
    equal(layer.weights, W - 0.1 * (GRADIENTS[0][0].astype(float) + GRADIENTS[1][0]))


def test_a_deep_copy_goes_on_as_the_original_does():
    layer, optimizer = Layer_Dense(2, 3), Optimizer_Adam(0.1)
    layer.dweights, layer.dbiases = np.ones((2, 3), dtype=np.float32), np.ones((1, 3), dtype=np.float32)
    optimizer.update_params(layer)
    copied, other = copy.deepcopy((layer, optimizer))
    for one, its in ((layer, optimizer), (copied, other)):
        its.post_update_params()
        its.update_params(one)
    np.testing.assert_array_equal(copied.weights, layer.weights)
    assert copied.weights is not layer.weights
