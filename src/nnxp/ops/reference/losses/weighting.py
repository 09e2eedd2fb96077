r"""Weights of samples and classes: what makes one count for more than another."""

from nnxp._types import Array, Namespace
from nnxp.ops.reference.indexing import one_hot

__all__ = ["CLIP", "clip", "row_sums", "scale_rows", "soft_targets", "weighted_sum"]

CLIP = 1e-7
"""Probabilities that a network did not make from logits are clipped to [CLIP, 1 - CLIP], in the value and in the
gradient: a confident mistake then costs 16.1 and still has a slope. The book *Neural Networks from Scratch* uses the
same bound."""


def clip(xp: Namespace, p: Array) -> Array:
    """Probabilities within [CLIP, 1 - CLIP]."""
    return xp.clip(p, CLIP, 1 - CLIP)


def row_sums(xp: Namespace, e: Array) -> Array:
    """``e[B,…] -> [B]``: the sum over each sample's elements."""
    return xp.sum(e, axis=tuple(range(1, e.ndim))) if e.ndim > 1 else e


def weighted_sum(xp: Namespace, rows: Array, weights: Array, divisor: float) -> Array:
    r"""``rows[B], w[B] -> loss[]``: $\sum_b w_b l_b / D$.

    D does not depend on the weights, so batches add up to the whole (PyTorch's ``weight`` divides by the sum
    of weights). A weight of 0 leaves its sample out, whatever its loss is.
    """
    return xp.sum(_weighted(xp, rows, weights)) / divisor


def scale_rows(xp: Namespace, dp: Array, weights: Array) -> Array:
    r"""``dp[B,…], w[B] -> dp[B,…]``: $w_b\, dp_b$, the gradient of `weighted_sum` from that of the plain sum."""
    return _weighted(xp, dp, xp.reshape(weights, (-1, *(1 for _ in dp.shape[1:]))))


def soft_targets(xp: Namespace, y: Array, class_weights: Array, smoothing: float) -> Array:
    r"""``y[B] or y[B,K], w[K] -> t[B,K]``: $t_k = w_k ((1 - s)\, y_k + s / K)$, y as rows of probabilities.

    Smoothing keeps a network from being ever more certain. Source: Szegedy et al., *Rethinking the Inception
    architecture* (CVPR 2016), section 7.
    """
    classes = class_weights.shape[0]
    rows = one_hot(xp, y, classes, class_weights.dtype) if y.ndim == 1 else y
    return ((1 - smoothing) * rows + smoothing / classes) * class_weights


def _weighted(xp: Namespace, a: Array, weights: Array) -> Array:
    return xp.where(weights > 0, a, xp.zeros_like(a)) * weights  # 0 · ∞ is 0 here
