r"""Shares of a whole: softmax, and its logarithm."""

from nnxp._types import Array, Namespace

__all__ = ["log_softmax", "log_softmax_backward", "softmax", "softmax_backward"]


def softmax(xp: Namespace, x: Array) -> Array:
    r"""``x[…,K] -> y[…,K]``: $y_k = e^{x_k} / \sum_j e^{x_j}$ over the last axis."""
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))  # softmax(x) = softmax(x - c); c = max keeps e^x at most 1
    return e / xp.sum(e, axis=-1, keepdims=True)


def softmax_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""``dy[…,K], y[…,K] -> dx[…,K]``: $dx_k = y_k (dy_k - \sum_j dy_j y_j)$, the Jacobian product in closed form."""
    return y * (dy - xp.sum(dy * y, axis=-1, keepdims=True))


def log_softmax(xp: Namespace, x: Array) -> Array:
    r"""``x[…,K] -> y[…,K]``: $y_k = x_k - \log \sum_j e^{x_j}$ over the last axis."""
    z = x - xp.max(x, axis=-1, keepdims=True)  # the same for x - c; c = max keeps the sum between 1 and K
    return z - xp.log(xp.sum(xp.exp(z), axis=-1, keepdims=True))


def log_softmax_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""``dy[…,K], y[…,K] -> dx[…,K]``: $dx_k = dy_k - e^{y_k} \sum_j dy_j$."""
    return dy - xp.exp(y) * xp.sum(dy, axis=-1, keepdims=True)
