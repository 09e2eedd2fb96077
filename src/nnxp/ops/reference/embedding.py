r"""Vectors for indices: words, categories, items."""

from nnxp._types import Array, Namespace
from nnxp.ops.reference.indexing import one_hot

__all__ = ["embedding", "embedding_gradient"]


def embedding(xp: Namespace, x: Array, weights: Array) -> Array:
    r"""``x[B,…] (integers), weights[V,D] -> y[B,…,D]``: row $x$ of the weights.

    It is the product of a one-hot row with the weights, without the zeros.
    """
    flat = xp.take(weights, xp.reshape(x, (-1,)), axis=0)
    return xp.reshape(flat, (*x.shape, weights.shape[-1]))


def embedding_gradient(xp: Namespace, dy: Array, x: Array, weights: Array) -> Array:
    r"""``dy[B,…,D], x[B,…], weights[V,D] -> dw[V,D]``: $dw_v = \sum_{i: x_i = v} dy_i$, as a product with one-hot rows.

    Of the weights only the shape matters.
    """
    rows, size = weights.shape
    hot = one_hot(xp, xp.reshape(x, (-1,)), rows, dy.dtype)
    return xp.matmul(hot.T, xp.reshape(dy, (hot.shape[0], size)))
