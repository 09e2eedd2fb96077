"""Memory that kernels share: aligned buffers, work arrays, and arrays seen as one line of memory."""

from typing import Any

import numpy as np

from nnxp._types import Array

__all__ = ["CHUNK", "INTEGERS", "Scratch", "fill", "like", "pieces", "zeros"]

CHUNK = 32_768
"""Elements that a kernel of several passes works on at a time: so they stay in the second-level cache (1 MiB and more)
from one pass to the next."""

_ALIGNMENT = 64

INTEGERS: dict[int, np.dtype[Any]] = {4: np.dtype(np.int32), 8: np.dtype(np.int64)}
"""By the bytes of a float, the integers as long: kernels mask a float's bits."""


def zeros(size: int, dtype: Any) -> Array:
    """A flat array of zeros that begins on a 64-byte boundary: a cache line, and the widest vector register."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size * dtype.itemsize + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size * dtype.itemsize].view(dtype)


class Scratch:
    """Work arrays of up to `CHUNK` elements. They are shared: their contents last for one piece of one kernel."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[Any, int], Array] = {}
        self._nothing: dict[Any, Array] = {}

    def __call__(self, size: int, dtype: Any, number: int = 0) -> Array:
        """The first ``size`` elements of work array ``number``."""
        return _at_least(self._arrays, (dtype, number), size, np.empty)[:size]

    def zeros(self, size: int, dtype: Any) -> Array:
        """Zeros, to be read only: maximum has a vector loop for two arrays, and none for an array and a number."""
        return _at_least(self._nothing, dtype, size, np.zeros)[:size]


def _at_least(arrays: dict[Any, Array], key: Any, size: int, make: Any) -> Array:
    if key not in arrays or arrays[key].size < size:
        arrays[key] = make(size, dtype=key[0] if isinstance(key, tuple) else key)
    return arrays[key]


def like(x: Array, out: Array | None) -> Array:
    """The donated buffer, or a new one like x."""
    return np.empty_like(x) if out is None else out


def fill(out: Array, values: Array) -> Array:
    """The buffer, with these values in it."""
    np.copyto(out, values)
    return out


def pieces(*arrays: Array) -> list[tuple[Array, ...]] | None:
    """The arrays as flat views of at most `CHUNK` elements; None where they do not lie in memory alike."""
    if all(a.flags.c_contiguous for a in arrays):
        flat = [a.reshape(-1) for a in arrays]
    elif all(a.flags.f_contiguous for a in arrays):
        flat = [a.T.reshape(-1) for a in arrays]
    else:
        return None
    return [tuple(a[start : start + CHUNK] for a in flat) for start in range(0, flat[0].size, CHUNK)]
