"""Penalties in a model: their value and gradient against the formulas in float64, alone and added up."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

import nnxp
from nnxp import regularizers
from nnxp.errors import ConfigurationError
from nnxp.layers import Dense, Sequential, Tanh
from nnxp.losses import MeanSquaredError
from nnxp.optimizers import SGD
from nnxp.regularizers import L1, L1L2, L2

ROWS, INPUTS, OUTPUTS = 6, 3, 2

FORMULAS = {
    # a penalty, its value and its gradient
    L1(0.3): (lambda w: 0.3 * np.abs(w).sum(), lambda w: 0.3 * np.sign(w)),
    L2(0.2): (lambda w: 0.2 * (w**2).sum(), lambda w: 0.4 * w),
    L1L2(0.3, 0.2): (lambda w: 0.3 * np.abs(w).sum() + 0.2 * (w**2).sum(), lambda w: 0.3 * np.sign(w) + 0.4 * w),
    L1L2(0.0, 0.2): (lambda w: 0.2 * (w**2).sum(), lambda w: 0.4 * w),
    L1L2(0.0, 0.0): (lambda w: 0.0, lambda w: 0 * w),
}


@pytest.fixture
def x(random):
    return random.normal(size=(ROWS, INPUTS))


@pytest.fixture
def y(random):
    return random.normal(size=(ROWS, OUTPUTS))


def network(backend, weights=None, biases=None, *, planned=True):
    """Two layers with the same penalties, one of them nested; parameters of both signs, and one that is 0."""
    layers = [
        Sequential([Dense(4, weight_regularizer=weights, bias_regularizer=biases), Tanh()]),
        Dense(OUTPUTS, weight_regularizer=weights, bias_regularizer=biases),
    ]
    model = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD(0.1), backend=backend)
    model.build((INPUTS,))
    model.engine.planned = planned
    random = np.random.default_rng(3)
    state = {key: random.normal(size=array.shape) for key, array in sorted(model.state_dict().items())}
    state["1.weights"][0, 0] = 0.0
    model.load_state_dict(state)
    return model


def eps(backend):
    return float(backend.xp.finfo(backend.dtype).eps)


def test_every_regularizer_is_here():
    kinds = {getattr(regularizers, name) for name in regularizers.__all__}
    assert {type(penalty) for penalty in FORMULAS} == {kind for kind in kinds if not kind.__abstractmethods__}


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("where", ["weights", "biases"])
@pytest.mark.parametrize("penalty", FORMULAS, ids=str)
def test_penalty(penalty, where, planned, typed_backend, x, y):
    """What a penalty adds to the loss and to the gradients, in float64 of the very parameters; three runs, because the
    first goes without buffers. The loss is of order ten and a sum of twenty terms; a gradient of order one."""
    value, gradient = FORMULAS[penalty]
    plain = network(typed_backend)
    penalized = network(typed_backend, **{where: penalty}, planned=planned)
    state = {key: array.astype(np.float64) for key, array in plain.state_dict().items()}
    loss, gradients = plain.loss_and_gradients(x, y)
    added = sum(value(w) for key, w in state.items() if key.endswith(where))
    for _ in range(3):
        loss_with, gradients_with = penalized.loss_and_gradients(x, y)
        assert loss_with.dtype == typed_backend.dtype
        np.testing.assert_allclose(float(loss_with), float(loss) + added, rtol=20 * eps(typed_backend))
        for key, w in state.items():
            expected = gradients[key] + (gradient(w) if key.endswith(where) else 0)
            np.testing.assert_allclose(gradients_with[key], expected, rtol=0, atol=20 * eps(typed_backend), err_msg=key)


def test_a_pair_is_the_sum_of_its_parts(typed_backend, x, y):
    """What L1L2 adds is what L1 adds and what L2 adds; the tolerance as above."""
    plain, l1, l2, both = (
        network(typed_backend, penalty, penalty).loss_and_gradients(x, y)
        for penalty in (None, L1(0.3), L2(0.2), L1L2(0.3, 0.2))
    )
    tolerance = 20 * eps(typed_backend)
    np.testing.assert_allclose(float(both[0]) + float(plain[0]), float(l1[0]) + float(l2[0]), rtol=tolerance)
    for key, gradient in both[1].items():
        np.testing.assert_allclose(gradient + plain[1][key], l1[1][key] + l2[1][key], rtol=0, atol=4 * tolerance)


def test_each_place_has_its_own_rates(backend, x, y):
    """Four parameters, eight rates: none is taken for another."""
    model = nnxp.Model(
        [
            Dense(4, weight_regularizer=L1L2(0.1, 0.2), bias_regularizer=L1L2(0.3, 0.4)),
            Dense(OUTPUTS, weight_regularizer=L1L2(0.5, 0.6), bias_regularizer=L1L2(0.7, 0.8)),
        ],
        loss=MeanSquaredError(),
        optimizer=SGD(),
        backend=backend,
    )
    model.build((INPUTS,))
    model.load_state_dict({key: np.full(a.shape, 0.5) for key, a in model.state_dict().items()})
    logs = model.evaluate(x, y)
    # N parameters of a half cost N·(λ1/2 + λ2/4): 12, 4, 8 and 2 of them; float32.
    expected = 12 * 0.1 + 4 * 0.25 + 8 * 0.4 + 2 * 0.55
    assert logs["loss"] - logs["data_loss"] == pytest.approx(expected, rel=1e-6)


def test_rates_may_be_numbers_of_numpy(backend, x, y):
    """As `numpy.logspace` gives them: the loss stays in the model's dtype."""
    model = network(backend, L2(np.float64(0.1)), L1L2(np.float64(0.2), np.float32(0.3)))
    assert model.train_step(x, y).dtype == backend.dtype


def test_training_with_a_pair_is_the_same_from_a_file(backend, x, y, tmp_path):
    model = network(backend, L1L2(0.01, 0.02), L1L2(0.0, 0.03))
    model.train_step(x, y)
    model.save(tmp_path / "m.safetensors")
    back = nnxp.load(tmp_path / "m.safetensors", backend=backend)
    assert back.layers[1].regularizers() == {"weights": L1L2(0.01, 0.02), "biases": L1L2(0.0, 0.03)}
    for _ in range(2):
        assert float(back.train_step(x, y)) == float(model.train_step(x, y))


def test_penalties_in_order():
    assert L1(0.1).penalties() == (L1(0.1),)
    assert L2(0.1).penalties() == (L2(0.1),)
    assert L1L2(0.1, 0.2).penalties() == (L1(0.1), L2(0.2))


@pytest.mark.parametrize("rate", [-0.1, np.nan, np.inf, "0.1", None, True])
def test_rates_must_not_be_negative(rate):
    for make, argument in ((L1, "rate"), (L2, "rate"), (L1L2, "l1"), (L1L2, "l2")):
        others = {} if argument == "rate" else {"l1": 0.1, "l2": 0.1}
        message = f"{make.__name__}: {argument} must be a number of at least 0, got {rate!r}"
        with pytest.raises(ConfigurationError, match=message):
            make(**others | {argument: rate})


def test_are_frozen():
    for penalty, name in ((L1(0.1), "rate"), (L2(0.1), "rate"), (L1L2(0.1, 0.2), "l1")):
        with pytest.raises(FrozenInstanceError):
            setattr(penalty, name, 1.0)
    assert L1L2(0.1, 0.2) == L1L2(l1=0.1, l2=0.2) != L1L2(0.2, 0.1)
