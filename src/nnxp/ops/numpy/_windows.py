"""Windows over images, in work memory: what kernels of convolutions and poolings are made of."""

from functools import wraps
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nnxp._types import Array
from nnxp.ops import Call, Kernel
from nnxp.ops.numpy._memory import Scratch, fill

__all__ = ["Axis", "by_rows", "parts", "places", "unfolded"]

Axis = tuple[int, int, int]
"""The number of windows along an axis, and its margins before and after: see `nnxp.ops.reference.windows.grid`."""

_PIECE = 131_072
"""Elements of windows that are worked on at a time (512 KB in float32): they stay in the second-level cache between the
copy and the product."""


def by_rows(kernel: Kernel) -> Kernel:
    """The kernel for arrays that lie otherwise, too: they are copied in each call. In a plan, images lie by rows."""

    @wraps(kernel)
    def bind(*inputs: Any, out: Array = None, scratch: Any = None) -> Call:
        laid = [_like_by_rows(value) for value in inputs]
        copied = [(new, old) for new, old in zip(laid, inputs, strict=True) if new is not old]
        result = _like_by_rows(out)
        call = kernel(*laid, out=result, scratch=scratch)
        if result is out and not copied:
            return call

        def copying() -> Array:
            for new, old in copied:
                np.copyto(new, old)
            y = call()
            return y if result is out else fill(out, y)

        return copying

    return bind


def _like_by_rows(value: Any) -> Any:
    """The value, or memory by rows for an array that lies otherwise."""
    loose = isinstance(value, np.ndarray) and not value.flags.c_contiguous
    return np.empty(value.shape, dtype=value.dtype) if loose else value


def parts(samples: int, each: int) -> list[slice]:
    """The samples of a batch in pieces, where each has so many elements."""
    step = max(_PIECE // max(each, 1), 1)
    return [slice(start, min(start + step, samples)) for start in range(0, samples, step)]


def places(length: int, window: int, stride: int, axis: Axis) -> list[tuple[slice, slice]]:
    """For each place in a window: the windows that have it on the image, and the elements that are there."""
    count, before, _ = axis
    found = []
    for place in range(window):
        first = max(-((place - before) // stride), 0)
        stop = max(min((length - 1 + before - place) // stride + 1, count), first)
        start = first * stride + place - before
        elements = slice(start, start + (stop - first - 1) * stride + 1, stride) if stop > first else slice(0, 0)
        found.append((slice(first, stop), elements))
    return found


def unfolded(
    x: Array, window: tuple[int, int], strides: tuple[int, int], axes: tuple[Axis, Axis], scratch: Scratch
) -> list[tuple[slice, Array, Call]]:
    """``x[B,H,W,C] -> p[B·h·w, kh·kw·C]``, a piece of the batch at a time: its samples, its windows as the rows of a
    matrix, and the call that fills it. The work arrays 0 and 1 are in use until the next piece."""
    (h, top, bottom), (w, left, right) = axes
    _, height, width, channels = x.shape
    row, size = prod(window) * channels, (top + height + bottom, left + width + right, channels)
    on_image = (slice(None), slice(top, top + height), slice(left, left + width))
    found: list[tuple[slice, Array, Call]] = []
    for part in parts(x.shape[0], h * w * row):
        source = x[part]
        copies: list[tuple[Array, Array]] = []
        if size != x.shape[1:]:
            count = source.shape[0]
            canvas = scratch(count * prod(size), x.dtype, 0).reshape(count, *size)
            copies.append((canvas[on_image], source))
            source = canvas
        windows = _windows(source, window, strides, (h, w))
        target, matrix = _targets(windows, scratch)
        if target is not None:
            copies.append((target, windows))
        # the margins are zero from the first piece to the last
        found.append((part, matrix, _copying(copies, source if size != x.shape[1:] and not found else None)))
    return found


def _copying(copies: list[tuple[Array, Array]], zeros: Array | None) -> Call:
    def copy() -> None:
        if zeros is not None:
            zeros.fill(0)
        for target, source in copies:
            np.copyto(target, source)

    return copy


def _windows(x: Array, window: tuple[int, int], strides: tuple[int, int], grid: tuple[int, int]) -> Array:
    """``x[B,H,W,C] -> p[B,h,w,kh,kw,C]``, a view."""
    sample, row, column, channel = x.strides
    steps = (sample, row * strides[0], column * strides[1], row, column, channel)
    return as_strided(x, (x.shape[0], *grid, *window, x.shape[3]), steps, writeable=False)


def _targets(windows: Array, scratch: Scratch) -> tuple[Array | None, Array]:
    """Where windows are copied to, in their own shape and as a matrix; no target where they are a matrix already."""
    shape = windows.shape
    rows, row = prod(shape[:3]), prod(shape[3:])
    if windows.flags.c_contiguous:
        return None, windows.reshape(rows, row)
    memory = scratch(rows * row, windows.dtype, 1)
    if prod(shape[4:]) < shape[2]:  # longer runs of memory if the matrix lies by columns
        return memory.reshape(shape[3:] + shape[:3]).transpose(3, 4, 5, 0, 1, 2), memory.reshape(row, rows).T
    return memory.reshape(shape), memory.reshape(rows, row)
