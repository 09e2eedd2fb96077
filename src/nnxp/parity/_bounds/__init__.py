r"""What rounding allows: how far two right implementations of an op may part on equal inputs.

Each bound is a function of the op's results and inputs (float64 host arrays, numbers) and gives, for each result, an
array $n M$: roundings along the longest path, times the magnitude of what is rounded. One rounding is wrong by at most
$\epsilon M / 2$, and there are two implementations, so $\epsilon n M$ is what they may differ by.

Sums are bounded by the sum of their terms' magnitudes (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd
ed., 2002, chapters 3 and 4), in any order, with or without fused multiply-add. A result that jumps, as a sign does, may
differ by the whole jump where the roundings of what it depends on reach across.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.parity._bounds.activations import ACTIVATIONS
from nnxp.parity._bounds.bound import Bound, Jump
from nnxp.parity._bounds.lines import LINES
from nnxp.parity._bounds.losses import LOSSES
from nnxp.parity._bounds.normalization import NORMALIZATIONS
from nnxp.parity._bounds.updates import UPDATES

__all__ = ["BOUNDS", "UNDERFLOW", "Bound", "allowed", "bound_of"]

BOUNDS: dict[str, Bound] = {**LINES, **ACTIVATIONS, **NORMALIZATIONS, **LOSSES, **UPDATES}
"""The bound of each op of the table."""

UNDERFLOW = 64
"""Smallest normal numbers that results may always differ by: some libraries round what is smaller to zero."""

_OTHER = 256


def bound_of(op: str) -> Bound:
    """The bound of an op by its name in the table; one that has none, such as a user's own layer, gets 256 roundings of
    its largest result."""
    return BOUNDS.get(op, _LARGEST)


def allowed(op: str, results: Sequence[Array], inputs: Sequence[Any]) -> tuple[Array, ...]:
    """For each result of an op on these inputs, how far another one may be away, element by element.

    0 for what is no floating number. All arrays are host arrays.
    """
    bound, wide = bound_of(op), (tuple(map(_wide, results)), *map(_wide, inputs))
    with np.errstate(all="ignore"):  # of a run that diverges
        limits = bound.roundings(*wide)
        jumps = bound.jumps(*wide) if bound.jumps else (None,) * len(results)
    return tuple(
        _in_its_unit(limit, jump, result.dtype) for limit, jump, result in zip(limits, jumps, results, strict=True)
    )


def _wide(value: Any) -> Any:
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def _in_its_unit(roundings: Array, jump: Jump | None, dtype: Any) -> Array:
    if dtype.kind != "f":
        return np.zeros_like(roundings, dtype=np.float64)
    eps, smallest = float(np.finfo(dtype).eps), float(np.finfo(dtype).smallest_normal)
    limit = eps * roundings
    if jump is None:
        return limit
    near = np.abs(jump.argument) < eps * jump.roundings + UNDERFLOW * smallest
    return limit + jump.height * (near & (jump.roundings > 0))  # where all is 0, the sign is 0 everywhere


def _largest(results: Any, *inputs: Any) -> tuple[Array, ...]:
    return tuple(np.full_like(r, _OTHER * np.max(np.abs(r), initial=0.0)) for r in results)


_LARGEST = Bound(_largest)
