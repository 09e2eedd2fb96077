"""What metrics are made of: counts of predictions that are right, and moments of targets."""

from math import prod

from nnxp._types import Array, Namespace

__all__ = [
    "binary_hits",
    "binary_matches",
    "categorical_matches",
    "class_pairs",
    "moments",
    "tolerance_matches",
    "top_matches",
]


def categorical_matches(xp: Namespace, p: Array, y: Array) -> Array:
    """``p[B,K], y[B] or y[B,K] -> count[]``: in how many rows the largest p is in the target's column."""
    return _count(xp, xp.argmax(p, axis=-1) == _labels(xp, y))


def top_matches(xp: Namespace, p: Array, y: Array, k: int) -> Array:
    """``p[B,K], y[B] or y[B,K], k -> count[]``: in how many rows the target's column is among those of the k largest p.

    Of equal ones the first is the larger, as in `categorical_matches`; no number (NaN) is among the largest.
    """
    labels = _labels(xp, y)[:, None]
    columns = xp.arange(p.shape[1], dtype=labels.dtype, device=p.device)[None, :]
    own = xp.sum(xp.where(columns == labels, p, xp.zeros_like(p)), axis=-1, keepdims=True)
    ahead = (p > own) | ((p == own) & (columns < labels))
    rank = xp.sum(xp.astype(ahead, xp.int32), axis=-1)
    return _count(xp, (rank < k) & (own == own)[:, 0])


def class_pairs(xp: Namespace, p: Array, y: Array) -> Array:
    """``p[B,K], y[B] or y[B,K] -> pair[B]``: K times the target's column plus that of the largest p."""
    return _labels(xp, y) * p.shape[1] + xp.argmax(p, axis=-1)


def binary_matches(xp: Namespace, p: Array, y: Array, threshold: float) -> Array:
    """``p[B,O], y[B,O] -> count[]``: how many elements are on the same side of the threshold as their target."""
    return _count(xp, (p > threshold) == (y > 0.5))


def binary_hits(xp: Namespace, p: Array, y: Array, threshold: float) -> tuple[Array, Array, Array]:
    """``p[B,O], y[B,O] -> hits[], predicted[], actual[]``: how many elements are above the threshold and should be, how
    many are above it, and how many should be."""
    predicted, actual = p > threshold, y > 0.5
    return _count(xp, predicted & actual), _count(xp, predicted), _count(xp, actual)


def tolerance_matches(xp: Namespace, p: Array, y: Array, tolerance: float) -> Array:
    """``p[B,O], y[B,O] -> count[]``: how many elements are closer to their target than the tolerance."""
    return _count(xp, xp.abs(p - y) < tolerance)


def moments(xp: Namespace, y: Array) -> tuple[Array, Array, Array]:
    r"""``y[B,O] -> c[], s[], q[]``: a centre c, $s = \sum (y - c)$ and $q = \sum (y - c)^2$ over all N elements.

    The centre is the mean as far as the dtype holds it; with s and q, the mean is exactly c + s / N, and the sum of
    squares around it q - s² / N. Distances from the first element are summed, so that an offset costs no digits.

    Source: Chan, Golub & LeVeque, *Algorithms for computing the sample variance* (The American Statistician, 1983).
    """
    flat, size = xp.reshape(y, (-1,)), prod(y.shape)
    first = xp.sum(flat[: min(size, 1)])  # 0 where there is none
    centre = first + xp.sum(flat - first) / max(size, 1)
    distance = flat - centre
    return centre, xp.sum(distance), xp.sum(distance * distance)


def _labels(xp: Namespace, y: Array) -> Array:
    return y if y.ndim == 1 else xp.argmax(y, axis=-1)


def _count(xp: Namespace, mask: Array) -> Array:
    return xp.sum(xp.astype(mask, xp.int32))  # a sum of 32-bit integers is made in the default integer type
