"""What kernels of updates share: the memory that they may write, and the walk over it piece by piece."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call, Number
from nnxp.ops.numpy._memory import CHUNK, Scratch

__all__ = ["approach", "in_pieces", "owned", "with_scratch"]


def in_pieces(
    piece: Callable[..., None], learning_rate: Number | float, parts: list[tuple[Array, ...]], result: Any
) -> Call:
    """A call that updates piece after piece. The rate is a 0-d array, which ufuncs take faster than Python's floats."""
    number, rate = Number.of(learning_rate), np.empty((), dtype=parts[0][0].dtype if parts else float)

    def call() -> Any:
        rate[()] = number.value
        for part in parts:
            piece(rate, *part)
        return result

    return call


def with_scratch(scratch: Scratch | None, count: int, *arrays: Array) -> list[tuple[Array, ...]]:
    """The arrays in pieces, each with ``count`` work arrays."""
    scratch, (first, *_) = scratch or Scratch(), arrays
    return [
        (*part, *(scratch(part[0].size, first.dtype, number) for number in range(count)))
        for part in (tuple(a[start : start + CHUNK] for a in arrays) for start in range(0, first.size, CHUNK))
    ]


def approach(mean: Array, a: Array, beta: float, step: Array) -> None:
    """A moving average: m ← βm + (1 - β)a."""
    np.multiply(a, 1 - beta, out=step)
    np.multiply(mean, beta, out=mean)
    np.add(mean, step, out=mean)


def owned(arrays: tuple[Array, ...], out: Any) -> tuple[Array, ...]:
    """The arrays in memory that may be written: the donated buffers, or new ones, with the arrays' values."""
    buffers = (out,) if isinstance(out, np.ndarray) else out or (None,) * len(arrays)
    return tuple(map(_own, arrays, buffers))


def _own(array: Array, buffer: Array | None) -> Array:
    if buffer is None:
        return array.copy()
    if buffer is not array:
        np.copyto(buffer, array)
    return buffer
