r"""Losses of probabilities of yes, or of their logits; each output is a question of its own."""

from nnxp._types import Array, Namespace
from nnxp.ops.reference.activations import sigmoid
from nnxp.ops.reference.losses.weighting import clip, row_sums

__all__ = [
    "binary_crossentropy",
    "binary_crossentropy_backward",
    "binary_crossentropy_from_logits",
    "binary_crossentropy_from_logits_backward",
    "binary_crossentropy_from_logits_rows",
    "binary_crossentropy_rows",
    "binary_surprises",
    "sigmoid_binary_crossentropy",
    "weighted_binary_crossentropy",
    "weighted_binary_crossentropy_backward",
    "weighted_binary_crossentropy_from_logits",
    "weighted_binary_crossentropy_from_logits_backward",
    "weighted_binary_crossentropy_from_logits_rows",
    "weighted_binary_crossentropy_rows",
]


def binary_surprises(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] -> [B,O]``: $-(y \log p + (1 - y) \log(1 - p))$, what `binary_crossentropy` adds up."""
    q = clip(xp, p)
    return -(y * xp.log(q) + (1 - y) * xp.log(1 - q))


def binary_crossentropy(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,O], y[B,O] -> loss[]``: $-\sum (y \log p + (1 - y) \log(1 - p)) / D$, p clipped by `CLIP`."""
    return xp.sum(binary_surprises(xp, p, y)) / divisor


def binary_crossentropy_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = -(y / p - (1 - y) / (1 - p)) / D$, at the clipped p."""
    q = clip(xp, p)
    return -(y / q - (1 - y) / (1 - q)) / divisor


def binary_crossentropy_rows(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] -> [B]``: $-\sum_o (y \log p + (1 - y) \log(1 - p))$, p clipped by `CLIP`."""
    return row_sums(xp, binary_surprises(xp, p, y))


def binary_crossentropy_from_logits(xp: Namespace, z: Array, y: Array, divisor: float) -> Array:
    r"""``z[B,O], y[B,O] -> loss[]``: $\sum (\max(z, 0) - z y + \log(1 + e^{-|z|})) / D$."""
    return xp.sum(_stable(xp, z, y)) / divisor


def binary_crossentropy_from_logits_backward(xp: Namespace, z: Array, y: Array, divisor: float) -> Array:
    r"""$dz = (\sigma(z) - y) / D$."""
    return (sigmoid(xp, z) - y) / divisor


def binary_crossentropy_from_logits_rows(xp: Namespace, z: Array, y: Array) -> Array:
    r"""``z[B,O], y[B,O] -> [B]``: $\sum_o (\max(z, 0) - z y + \log(1 + e^{-|z|}))$."""
    return row_sums(xp, _stable(xp, z, y))


def sigmoid_binary_crossentropy(xp: Namespace, z: Array, y: Array, divisor: float) -> tuple[Array, Array, Array]:
    """``z[B,O], y[B,O] -> p[B,O], loss[], dz[B,O]``: sigmoid, its cross-entropy and the gradient by z, in one."""
    p = sigmoid(xp, z)
    return p, binary_crossentropy_from_logits(xp, z, y, divisor), (p - y) / divisor


def weighted_binary_crossentropy(xp: Namespace, p: Array, y: Array, positive_weight: float, divisor: float) -> Array:
    r"""``p[B,O], y[B,O] -> loss[]``: $-\sum (r y \log p + (1 - y) \log(1 - p)) / D$.

    A missed yes costs r times as much; r is a number, or one for each output, ``[O]``; p is clipped by `CLIP`.
    """
    return xp.sum(_weighted(xp, p, y, positive_weight)) / divisor


def weighted_binary_crossentropy_backward(
    xp: Namespace, p: Array, y: Array, positive_weight: float, divisor: float
) -> Array:
    r"""$dp = -(r y / p - (1 - y) / (1 - p)) / D$, at the clipped p."""
    q = clip(xp, p)
    return -(positive_weight * y / q - (1 - y) / (1 - q)) / divisor


def weighted_binary_crossentropy_rows(xp: Namespace, p: Array, y: Array, positive_weight: float) -> Array:
    r"""``p[B,O], y[B,O] -> [B]``: $-\sum_o (r y \log p + (1 - y) \log(1 - p))$."""
    return row_sums(xp, _weighted(xp, p, y, positive_weight))


def weighted_binary_crossentropy_from_logits(
    xp: Namespace, z: Array, y: Array, positive_weight: float, divisor: float
) -> Array:
    r"""``z[B,O], y[B,O] -> loss[]``: $\sum (-r y \log\sigma(z) - (1 - y) \log\sigma(-z)) / D$, stable."""
    return xp.sum(_weighted_stable(xp, z, y, positive_weight)) / divisor


def weighted_binary_crossentropy_from_logits_backward(
    xp: Namespace, z: Array, y: Array, positive_weight: float, divisor: float
) -> Array:
    r"""$dz = ((1 + (r - 1) y)\, \sigma(z) - r y) / D$."""
    return ((1 + (positive_weight - 1) * y) * sigmoid(xp, z) - positive_weight * y) / divisor


def weighted_binary_crossentropy_from_logits_rows(xp: Namespace, z: Array, y: Array, positive_weight: float) -> Array:
    r"""``z[B,O], y[B,O] -> [B]``: $\sum_o (-r y \log\sigma(z) - (1 - y) \log\sigma(-z))$, stable."""
    return row_sums(xp, _weighted_stable(xp, z, y, positive_weight))


def _stable(xp: Namespace, z: Array, y: Array) -> Array:
    # max(z, 0) - z·y = |z|·w, where w is the share of the side that z is not on; a share of 0 costs nothing: 0 · ∞ is 0
    size = xp.abs(z)
    wrong = xp.abs(xp.astype(z > 0, z.dtype) - y)
    return xp.where(wrong > 0, size, xp.zeros_like(z)) * wrong + xp.log1p(xp.exp(-size))


def _weighted(xp: Namespace, p: Array, y: Array, positive_weight: float) -> Array:
    q = clip(xp, p)
    return -(positive_weight * y * xp.log(q) + (1 - y) * xp.log(1 - q))


def _weighted_stable(xp: Namespace, z: Array, y: Array, positive_weight: float) -> Array:
    zero, rest = xp.zeros_like(z), xp.log1p(xp.exp(-xp.abs(z)))
    share = positive_weight * y
    yes = xp.where(share > 0, xp.maximum(-z, zero) + rest, zero)  # -log σ(z); a share of 0 costs nothing: 0 · ∞ is 0
    no = xp.where(y < 1, xp.maximum(z, zero) + rest, zero)  # -log σ(-z)
    return share * yes + (1 - y) * no
