"""Picking rows."""

from nnxp._types import Array, Dtype, Namespace

__all__ = ["one_hot", "take_rows"]


def take_rows(xp: Namespace, x: Array, index: Array) -> Array:
    """``x[N,…], index[B] -> y[B,…]``: the rows of x that index names, in its order."""
    return xp.take(x, index, axis=0)


def one_hot(xp: Namespace, y: Array, classes: int, dtype: Dtype) -> Array:
    """``y[B] -> t[B,K]``: 1 in the column that y names, else 0."""
    columns = xp.arange(classes, dtype=y.dtype, device=y.device)
    return xp.astype(y[:, None] == columns[None, :], dtype)
