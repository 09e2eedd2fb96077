"""Initial values: their limits, their moments, and where they come from."""

from dataclasses import FrozenInstanceError
from math import sqrt

import numpy as np
import pytest

import nnxp
from nnxp import initializers
from nnxp.backend import Purpose, Rng
from nnxp.errors import ConfigurationError
from nnxp.initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    Normal,
    Ones,
    Uniform,
    Zeros,
    fans,
)
from nnxp.layers import Dense
from nnxp.losses import MeanSquaredError
from nnxp.optimizers import SGD

SHAPE = (300, 200)
# Fans of SHAPE are I = 300 and O = 200; written out, so that swapping them would be seen.
UNIFORM = [
    (GlorotUniform(), sqrt(6 / (300 + 200))),
    (HeUniform(), sqrt(6 / 300)),
    (Uniform(), 0.05),
    (Uniform(-2.0, 2.0), 2.0),
]
NORMAL = [
    (GlorotNormal(), sqrt(2 / (300 + 200))),
    (HeNormal(), sqrt(2 / 300)),
    (Normal(), 0.01),
    (Normal(2.5), 2.5),
]
DEVIATION = [(initializer, limit / sqrt(3)) for initializer, limit in UNIFORM] + NORMAL
ALL = [initializer for initializer, _ in DEVIATION] + [Zeros(), Ones()]


def draw(initializer: Initializer, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return initializer.sample(shape, Rng(seed).generator(Purpose.INITIALIZE))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), (1, 1)),
        ((5,), (5, 5)),
        ((3, 4), (3, 4)),
        ((3, 3, 4, 8), (36, 72)),  # a field of nine places multiplies both
    ],
)
def test_fans(shape, expected):
    assert fans(shape) == expected


def test_every_initializer_is_here():
    public = {getattr(initializers, name) for name in initializers.__all__ if name not in ("Initializer", "fans")}
    assert {type(initializer) for initializer in ALL} == public


@pytest.mark.parametrize(("initializer", "limit"), UNIFORM, ids=str)
def test_uniform_limits(initializer, limit):
    """60,000 draws stay within the limit and come within a thousandth of it, on both sides."""
    values = draw(initializer)
    assert 0.999 * limit < values.max() <= limit
    assert -limit <= values.min() < -0.999 * limit


@pytest.mark.parametrize(("initializer", "deviation"), DEVIATION, ids=str)
def test_moments(initializer, deviation):
    """Within four standard errors: s/√N for the mean, at most s/√2N for the deviation s. The draws are fixed."""
    values = draw(initializer)
    error = deviation / sqrt(values.size)
    assert abs(values.mean()) < 4 * error
    assert abs(values.std() - deviation) < 4 * error / sqrt(2)


@pytest.mark.parametrize(("initializer", "deviation"), DEVIATION, ids=str)
@pytest.mark.parametrize("shape", [(2000, 3), (3, 2000)])
def test_moments_follow_the_fans(initializer, deviation, shape):
    """Variances scale as 1/(I + O), or as 1/I, or not at all."""
    scale = {GlorotUniform: 500 / sum(shape), GlorotNormal: 500 / sum(shape), Normal: 1, Uniform: 1}
    expected = deviation * sqrt(scale.get(type(initializer), 300 / shape[0]))
    assert draw(initializer, shape).std() == pytest.approx(expected, rel=4 / sqrt(2 * 6000))


def test_uniform_between_any_two_numbers():
    """60,000 draws in [2, 3): the mean within four standard errors of 2.5, a width of 1 having deviation 1/√12."""
    values = draw(Uniform(2.0, 3.0))
    assert 2 <= values.min() < 2.001
    assert 2.999 < values.max() < 3
    assert abs(values.mean() - 2.5) < 4 * sqrt(1 / 12 / values.size)


def test_uniform_in_a_layer(typed_backend):
    """Weights and biases are two draws of the layer's generator, cast to the model's dtype."""
    layer = Dense(200, weight_initializer=Uniform(2, 3), bias_initializer=Uniform(-1.0, -0.5))
    model = nnxp.Model([layer], loss=MeanSquaredError(), optimizer=SGD(), backend=typed_backend)
    model.build((300,))
    state = model.state_dict()
    for key, shape, low, high in (("0.weights", (300, 200), 2, 3), ("0.biases", (200,), -1, -0.5)):
        values = state[key]
        assert values.shape == shape
        assert values.dtype == np.dtype(str(typed_backend.dtype).rsplit(".", 1)[-1])
        assert low <= values.min() < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 4 * (high - low) / sqrt(12 * values.size)  # as above
    assert len(np.unique(state["0.biases"])) > 190


@pytest.mark.parametrize(("initializer", "value"), [(Zeros(), 0), (Ones(), 1)], ids=str)
def test_constants(initializer, value):
    np.testing.assert_array_equal(draw(initializer, (2, 3)), [[value] * 3] * 2)


@pytest.mark.parametrize("initializer", ALL, ids=str)
@pytest.mark.parametrize("shape", [(3,), (3, 4), (1, 1), (2, 2, 3, 4)])
def test_shape_and_type(initializer, shape):
    values = draw(initializer, shape)
    assert values.shape == shape
    assert values.dtype == np.float64


@pytest.mark.parametrize("initializer", [initializer for initializer, _ in DEVIATION], ids=str)
def test_the_generator_decides(initializer):
    np.testing.assert_array_equal(draw(initializer), draw(initializer))
    assert not np.array_equal(draw(initializer), draw(initializer, seed=1))
    assert len(np.unique(draw(initializer))) > 0.99 * np.prod(SHAPE)


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, "1", None, True])
def test_scale_must_be_positive(scale):
    with pytest.raises(ConfigurationError, match="Normal: scale must be a positive number, got"):
        Normal(scale)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (0.5, 0.5, r"Uniform: low must be below high, by a finite distance, got 0\.5 and 0\.5\."),
        (1, -1, r"Uniform: low must be below high, by a finite distance, got 1 and -1\."),
        (-1e308, 1e308, r"Uniform: low must be below high, by a finite distance, got -1e\+308 and 1e\+308"),
        (0.1, 0.05, r"Uniform: low must be below high"),
        (np.nan, 1.0, "Uniform: low must be a finite number, got nan"),
        (0.0, np.nan, "Uniform: high must be a finite number, got nan"),
        (-np.inf, 1.0, "Uniform: low must be a finite number, got -inf"),
        (0.0, np.inf, "Uniform: high must be a finite number, got inf"),
        ("0", 1.0, "Uniform: low must be a finite number, got '0'"),
        (0.0, None, "Uniform: high must be a finite number, got None"),
        (False, True, "Uniform: low must be a finite number, got False"),
    ],
)
def test_limits_must_be_two_numbers_in_order(low, high, message):
    with pytest.raises(ConfigurationError, match=message):
        Uniform(low, high)


def test_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Normal().scale = 1.0
    assert Normal(0.5) == Normal(scale=0.5)
    assert len({HeNormal(), HeNormal(), GlorotNormal()}) == 2
