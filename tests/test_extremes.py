"""Shapes, types and values from the edges: what the mathematics makes finite is finite here, and nothing else is NaN.

The judge is the reference in float64, on the same numbers. Where its result is finite and in the range of the tested
type, ours is finite and near it; where it is beyond that range, or infinite, ours is that infinity. Where the judge
itself has NaN (0 · ∞, ∞ - ∞) nothing is asked, but of losses, which have a limit for every finite or infinite
prediction. Of results that sum products, which may leave the range on their way to a result within, it is asked where
the sum of the absolute products is in range. The specification is held to this, and so is each set of kernels.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import nnxp
from nnxp import layers, losses
from nnxp.backend import Backend
from nnxp.layers.convolution import Conv2D
from nnxp.losses import BinaryCrossentropy, CategoricalCrossentropy, KLDivergence, Loss
from nnxp.ops.record import run

INFINITY = float("inf")
PHASES = [Phase.explicit, Phase.generate]
"""No search for smaller examples: those here are small."""
DTYPES = ["float32", "float64"]
KERNELS = ["reference", "numpy", "numba", "cuda", "strict"]

SIZES = [0.0, 1e-45, 1e-40, 1e-30, 1e-3, 0.5, 1.0, 3.0, 20.0, 90.0, 800.0, 1e10, 1e30]
"""Zero, subnormal numbers of float32, the middle, where exponentials leave float32 and float64, and far beyond."""
FINITE = [sign * size for size in SIZES for sign in (1.0, -1.0)]

shapes = st.tuples(st.integers(1, 4), st.integers(1, 5))
"""One row and one class, too."""


def examples(count: int) -> Callable[[Any], Any]:
    return settings(max_examples=count, deadline=None, derandomize=True, database=None, phases=PHASES)


def arrays(shape: tuple[int, ...], values: list[float]) -> st.SearchStrategy[np.ndarray]:
    """Of these values, and of some from the middle."""
    count = int(np.prod(shape))
    element = st.sampled_from(values) | st.sampled_from([-2.5, -1.25, -0.7, 0.3, 1.6, 2.2])
    return st.lists(element, min_size=count, max_size=count).map(lambda values: np.array(values).reshape(shape))


@cache
def backend_of(kernels: str, dtype: str) -> Backend | None:
    """None where numba, or a C++ compiler for the CUDA kernels, is missing."""
    try:
        if kernels == "strict":
            return nnxp.get_backend("array_api_strict", dtype=dtype)
        return nnxp.get_backend("numpy", kernels=kernels, dtype=dtype)
    except nnxp.errors.BackendError:
        return None


def each_backend(dtype: str) -> list[tuple[str, Backend]]:
    return [(name, backend) for name in KERNELS if (backend := backend_of(name, dtype))]


def judge() -> Backend:
    backend = backend_of("reference", "float64")
    assert backend is not None
    return backend


def eps(dtype: str) -> float:
    return float(np.finfo(dtype).eps)


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """The nearest numbers that the tested type has, in float64: both sides read the same."""
    return values.astype(dtype).astype("float64")


def assert_near(found: np.ndarray, expected: np.ndarray, rtol: float, atol: Any, where: str) -> None:
    """By the rule above; ``found`` has the tested type."""
    most = float(np.finfo(found.dtype).max)
    assert found.shape == expected.shape, where
    found = found.astype("float64")
    asked = ~np.isnan(expected)
    beyond = asked & (np.abs(expected) > most)
    with np.errstate(all="ignore"):
        far = asked & ~beyond & ~(np.abs(found - expected) <= atol + rtol * np.abs(expected))
    far |= beyond & (found != np.copysign(INFINITY, expected))
    assert not far.any(), f"{where}: {found[far]}, expected {expected[far]}"


# -- activations

FLAT = ["Step", "ReLU", "HardTanh", "HardSigmoid"]
"""Their slopes are constants, so 0 · ∞ has a value: that of a flat piece is 0, whatever comes from above."""
NAMES = [name for name in layers.activations.__all__ if name not in ("Softmax", "LogSoftmax", "Swish")]
ROWS = ["Softmax", "LogSoftmax"]
MONOTONE = [
    *("ELU", "SELU", "HardSigmoid", "HardTanh", "LeakyReLU", "Linear", "ReLU", "Sigmoid"),
    *("Softplus", "Softsign", "Step", "Tanh"),
]
BOUNDS = {"Sigmoid": (0, 1), "HardSigmoid": (0, 1), "Step": (0, 1), "Tanh": (-1, 1), "HardTanh": (-1, 1)}
BOUNDS |= {"Softsign": (-1, 1), "ReLU": (0, INFINITY), "Softplus": (0, INFINITY)}


def forward_and_backward(layer: layers.Layer, backend: Backend, x: np.ndarray, *dy: np.ndarray) -> list[np.ndarray]:
    """The output, and the input's gradient for each dy."""
    layer.build(x.shape[1:], backend)
    with backend.quiet():
        y = layer.forward(backend.asarray(x, dtype=backend.dtype), training=True)
        results = [backend.to_numpy(y).copy()]
        for upstream in dy:
            dx = layer.backward(backend.asarray(upstream, dtype=backend.dtype))
            results.append(backend.to_numpy(dx).copy())
            layer.forward(backend.asarray(x, dtype=backend.dtype), training=True)
    return results


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
@examples(20)
@given(data=st.data())
def test_activations(name, dtype, data):
    """Values and slopes, by single numbers; slopes round at the size of dy, where 1 is taken from an output near 1."""
    shape = data.draw(shapes)
    x = rounded(data.draw(arrays(shape, [*FINITE, INFINITY, -INFINITY])), dtype)
    dy = rounded(data.draw(arrays(shape, [*FINITE, INFINITY, -INFINITY] if name in FLAT else FINITE)), dtype)
    make = getattr(layers, name)
    wanted_y, wanted_dx = forward_and_backward(make(), judge(), x, dy)
    tiny = 4 * float(np.finfo(dtype).tiny)
    for kernels, backend in each_backend(dtype):
        y, dx = forward_and_backward(make(), backend, x, dy)
        assert not np.isnan(y).any(), (kernels, x)
        assert_near(y, wanted_y, 32 * eps(dtype), tiny, f"{kernels}, y of {x}")
        size = np.where(np.isfinite(dy), np.abs(dy), 0)
        assert_near(dx, wanted_dx, 32 * eps(dtype), 32 * eps(dtype) * size + tiny, f"{kernels}, dx of {x}, {dy}")
        if np.isfinite(x).all():
            assert np.isfinite(y).all(), (kernels, x)
        if np.isfinite(dy).all():
            assert np.isfinite(dx).all(), (kernels, x, dy)
        assert not np.isnan(dx).any(), (kernels, x, dy)
        low, high = BOUNDS.get(name, (-INFINITY, INFINITY))
        assert ((y >= low) & (y <= high)).all(), (kernels, x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MONOTONE)
def test_monotone(name, dtype):
    """From one number to a larger one, up to the roundings of the exponential."""
    ends = [INFINITY, 1e30, 800.0, 100.0, 1e-40]
    x = np.unique([*ends, *(-end for end in ends), *np.linspace(-95, 95, 1501), *np.linspace(-1, 1, 1001)])
    for kernels, backend in each_backend(dtype):
        (y,) = forward_and_backward(getattr(layers, name)(), backend, x[None])
        with np.errstate(invalid="ignore"):
            falls = y[0, :-1] - y[0, 1:] > 4 * eps(dtype) * np.abs(y[0, 1:])
        assert not falls.any(), (kernels, x[:-1][falls])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["Sigmoid", "HardSigmoid", "Tanh", "HardTanh", "Softsign", "Step"])
def test_saturated(name, dtype):
    """No slope is left at both ends, and it is 0, not NaN."""
    x, dy = np.array([[1e30, -1e30, INFINITY, -INFINITY]]), np.array([[1.0, -3.0, 2.0, 1.0]])
    for kernels, backend in each_backend(dtype):
        _, dx = forward_and_backward(getattr(layers, name)(), backend, x, dy)
        assert (np.abs(dx) <= 1e-37).all(), (kernels, dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in layers.activations.__all__ if name != "Step"])
def test_nan_stays(name, dtype):
    x = np.array([[np.nan, 1.0, -1.0]])
    for kernels, backend in each_backend(dtype):
        y, _ = forward_and_backward(getattr(layers, name)(), backend, x, np.ones((1, 3)))
        np.testing.assert_array_equal(np.isnan(y), [[True, name in ROWS, name in ROWS]], err_msg=kernels)


@pytest.mark.parametrize("dtype", DTYPES)
@examples(60)
@given(data=st.data())
def test_softmax(dtype, data):
    """Rows of probabilities, of logits that may rule a class out by -∞; and their logarithms."""
    shape = data.draw(shapes)
    x = rounded(data.draw(arrays(shape, [*FINITE, -INFINITY])), dtype)
    x[:, 0] = np.where(np.isinf(x[:, 0]), 0, x[:, 0])  # of a row of -∞ alone there is no share
    dy = rounded(data.draw(arrays(shape, FINITE)), dtype)
    for make in (layers.Softmax, layers.LogSoftmax):
        wanted_y, wanted_dx = forward_and_backward(make(), judge(), x, dy)
        for kernels, backend in each_backend(dtype):
            y, dx = forward_and_backward(make(), backend, x, dy)
            where, tolerance = f"{kernels}, {make.__name__} of {x}, {dy}", 32 * eps(dtype)
            assert_near(y, wanted_y, tolerance, tolerance, where)
            largest = np.abs(dy).max(axis=1, keepdims=True)
            assert_near(dx, wanted_dx, tolerance, tolerance * largest + 1e-37, where)
            assert not np.isnan(dx).any(), where
            p = y if make is layers.Softmax else np.exp(y)
            assert ((p >= 0) & (p <= 1 + 4 * eps(dtype))).all(), where
            np.testing.assert_allclose(p.sum(axis=1), 1, rtol=16 * eps(dtype), err_msg=where)


# -- losses

LABELS, SOFT, ANSWERS, SHARES, REAL = "labels", "soft", "answers", "shares", "real"
LOSSES: dict[str, tuple[Callable[[int], Loss], list[str]]] = {
    # the loss for so many outputs, and what its targets may be
    "categorical, logits": (lambda k: CategoricalCrossentropy(from_logits=True), [LABELS, SOFT]),
    "categorical, smooth logits": (
        lambda k: CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        [LABELS, SOFT],
    ),
    "categorical, weighted logits": (
        lambda k: CategoricalCrossentropy(from_logits=True, class_weights=[0.0, 2.0, 1e-40, 1.0, 3.0][:k]),
        [LABELS, SOFT],
    ),
    "categorical": (lambda k: CategoricalCrossentropy(), [LABELS, SOFT]),
    "categorical, smooth": (lambda k: CategoricalCrossentropy(label_smoothing=0.1), [LABELS, SOFT]),
    "categorical, weighted": (lambda k: CategoricalCrossentropy(class_weights=[0.0, 2, 1, 3, 1][:k]), [LABELS, SOFT]),
    "divergence, logits": (lambda k: KLDivergence(from_logits=True), [LABELS, SOFT]),
    "divergence": (lambda k: KLDivergence(), [LABELS, SOFT]),
    "binary, logits": (lambda k: BinaryCrossentropy(from_logits=True), [ANSWERS, SHARES]),
    "binary, weighted logits": (
        lambda k: BinaryCrossentropy(from_logits=True, positive_weight=[0.0, 3.0, 1e-40, 1.0, 100.0][:k]),
        [ANSWERS, SHARES],
    ),
    "binary, logits, weight 0": (
        lambda k: BinaryCrossentropy(from_logits=True, positive_weight=0.0),
        [ANSWERS, SHARES],
    ),
    "binary": (lambda k: BinaryCrossentropy(), [ANSWERS, SHARES]),
    "binary, weighted": (lambda k: BinaryCrossentropy(positive_weight=3.0), [ANSWERS, SHARES]),
    "hinge": (lambda k: losses.Hinge(), [ANSWERS]),
    "squared": (lambda k: losses.MeanSquaredError(), [REAL]),
    "absolute": (lambda k: losses.MeanAbsoluteError(), [REAL]),
    "huber": (lambda k: losses.Huber(delta=0.3), [REAL]),
    "log cosh": (lambda k: losses.LogCosh(), [REAL]),
}
TARGETS: dict[str, list[float]] = {
    ANSWERS: [0.0, 1.0],
    SHARES: [0.0, 1.0, 1e-40, 0.25, 1 - 2.0**-24],
    REAL: FINITE,
}


def shares(values: np.ndarray) -> np.ndarray:
    """Rows that sum to 1, with zeros and subnormal numbers in them."""
    values = np.abs(values) + (np.arange(values.shape[1]) == 0) * (values.sum(axis=1, keepdims=True) == 0)
    return values / values.sum(axis=1, keepdims=True)


@st.composite
def predictions_and_targets(draw: Any, kinds: list[str], reads: str) -> tuple[np.ndarray, np.ndarray]:
    rows, outputs = draw(shapes)
    kind = draw(st.sampled_from(kinds))
    if reads == "logits of classes":
        p = draw(arrays((rows, outputs), [*FINITE, -INFINITY]))
        p[:, 0] = np.where(np.isinf(p[:, 0]), 0, p[:, 0])
    elif reads == "shares of classes":
        p = shares(draw(arrays((rows, outputs), [0.0, 0.0, 1e-40, 1e-8, 1.0])))
    elif reads == "shares":
        p = draw(st.lists(st.sampled_from([0.0, 1.0, 1e-40, 1e-8, 0.5, 0.9, 1 - 2.0**-24]), min_size=rows * outputs))
        p = np.array(p[: rows * outputs]).reshape(rows, outputs)
    else:
        p = draw(arrays((rows, outputs), [*FINITE, INFINITY, -INFINITY]))
    if kind == LABELS or (kind == SOFT and outputs == 1):
        return p, np.array(draw(st.lists(st.integers(0, outputs - 1), min_size=rows, max_size=rows)))
    if kind == SOFT:
        return p, shares(draw(arrays((rows, outputs), [0.0, 1e-40, 1e-3, 1.0])))
    y = draw(st.lists(st.sampled_from(TARGETS[kind]), min_size=rows * outputs, max_size=rows * outputs))
    return p, np.array(y).reshape(rows, outputs)


def value_and_gradient(
    loss: Loss, backend: Backend, p: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """As in training, by the backend's own kernels."""
    there = backend.asarray(p, dtype=backend.dtype)
    values = {"y_pred": there, "y": loss.check(y, p.shape, backend, values=True)}
    weighted = weights is not None
    if weighted:
        values["sample_weight"] = backend.asarray(weights, dtype=backend.dtype)
    values |= losses.on_backend(loss.constants(p.shape), backend)
    records = (*loss.value_records(weighted=weighted), *loss.gradient_records(weighted=weighted))
    with backend.quiet():
        run([*loss.target_records(), *records], values, backend.ops)
    return backend.to_numpy(values["data_loss"]), backend.to_numpy(values["dy_pred"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
@examples(25)
@given(data=st.data())
def test_losses(name, dtype, data):
    """Values and gradients. Clipped probabilities: float32 has 1 - 1e-7 to a fifth of its distance from 1."""
    make, kinds = LOSSES[name]
    classes = name.startswith(("categorical", "divergence"))
    reads = {(True, True): "logits of classes", (True, False): "shares of classes"}.get((classes, "logits" in name))
    reads = reads or ("shares" if name in ("binary", "binary, weighted") else "real")
    p, y = data.draw(predictions_and_targets(kinds, reads))
    p, y = rounded(p, dtype), y if y.dtype.kind == "i" else rounded(y, dtype)
    rows = len(p)
    small = 1.0 if name == "squared" else 1e-40  # an overflow has no size that a weight could make small
    weights = data.draw(st.none() | arrays((rows,), [0.0, small, 1.0]).map(np.abs))
    loss = make(p.shape[1])
    wanted_value, wanted = value_and_gradient(loss, judge(), p, y, weights)
    rtol = 0.25 if reads.startswith("shares") and dtype == "float32" else 64 * eps(dtype)
    assert not np.isnan(wanted_value), (p, y)
    assert not np.isnan(wanted).any(), (p, y)
    for kernels, backend in each_backend(dtype):
        value, gradient = value_and_gradient(loss, backend, p, y, weights)
        where = f"{kernels}, of {p}, {y}, {weights}"
        assert not np.isnan(value), where
        assert not np.isnan(gradient).any(), where
        if np.isfinite(p).all() and (name != "squared" or np.abs([p, y]).max() < 1e15):
            assert np.isfinite(value), where
            assert np.isfinite(gradient).all(), where
        assert_near(value, wanted_value, rtol, 64 * eps(dtype), where)
        largest = np.max(np.abs(wanted), where=np.isfinite(wanted), initial=1)
        assert_near(gradient, wanted, rtol, 64 * eps(dtype) * largest, where)


@pytest.mark.parametrize("dtype", DTYPES)
@examples(40)
@given(data=st.data())
def test_infinite_logits_of_yes_and_no(dtype, data):
    """The limit, written out: what is certain and right costs nothing, what is certain and wrong without end; the
    fused op and the rows say the same."""
    shape = data.draw(shapes)
    z = rounded(data.draw(arrays(shape, [0.0, INFINITY, -INFINITY, 1e30, -1e30])), dtype)
    y = rounded(np.abs(data.draw(arrays(shape, [0.0, 1.0]))).clip(0, 1), dtype)
    with np.errstate(all="ignore"):
        yes, no = (y * np.logaddexp(0, -z), (1 - y) * np.logaddexp(0, z))
    wanted = np.where(y > 0, yes, 0) + np.where(y < 1, no, 0)
    with np.errstate(over="ignore"):
        slope = 1 / (1 + np.exp(-z)) - y
    tolerance = 32 * eps(dtype)
    for kernels, backend in each_backend(dtype):
        there, targets = (backend.asarray(a, dtype=backend.dtype) for a in (z, y))
        with backend.quiet():
            value = backend.ops.binary_crossentropy_from_logits(there, targets, 1.0)
            rows = backend.ops.binary_crossentropy_from_logits_rows(there, targets)
            p, fused, dz = (backend.to_numpy(a) for a in backend.ops.sigmoid_binary_crossentropy(there, targets, 1.0))
        where = f"{kernels}, of {z}, {y}"
        for found in (backend.to_numpy(value), fused):
            assert_near(np.asarray(found), wanted.sum(), tolerance, tolerance, where)
        assert_near(backend.to_numpy(rows), wanted.sum(axis=1), tolerance, tolerance, where)
        assert_near(dz, slope, tolerance, tolerance, where)
        assert ((p >= 0) & (p <= 1)).all(), where


@pytest.mark.parametrize("dtype", DTYPES)
@examples(40)
@given(data=st.data())
def test_logits_and_probabilities_cost_the_same(dtype, data):
    """Where no probability is near a clip; by the fused op, too."""
    rows, classes = data.draw(shapes)
    z = rounded(data.draw(arrays((rows, classes), [0.0, 1e-40, 1e-30, -5.0, 5.0])), dtype)
    y = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows)))
    answers = np.eye(classes)[y]
    tolerance = 512 * eps(dtype)  # of 1 - p, which is 1/150 at least
    for kernels, backend in each_backend(dtype):
        there, labels = backend.asarray(z, dtype=backend.dtype), backend.asarray(y, dtype=backend.integer_dtype)
        hot, ops = backend.asarray(answers, dtype=backend.dtype), backend.ops
        with backend.quiet():
            p, fused, _ = ops.softmax_categorical_crossentropy(there, labels, 1.0)
            several = [fused, ops.categorical_crossentropy_from_logits(there, labels, 1.0)]
            several += [ops.kl_divergence_from_logits(there, labels, 1.0)]
            if classes > 1:  # a probability of 1 is clipped
                several += [ops.categorical_crossentropy(p, labels, 1.0), ops.categorical_crossentropy(p, hot, 1.0)]
            p, fused, _ = ops.sigmoid_binary_crossentropy(there, hot, 1.0)
            binary = [fused, ops.binary_crossentropy_from_logits(there, hot, 1.0), ops.binary_crossentropy(p, hot, 1.0)]
            binary += [ops.weighted_binary_crossentropy_from_logits(there, hot, 1.0, 1.0)]
        for found in (several, binary):
            numbers = [float(value) for value in found]
            np.testing.assert_allclose(numbers, numbers[0], rtol=tolerance, atol=tolerance, err_msg=f"{kernels}, {z}")


# -- normalization


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make", [layers.BatchNorm, layers.LayerNorm, layers.RMSNorm])
@examples(25)
@given(data=st.data())
def test_normalization(make, training, dtype, data):
    """Finite forward and backward; no value is further than √n from the mean; and near the judge where squares are in
    range, up to what rounding the mean of large numbers costs."""
    shape = data.draw(shapes | st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.integers(1, 3)))
    middle = data.draw(st.booleans())
    x = rounded(data.draw(arrays(shape, FINITE[:16] if middle else FINITE)), dtype)
    dy = rounded(data.draw(arrays(shape, FINITE[:16] if middle else FINITE)), dtype)
    wanted = norm_results(make(), judge(), x, dy, training)
    averaged = np.prod(shape[:-1]) if make is layers.BatchNorm else shape[-1]
    for kernels, backend in each_backend(dtype):
        found = norm_results(make(), backend, x, dy, training)
        where = f"{kernels}, of {x}, {dy}"
        assert all(np.isfinite(result).all() for result in found), where
        if training or make is not layers.BatchNorm:
            assert (np.abs(found[0]) <= np.sqrt(averaged) * (1 + 32 * eps(dtype))).all(), where
        if middle:  # nothing above 3, and the root is at least √ε
            tolerance = 4096 * eps(dtype)
            for one, other in zip(found, wanted, strict=True):
                largest = max(np.abs(other).max(), 1 / np.sqrt(1e-7))
                assert_near(one, other, tolerance, tolerance * largest, where)


def norm_results(layer: Any, backend: Backend, x: np.ndarray, dy: np.ndarray, training: bool) -> tuple[np.ndarray, ...]:
    """Output and gradients."""
    layer.build(x.shape[1:], backend)
    with backend.quiet():
        y = layer.forward(backend.asarray(x, dtype=backend.dtype), training=training)
        dx = layer.backward(backend.asarray(dy, dtype=backend.dtype))
    return tuple(backend.to_numpy(a).copy() for a in (y, dx, *layer.gradients().values()))


# -- images

images = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 5), st.integers(1, 2))
WINDOWS = [((1, 1), (1, 1), "valid"), ((2, 2), (2, 2), "same"), ((2, 3), (1, 2), "same"), ((2, 2), (1, 1), (1, 1))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [layers.MaxPool2D, layers.AveragePool2D])
@examples(20)
@given(data=st.data())
def test_pooling(make, dtype, data):
    """Infinite pixels, and gradients, go to their own places alone. A sum of pixels rounds at the largest of them."""
    shape, (window, strides, padding) = data.draw(images), data.draw(st.sampled_from(WINDOWS))
    x = rounded(data.draw(arrays(shape, [*FINITE, INFINITY, -INFINITY])), dtype)
    layer = make(window, strides=strides, padding=padding)
    out = layer.build(shape[1:], judge())
    dy = rounded(data.draw(arrays((shape[0], *out), [*FINITE, INFINITY, -INFINITY])), dtype)
    wanted = forward_and_backward(layer, judge(), x, dy)
    sizes = [np.max(np.abs(a), where=np.isfinite(a), initial=0) for a in (x, dy)]
    for kernels, backend in each_backend(dtype):
        found = forward_and_backward(make(window, strides=strides, padding=padding), backend, x, dy)
        for one, other, size in zip(found, wanted, sizes, strict=True):
            atol = 16 * eps(dtype) * size + float(np.finfo(dtype).tiny)
            assert_near(one, other, 16 * eps(dtype), atol, f"{kernels}, of {x}, {dy}, {window}, {strides}, {padding}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [layers.GlobalAveragePool1D, layers.GlobalAveragePool2D])
@examples(15)
@given(data=st.data())
def test_global_pooling(make, dtype, data):
    shape = data.draw(images)
    shape = shape[:1] + shape[2:] if make is layers.GlobalAveragePool1D else shape
    x, dy = (rounded(data.draw(arrays(s, FINITE)), dtype) for s in (shape, (shape[0], shape[-1])))
    wanted = forward_and_backward(make(), judge(), x, dy)
    for kernels, backend in each_backend(dtype):
        found = forward_and_backward(make(), backend, x, dy)
        for one, other, size in zip(found, wanted, (x, dy), strict=True):
            atol = 32 * eps(dtype) * np.abs(size).max() + float(np.finfo(dtype).tiny)
            assert_near(one, other, 32 * eps(dtype), atol, f"{kernels}, of {x}, {dy}")


@pytest.mark.parametrize("dtype", DTYPES)
@examples(30)
@given(data=st.data())
def test_convolution(dtype, data):
    """Results and gradients, each to the roundings of the sum of its absolute products, where that is in range."""
    shape, (window, strides, padding) = data.draw(images), data.draw(st.sampled_from(WINDOWS[1:]))
    x = rounded(data.draw(arrays(shape, FINITE)), dtype)
    filters = data.draw(st.integers(1, 2))
    weights = rounded(data.draw(arrays((*window, shape[-1], filters), FINITE[:-2])), dtype)
    if padding == "valid" or min(shape[1:3]) < 1:
        return
    how = {"strides": strides, "padding": padding}
    out = Conv2D(filters, window, **how).build(shape[1:], judge())
    dy = rounded(data.draw(arrays((shape[0], *out), FINITE[:-2])), dtype)
    wanted = convolved(Conv2D(filters, window, **how), judge(), x, weights, dy)
    sizes = convolved(Conv2D(filters, window, **how), judge(), np.abs(x), np.abs(weights), np.abs(dy))
    for kernels, backend in each_backend(dtype):
        found = convolved(Conv2D(filters, window, **how), backend, x, weights, dy)
        for one, other, size in zip(found, wanted, sizes, strict=True):
            other = np.where(size < np.finfo(dtype).max / 4, other, np.nan)
            atol = 64 * eps(dtype) * size + 64 * float(np.finfo(dtype).tiny)
            assert_near(one, other, 0, atol, f"{kernels}, of {x}, {weights}, {dy}, {how}")


def convolved(layer: Any, backend: Backend, x: np.ndarray, weights: np.ndarray, dy: np.ndarray) -> list[np.ndarray]:
    layer.build(x.shape[1:], backend)
    layer.weights = backend.asarray(weights, dtype=backend.dtype)
    with backend.quiet():
        y = layer.forward(backend.asarray(x, dtype=backend.dtype), training=True)
        dx = layer.backward(backend.asarray(dy, dtype=backend.dtype))
    return [backend.to_numpy(a).copy() for a in (y, dx, *layer.gradients().values())]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_drops_infinities(dtype):
    """What is dropped is 0, whatever it was."""
    x = np.tile([INFINITY, -INFINITY, np.nan, 1e30], (8, 4))
    for kernels, backend in each_backend(dtype):
        y, dx = forward_and_backward(layers.Dropout(0.5), backend, x, x)
        dropped = y == 0
        assert 0 < dropped.sum() < dropped.size, kernels
        np.testing.assert_array_equal(dx[dropped], 0, err_msg=kernels)
        np.testing.assert_array_equal(y[~dropped], (2 * x)[~dropped].astype(dtype), err_msg=kernels)
