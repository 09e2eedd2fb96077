"""How far two results of an op are apart, beside what rounding allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnxp._check import shape
from nnxp._types import Array
from nnxp.parity._bounds import bound_of

__all__ = ["Difference", "distance", "in_ulp", "measure"]

_UNDERFLOW = 64
"""Smallest normal numbers that results may always differ by: some libraries round smaller ones to zero."""


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
    op: str, inputs: Sequence[Any], standard: Sequence[Array], found: Sequence[Array]
) -> tuple[Difference, ...]:
    """One difference for each result of an op that was run twice on these inputs. All arrays are host arrays.

    >>> x, right, wrong = np.asarray([1.0, 2.0]), np.tanh([1.0, 2.0]), np.tanh([1.0, 2.0 + 1e-15])
    >>> [round(d.share, 3) for d in measure("tanh", [x], [right], [right])]
    [0.0]
    >>> [d.share > 1 for d in measure("tanh", [x], [right], [1.001 * right])]
    [True]
    """
    bound = bound_of(op)
    with np.errstate(all="ignore"):  # of a run that diverges
        allowed = bound.allowed(tuple(map(_wide, standard)), *map(_wide, inputs))
        return tuple(
            _difference(a, b, n, relative=bound.relative) for a, b, n in zip(standard, found, allowed, strict=True)
        )


def in_ulp(a: Array, b: Array) -> Array:
    """|a - b| / spacing(max(|a|, |b|)), elementwise; numbers that underflow are zeros."""
    apart, smallest = distance(a, b), np.finfo(a.dtype).smallest_normal
    largest = np.maximum(np.maximum(np.abs(a), np.abs(b)), smallest)
    return np.where(apart <= _UNDERFLOW * float(smallest), 0.0, apart / np.spacing(largest).astype(np.float64))


def _wide(value: Any) -> Any:
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def _difference(a: Array, b: Array, roundings: Array, *, relative: bool) -> Difference:
    for name, one, other in (("shape", shape(a), shape(b)), ("dtype", a.dtype, b.dtype)):
        if one != other:
            return Difference(np.inf, None, note=f"{name} {other} instead of {one}")
    if a.size == 0:
        return Difference(0.0, 0.0 if relative else None)
    if a.dtype.kind != "f":
        shares = np.where(a == b, 0.0, np.inf)
        return _worst(shares, None, a, b)
    info = np.finfo(a.dtype)
    allowed = float(info.eps) * roundings + _UNDERFLOW * float(info.smallest_normal)
    shares = distance(a, b) / np.where(np.isnan(allowed), np.inf, allowed)
    return _worst(np.where(np.isnan(shares), np.inf, shares), float(np.max(in_ulp(a, b))) if relative else None, a, b)


def _worst(shares: Array, ulp: float | None, a: Array, b: Array) -> Difference:
    place = np.unravel_index(int(np.argmax(shares)), shares.shape)
    return Difference(float(shares[place]), ulp, tuple(map(int, place)), float(a[place]), float(b[place]))


def distance(a: Array, b: Array) -> Array:
    """|a - b| in float64, where equal infinities and two NaN are no distance, and one NaN is an infinite one."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
