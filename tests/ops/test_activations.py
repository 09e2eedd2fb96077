"""Activations against formulas in Python's own float64, at their kinks, in their tails, and at infinity."""

import decimal
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from nnxp import layers
from nnxp.errors import ConfigurationError
from nnxp.ops.reference.special import normal_cdf, normal_pdf

ONE_BY_ONE = True

LEAK, ALPHA = 0.2, 0.7
LEVEL = 1.0507009873554804934 * 1.6732632423543772848
INFINITY = float("inf")


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def pdf(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def cubic(x: float) -> float:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def sech2(x: float) -> float:
    return 1 / math.cosh(x) ** 2


@dataclass(frozen=True)
class Curve:
    """An op of one number: its layer, its formula and its slope, and both at -∞ and ∞."""

    make: Callable[[], layers.Layer]
    value: Callable[[float], float]
    slope: Callable[[float], float]
    ends: tuple[float, float]
    end_slopes: tuple[float, float]
    kinks: tuple[float, ...] = ()


CURVES = {
    "relu": Curve(layers.ReLU, lambda x: max(x, 0), lambda x: x > 0, (0, INFINITY), (0, 1), (0,)),
    "leaky_relu": Curve(
        lambda: layers.LeakyReLU(LEAK),
        lambda x: max(x, LEAK * x),
        lambda x: 1 if x > 0 else LEAK,
        (-INFINITY, INFINITY),
        (LEAK, 1),
        (0,),
    ),
    "elu": Curve(
        lambda: layers.ELU(ALPHA),
        lambda x: x if x > 0 else ALPHA * math.expm1(x),
        lambda x: 1 if x > 0 else ALPHA * math.exp(x),
        (-ALPHA, INFINITY),
        (0, 1),
        (0,),
    ),
    "selu": Curve(
        layers.SELU,
        lambda x: 1.0507009873554804934 * x if x > 0 else LEVEL * math.expm1(x),
        lambda x: 1.0507009873554804934 if x > 0 else LEVEL * math.exp(x),
        (-LEVEL, INFINITY),
        (0, 1.0507009873554804934),
        (0,),
    ),
    "sigmoid": Curve(layers.Sigmoid, sigmoid, lambda x: sigmoid(x) * sigmoid(-x), (0, 1), (0, 0)),
    "hard_sigmoid": Curve(
        layers.HardSigmoid,
        lambda x: min(max((x + 3) / 6, 0), 1),
        lambda x: 1 / 6 if abs(x) < 3 else 0,
        (0, 1),
        (0, 0),
        (-3, 3),
    ),
    "tanh": Curve(layers.Tanh, math.tanh, sech2, (-1, 1), (0, 0)),
    "hard_tanh": Curve(layers.HardTanh, lambda x: min(max(x, -1), 1), lambda x: abs(x) < 1, (-1, 1), (0, 0), (-1, 1)),
    "softsign": Curve(layers.Softsign, lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2, (-1, 1), (0, 0)),
    "softplus": Curve(layers.Softplus, lambda x: math.log1p(math.exp(x)), sigmoid, (0, INFINITY), (0, 1)),
    "step": Curve(layers.Step, lambda x: x > 0, lambda x: 0, (0, 1), (0, 0), (0,)),
    "silu": Curve(
        layers.SiLU,
        lambda x: x * sigmoid(x),
        lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
        (0, INFINITY),
        (0, 1),
    ),
    "mish": Curve(
        layers.Mish,
        lambda x: x * math.tanh(math.log1p(math.exp(x))),
        lambda x: math.tanh(math.log1p(math.exp(x))) + x * sigmoid(x) * sech2(math.log1p(math.exp(x))),
        (0, INFINITY),
        (0, 1),
    ),
    "gelu": Curve(layers.GELU, lambda x: x * cdf(x), lambda x: cdf(x) + x * pdf(x), (0, INFINITY), (0, 1)),
    "gelu_tanh": Curve(
        layers.GELUTanh,
        lambda x: x * (1 + math.tanh(cubic(x))) / 2,
        lambda x: (
            (1 + math.tanh(cubic(x))) / 2
            + x * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x) * sech2(cubic(x)) / 2
        ),
        (0, INFINITY),
        (0, 1),
    ),
}
POINTS = [0.0, 1e-20, 1e-5, 0.1, 0.5, 0.9, 1.1, 2.0, 3.1, 5.0, 5.7, 8.0, 20.0]
POINTS = sorted({sign * x for x in POINTS for sign in (-1, 1)})
curves = pytest.mark.parametrize("name", CURVES)


def eps(backend) -> float:
    return float(backend.xp.finfo(backend.dtype).eps)


def value_and_slope(name, x, backend):
    """Forward, and backward with an upstream of 1, as the layer does it."""
    layer = CURVES[name].make()
    layer.build(x.shape[1:], backend)
    y = layer.forward(backend.asarray(x), training=True)
    dx = layer.backward(backend.asarray(np.ones(x.shape)))
    assert y.dtype == dx.dtype == backend.dtype
    return backend.to_numpy(y), backend.to_numpy(dx)


def on_grid(x, backend):
    """What is left of float64 values in the backend's dtype, as float64."""
    return backend.to_numpy(backend.asarray(np.array(x))).astype(np.float64)


def test_every_activation_has_a_curve():
    """Those over rows of classes have tests of their own."""
    made = {type(curve.make()) for curve in CURVES.values()}
    rest = {layers.Softmax, layers.LogSoftmax, layers.Linear}
    assert made | rest == {getattr(layers.activations, name) for name in layers.activations.__all__}


@curves
def test_values_and_slopes(name, typed_backend):
    """To 16 roundings of the value, and of 1 for a slope: it is a sum of terms of that size."""
    backend, curve = typed_backend, CURVES[name]
    x = on_grid([[x for x in POINTS if x not in curve.kinks]], backend)
    y, dx = value_and_slope(name, x, backend)
    np.testing.assert_allclose(y[0], [curve.value(v) for v in x[0]], rtol=16 * eps(backend), atol=2 * eps(backend))
    np.testing.assert_allclose(dx[0], [curve.slope(v) for v in x[0]], rtol=0, atol=16 * eps(backend))


@pytest.mark.parametrize("name", ["softplus", "silu", "mish", "gelu"])
def test_tails_keep_their_digits(name, typed_backend):
    """Where the gate is nearly 0; math.erfc is given a rounded x/√2, which costs it x² roundings."""
    backend, curve = typed_backend, CURVES[name]
    x = on_grid([[-12.0, -11.1, -10.0, -9.3, -7.7, -6.1, -5.0, -4.1]], backend)
    y, dx = value_and_slope(name, x, backend)
    roundings = 16 * eps(backend) + 200 * 2.0**-52
    np.testing.assert_allclose(y[0], [curve.value(v) for v in x[0]], rtol=roundings)
    # the two terms of a slope are of opposite signs, and of about x or x² times its size
    np.testing.assert_allclose(dx[0], [curve.slope(v) for v in x[0]], rtol=4 * roundings)


@curves
@pytest.mark.parametrize("end", [1e30, INFINITY])
def test_far_out(name, end, typed_backend):
    """No NaN where there is a limit, and no warning, which would be an error here."""
    backend, curve = typed_backend, CURVES[name]
    y, dx = value_and_slope(name, np.array([[-end, end]]), backend)
    lines = [slope * x for slope, x in zip(curve.end_slopes, (-end, end), strict=True)]
    values = [line if math.isinf(limit) else limit for limit, line in zip(curve.ends, lines, strict=True)]
    least = 4e-38 if backend.dtype == backend.xp.float32 else 1e-59  # where the sigmoid ends; 1 / (1e30)²
    np.testing.assert_allclose(y[0], values, rtol=4 * eps(backend), atol=least)
    np.testing.assert_allclose(dx[0], curve.end_slopes, rtol=4 * eps(backend), atol=least)


@pytest.mark.parametrize("name", ["silu", "mish", "gelu", "gelu_tanh", "softplus", "elu", "selu", "hard_sigmoid"])
def test_slopes_end_at_zero(name, typed_backend):
    """And so do the values of gates, exactly: nothing small times ∞ is left."""
    y, dx = value_and_slope(name, np.array([[-INFINITY, -1e30]]), typed_backend)
    np.testing.assert_array_equal(dx, [[0, 0]])
    if name in ("silu", "mish", "gelu", "gelu_tanh"):
        np.testing.assert_array_equal(y, [[0, 0]])


@curves
def test_the_smallest_numbers(name, typed_backend):
    """Subnormal inputs, which some libraries take for 0: the slope is one of those beside 0."""
    curve, small = CURVES[name], float(typed_backend.xp.finfo(typed_backend.dtype).smallest_normal) / 8
    y, dx = value_and_slope(name, np.array([[-small, small]]), typed_backend)
    beside = {curve.slope(-1e-30), curve.slope(1e-30)}
    assert np.all(np.isfinite(y))
    for slope in dx[0]:
        assert min(abs(slope - wanted) for wanted in beside) < 4 * eps(typed_backend)


@pytest.mark.parametrize("name", [name for name in CURVES if name != "step"])
def test_nan_stays_nan(name, typed_backend):
    y, _ = value_and_slope(name, np.array([[math.nan, 1.0]]), typed_backend)
    np.testing.assert_array_equal(np.isnan(y), [[True, False]])


@pytest.mark.parametrize("name", ["softsign", "silu", "mish", "gelu", "gelu_tanh", "softplus"])
def test_nan_has_no_slope(name, typed_backend):
    _, dx = value_and_slope(name, np.array([[math.nan, 1.0]]), typed_backend)
    np.testing.assert_array_equal(np.isnan(dx), [[True, False]])


@pytest.mark.parametrize(
    ("name", "x", "slope"),
    [
        ("relu", 0.0, 0),
        ("leaky_relu", 0.0, LEAK),
        ("elu", 0.0, ALPHA),
        ("selu", 0.0, LEVEL),
        ("hard_sigmoid", -3.0, 0),
        ("hard_sigmoid", 3.0, 0),
        ("hard_tanh", -1.0, 0),
        ("hard_tanh", 1.0, 0),
    ],
)
def test_kinks(name, x, slope, typed_backend):
    _, dx = value_and_slope(name, np.array([[x, -x]]), typed_backend)
    np.testing.assert_allclose(dx[0, 0], slope, rtol=eps(typed_backend))


@curves
@pytest.mark.parametrize("batch", [0, 1])
def test_small_batches(name, batch, typed_backend):
    y, dx = value_and_slope(name, np.full((batch, 2, 3), 0.25), typed_backend)
    assert y.shape == dx.shape == (batch, 2, 3)


@curves
def test_inputs_stay(name, typed_backend, random):
    backend, host = typed_backend, random.standard_normal((4, 3))
    x, dy = backend.asarray(host.copy()), backend.asarray(host.copy())
    before = backend.to_numpy(x)
    if isinstance(x, np.ndarray):
        x.flags.writeable = dy.flags.writeable = False
    layer = CURVES[name].make()
    layer.build((3,), backend)
    layer.forward(x, training=True)
    layer.backward(dy)
    np.testing.assert_array_equal(backend.to_numpy(x), before)
    np.testing.assert_array_equal(backend.to_numpy(dy), before)


# -- rows of classes


def log_softmax(x, backend):
    layer = layers.LogSoftmax()
    layer.build((len(x[0]),), backend)
    y = layer.forward(backend.asarray(np.array(x)), training=True)
    dx = layer.backward(backend.asarray(np.arange(1.0, 1 + len(x[0]))[None] + np.zeros((len(x), 1))))
    return backend.to_numpy(y), backend.to_numpy(dx)


def test_log_softmax_of_a_class_that_is_ruled_out(typed_backend):
    y, dx = log_softmax([[0.0, -INFINITY, 0.0]], typed_backend)
    np.testing.assert_allclose(y, [[-math.log(2), -INFINITY, -math.log(2)]], rtol=2 * eps(typed_backend))
    np.testing.assert_allclose(dx, [[1 - 3, 2, 3 - 3]], rtol=0, atol=8 * eps(typed_backend))


def test_log_softmax_of_huge_logits(typed_backend):
    y, dx = log_softmax([[1e30, -1e30], [0.0, -1e4]], typed_backend)
    np.testing.assert_allclose(y, [[0, -2e30], [0, -1e4]], rtol=2 * eps(typed_backend))
    np.testing.assert_array_equal(dx, [[-2, 2], [-2, 2]])


def test_log_softmax_keeps_the_digits_of_small_shares(typed_backend):
    """log(softmax(x)) would be -∞ here."""
    y, _ = log_softmax([[0.0, -1000.0, -2000.0]], typed_backend)
    np.testing.assert_allclose(y, [[0, -1000, -2000]], rtol=2 * eps(typed_backend))


def test_log_softmax_of_nan(typed_backend):
    y, _ = log_softmax([[0.0, math.nan], [0.0, 0.0]], typed_backend)
    np.testing.assert_array_equal(np.isnan(y), [[True, True], [False, False]])


@pytest.mark.parametrize("batch", [0, 1])
def test_log_softmax_of_small_batches(batch, typed_backend):
    y, dx = log_softmax(np.zeros((batch, 3)), typed_backend) if batch else _empty(typed_backend)
    assert y.shape == dx.shape == (batch, 3)


def _empty(backend):
    nothing = backend.asarray(np.zeros((0, 3)))
    y = backend.ops.log_softmax(nothing)
    return y, backend.ops.log_softmax_backward(nothing, y)


# -- the normal distribution


def exact_cdf(x: float) -> float:
    r"""$\Phi(x) = 1/2 + \varphi(x) \sum_k x^{2k+1} / (1 \cdot 3 \cdots (2k+1))$, in as many digits as it takes."""
    with decimal.localcontext() as context:
        context.prec = 60 + int(x * x)
        d = decimal.Decimal(x)
        term = total = d
        k = 1
        while abs(term) > abs(total) * decimal.Decimal(10) ** -context.prec:
            term *= d * d / (2 * k + 1)
            total += term
            k += 1
        two_pi = 8 * (4 * arctan(5) - arctan(239))  # Machin's formula
        return float(decimal.Decimal("0.5") + (-d * d / 2).exp() / two_pi.sqrt() * total)


def arctan(n: int) -> decimal.Decimal:
    """arctan(1/n)."""
    prec = decimal.getcontext().prec
    power, total, k = decimal.Decimal(1) / n, decimal.Decimal(0), 0
    while power > decimal.Decimal(10) ** -(prec + 2):
        total += power / (2 * k + 1) * (-1) ** k
        power, k = power / (n * n), k + 1
    return total


def test_exact_cdf():
    """Against math.erf, where nothing cancels."""
    for x in (-1.0, -0.3, 0.2, 0.66, 2.0, 4.0):
        assert exact_cdf(x) == pytest.approx((1 + math.erf(x / math.sqrt(2))) / 2, rel=1e-15)
    assert exact_cdf(-10.0) == pytest.approx(7.619853024160527e-24, rel=1e-15)


BRANCHES = [-37.0, -25.3, -13.7, -10.0, -7.1, -5.7, -5.6, -3.3, -1.2, -0.7, -0.66, -0.6, -0.1, 0.1, 0.66, 0.7, 3.0, 9.0]


def test_normal_distribution(typed_backend):
    """Five ULP of the result, on both sides of where one approximation ends and the next begins, and in the tail."""
    backend = typed_backend
    least = float(backend.xp.finfo(backend.dtype).smallest_normal)
    x = [v for v in on_grid(BRANCHES, backend) if exact_cdf(v) > least]
    found = backend.to_numpy(normal_cdf(backend.xp, backend.asarray(np.array(x))))
    np.testing.assert_allclose(found, [exact_cdf(v) for v in x], rtol=5 * eps(backend))
    found = backend.to_numpy(normal_pdf(backend.xp, backend.asarray(np.array(x))))
    rounded = eps(backend) + np.square(x) * 2.0**-52  # math.exp is given a rounded square
    np.testing.assert_array_less(np.abs(found / [pdf(v) for v in x] - 1), 4 * rounded)


def test_normal_distribution_against_erf_and_erfc(typed_backend, random):
    """Two thousand points; erf and erfc are given a rounded x/√2."""
    backend = typed_backend
    x = on_grid(random.uniform(-12.0, 6.0, 2000), backend)
    found = backend.to_numpy(normal_cdf(backend.xp, backend.asarray(x)))
    tolerance = 5 * eps(backend) + np.square(x) * 2.0**-52
    np.testing.assert_array_less(np.abs(found / [cdf(v) for v in x] - 1), tolerance)
    np.testing.assert_allclose(found, [(1 + math.erf(v / math.sqrt(2))) / 2 for v in x], rtol=0, atol=2 * eps(backend))


def test_normal_distribution_is_steady(typed_backend):
    """It never falls by more than its error, also where approximations meet."""
    backend = typed_backend
    for border in (-0.66291, 0.66291, -math.sqrt(32), math.sqrt(32)):
        x = border + np.linspace(-1e-3, 1e-3, 400)
        y = backend.to_numpy(normal_cdf(backend.xp, backend.asarray(x))).astype(np.float64)
        assert np.all(np.diff(y) > -5 * eps(backend) * y[1:])


# -- configuration


@pytest.mark.parametrize("value", [0, -0.1, math.nan, INFINITY, "0.1", None])
def test_numbers_that_make_no_activation(value):
    with pytest.raises(ConfigurationError, match=r"^LeakyReLU: negative_slope must be a positive number, got "):
        layers.LeakyReLU(value)
    with pytest.raises(ConfigurationError, match=r"^ELU: alpha must be a positive number, got "):
        layers.ELU(value)


def test_names():
    assert layers.Swish is layers.SiLU
    assert [str(layer) for layer in (layers.LeakyReLU(), layers.ELU(2), layers.GELUTanh())] == [
        "LeakyReLU(0.01)",
        "ELU(2)",
        "GELUTanh()",
    ]


def test_gelu_and_its_approximation_differ(typed_backend):
    """By 5e-4 at most, as the docstring says, and by more than rounding: neither stands in for the other."""
    x = typed_backend.asarray(np.linspace(-6, 6, 500))
    ops = typed_backend.ops
    distance = np.abs(typed_backend.to_numpy(ops.gelu(x)) - typed_backend.to_numpy(ops.gelu_tanh(x))).max()
    assert 1e-4 < distance < 5e-4
