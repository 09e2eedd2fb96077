"""What a bound is, and the bounds that many ops share."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np

from nnxp._types import Array

__all__ = ["EXACT", "FUNCTION", "Bound", "Jump", "many", "one", "relative", "relative_rows", "relative_sum", "summed"]

FUNCTION = 8
"""Roundings of an exponential, a logarithm, a tanh: 4 ULP. CUDA's are within 2, NumPy's in float32 within 3.83."""

_SIGNS = 8
"""Roundings are of both signs, so a sum of K terms gathers about √K of them, not K (Higham & Mary, *A new approach to
probabilistic rounding error analysis*, SISC 41, 2019). The factor leaves room for sums of many equal terms."""


@dataclass(frozen=True)
class Jump:
    """A result that jumps by ``height`` where ``argument``, whose own n·M are its ``roundings``, changes its sign."""

    argument: Array
    roundings: Array
    height: float


@dataclass(frozen=True)
class Bound:
    """``roundings(results, *inputs)`` gives n·M for each result; where it is ``relative``, M is the result itself.

    ``jumps(results, *inputs)`` gives a `Jump`, or None, for each result.
    """

    roundings: Callable[..., tuple[Array, ...]]
    relative: bool = False
    jumps: Callable[..., tuple[Jump | None, ...]] | None = None


def one(function: Callable[..., Array]) -> Bound:
    """A bound for an op with one result, as a function of its inputs."""
    return Bound(lambda results, *inputs: (function(*inputs),))


def many(function: Callable[..., tuple[Array, ...]]) -> Bound:
    """A bound for an op with several results, as a function of its inputs."""
    return Bound(lambda results, *inputs: function(*inputs))


def relative(n: float) -> Bound:
    """n roundings of each result, from sums without cancellation, products, quotients."""
    return Bound(lambda results, *inputs: tuple(n * np.abs(r) for r in results), relative=True)


def relative_sum(n: float) -> Bound:
    """A sum over all elements, of one sign, each rounded n times."""
    return Bound(lambda results, p, *_: tuple((n + summed(p.size)) * np.abs(r) for r in results), relative=True)


def relative_rows(n: float) -> Bound:
    """A sum over each row, of one sign, each element rounded n times."""
    return Bound(
        lambda results, p, *_: tuple((n + summed(prod(p.shape[1:]))) * np.abs(r) for r in results), relative=True
    )


def summed(terms: Any) -> Any:
    """Roundings of a sum of so many terms."""
    return min(terms, _SIGNS * sqrt(terms))


EXACT = relative(0)
"""What only chooses, or counts."""
