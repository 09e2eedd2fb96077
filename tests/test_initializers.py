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
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LeCunNormal,
    LeCunUniform,
    Normal,
    Orthogonal,
    TruncatedNormal,
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
    (LeCunUniform(), sqrt(3 / 300)),
    (Uniform(), 0.05),
    (Uniform(-2.0, 2.0), 2.0),
]
NORMAL = [
    (GlorotNormal(), sqrt(2 / (300 + 200))),
    (HeNormal(), sqrt(2 / 300)),
    (LeCunNormal(), sqrt(1 / 300)),
    (Normal(), 0.01),
    (Normal(2.5), 2.5),
]
WITHOUT_TAILS = 0.8796256610342398
"""The standard deviation of N(0, 1) between ±2."""
TRUNCATED = [(TruncatedNormal(), 0.01 * WITHOUT_TAILS), (TruncatedNormal(2.5), 2.5 * WITHOUT_TAILS)]
DEVIATION = [(initializer, limit / sqrt(3)) for initializer, limit in UNIFORM] + NORMAL + TRUNCATED
ORTHOGONAL = [Orthogonal(), Orthogonal(gain=0.5), Orthogonal(sqrt(2))]
RANDOM = [initializer for initializer, _ in DEVIATION] + ORTHOGONAL
ALL = [*RANDOM, Zeros(), Constant(0.25)]


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
    scale = {GlorotUniform: 500 / sum(shape), GlorotNormal: 500 / sum(shape)} | dict.fromkeys(
        [Normal, TruncatedNormal, Uniform], 1
    )
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


def test_zeros():
    np.testing.assert_array_equal(draw(Zeros(), (2, 3)), np.zeros((2, 3)))


def test_constants():
    np.testing.assert_array_equal(draw(Constant(-1.5), (2, 3)), np.full((2, 3), -1.5))
    np.testing.assert_array_equal(draw(Constant(1), (2,)), [1.0, 1.0])


@pytest.mark.parametrize("scale", [0.01, 2.5])
def test_a_normal_without_tails(scale):
    """Within two of the whole normal's deviations; what lay within at once is the plain normal's draw."""
    values, plain = draw(TruncatedNormal(scale)), draw(Normal(scale))
    assert 1.999 * scale < np.abs(values).max() <= 2 * scale
    inside = np.abs(plain) <= 2 * scale
    np.testing.assert_array_equal(values[inside], plain[inside])
    assert 0.04 < 1 - inside.mean() < 0.05  # 4.55 % are drawn again
    assert abs(values[~inside].mean()) < 4 * scale / sqrt(np.sum(~inside))


@pytest.mark.parametrize("gain", [1.0, 0.25, 3.0])
@pytest.mark.parametrize(
    ("shape", "matrix"), [((40, 7), (40, 7)), ((7, 40), (7, 40)), ((9, 9), (9, 9)), ((3, 3, 2, 5), (18, 5))]
)
def test_orthogonal(shape, matrix, gain):
    """Columns at right angles, or rows where there are fewer, each as long as the gain."""
    q = draw(Orthogonal(gain), shape).reshape(matrix)
    q = q if matrix[0] >= matrix[1] else q.T
    # products of at most 40 numbers below 1
    np.testing.assert_allclose(q.T @ q, gain**2 * np.eye(min(matrix)), rtol=0, atol=1e-14 * gain**2)


def test_orthogonal_vectors_and_numbers():
    assert np.linalg.norm(draw(Orthogonal(2.0), (5,))) == pytest.approx(2.0, rel=1e-15)
    assert np.abs(draw(Orthogonal(2.0), ())) == 2.0
    assert {float(draw(Orthogonal(), (1, 1), seed)[0, 0]) for seed in range(20)} == {-1.0, 1.0}


def test_all_orthogonal_matrices_are_equally_likely():
    """Of a matrix of N rows, each element has mean 0 and variance 1/N. Without the signs, LAPACK's first element is
    never positive; four standard errors, and (2 / N²)/n bounds the variance of the mean square."""
    size, count = 3, 2000
    draws = np.array([draw(Orthogonal(), (size, size), seed) for seed in range(count)])
    assert np.abs(draws.mean(axis=0)).max() < 4 / sqrt(size * count)
    assert np.abs((draws**2).mean(axis=0) - 1 / size).max() < 4 * sqrt(2) / size / sqrt(count)
    determinants = np.linalg.det(draws)
    assert abs(np.mean(determinants > 0) - 0.5) < 4 * 0.5 / sqrt(count)


def test_orthogonal_layers_keep_lengths(typed_backend, random):
    network = [Dense(16, weight_initializer=Orthogonal()) for _ in range(20)]
    model = nnxp.Model(network, loss=MeanSquaredError(), optimizer=SGD(), backend=typed_backend)
    model.build((16,))
    x = random.standard_normal((3, 16))
    y = typed_backend.to_numpy(model.predict(typed_backend.asarray(x)))
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)  # 20 roundings, float32


@pytest.mark.parametrize("initializer", ALL, ids=str)
@pytest.mark.parametrize("shape", [(3,), (3, 4), (1, 1), (2, 2, 3, 4)])
def test_shape_and_type(initializer, shape):
    values = draw(initializer, shape)
    assert values.shape == shape
    assert values.dtype == np.float64


@pytest.mark.parametrize("initializer", RANDOM, ids=str)
def test_the_generator_decides(initializer):
    np.testing.assert_array_equal(draw(initializer), draw(initializer))
    assert not np.array_equal(draw(initializer), draw(initializer, seed=1))
    assert len(np.unique(draw(initializer))) > 0.99 * np.prod(SHAPE)


@pytest.mark.parametrize("kind", [Normal, TruncatedNormal, Orthogonal])
@pytest.mark.parametrize("number", [0, -1.0, np.nan, np.inf, "1", None, True])
def test_scale_and_gain_must_be_positive(kind, number):
    name = "gain" if kind is Orthogonal else "scale"
    with pytest.raises(ConfigurationError, match=f"^{kind.__name__}: {name} must be a positive number, got"):
        kind(number)


@pytest.mark.parametrize("value", [np.nan, np.inf, "1", None, True])
def test_a_constant_must_be_finite(value):
    with pytest.raises(ConfigurationError, match="Constant: value must be a finite number, got"):
        Constant(value)


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
