"""Every op of the table, on every backend, against its formula in float64 NumPy: types, devices, layouts, values."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nnxp.backend import Purpose, Rng
from nnxp.ops.reference import FUNCTIONS

ONE_BY_ONE = True

RATE = 0.3
STREAM = Rng(seed=5).stream(Purpose.DROPOUT, step=2)
ROUNDINGS = 32
"""Tolerance in units of the type's eps, relative to the largest result (at least 1): inputs and results are of order
one, an element passes about ten roundings, and a sum here has at most 30 terms."""


@dataclass(frozen=True)
class Draw:
    """Arguments of order one, for a batch of ``batch`` rows."""

    random: np.random.Generator
    batch: int

    def normal(self, *shape: int) -> np.ndarray:
        return self.random.standard_normal(shape)

    def rows(self, *shape: int) -> np.ndarray:
        return self.normal(self.batch, *shape)

    def share(self, *shape: int) -> np.ndarray:
        return self.random.uniform(0.1, 0.9, (self.batch, *shape))

    def positive(self, *shape: int) -> np.ndarray:
        return self.random.uniform(0.1, 1.0, shape)

    def labels(self, classes: int) -> np.ndarray:
        return self.random.integers(0, classes, self.batch)

    def indices(self, limit: int, *shape: int) -> np.ndarray:
        return self.random.integers(0, limit, (self.batch, *shape))

    def one_hot(self, classes: int) -> np.ndarray:
        return np.eye(classes)[self.labels(classes)]

    def shares(self, classes: int) -> np.ndarray:
        """Rows of probabilities; the first class has none."""
        share = self.share(classes)
        share[:, 0] = 0
        return share / share.sum(axis=1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def normal_cdf(x):
    return np.vectorize(lambda x: math.erfc(-x / math.sqrt(2)) / 2)(x)


def normal_pdf(x):
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def mish_slope(x):
    """Written out: e^x·(4(x + 1) + 4e^2x + e^3x + e^x·(4x + 6)) / (2e^x + e^2x + 2)², as the paper has it."""
    e = np.exp(x)
    return e * (4 * (x + 1) + 4 * e**2 + e**3 + e * (4 * x + 6)) / (2 * e + e**2 + 2) ** 2


def cubic(x):
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def gelu_tanh_slope(x):
    t = np.tanh(cubic(x))
    return (1 + t) / 2 + x * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2) * (1 - t**2) / 2


SELU = (1.0507009873554804934193349852946, 1.6732632423543772848170429916717)


def rows_of(y, like):
    """Class indices as rows of probabilities."""
    return np.eye(like.shape[1])[y] if y.ndim == 1 else y


def categorical(p, y, d):
    return -np.sum(rows_of(y, p) * np.log(p)) / d


def categorical_gradient(z, y, d):
    return (softmax(z) - rows_of(y, z)) / d


def binary(p, y, d):
    return -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)) / d


def surprises(p, y):
    """The cross-entropy of each row."""
    return np.array([-np.log(q) @ t for q, t in zip(p, rows_of(y, p), strict=True)])


def divergences(p, y):
    """Σ y·log(y / p) of each row, over the classes that have a share."""
    return np.array(
        [sum(s * np.log(s / r) for s, r in zip(t, q, strict=True) if s) for q, t in zip(p, rows_of(y, p), strict=True)]
    )


def doubts(p, y, r=1.0):
    """-(r·y·log p + (1 - y)·log(1 - p)), element by element."""
    return -np.log(p ** (r * y) * (1 - p) ** (1 - y))


def huber(p, y, delta):
    e = np.abs(p - y)
    return np.where(e <= delta, e**2 / 2, delta * (e - delta / 2))


def log_cosh(p, y):
    return np.log((np.exp(p - y) + np.exp(y - p)) / 2)


def hinge(p, y):
    return np.where(y == 1, np.maximum(0, 1 - p), np.maximum(0, 1 + p))


def row_sums(e):
    return np.array([row.sum() for row in e])


def columns(x):
    """``[…,C] -> [N,C]``."""
    return x.reshape(-1, x.shape[-1])


def normalized(x, mean, variance, epsilon):
    return (x - mean) / np.sqrt(variance + epsilon)


def batch_norm(x, scale, offset, epsilon):
    mean, variance = columns(x).mean(axis=0), columns(x).var(axis=0)
    return scale * normalized(x, mean, variance, epsilon) + offset, mean, variance


def fixed_norm_backward(dy, x, mean, variance, scale, epsilon):
    normal = columns(normalized(x, mean, variance, epsilon))
    dscale = np.einsum("nc,nc->c", columns(dy), normal)
    return dy * scale / np.sqrt(variance + epsilon), dscale, columns(dy).sum(axis=0)


def batch_norm_backward(dy, x, mean, variance, scale, epsilon):
    """The Jacobian matrix of each column, written out."""
    normal = columns(normalized(x, mean, variance, epsilon))
    n, dx = len(normal), np.empty_like(normal)
    for c in range(normal.shape[1]):
        jacobian = np.eye(n) - 1 / n - np.outer(normal[:, c], normal[:, c]) / n
        dx[:, c] = scale[c] / np.sqrt(variance[c] + epsilon) * (jacobian @ columns(dy)[:, c])
    return dx.reshape(x.shape), *fixed_norm_backward(dy, x, mean, variance, scale, epsilon)[1:]


def row_norm_backward(dy, x, scale, epsilon, *, centred):
    """The Jacobian matrix of each row, written out."""
    size = x.shape[-1]
    dx, normal = np.empty_like(columns(x)), np.empty_like(columns(x))
    for b, (row, upstream) in enumerate(zip(columns(x), columns(dy), strict=True)):
        root = np.sqrt((row.var() if centred else (row**2).mean()) + epsilon)
        normal[b] = (row - row.mean() * centred) / root
        jacobian = np.eye(size) - centred / size - np.outer(normal[b], normal[b]) / size
        dx[b] = jacobian @ (scale * upstream) / root
    dscale = np.einsum("nc,nc->c", columns(dy), normal)
    return (dx.reshape(x.shape), dscale, columns(dy).sum(axis=0))[: 2 + centred]


def layer_norm(x, scale, offset, epsilon):
    return scale * normalized(x, x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True), epsilon) + offset


def rms_norm(x, scale, epsilon):
    return scale * x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon)


def embedding_gradient(dy, x, weights):
    dw = np.zeros_like(weights)
    for index, vector in zip(x.ravel(), columns(dy), strict=True):
        dw[index] += vector
    return dw


def soft_targets(y, weights, smoothing):
    rows = rows_of(y, weights[None])
    return np.array(
        [[w * ((1 - smoothing) * t + smoothing / len(row)) for w, t in zip(weights, row, strict=True)] for row in rows]
    )


def dropped(x, rate, stream):
    return np.where(stream.words(x.size).reshape(x.shape) >= rate * 2.0**64, x / (1 - rate), 0)


def momentum(w, g, v, rate, mu):
    return w + mu * v - rate * g, mu * v - rate * g


def nesterov(w, g, v, rate, mu):
    new = mu * v - rate * g
    return w + mu * new - rate * g, new


def adam(w, g, m, v, rate, b1, b2, eps, c1, c2):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    return w - rate * (m / c1) / (np.sqrt(v / c2) + eps), m, v


def adamax(w, g, m, u, rate, b1, b2, eps, c1):
    m, u = b1 * m + (1 - b1) * g, np.maximum(b2 * u, np.abs(g))
    return w - rate / c1 * m / (u + eps), m, u


def nadam(w, g, m, v, rate, b1, b2, eps, of_moment, of_gradient, c2):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    return w - rate * (of_moment * m + of_gradient * g) / (np.sqrt(v / c2) + eps), m, v


def lion(w, g, m, rate, b1, b2):
    return w - rate * np.sign(b1 * m + (1 - b1) * g), b2 * m + (1 - b2) * g


def adadelta(w, g, c, u, rate, rho, eps):
    c = rho * c + (1 - rho) * g**2
    d = g * np.sqrt((u + eps) / (c + eps))
    return w - rate * d, c, rho * u + (1 - rho) * d**2


def clipped_by_parts(g, limit, bounds):
    g = g.copy()
    for start, stop in bounds:
        g[start:stop] *= min(1, limit / np.linalg.norm(g[start:stop]))
    return g


def moved(w, stepped, rates):
    return np.where(rates == 0, w, w + rates * (stepped - w))


def adagrad(w, g, c, rate, eps):
    return w - rate * g / (np.sqrt(c + g**2) + eps), c + g**2


def rmsprop(w, g, c, rate, rho, eps):
    c = rho * c + (1 - rho) * g**2
    return w - rate * g / (np.sqrt(c) + eps), c


def top(p, y, k):
    """Sorted by size; of equal ones the first comes first."""
    best = [sorted(range(p.shape[1]), key=lambda column, row=row: -row[column])[:k] for row in p]
    return sum(label in columns for label, columns in zip(rows_of(y, p).argmax(axis=1), best, strict=True))


def fused_softmax(z, y, d):
    return softmax(z), categorical(softmax(z), y, d), categorical_gradient(z, y, d)


def fused_sigmoid(z, y, d):
    return sigmoid(z), binary(sigmoid(z), y, d), (sigmoid(z) - y) / d


def windows_on(height, width, strides, padding, window=(2, 3)):
    """How many windows fit on an image, down and across."""
    return windows(np.zeros((1, height, width, 1)), window, strides, padding).shape[1:3]


def windows(x, window, strides, padding, fill=0.0):
    """NumPy's view of all windows of the image with its margins; "same" margins as TensorFlow's documentation has them:
    ⌈length / stride⌉ windows, the larger margin at the end."""
    if padding == "same":
        added = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[1:3], window, strides, strict=True)]
        margins = [(n // 2, n - n // 2) for n in added]
    else:
        margins = [(0, 0)] * 2 if padding == "valid" else [(n, n) for n in padding]
    x = np.pad(x, [(0, 0), *margins, (0, 0)], constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(x, window, axis=(1, 2))
    return np.moveaxis(views, 3, -1)[:, :: strides[0], :: strides[1]]


def convolved(x, w, b, strides, padding):
    return np.einsum("brsijc,ijco->brso", windows(x, w.shape[:2], strides, padding), w) + b


def with_largest(dy, x, window, *how):
    """The arguments of max pooling's backward."""
    return dy, x, windows(x, window, *how, fill=-np.inf).max(axis=(3, 4)), window, *how


def put_back(p, size, strides, padding):
    """Every element of every window to the pixel that stands there in windows of the pixels' numbers."""
    batch, channels = p.shape[0], p.shape[5]
    numbers = 1 + np.arange(size[0] * size[1]).reshape(1, *size, 1)
    numbers = windows(numbers, p.shape[3:5], strides, padding)[0, ..., 0]
    x = np.zeros((batch, size[0] * size[1] + 1, channels))
    for place in np.ndindex(numbers.shape):
        x[:, numbers[place]] += p[(slice(None), *place)]
    return x[:, 1:].reshape(batch, *size, channels)


EPSILON = 0.1
"""So large that a batch of one, whose variance is 0, does not magnify roundings."""


def normalizations(*shape: int) -> list[tuple[str, Callable[[Draw], tuple[Any, ...]], Callable[..., Any]]]:
    size = shape[-1]
    return [
        ("batch_norm", lambda a: (a.rows(*shape), a.normal(size), a.normal(size), EPSILON), batch_norm),
        (
            "batch_norm_backward",
            lambda a: (a.rows(*shape), a.rows(*shape), a.normal(size), a.positive(size), a.normal(size), EPSILON),
            batch_norm_backward,
        ),
        (
            "fixed_norm",
            lambda a: (a.rows(*shape), a.normal(size), a.positive(size), a.normal(size), a.normal(size), EPSILON),
            lambda x, mean, variance, scale, offset, e: scale * normalized(x, mean, variance, e) + offset,
        ),
        (
            "fixed_norm_backward",
            lambda a: (a.rows(*shape), a.rows(*shape), a.normal(size), a.positive(size), a.normal(size), EPSILON),
            fixed_norm_backward,
        ),
        ("layer_norm", lambda a: (a.rows(*shape), a.normal(size), a.normal(size), EPSILON), layer_norm),
        (
            "layer_norm_backward",
            lambda a: (a.rows(*shape), a.rows(*shape), a.normal(size), EPSILON),
            lambda *arguments: row_norm_backward(*arguments, centred=True),
        ),
        ("rms_norm", lambda a: (a.rows(*shape), a.normal(size), EPSILON), rms_norm),
        (
            "rms_norm_backward",
            lambda a: (a.rows(*shape), a.rows(*shape), a.normal(size), EPSILON),
            lambda *arguments: row_norm_backward(*arguments, centred=False),
        ),
    ]


ADAM = (0.01, 0.9, 0.99, 1e-7, 1 - 0.9**3, 1 - 0.99**3)
ADAMAX = (0.01, 0.9, 0.999, 1e-7, 1 - 0.9**3)
NADAM = (0.01, 0.9, 0.999, 1e-7, 0.6, 0.5, 1 - 0.999**3)

CASES: list[tuple[str, Callable[[Draw], tuple[Any, ...]], Callable[..., Any]]] = [
    ("matmul", lambda a: (a.rows(3), a.normal(3, 2)), lambda p, q: np.einsum("bi,io->bo", p, q)),
    ("matmul", lambda a: (a.rows(1), a.normal(1, 4)), lambda p, q: p * q),
    ("linear", lambda a: (a.rows(3), a.normal(3, 2), a.normal(2)), lambda x, w, b: np.einsum("bi,io->bo", x, w) + b),
    ("linear", lambda a: (a.rows(1), a.normal(1, 4), a.normal(4)), lambda x, w, b: x * w + b),
    ("linear_bias_gradient", lambda a: (a.rows(2),), lambda dy: np.einsum("bo->o", dy)),
    ("linear_weight_gradient", lambda a: (a.rows(3), a.rows(2)), lambda x, dy: np.einsum("bi,bo->io", x, dy)),
    ("linear_input_gradient", lambda a: (a.rows(2), a.normal(3, 2)), lambda dy, w: np.einsum("bo,io->bi", dy, w)),
    ("linear_input_gradient", lambda a: (a.rows(1), a.normal(3, 1)), lambda dy, w: dy * w.T),
    ("reshape", lambda a: (a.rows(2, 3), (6,)), lambda x, shape: np.array([row.ravel() for row in x])),
    ("reshape", lambda a: (a.rows(6), (3, 2)), lambda x, shape: np.array([[r[:2], r[2:4], r[4:]] for r in x])),
    ("add", lambda a: (a.rows(3), a.rows(3)), lambda p, q: p + q),
    ("add", lambda a: (np.array(1.5), np.array(0.25)), lambda p, q: p + q),
    *[
        case
        for how in (((1, 1), "same"), ((2, 1), "valid"), ((2, 2), (1, 0)))
        for case in (
            ("conv2d", lambda a, how=how: (a.rows(4, 3, 2), a.normal(2, 3, 2, 3), a.normal(3), *how), convolved),
            (
                "conv2d_weight_gradient",
                lambda a, how=how: (a.rows(4, 3, 2), a.rows(*windows_on(4, 3, *how), 3), (2, 3), *how),
                lambda x, dy, window, *how: np.einsum("brsijc,brso->ijco", windows(x, window, *how), dy),
            ),
            (
                "conv2d_input_gradient",
                lambda a, how=how: (a.rows(*windows_on(4, 3, *how), 3), a.normal(2, 3, 2, 3), (4, 3), *how),
                lambda dy, w, size, *how: put_back(np.einsum("brso,ijco->brsijc", dy, w), size, *how),
            ),
            (
                "max_pool2d",
                lambda a, how=how: (a.rows(4, 3, 2), (2, 3), *how),
                lambda x, *how: windows(x, *how, fill=-np.inf).max(axis=(3, 4)),
            ),
            (
                "max_pool2d_backward",
                lambda a, how=how: with_largest(a.rows(*windows_on(4, 3, *how), 2), a.rows(4, 3, 2), (2, 3), *how),
                # no two elements are equal here; ties: test_convolution.py
                lambda dy, x, y, window, *how: put_back(
                    np.where(
                        windows(x, window, *how, fill=-np.inf) == y[:, :, :, None, None],
                        dy[:, :, :, None, None],
                        0,
                    ),
                    (4, 3),
                    *how,
                ),
            ),
            (
                "average_pool2d",
                lambda a, how=how: (a.rows(4, 3, 2), (2, 3), *how),
                lambda x, *how: np.nanmean(windows(x, *how, fill=np.nan), axis=(3, 4)),
            ),
            (
                "average_pool2d_backward",
                lambda a, how=how: (a.rows(*windows_on(4, 3, *how), 2), (4, 3), (2, 3), *how),
                lambda dy, size, window, *how: put_back(
                    (dy / windows(np.ones((1, *size, 1)), window, *how).sum(axis=(3, 4)))[:, :, :, None, None]
                    + np.zeros((*window, 1)),
                    size,
                    *how,
                ),
            ),
        )
    ],
    ("conv2d_bias_gradient", lambda a: (a.rows(3, 2, 4),), lambda dy: np.einsum("brso->o", dy)),
    ("global_average_pool", lambda a: (a.rows(3, 2, 4),), lambda x: np.einsum("brsc->bc", x) / 6),
    ("global_average_pool", lambda a: (a.rows(3, 4),), lambda x: np.einsum("btc->bc", x) / 3),
    (
        "global_average_pool_backward",
        lambda a: (a.rows(4), (3, 2)),
        lambda dy, size: np.einsum("bc,rs->brsc", dy, np.ones(size) / 6),
    ),
    ("relu", lambda a: (a.rows(3),), lambda x: np.where(x > 0, x, 0)),
    ("relu_backward", lambda a: (a.rows(3), np.maximum(a.rows(3), 0)), lambda dy, y: dy * (y > 0)),
    ("leaky_relu", lambda a: (a.rows(3), 0.2), lambda x, s: np.maximum(x, s * x)),
    ("leaky_relu_backward", lambda a: (a.rows(3), a.rows(3), 0.2), lambda dy, y, s: dy * np.where(y > 0, 1, s)),
    ("elu", lambda a: (a.rows(3), 0.7), lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1))),
    (
        "elu_backward",
        lambda a: (a.rows(3), np.maximum(a.rows(3), -0.7), 0.7),
        lambda dy, y, alpha: dy * np.where(y > 0, 1, y + alpha),
    ),
    ("selu", lambda a: (a.rows(3),), lambda x: SELU[0] * np.where(x > 0, x, SELU[1] * (np.exp(x) - 1))),
    (
        "selu_backward",
        lambda a: (a.rows(3), np.maximum(a.rows(3), -1.7)),
        lambda dy, y: dy * np.where(y > 0, SELU[0], y + SELU[0] * SELU[1]),
    ),
    ("sigmoid", lambda a: (3 * a.rows(3),), sigmoid),
    ("sigmoid_backward", lambda a: (a.rows(3), a.share(3)), lambda dy, y: dy * y * (1 - y)),
    ("step", lambda a: (a.rows(3),), lambda x: np.where(x > 0, 1.0, 0.0)),
    ("step_backward", lambda a: (a.rows(3), np.round(a.share(3))), lambda dy, y: 0 * y),
    ("tanh", lambda a: (a.rows(3),), np.tanh),
    ("tanh_backward", lambda a: (a.rows(3), a.share(3)), lambda dy, y: dy * (1 - y**2)),
    ("hard_sigmoid", lambda a: (3 * a.rows(3),), lambda x: np.clip((x + 3) / 6, 0, 1)),
    (
        "hard_sigmoid_backward",
        lambda a: (a.rows(3), np.clip(a.rows(3), 0, 1)),
        lambda dy, y: dy * (y > 0) * (y < 1) / 6,
    ),
    ("hard_tanh", lambda a: (a.rows(3),), lambda x: np.clip(x, -1, 1)),
    ("hard_tanh_backward", lambda a: (a.rows(3), np.clip(a.rows(3), -1, 1)), lambda dy, y: dy * (np.abs(y) < 1)),
    ("softsign", lambda a: (a.rows(3),), lambda x: x / (1 + np.abs(x))),
    ("softsign_backward", lambda a: (a.rows(3), a.rows(3)), lambda dy, x: dy / (1 + np.abs(x)) ** 2),
    ("softplus", lambda a: (a.rows(3),), lambda x: np.log(1 + np.exp(x))),
    ("softplus_backward", lambda a: (a.rows(3), a.share(3)), lambda dy, y: dy * (1 - np.exp(-y))),
    ("silu", lambda a: (a.rows(3),), lambda x: x * sigmoid(x)),
    (
        "silu_backward",
        lambda a: (a.rows(3), a.rows(3)),
        lambda dy, x: dy * (sigmoid(x) + x * sigmoid(x) * (1 - sigmoid(x))),
    ),
    ("mish", lambda a: (a.rows(3),), lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
    ("mish_backward", lambda a: (a.rows(3), a.rows(3)), lambda dy, x: dy * mish_slope(x)),
    ("gelu", lambda a: (2 * a.rows(3),), lambda x: x * normal_cdf(x)),
    (
        "gelu_backward",
        lambda a: (a.rows(3), 2 * a.rows(3)),
        lambda dy, x: dy * (normal_cdf(x) + x * normal_pdf(x)),
    ),
    ("gelu_tanh", lambda a: (a.rows(3),), lambda x: x / 2 * (1 + np.tanh(cubic(x)))),
    ("gelu_tanh_backward", lambda a: (a.rows(3), a.rows(3)), lambda dy, x: dy * gelu_tanh_slope(x)),
    ("softmax", lambda a: (a.rows(4),), softmax),
    ("softmax", lambda a: (a.rows(2, 4),), softmax),
    (
        "softmax_backward",
        lambda a: (a.rows(4), a.shares(4)),
        # the Jacobian matrix of each row, written out
        lambda dy, y: np.array([(np.diag(q) - np.outer(q, q)) @ d for d, q in zip(dy, y, strict=True)]),
    ),
    ("log_softmax", lambda a: (a.rows(4),), lambda x: np.log(softmax(x))),
    ("log_softmax", lambda a: (a.rows(2, 4),), lambda x: np.log(softmax(x))),
    (
        "log_softmax_backward",
        lambda a: (a.rows(4), np.log(a.share(4))),
        lambda dy, y: np.array([d @ (np.eye(4) - np.exp(q)) for d, q in zip(dy, y, strict=True)]),
    ),
    ("squared_error", lambda a: (a.rows(2), a.rows(2), 4.0), lambda p, y, d: np.sum((p - y) ** 2) / d),
    ("squared_error_backward", lambda a: (a.rows(2), a.rows(2), 4.0), lambda p, y, d: 2 * (p - y) / d),
    ("absolute_error", lambda a: (a.rows(2), a.rows(2), 4.0), lambda p, y, d: np.sum(np.abs(p - y)) / d),
    ("absolute_error_backward", lambda a: (a.rows(2), a.rows(2), 4.0), lambda p, y, d: np.sign(p - y) / d),
    *[
        case
        for targets in ("labels", "one_hot", "shares")
        for case in (
            (
                "categorical_crossentropy",
                lambda a, targets=targets: (a.share(4), getattr(a, targets)(4), 3.0),
                categorical,
            ),
            (
                "categorical_crossentropy_backward",
                lambda a, targets=targets: (a.share(4), getattr(a, targets)(4), 3.0),
                lambda p, y, d: -rows_of(y, p) / p / d,
            ),
            (
                "categorical_crossentropy_from_logits",
                lambda a, targets=targets: (a.rows(4), getattr(a, targets)(4), 3.0),
                lambda z, y, d: categorical(softmax(z), y, d),
            ),
            (
                "categorical_crossentropy_from_logits_backward",
                lambda a, targets=targets: (a.rows(4), getattr(a, targets)(4), 3.0),
                categorical_gradient,
            ),
            (
                "softmax_categorical_crossentropy",
                lambda a, targets=targets: (a.rows(4), getattr(a, targets)(4), 3.0),
                fused_softmax,
            ),
        )
    ],
    (
        "categorical_crossentropy_rows",
        lambda a: (a.share(4), a.shares(4)),
        surprises,
    ),
    (
        "categorical_crossentropy_from_logits_rows",
        lambda a: (a.rows(4), a.shares(4)),
        lambda z, y: surprises(softmax(z), y),
    ),
    (
        "kl_divergence",
        lambda a: (a.share(4), a.shares(4), 3.0),
        lambda p, y, d: divergences(p, y).sum() / d,
    ),
    (
        "kl_divergence_backward",
        lambda a: (a.share(4), a.shares(4), 3.0),
        lambda p, y, d: -rows_of(y, p) / p / d,
    ),
    ("kl_divergence_rows", lambda a: (a.share(4), a.shares(4)), divergences),
    (
        "kl_divergence_from_logits",
        lambda a: (a.rows(4), a.shares(4), 3.0),
        lambda z, y, d: divergences(softmax(z), y).sum() / d,
    ),
    (
        "kl_divergence_from_logits_backward",
        lambda a: (a.rows(4), a.shares(4), 3.0),
        categorical_gradient,
    ),
    (
        "kl_divergence_from_logits_rows",
        lambda a: (a.rows(4), a.shares(4)),
        lambda z, y: divergences(softmax(z), y),
    ),
    (
        "soft_targets",
        lambda a: (a.shares(4), a.positive(4), 0.2),
        soft_targets,
    ),
    ("categorical_crossentropy_rows", lambda a: (a.share(4), a.labels(4)), surprises),
    ("kl_divergence_rows", lambda a: (a.share(4), a.labels(4)), divergences),
    (
        "kl_divergence_from_logits",
        lambda a: (a.rows(4), a.labels(4), 3.0),
        lambda z, y, d: categorical(softmax(z), y, d),
    ),
    ("soft_targets", lambda a: (a.labels(4), a.positive(4), 0.2), soft_targets),
    ("binary_crossentropy", lambda a: (a.share(2), a.share(2), 4.0), binary),
    (
        "binary_crossentropy_backward",
        lambda a: (a.share(2), a.share(2), 4.0),
        lambda p, y, d: (p - y) / (p * (1 - p)) / d,
    ),
    (
        "binary_crossentropy_from_logits",
        lambda a: (a.rows(2), a.share(2), 4.0),
        lambda z, y, d: binary(sigmoid(z), y, d),
    ),
    (
        "binary_crossentropy_from_logits_backward",
        lambda a: (a.rows(2), a.share(2), 4.0),
        lambda z, y, d: (sigmoid(z) - y) / d,
    ),
    ("sigmoid_binary_crossentropy", lambda a: (a.rows(2), a.share(2), 4.0), fused_sigmoid),
    ("binary_crossentropy_rows", lambda a: (a.share(2), a.share(2)), lambda p, y: row_sums(doubts(p, y))),
    (
        "binary_crossentropy_from_logits_rows",
        lambda a: (a.rows(2), a.share(2)),
        lambda z, y: row_sums(doubts(sigmoid(z), y)),
    ),
    (
        "weighted_binary_crossentropy",
        lambda a: (a.share(2), a.share(2), 3 * a.positive(2), 4.0),
        lambda p, y, r, d: doubts(p, y, r).sum() / d,
    ),
    (
        "weighted_binary_crossentropy_backward",
        lambda a: (a.share(2), a.share(2), 3 * a.positive(2), 4.0),
        lambda p, y, r, d: ((1 - y) / (1 - p) - r * y / p) / d,
    ),
    (
        "weighted_binary_crossentropy_rows",
        lambda a: (a.share(2), a.share(2), 3 * a.positive(2)),
        lambda p, y, r: row_sums(doubts(p, y, r)),
    ),
    (
        "weighted_binary_crossentropy_from_logits",
        lambda a: (a.rows(2), a.share(2), 3 * a.positive(2), 4.0),
        lambda z, y, r, d: doubts(sigmoid(z), y, r).sum() / d,
    ),
    (
        "weighted_binary_crossentropy_from_logits_backward",
        lambda a: (a.rows(2), a.share(2), 3 * a.positive(2), 4.0),
        lambda z, y, r, d: ((1 - y) * sigmoid(z) - r * y * sigmoid(-z)) / d,
    ),
    (
        "weighted_binary_crossentropy_from_logits_rows",
        lambda a: (a.rows(2), a.share(2), 3 * a.positive(2)),
        lambda z, y, r: row_sums(doubts(sigmoid(z), y, r)),
    ),
    ("squared_error_rows", lambda a: (a.rows(2), a.rows(2)), lambda p, y: row_sums((p - y) ** 2)),
    ("squared_error_rows", lambda a: (a.rows(2, 2), a.rows(2, 2)), lambda p, y: row_sums((p - y) ** 2)),
    ("squared_error_rows", lambda a: (a.rows(), a.rows()), lambda p, y: (p - y) ** 2),
    ("absolute_error_rows", lambda a: (a.rows(2), a.rows(2)), lambda p, y: row_sums(np.abs(p - y))),
    ("huber", lambda a: (a.rows(3), a.rows(3), 0.7, 4.0), lambda p, y, delta, d: huber(p, y, delta).sum() / d),
    (
        "huber_backward",
        lambda a: (a.rows(3), a.rows(3), 0.7, 4.0),
        lambda p, y, delta, d: np.sign(p - y) * np.minimum(np.abs(p - y), delta) / d,
    ),
    ("huber_rows", lambda a: (a.rows(3), a.rows(3), 0.7), lambda p, y, delta: row_sums(huber(p, y, delta))),
    ("log_cosh", lambda a: (a.rows(3), a.rows(3), 4.0), lambda p, y, d: log_cosh(p, y).sum() / d),
    ("log_cosh_backward", lambda a: (a.rows(3), a.rows(3), 4.0), lambda p, y, d: np.tanh(p - y) / d),
    ("log_cosh_rows", lambda a: (a.rows(3), a.rows(3)), lambda p, y: row_sums(log_cosh(p, y))),
    ("hinge", lambda a: (a.rows(3), np.round(a.share(3)), 4.0), lambda p, y, d: hinge(p, y).sum() / d),
    (
        "hinge_backward",
        lambda a: (a.rows(3), np.round(a.share(3)), 4.0),
        lambda p, y, d: np.where(y == 1, -1.0 * (p < 1), 1.0 * (p > -1)) / d,
    ),
    ("hinge_rows", lambda a: (a.rows(3), np.round(a.share(3))), lambda p, y: row_sums(hinge(p, y))),
    ("weighted_sum", lambda a: (a.rows(), a.share(), 4.0), lambda rows, w, d: rows @ w / d),
    ("scale_rows", lambda a: (a.rows(), a.share()), lambda dp, w: dp * w),
    ("scale_rows", lambda a: (a.rows(3), a.share()), lambda dp, w: np.diag(w) @ dp),
    ("scale_rows", lambda a: (a.rows(3, 2), a.share()), lambda dp, w: np.einsum("bij,b->bij", dp, w)),
    *normalizations(2, 1, 3),
    ("moving_average", lambda a: (a.normal(3), a.normal(3), 0.9), lambda old, new, m: new + m * (old - new)),
    ("embedding", lambda a: (a.labels(5), a.normal(5, 3)), lambda x, w: np.array([w[i] for i in x])),
    (
        "embedding",
        lambda a: (a.indices(5, 2, 3), a.normal(5, 3)),
        lambda x, w: np.array([[[w[k] for k in j] for j in i] for i in x]),
    ),
    ("embedding_gradient", lambda a: (a.rows(3), a.labels(5), a.normal(5, 3)), embedding_gradient),
    ("embedding_gradient", lambda a: (a.rows(4, 3), a.indices(2, 4), a.normal(2, 3)), embedding_gradient),
    ("l1", lambda a: (a.normal(3, 2), 0.1), lambda w, rate: rate * np.abs(w).sum()),
    (
        "l1_backward",
        lambda a: (a.normal(3, 2), np.round(a.normal(3, 2)), 0.1),  # rounded: some weights are 0
        lambda dw, w, rate: dw + rate * np.sign(w),
    ),
    ("l2", lambda a: (a.normal(3, 2), 0.1), lambda w, rate: rate * (w**2).sum()),
    ("l2_backward", lambda a: (a.normal(3, 2), a.normal(3, 2), 0.1), lambda dw, w, rate: dw + 2 * rate * w),
    ("dropout", lambda a: (a.rows(5), RATE, STREAM), dropped),
    ("dropout", lambda a: (a.rows(5), RATE, STREAM.skip(3)), dropped),
    ("take_rows", lambda a: (a.normal(6, 2), a.labels(6)), lambda x, index: np.array([x[i] for i in index])),
    ("take_rows", lambda a: (np.arange(6), a.labels(6)), lambda x, index: index),
    ("categorical_matches", lambda a: (a.rows(3), a.labels(3)), lambda p, y: np.sum(p.argmax(axis=1) == y)),
    (
        "categorical_matches",
        lambda a: (a.rows(3), a.one_hot(3)),
        lambda p, y: np.sum(p.argmax(axis=1) == y.argmax(axis=1)),
    ),
    ("top_matches", lambda a: (a.rows(4), a.labels(4), 2), top),
    ("top_matches", lambda a: (np.round(a.rows(4)), a.one_hot(4), 2), top),  # rounded: some are equal
    ("top_matches", lambda a: (np.zeros((a.batch, 4)), a.labels(4), 3), top),
    ("top_matches", lambda a: (a.rows(4), a.labels(4), 9), lambda p, y, k: len(p)),
    ("class_pairs", lambda a: (a.rows(3), a.labels(3)), lambda p, y: 3 * y + p.argmax(axis=1)),
    ("class_pairs", lambda a: (a.rows(3), a.one_hot(3)), lambda p, y: 3 * y.argmax(axis=1) + p.argmax(axis=1)),
    (
        "binary_hits",
        lambda a: (a.share(3), np.round(a.share(3)), 0.4),
        lambda p, y, threshold: (np.sum(y[p > threshold] == 1), np.sum(p > threshold), np.sum(y == 1)),
    ),
    ("moments", lambda a: (a.rows(3),), lambda y: (y.mean(), 0.0, ((y - y.mean()) ** 2).sum())),
    (
        "binary_matches",
        lambda a: (a.share(3), np.round(a.share(3)), 0.4),
        lambda p, y, threshold: sum((q > threshold) == (t == 1) for q, t in zip(p.flat, y.flat, strict=True)),
    ),
    ("tolerance_matches", lambda a: (a.rows(3), a.rows(3), 1.0), lambda p, y, limit: np.sum((p - y) ** 2 < limit**2)),
    ("sgd", lambda a: (a.normal(7), a.normal(7), 0.1), lambda w, g, rate: w - rate * g),
    ("momentum", lambda a: (a.normal(7), a.normal(7), a.normal(7), 0.1, 0.9), momentum),
    ("nesterov", lambda a: (a.normal(7), a.normal(7), a.normal(7), 0.1, 0.9), nesterov),
    ("adam", lambda a: (a.normal(7), a.normal(7), a.normal(7), a.positive(7), *ADAM), adam),
    ("adamax", lambda a: (a.normal(7), a.normal(7), a.normal(7), a.positive(7), *ADAMAX), adamax),
    ("nadam", lambda a: (a.normal(7), a.normal(7), a.normal(7), a.positive(7), *NADAM), nadam),
    ("lion", lambda a: (a.normal(7), a.normal(7), a.normal(7), 0.1, 0.9, 0.99), lion),
    ("adadelta", lambda a: (a.normal(7), a.normal(7), a.positive(7), a.positive(7), 1.0, 0.9, 1e-6), adadelta),
    ("decay_weights", lambda a: (a.normal(7), 0.1, 0.01), lambda w, rate, decay: w * (1 - rate * decay)),
    ("clone", lambda a: (a.normal(7),), lambda w: w),
    ("move", lambda a: (a.normal(7), a.normal(7), np.array([0, 0.1, 0.5, 1, 2, 0, 1.0])), moved),
    ("average", lambda a: (a.normal(7), a.normal(7), 0.9), lambda mean, w, beta: beta * mean + (1 - beta) * w),
    ("clip_norms", lambda a: (a.normal(9), 0.5, ((0, 4), (4, 5), (7, 9))), clipped_by_parts),
    ("clip_norms", lambda a: (a.normal(9), 50.0, ((1, 9),)), lambda g, limit, bounds: g),
    ("clip_norms", lambda a: (a.normal(9), 0.5, ()), lambda g, limit, bounds: g),
    ("adagrad", lambda a: (a.normal(7), a.normal(7), a.positive(7), 0.01, 0.1), adagrad),
    ("rmsprop", lambda a: (a.normal(7), a.normal(7), a.positive(7), 0.01, 0.9, 0.1), rmsprop),
    ("perturb", lambda a: (a.normal(7), a.normal(7), 0.05), lambda w, n, scale: w + scale * n),
    *[
        ("keep_better", lambda a, losses=losses: (a.normal(7), a.normal(7), *map(np.array, losses)), kept)
        for losses, kept in (
            ((1.0, 0.5), lambda w, candidate, *losses: candidate),
            ((0.5, 1.0), lambda w, candidate, *losses: w),
            ((0.5, 0.5), lambda w, candidate, *losses: w),
            ((0.5, np.nan), lambda w, candidate, *losses: w),
            ((0.5, np.inf), lambda w, candidate, *losses: w),
            ((np.inf, 0.5), lambda w, candidate, *losses: candidate),
        )
    ],
    ("clip_value", lambda a: (a.normal(7), 0.5), lambda g, limit: np.minimum(np.maximum(g, -limit), limit)),
    ("clip_norm", lambda a: (a.normal(7), 0.5), lambda g, limit: g * limit / np.linalg.norm(g)),
    ("clip_norm", lambda a: (a.normal(7), 50.0), lambda g, limit: g),
    ("all_finite", lambda a: (a.normal(7),), lambda w: True),
    ("all_finite", lambda a: (np.where(np.arange(7) == 3, np.nan, a.normal(7)),), lambda w: False),
    ("all_finite", lambda a: (np.where(np.arange(7) == 6, -np.inf, a.normal(7)),), lambda w: False),
]
COUNTS = {"binary_hits", "class_pairs"} | {name for name in FUNCTIONS if name.endswith("_matches")}

numbered = pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}-{index}" for index, case in enumerate(CASES)])


def test_every_op_has_a_case():
    assert {name for name, _, _ in CASES} == FUNCTIONS.keys()


def contiguous(backend, a):
    return backend.asarray(a)


def transposed(backend, a):
    """The same values, the first axis varying fastest in memory."""
    stored = backend.asarray(a.T.copy(order="C"))
    return backend.xp.permute_dims(stored, tuple(range(a.ndim))[::-1])


def strided(backend, a):
    """The same values, with a gap after each."""
    if a.ndim == 0:
        return backend.asarray(a)
    return backend.asarray(np.repeat(a, 2, axis=-1))[..., ::2]


def put(backend, a, layout=contiguous):
    """A host array on the backend in its dtype; on NumPy it is read-only, so that a write into it raises."""
    if not isinstance(a, np.ndarray):
        return a
    there = layout(backend, a)
    if isinstance(there, np.ndarray):
        there.flags.writeable = False
    return there


def on_grid(backend, a):
    """The float64 values that are left of ``a`` in the backend's dtype: both sides of a comparison start from them."""
    if not isinstance(a, np.ndarray) or a.dtype.kind != "f":
        return a
    return a.astype(str(backend.dtype).rsplit(".", 1)[-1]).astype(np.float64)


def is_floating(backend, a):
    return hasattr(a, "dtype") and backend.is_floating(a.dtype)


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


def eps(backend):
    return float(backend.xp.finfo(backend.dtype).eps)


@numbered
def test_op(case, typed_backend):
    """In three layouts of memory, for one row and for several: one test, because there are thousands of these."""
    for batch in (1, 5):
        for layout in (contiguous, transposed, strided):
            try:
                assert_op(case, batch, layout, typed_backend)
            except Exception as error:
                error.add_note(f"batch {batch}, {layout.__name__}")
                raise


def assert_op(case, batch, layout, backend):
    """Values, type, device and shape of the results; and the inputs are as they were."""
    name, draw, formula = case
    host = [on_grid(backend, a) for a in draw(Draw(np.random.default_rng(0), batch))]
    arguments = [put(backend, a, layout) for a in host]

    results = as_tuple(getattr(backend.ops, name)(*arguments))

    expected = as_tuple(formula(*host))
    assert len(results) == len(expected)
    for result, wanted in zip(results, map(np.asarray, expected), strict=True):
        assert backend.owns(result) or isinstance(result, np.generic)  # NumPy's 0-d results are scalars
        assert result.device == backend.device
        if name in COUNTS:
            assert backend.xp.isdtype(result.dtype, "integral")
        elif name == "all_finite":
            assert result.dtype == backend.xp.bool
        else:
            assert result.dtype == next((a for a in arguments if is_floating(backend, a)), arguments[0]).dtype
        assert tuple(result.shape) == wanted.shape
        tolerance = ROUNDINGS * eps(backend) * max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(backend.to_numpy(result), wanted, rtol=0, atol=tolerance)
    for a, before in zip(arguments, host, strict=True):
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(backend.to_numpy(a), before, err_msg="an input was written")


@numbered
def test_an_empty_batch(case, backend, random):
    """No rows make no NaN, no warning and no error: plans look at shapes in this way."""
    name, draw, _ = case
    arguments = [put(backend, on_grid(backend, a)) for a in draw(Draw(random, 0))]
    for result in as_tuple(getattr(backend.ops, name)(*arguments)):
        assert result.device == backend.device
        assert np.isfinite(backend.to_numpy(result)).all()


HUGE = np.array([[1e4, -1e4], [-1e4, 1e4], [0.0, -1e4]])


@pytest.fixture
def huge(backend):
    return put(backend, HUGE)


def least(backend):
    """Twice the smallest normal number: the sigmoid ends at e^-87 in float32 and at e^-708 in float64, not at 0."""
    return 2 * float(backend.xp.finfo(backend.dtype).smallest_normal)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("sigmoid", [[1, 0], [0, 1], [0.5, 0]]),
        ("softmax", [[1, 0], [0, 1], [1, 0]]),
        ("tanh", [[1, -1], [-1, 1], [0, -1]]),
    ],
)
def test_activations_saturate(op, expected, backend, huge):
    """Overflow would be an error here: warnings are."""
    y = backend.to_numpy(getattr(backend.ops, op)(huge))
    np.testing.assert_allclose(y, expected, rtol=0, atol=least(backend))


def test_sigmoid_of_very_negative_numbers(typed_backend):
    """It ends at a normal number, so nothing after it computes with subnormal ones; and it never turns back."""
    backend = typed_backend
    x = np.concatenate([[-np.inf, -1e30], np.linspace(-1000, -80, 2000)])
    y = backend.to_numpy(backend.ops.sigmoid(put(backend, x)))
    assert least(backend) / 2 <= y[0] <= least(backend)
    assert np.all(np.diff(y) >= 0)


@pytest.mark.parametrize("targets", [np.array([1, 1, 0]), np.eye(2)[[1, 1, 0]]], ids=["labels", "rows"])
def test_categorical_crossentropy_of_huge_logits(targets, backend, huge):
    """One row is wrong by 2·10⁴, the others are certain and right: 0 · ∞ must not arise."""
    y, ops = put(backend, targets), backend.ops
    gradient = [[1, -1], [0, 0], [0, 0]]
    p, fused, dz = ops.softmax_categorical_crossentropy(huge, y, 1.0)
    assert float(fused) == float(ops.categorical_crossentropy_from_logits(huge, y, 1.0)) == 2e4
    np.testing.assert_array_equal(backend.to_numpy(p), [[1, 0], [0, 1], [1, 0]])
    for result in (dz, ops.categorical_crossentropy_from_logits_backward(huge, y, 1.0)):
        np.testing.assert_array_equal(backend.to_numpy(result), gradient)


@pytest.mark.parametrize("targets", [np.array([1]), np.array([[0.0, 0.5, 0.5]])], ids=["labels", "rows"])
def test_a_class_that_is_ruled_out(targets, backend):
    """A logit of -∞ where the target is 0 costs nothing: 0 · log 0 = 0. NumPy warns of 0 · ∞ before it is put aside."""
    z, y, ops = put(backend, np.array([[-np.inf, 0.0, 0.0]])), put(backend, targets), backend.ops
    with backend.quiet():
        p, fused, dz = ops.softmax_categorical_crossentropy(z, y, 1.0)
        loss = ops.categorical_crossentropy_from_logits(z, y, 1.0)
    assert float(fused) == float(loss) == pytest.approx(np.log(2), rel=4 * eps(backend))  # log, and two sums
    np.testing.assert_array_equal(backend.to_numpy(p), [[0, 0.5, 0.5]])
    np.testing.assert_array_equal(backend.to_numpy(dz)[0, 0], 0)


def test_binary_crossentropy_of_huge_logits(backend, huge):
    y, ops = put(backend, np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])), backend.ops
    expected = 1e4 + np.log(2)
    gradient = [[1, 0], [0, 0], [-0.5, 0]]
    p, fused, dz = ops.sigmoid_binary_crossentropy(huge, y, 1.0)
    np.testing.assert_allclose(backend.to_numpy(p), [[1, 0], [0, 1], [0.5, 0]], rtol=0, atol=least(backend))
    for loss in (fused, ops.binary_crossentropy_from_logits(huge, y, 1.0)):
        assert float(loss) == pytest.approx(expected, rel=eps(backend))  # one rounding, of the sum
    for result in (dz, ops.binary_crossentropy_from_logits_backward(huge, y, 1.0)):
        np.testing.assert_allclose(backend.to_numpy(result), gradient, rtol=0, atol=least(backend))


def test_small_losses_keep_their_digits(typed_backend):
    """log(1 + e^-|z|) by log1p: at z = 12 the naive form has lost two digits of seven."""
    backend = typed_backend
    loss = backend.ops.binary_crossentropy_from_logits(
        put(backend, np.array([[12.0]])), put(backend, np.ones((1, 1))), 1.0
    )
    assert float(loss) == pytest.approx(np.log1p(np.exp(-12.0)), rel=8 * eps(backend))  # exp, log1p and two sums


@pytest.mark.parametrize(
    ("op", "p", "y", "slope"),
    [
        ("categorical_crossentropy", [[0.0, 1.0]], [0], [[-1e7, 0]]),
        ("categorical_crossentropy", [[0.0, 1.0]], [[1.0, 0.0]], [[-1e7, 0]]),
        ("binary_crossentropy", [[0.0]], [[1.0]], [[-1e7]]),
        ("binary_crossentropy", [[1.0]], [[0.0]], [[1e7]]),
    ],
)
def test_confident_mistakes_are_clipped(op, p, y, slope, typed_backend):
    """-log 1e-7 = 16.1 and a slope of 1e7; in float32, 1 - 1e-7 is 1 - 1.19e-7, so the bounds are loose."""
    backend = typed_backend
    p, y = put(backend, np.array(p)), put(backend, np.array(y))
    assert float(getattr(backend.ops, op)(p, y, 1.0)) == pytest.approx(-np.log(1e-7), rel=0.02)
    gradient = backend.to_numpy(getattr(backend.ops, op + "_backward")(p, y, 1.0))
    np.testing.assert_allclose(gradient, slope, rtol=0.2, atol=1.2)


def test_small_log_cosh_keeps_its_digits(typed_backend):
    """e²/2 near the target: |e| + log(1 + e^(-2|e|)) - log 2 alone would have rounded it away, or below 0."""
    backend = typed_backend
    for e in (0.9, 1e-2, 1e-4, 1e-9, 1e-15):
        p = put(backend, np.array([[e, -e]]))
        loss = float(backend.ops.log_cosh(p, put(backend, np.zeros((1, 2))), 2.0))
        e = float(p[0, 0])
        wanted = e**2 / 2 - e**4 / 12 if e < 0.1 else np.log(np.cosh(e))
        assert loss == pytest.approx(wanted, rel=ROUNDINGS * eps(backend))


def extreme(backend):
    """The largest numbers of which a few can be added, the smallest ones, and infinite ones; of both signs."""
    info = backend.xp.finfo(backend.dtype)
    sizes = [np.inf, float(info.max) / 8, 1e30, 1.0, float(info.smallest_normal) / 4, 0.0]
    return np.array([[size, -size] for size in sizes])


def value_and_gradient(backend, op, *arguments):
    """On the backend, without warnings of overflow; D is 1."""
    arguments = [put(backend, a) for a in arguments]
    with backend.quiet():
        value = float(getattr(backend.ops, op)(*arguments, 1.0))
        (rows,) = as_tuple(getattr(backend.ops, op + "_rows")(*arguments))
        gradient = getattr(backend.ops, op + "_backward")(*arguments, 1.0)
        assert float(backend.xp.sum(rows)) == pytest.approx(value, rel=ROUNDINGS * eps(backend))
    return value, backend.to_numpy(rows), backend.to_numpy(gradient)


class TestExtremes:
    """Nothing is NaN where the mathematics has a limit."""

    @pytest.mark.parametrize("op", ["squared_error", "absolute_error", "huber", "log_cosh"])
    def test_errors(self, op, typed_backend):
        """Squares overflow to infinity; the others are finite wherever the error is."""
        backend, options = typed_backend, (0.5,) if op == "huber" else ()
        p = extreme(backend)
        y = np.zeros_like(p)
        _, rows, gradient = value_and_gradient(backend, op, p, y, *options)
        size = on_grid(backend, np.abs(p[:, 0]))
        tiny = size < 1e-30
        assert rows[0] == np.inf
        assert np.isfinite(rows[1:]).all() == (op != "squared_error")
        np.testing.assert_array_equal(rows[tiny] <= 2 * size[tiny], True)
        slope = {"squared_error": 2 * size, "absolute_error": np.sign(size), "huber": np.minimum(size, 0.5)}
        expected = slope.get(op, np.tanh(size))
        if op == "absolute_error" and gradient[4, 0] == 0:
            expected[4] = 0  # where the library takes the smallest numbers for 0
        for column, sign in ((0, 1), (1, -1)):
            np.testing.assert_allclose(gradient[:, column], sign * expected, rtol=ROUNDINGS * eps(backend), atol=1e-37)

    def test_hinge(self, typed_backend):
        backend = typed_backend
        p = extreme(backend)
        y = np.tile([1.0, 0.0], (len(p), 1))  # all right, as long as p is above its margin
        _, rows, gradient = value_and_gradient(backend, "hinge", p, y)
        np.testing.assert_array_equal(rows, [0, 0, 0, 0, 2, 2])
        np.testing.assert_array_equal(gradient, np.outer([0, 0, 0, 0, 1, 1], [-1, 1]))
        value, rows, gradient = value_and_gradient(backend, "hinge", p, 1 - y)
        assert rows[0] == value == np.inf
        assert np.isfinite(rows[1:]).all()
        np.testing.assert_array_equal(gradient, np.tile([1, -1], (len(p), 1)))

    @pytest.mark.parametrize("op", ["binary_crossentropy", "weighted_binary_crossentropy"])
    def test_yes_or_no(self, op, typed_backend):
        """The weighted one stands even infinite logits: what is certain and right costs nothing."""
        backend = typed_backend
        options = (np.array([3.0, 3.0]),) if op.startswith("weighted") else ()
        r = 3 if options else 1
        z = extreme(backend)[0 if options else 1 :]
        right = np.tile([1.0, 0.0], (len(z), 1))
        least = 4 * float(backend.xp.finfo(backend.dtype).smallest_normal)
        for y, certain in ((right, True), (1 - right, False)):
            _, rows, gradient = value_and_gradient(backend, op + "_from_logits", z, y, *options)
            size = on_grid(backend, np.abs(z[:, 0]))
            with np.errstate(over="ignore"):
                slope = 1 / (1 + np.exp(size if certain else -size))
                expected = (1 + r) * ((0 if certain else size) + np.log1p(np.exp(-size)))
            np.testing.assert_allclose(rows, expected, rtol=ROUNDINGS * eps(backend))
            signs = [-r, 1] if certain else [1, -r]
            np.testing.assert_allclose(
                gradient, np.outer(slope, signs), rtol=ROUNDINGS * eps(backend), atol=max(least, eps(backend))
            )

    @pytest.mark.parametrize("op", ["categorical_crossentropy_from_logits", "kl_divergence_from_logits"])
    @pytest.mark.parametrize("soft", [False, True])
    def test_one_of_several(self, op, soft, typed_backend):
        """A certain class that is right costs nothing, and a class that is ruled out, by -∞ too, costs nothing."""
        backend = typed_backend
        big = float(backend.xp.finfo(backend.dtype).max) / 8
        z = np.array([[big, -big, 0.0], [-np.inf, 1e-40, -1e-40], [1e30, 0.0, -1e30], [0.0, 0.0, -np.inf]])
        share = [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]
        y = np.array(share) if soft else np.array([0, 1, 0, 1])
        _, rows, gradient = value_and_gradient(backend, op, z, y)
        entropy = np.array([0, np.log(2), 0, np.log(2)]) * (soft and op.startswith("kl"))
        np.testing.assert_allclose(
            rows, np.array([0, np.log(2), 0, np.log(2)]) - entropy, atol=ROUNDINGS * eps(backend)
        )
        p = np.array([[1, 0, 0], [0, 0.5, 0.5], [1, 0, 0], [0.5, 0.5, 0]])
        t = y if soft else np.eye(3)[y]
        np.testing.assert_allclose(gradient, p - t, rtol=0, atol=ROUNDINGS * eps(backend))
        wrong, _, gradient = value_and_gradient(backend, op, z[2:3], np.array([1]))
        assert wrong == pytest.approx(1e30)
        np.testing.assert_array_equal(gradient, [[1, -1, 0]])

    @pytest.mark.parametrize(
        "op",
        [
            "binary_crossentropy",
            "weighted_binary_crossentropy",
            "categorical_crossentropy",
            "kl_divergence",
        ],
    )
    def test_probabilities_of_0_and_1(self, op, typed_backend):
        """They are clipped, in the value and in the gradient."""
        p = np.array([[0.0, 1.0], [1.0, 0.0], [1e-40, 1.0]])
        options = (2.0,) if op.startswith("weighted") else ()
        for y in (np.array([[0.0, 1.0]] * 3), np.array([[1.0, 0.0]] * 3), np.array([[0.5, 0.5]] * 3)):
            value, rows, gradient = value_and_gradient(typed_backend, op, p, y, *options)
            assert np.isfinite(rows).all()
            assert 0 < value < 3 * 4 * 16.2
            assert np.isfinite(gradient).all()

    @pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
    def test_a_weight_of_0_leaves_out_whatever_there_is(self, bad, typed_backend):
        backend = typed_backend
        rows, dp = np.array([1.0, bad, 2.0]), np.array([[1.0, -1.0], [bad, 3.0], [2.0, bad]])
        weights = put(backend, np.array([0.5, 0.0, 0.0]))
        total = backend.ops.weighted_sum(put(backend, np.array([1.0, bad, bad])), weights, 1.0)
        assert float(total) == 0.5
        scaled = backend.to_numpy(backend.ops.scale_rows(put(backend, dp), weights))
        np.testing.assert_array_equal(scaled, [[0.5, -0.5], [0, 0], [0, 0]])
        assert not np.isfinite(float(backend.ops.weighted_sum(put(backend, rows), put(backend, np.ones(3)), 1.0)))

    @pytest.mark.parametrize("op", ["batch_norm", "layer_norm", "rms_norm"])
    def test_normalization(self, op, typed_backend):
        """Equal, huge and tiny values: squares that overflow make zeros, not NaN, forward and backward."""
        backend, size = typed_backend, np.sqrt(float(typed_backend.xp.finfo(typed_backend.dtype).max)) * 8
        ops, offset = backend.ops, () if op == "rms_norm" else (put(backend, np.zeros(3)),)
        scale = put(backend, np.ones(3))
        for x in (np.full((4, 3), 1e-3), np.zeros((4, 3)), 1e-30 * extreme(backend)[2:5].T, np.eye(4)[:, :3] * size):
            x = put(backend, x)
            with backend.quiet():
                y, *moments = as_tuple(getattr(ops, op)(x, scale, *offset, 1e-5))
                results = getattr(ops, op + "_backward")(y + 1, x, *moments, scale, 1e-5)
            for result in (y, *results):
                assert np.isfinite(backend.to_numpy(result)).all()


@pytest.mark.parametrize("op", ["relu", "sigmoid", "tanh", "softmax"])  # the others: test_activations
def test_nan_is_not_hidden(op, typed_backend):
    x = put(typed_backend, np.array([[np.nan, 1.0]]))
    assert np.isnan(typed_backend.to_numpy(getattr(typed_backend.ops, op)(x))[0, 0])


def test_relu_at_its_kink(typed_backend):
    """The derivative at 0 is 0."""
    backend = typed_backend
    y = put(backend, np.array([[0.0, 1e-30]]))
    dy = put(backend, np.array([[3.0, 3.0]]))
    np.testing.assert_array_equal(backend.to_numpy(backend.ops.relu_backward(dy, y)), [[0, 3]])


def test_step_at_its_threshold(typed_backend):
    """It asks whether x > 0; NaN is not."""
    backend = typed_backend
    x = put(backend, np.array([0.0, -0.0, 1e-30, -1e-30, np.inf, -np.inf, np.nan]))
    np.testing.assert_array_equal(backend.to_numpy(backend.ops.step(x)), [0, 0, 1, 0, 1, 0, 0])


def test_clipping_a_zero_gradient(typed_backend):
    zero, ops = put(typed_backend, np.zeros(3)), typed_backend.ops
    for clipped in (ops.clip_norm(zero, 1.0), ops.clip_norms(zero, 1.0, ((0, 2),))):
        np.testing.assert_array_equal(typed_backend.to_numpy(clipped), [0, 0, 0])


def test_the_way_to_a_step_that_is_no_number(typed_backend):
    """Where the rate is 0, nothing moves, whatever the step is; where it is 1, the step is taken to the bit."""
    backend = typed_backend
    w = on_grid(backend, np.array([0.1, -0.0, 0.3, 1e-30, 0.7]))
    stepped = on_grid(backend, np.array([np.nan, np.inf, -np.inf, 1.1, 1e30]))
    rates = np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    with backend.quiet():
        result = backend.to_numpy(backend.ops.move(*(put(backend, a) for a in (w, stepped, rates))))
    np.testing.assert_array_equal(result, [*w[:3], *stepped[3:]])
    assert np.signbit(result[1])


@pytest.mark.parametrize(
    ("op", "scalars"),
    [
        ("adam", ADAM),
        ("adamax", ADAMAX),
        ("nadam", NADAM),
        ("lion", (0.01, 0.9, 0.99)),
        ("adagrad", (0.01, 1e-7)),
        ("rmsprop", (0.01, 0.9, 1e-7)),
        ("adadelta", (1.0, 0.9, 1e-6)),
    ],
)
def test_a_weight_that_never_moves(op, scalars, typed_backend):
    """Padding: 0 / (√0 + ε) stays 0."""
    backend = typed_backend
    zero = put(backend, np.zeros(3))
    slots = [zero] * (1 if op in ("lion", "adagrad", "rmsprop") else 2)
    for result in getattr(backend.ops, op)(zero, zero, *slots, *scalars):
        np.testing.assert_array_equal(backend.to_numpy(result), [0, 0, 0])


def test_a_candidate_is_taken_whole(typed_backend):
    """Even where it is no number: what counts is the loss."""
    backend = typed_backend
    w, candidate = put(backend, np.array([1.0, np.nan, 2.0])), put(backend, np.array([np.inf, 1.0, np.nan]))
    low, high = put(backend, np.array(0.5)), put(backend, np.array(1.0))
    np.testing.assert_array_equal(
        backend.to_numpy(backend.ops.keep_better(w, candidate, high, low)), [np.inf, 1, np.nan]
    )
    np.testing.assert_array_equal(backend.to_numpy(backend.ops.keep_better(w, candidate, low, high)), [1, np.nan, 2])


def test_no_number_is_among_the_largest(typed_backend):
    p = put(typed_backend, np.array([[np.nan, 1.0], [1.0, np.nan], [np.inf, -np.inf]]))
    y = put(typed_backend, np.array([0, 0, 1]))
    assert [int(typed_backend.ops.top_matches(p, y, k)) for k in (1, 2)] == [1, 2]


@pytest.mark.parametrize("op", ["categorical_matches", "top_matches", "class_pairs", "binary_hits", "moments"])
def test_counting_nothing(op, typed_backend):
    """A batch of no rows: no division by zero, no warning."""
    p, y = put(typed_backend, np.zeros((0, 3))), put(typed_backend, np.zeros(0, dtype=int))
    arguments = {"top_matches": (p, y, 2), "binary_hits": (p, p, 0.5), "moments": (p,)}.get(op, (p, y))
    for result in as_tuple(getattr(typed_backend.ops, op)(*arguments)):
        assert not np.any(typed_backend.to_numpy(result))


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
@pytest.mark.parametrize("size", [1000, 100_000])
def test_moments_far_from_zero(offset, size, typed_backend, random):
    """In float32 a mean of 10⁶ has steps of 1/16, and its square leaves no digit of a spread of 1."""
    backend, host = typed_backend, on_grid(typed_backend, offset + random.standard_normal((size // 2, 2)))
    centre, s, q = (float(number) for number in backend.ops.moments(put(backend, host)))
    # sums of the spread, however they are ordered: √N roundings in the mean and N in the worst order
    assert centre + s / size == pytest.approx(host.mean(), abs=1000 * eps(backend), rel=1e-14)
    assert q - s**2 / size == pytest.approx(((host - host.mean()) ** 2).sum(), rel=1000 * eps(backend))
