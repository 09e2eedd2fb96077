"""Picking rows, and counting the predictions that are right."""

from nnxp._types import Array, Dtype, Namespace

__all__ = ["binary_matches", "categorical_matches", "one_hot", "take_rows", "tolerance_matches"]


def take_rows(xp: Namespace, x: Array, index: Array) -> Array:
    """``x[N,…], index[B] -> y[B,…]``: the rows of x that index names, in its order."""
    return xp.take(x, index, axis=0)


def one_hot(xp: Namespace, y: Array, classes: int, dtype: Dtype) -> Array:
    """``y[B] -> t[B,K]``: 1 in the column that y names, else 0."""
    columns = xp.arange(classes, dtype=y.dtype, device=y.device)
    return xp.astype(y[:, None] == columns[None, :], dtype)


def categorical_matches(xp: Namespace, p: Array, y: Array) -> Array:
    """``p[B,K], y[B] or y[B,K] -> count[]``: in how many rows the largest p is in the target's column."""
    labels = y if y.ndim == 1 else xp.argmax(y, axis=-1)
    return _count(xp, xp.argmax(p, axis=-1) == labels)


def binary_matches(xp: Namespace, p: Array, y: Array, threshold: float) -> Array:
    """``p[B,O], y[B,O] -> count[]``: how many elements are on the same side of the threshold as their target."""
    return _count(xp, (p > threshold) == (y > 0.5))


def tolerance_matches(xp: Namespace, p: Array, y: Array, tolerance: float) -> Array:
    """``p[B,O], y[B,O] -> count[]``: how many elements are closer to their target than the tolerance."""
    return _count(xp, xp.abs(p - y) < tolerance)


def _count(xp: Namespace, mask: Array) -> Array:
    return xp.sum(xp.astype(mask, xp.int32))  # a sum of 32-bit integers is made in the default integer type
