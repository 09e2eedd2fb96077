r"""Activations, each followed by its backward.

A backward takes the gradient of the loss by the output, ``dy``, and the *output* ``y``, not the input: the derivative
of each of these is a function of the output, so the input's buffer is free as soon as the output is known.
"""

from math import floor, log

from nnxp._types import Array, Namespace

__all__ = [
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "step",
    "step_backward",
    "tanh",
    "tanh_backward",
]


def relu(xp: Namespace, x: Array) -> Array:
    r"""$y = \max(x, 0)$, elementwise; NaN stays NaN."""
    return xp.maximum(x, xp.zeros_like(x))


def relu_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = dy$ where $y > 0$, else 0 (at the kink, 0)."""
    return xp.where(y > 0, dy, xp.zeros_like(dy))


def sigmoid(xp: Namespace, x: Array) -> Array:
    r"""$y = \sigma(x) = 1 / (1 + e^{-x})$, elementwise."""
    least = 1.0 - floor(log(xp.finfo(x.dtype).max))  # below it e^-x overflows and σ is no normal number any more
    return 1 / (1 + xp.exp(-xp.clip(x, least, None)))


def sigmoid_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = dy \cdot y (1 - y)$."""
    return dy * (1 - y) * y


def tanh(xp: Namespace, x: Array) -> Array:
    r"""$y = \tanh x$, elementwise."""
    return xp.tanh(x)


def tanh_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = dy \cdot (1 - y^2)$."""
    return dy * (1 - y * y)


def step(xp: Namespace, x: Array) -> Array:
    r"""$y = 1$ where $x > 0$, else 0, elementwise: the threshold of a perceptron. Source: Rosenblatt (1958)."""
    return xp.astype(x > 0, x.dtype)


def step_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = 0$: the step is flat wherever it has a slope, so nothing in front of it learns by its gradient."""
    return xp.zeros_like(dy)


def softmax(xp: Namespace, x: Array) -> Array:
    r"""``x[…,K] -> y[…,K]``: $y_k = e^{x_k} / \sum_j e^{x_j}$ over the last axis."""
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))  # softmax(x) = softmax(x - c); c = max keeps e^x at most 1
    return e / xp.sum(e, axis=-1, keepdims=True)


def softmax_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""``dy[…,K], y[…,K] -> dx[…,K]``: $dx_k = y_k (dy_k - \sum_j dy_j y_j)$, the Jacobian product in closed form."""
    return y * (dy - xp.sum(dy * y, axis=-1, keepdims=True))
