"""How far two results of an op are apart, beside what rounding allows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnxp._check import shape
from nnxp._types import Array
from nnxp.parity._bounds import UNDERFLOW, bound_of

__all__ = ["Difference", "distance", "in_ulp", "measure"]


@dataclass(frozen=True)
class Difference:
    """The element of a result that is worst against what is allowed there."""

    share: float
    """Of what rounding allows; above 1 is another op."""
    ulp: float | None
    """The largest difference in units of the last place, |a - b| / spacing(max(|a|, |b|)); None where terms cancel, so
    that a result near zero may be wrong in all its digits."""
    place: tuple[int, ...] = ()
    standard: float = 0.0
    found: float = 0.0
    note: str = ""
    """What differs if not a number: the shape or the type."""


def measure(
    op: str, standard: Sequence[Array], found: Sequence[Array], limits: Sequence[Array]
) -> tuple[Difference, ...]:
    """One difference for each result of an op that was run twice; ``limits`` are what `allowed` gave for it.

    >>> from nnxp.parity import allowed
    >>> x = np.asarray([1.0, 2.0])
    >>> limits = allowed("tanh", [np.tanh(x)], [x])
    >>> for factor in (1, 1 + 4e-16, 1.001):
    ...     (difference,) = measure("tanh", [np.tanh(x)], [factor * np.tanh(x)], limits)
    ...     print(difference.share < 1)
    True
    True
    False
    """
    relative = bound_of(op).relative
    return tuple(_difference(a, b, n, relative=relative) for a, b, n in zip(standard, found, limits, strict=True))


def in_ulp(a: Array, b: Array) -> Array:
    """|a - b| / spacing(max(|a|, |b|)), elementwise; numbers that underflow are zeros."""
    apart, smallest = distance(a, b), np.finfo(a.dtype).smallest_normal
    largest = np.maximum(np.maximum(np.abs(a), np.abs(b)), smallest)
    return np.where(apart <= UNDERFLOW * float(smallest), 0.0, apart / np.spacing(largest).astype(np.float64))


def distance(a: Array, b: Array) -> Array:
    """|a - b| in float64, where equal infinities and two NaN are no distance, and one NaN is an infinite one."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _difference(a: Array, b: Array, limit: Array, *, relative: bool) -> Difference:
    for name, one, other in (("shape", shape(a), shape(b)), ("dtype", a.dtype, b.dtype)):
        if one != other:
            return Difference(np.inf, None, note=f"{name} {other} instead of {one}")
    if a.size == 0:
        return Difference(0.0, 0.0 if relative else None)
    apart, floating = distance(a, b), a.dtype.kind == "f"
    limit = limit + (UNDERFLOW * float(np.finfo(a.dtype).smallest_normal) if floating else 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):  # of what must be equal, or is not finite
        shares = np.where(apart > 0, apart / np.where(np.isfinite(apart), limit, 0.0), 0.0)
    shares = np.where(np.isnan(shares), 0.0, shares)  # where nothing finite is allowed, or everything
    place = np.unravel_index(int(np.argmax(shares)), shares.shape)
    ulp = float(np.max(in_ulp(a, b))) if relative and floating else None
    return Difference(float(shares[place]), ulp, tuple(map(int, place)), float(a[place]), float(b[place]))
