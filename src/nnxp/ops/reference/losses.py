r"""Losses, each followed by its gradient: one consistent pair.

Every loss is a sum over all elements (categorical: over samples) divided by ``divisor``: the number of elements for the
reduction "mean", 1 for "sum". Class targets ``y`` are indices ``[B]`` or rows of probabilities ``[B,K]``.
"""

from nnxp._types import Array, Namespace
from nnxp.ops.reference.activations import sigmoid, softmax
from nnxp.ops.reference.indexing import one_hot

__all__ = [
    "CLIP",
    "absolute_error",
    "absolute_error_backward",
    "absolute_errors",
    "binary_crossentropy",
    "binary_crossentropy_backward",
    "binary_crossentropy_from_logits",
    "binary_crossentropy_from_logits_backward",
    "binary_surprises",
    "categorical_crossentropy",
    "categorical_crossentropy_backward",
    "categorical_crossentropy_from_logits",
    "categorical_crossentropy_from_logits_backward",
    "categorical_surprises",
    "probabilities_minus_targets",
    "sigmoid_binary_crossentropy",
    "softmax_categorical_crossentropy",
    "squared_error",
    "squared_error_backward",
    "squared_errors",
]

CLIP = 1e-7
"""Probabilities that a network did not make from logits are clipped to [CLIP, 1 - CLIP], in the value and in the
gradient: a confident mistake then costs 16.1 and still has a slope. The book *Neural Networks from Scratch* uses the
same bound."""


def squared_errors(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] -> [B,O]``: $(p - y)^2$, what `squared_error` adds up."""
    error = p - y
    return error * error


def absolute_errors(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] -> [B,O]``: $|p - y|$, what `absolute_error` adds up."""
    return xp.abs(p - y)


def categorical_surprises(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,K], y[B] or y[B,K] -> [B]``: $-\sum_k y_{bk} \log p_{bk}$, what `categorical_crossentropy` adds up."""
    return -xp.sum(_targets(xp, y, p) * xp.log(_clip(xp, p)), axis=-1)


def binary_surprises(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] -> [B,O]``: $-(y \log p + (1 - y) \log(1 - p))$, what `binary_crossentropy` adds up."""
    q = _clip(xp, p)
    return -(y * xp.log(q) + (1 - y) * xp.log(1 - q))


def squared_error(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,O], y[B,O] -> loss[]``: $\sum (p - y)^2 / D$."""
    return xp.sum(squared_errors(xp, p, y)) / divisor


def squared_error_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = 2 (p - y) / D$."""
    return 2 * (p - y) / divisor


def absolute_error(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,O], y[B,O] -> loss[]``: $\sum |p - y| / D$."""
    return xp.sum(absolute_errors(xp, p, y)) / divisor


def absolute_error_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = \mathrm{sign}(p - y) / D$; 0 where they are equal."""
    return xp.sign(p - y) / divisor


def categorical_crossentropy(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,K], y[B] or y[B,K] -> loss[]``: $-\sum_{bk} y_{bk} \log p_{bk} / D$, p clipped by `CLIP`."""
    return xp.sum(categorical_surprises(xp, p, y)) / divisor


def categorical_crossentropy_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = -(y / p) / D$, at the clipped p."""
    return -(_targets(xp, y, p) / _clip(xp, p)) / divisor


def categorical_crossentropy_from_logits(xp: Namespace, z: Array, y: Array, divisor: float) -> Array:
    r"""``z[B,K], y[B] or y[B,K] -> loss[]``: $\sum_{bk} y_{bk} (\log\sum_j e^{z_{bj}} - z_{bk}) / D$."""
    top = xp.max(z, axis=-1, keepdims=True)
    log_sum = xp.log(xp.sum(xp.exp(z - top), axis=-1, keepdims=True))  # log Σ e^z = max z + log Σ e^(z - max z)
    surprise = (top - z) + log_sum
    targets = _targets(xp, y, z)
    return xp.sum(targets * xp.where(targets > 0, surprise, xp.zeros_like(z))) / divisor  # 0 · log 0 = 0


def categorical_crossentropy_from_logits_backward(xp: Namespace, z: Array, y: Array, divisor: float) -> Array:
    r"""$dz = (\mathrm{softmax}(z) \sum_k y_k - y) / D$; the sum is 1 for class indices and for probabilities."""
    return probabilities_minus_targets(xp, softmax(xp, z), y, divisor)


def probabilities_minus_targets(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,K], y -> dz[B,K]``: $(p \sum_k y_k - y) / D$, the gradient by the logits that made p."""
    if y.ndim == 1:
        return (p - one_hot(xp, y, p.shape[-1], p.dtype)) / divisor
    return (p * xp.sum(y, axis=-1, keepdims=True) - y) / divisor


def softmax_categorical_crossentropy(xp: Namespace, z: Array, y: Array, divisor: float) -> tuple[Array, Array, Array]:
    """``z[B,K], y -> p[B,K], loss[], dz[B,K]``: softmax, its cross-entropy and the gradient by z, in one."""
    p = softmax(xp, z)
    loss = categorical_crossentropy_from_logits(xp, z, y, divisor)
    return p, loss, probabilities_minus_targets(xp, p, y, divisor)


def binary_crossentropy(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,O], y[B,O] -> loss[]``: $-\sum (y \log p + (1 - y) \log(1 - p)) / D$, p clipped by `CLIP`."""
    return xp.sum(binary_surprises(xp, p, y)) / divisor


def binary_crossentropy_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = -(y / p - (1 - y) / (1 - p)) / D$, at the clipped p."""
    q = _clip(xp, p)
    return -(y / q - (1 - y) / (1 - q)) / divisor


def binary_crossentropy_from_logits(xp: Namespace, z: Array, y: Array, divisor: float) -> Array:
    r"""``z[B,O], y[B,O] -> loss[]``: $\sum (\max(z, 0) - z y + \log(1 + e^{-|z|})) / D$."""
    # -log σ(z) = max(z, 0) - z + log(1 + e^(-|z|)), and log(1 - σ(z)) = log σ(-z)
    stable = xp.maximum(z, xp.zeros_like(z)) - z * y + xp.log1p(xp.exp(-xp.abs(z)))
    return xp.sum(stable) / divisor


def binary_crossentropy_from_logits_backward(xp: Namespace, z: Array, y: Array, divisor: float) -> Array:
    r"""$dz = (\sigma(z) - y) / D$."""
    return (sigmoid(xp, z) - y) / divisor


def sigmoid_binary_crossentropy(xp: Namespace, z: Array, y: Array, divisor: float) -> tuple[Array, Array, Array]:
    """``z[B,O], y[B,O] -> p[B,O], loss[], dz[B,O]``: sigmoid, its cross-entropy and the gradient by z, in one."""
    p = sigmoid(xp, z)
    return p, binary_crossentropy_from_logits(xp, z, y, divisor), (p - y) / divisor


def _targets(xp: Namespace, y: Array, like: Array) -> Array:
    return one_hot(xp, y, like.shape[-1], like.dtype) if y.ndim == 1 else y


def _clip(xp: Namespace, p: Array) -> Array:
    return xp.clip(p, CLIP, 1 - CLIP)
