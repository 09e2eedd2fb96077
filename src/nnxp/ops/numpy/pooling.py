"""Poolings, one axis after the other: first over the columns of windows, then over their rows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf, prod
from typing import Any

import numpy as np

from nnxp._types import Array, Shape
from nnxp.ops import Call
from nnxp.ops.numpy._memory import INTEGERS, Scratch
from nnxp.ops.numpy._windows import by_rows, parts, places
from nnxp.ops.reference.windows import Padding, grid

__all__ = [
    "average_pool2d",
    "average_pool2d_backward",
    "global_average_pool",
    "global_average_pool_backward",
    "max_pool2d",
    "max_pool2d_backward",
]

Places = list[tuple[slice, slice]]


@by_rows
def max_pool2d(
    x: Array,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    *,
    out: Array = None,
    scratch: Scratch | None = None,
) -> Call:
    out, rows, columns = _prepared(x, window, strides, padding, out)
    calls = _reduced(np.maximum, -inf, x, rows, columns, out, scratch or Scratch())

    def call() -> Array:
        for step in calls:
            step()
        return out

    return call


@by_rows
def max_pool2d_backward(
    dy: Array,
    x: Array,
    y: Array,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    *,
    out: Array = None,
    scratch: Scratch | None = None,
) -> Call:
    out, scratch = np.empty_like(x) if out is None else out, scratch or Scratch()
    _, rows, columns = _prepared(x, window, strides, padding, y)
    alone = all(stride >= k for stride, k in zip(strides, window, strict=True))  # in one window only
    pieces = []
    for part in parts(x.shape[0], prod(x.shape[1:])):
        free = scratch(y[part].size, _BOOL, 0).reshape(y[part].shape)
        steps = [
            _Place.of(dy[w], x[e], y[w], out[e], free[:, down, along], scratch, alone=alone)
            for down, down_elements in rows
            for along, along_elements in columns
            for w, e in [((part, down, along), (part, down_elements, along_elements))]
        ]
        pieces.append((free, steps))

    def call() -> Array:
        out.fill(0)
        for free, steps in pieces:
            free.fill(True)
            for step in steps:
                step()
        return out

    return call


@dataclass(frozen=True, slots=True)
class _Place:
    """One place in all windows: dy goes there where x is y, and no place before was."""

    x: Array
    y: Array
    free: Array
    largest: Array
    mask: Array
    dy: Array
    masked: Array
    dx: Array
    add: bool

    @classmethod
    def of(cls, dy: Array, x: Array, y: Array, dx: Array, free: Array, scratch: Scratch, *, alone: bool) -> "_Place":
        bits, size, shape = INTEGERS[y.dtype.itemsize], y.size, y.shape
        largest, mask = scratch(size, _BOOL, 1).reshape(shape), scratch(size, bits, 0).reshape(shape)
        masked = dx.view(bits) if alone else scratch(size, bits, 1).reshape(shape)
        return cls(x, y, free, largest, mask, dy.view(bits), masked, dx, not alone)

    def __call__(self) -> None:
        np.equal(self.x, self.y, out=self.largest)
        np.logical_and(self.largest, self.free, out=self.largest)
        np.greater(self.free, self.largest, out=self.free)  # free, and not the largest
        np.copyto(self.mask, self.largest)
        np.negative(self.mask, out=self.mask)  # all bits are set: 0 · ∞ must not arise
        np.bitwise_and(self.dy, self.mask, out=self.masked)
        if self.add:
            np.add(self.dx, self.masked.view(self.dx.dtype), out=self.dx)


@by_rows
def average_pool2d(
    x: Array,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    *,
    out: Array = None,
    scratch: Scratch | None = None,
) -> Call:
    out, rows, columns = _prepared(x, window, strides, padding, out)
    calls = _reduced(np.add, 0.0, x, rows, columns, out, scratch or Scratch())
    shares = _shares(rows, columns, out)

    def call() -> Array:
        for step in calls:
            step()
        return np.multiply(out, shares, out=out)

    return call


@by_rows
def average_pool2d_backward(
    dy: Array,
    size: tuple[int, int],
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    *,
    out: Array = None,
    scratch: Scratch | None = None,
) -> Call:
    if out is None:
        out = np.empty((dy.shape[0], *size, dy.shape[3]), dtype=dy.dtype)
    scratch = scratch or Scratch()
    _, rows, columns = _prepared(out, window, strides, padding, dy)
    shares = _shares(rows, columns, dy)
    pieces = []
    for part in parts(dy.shape[0], prod(out.shape[1:])):
        dys, dx = dy[part], out[part]
        scaled = scratch(dys.size, dy.dtype, 0).reshape(dys.shape)
        wide = scratch(prod((*dys.shape[:2], size[1], dys.shape[3])), dy.dtype, 1)
        wide = wide.reshape(*dys.shape[:2], size[1], dys.shape[3])
        moves = [(scaled[:, :, w], wide[:, :, there]) for w, there in columns]
        moves += [(wide[:, h], dx[:, there]) for h, there in rows]
        pieces.append((dys, scaled, wide, moves))

    def call() -> Array:
        out.fill(0)
        for dys, scaled, wide, moves in pieces:
            np.multiply(dys, shares, out=scaled)
            wide.fill(0)
            for source, target in moves:
                np.add(target, source, out=target)
        return out

    return call


@by_rows
def global_average_pool(x: Array, *, out: Array = None, scratch: Any = None) -> Call:
    out = np.empty((x.shape[0], x.shape[-1]), dtype=x.dtype) if out is None else out
    lines = x.reshape(x.shape[0], prod(x.shape[1:-1]), x.shape[-1])
    share = np.asarray(1 / lines.shape[1], dtype=x.dtype)

    def call() -> Array:
        np.add.reduce(lines, axis=1, out=out)
        return np.multiply(out, share, out=out)

    return call


@by_rows
def global_average_pool_backward(dy: Array, size: Shape, *, out: Array = None, scratch: Any = None) -> Call:
    out = np.empty((dy.shape[0], *size, dy.shape[1]), dtype=dy.dtype) if out is None else out
    lines = out.reshape(dy.shape[0], prod(size), dy.shape[1])
    each, share = dy[:, None, :], np.asarray(1 / prod(size), dtype=dy.dtype)

    def call() -> Array:
        np.multiply(each, share, out=lines)
        return out

    return call


_BOOL = np.dtype(bool)


def _prepared(
    x: Array, window: tuple[int, int], strides: tuple[int, int], padding: Padding, y: Array | None
) -> tuple[Array, Places, Places]:
    """A buffer for y where there is none, and the `places` of both axes."""
    down, along = grid(x.shape[1:3], window, strides, padding)
    y = np.empty((x.shape[0], down[0], along[0], x.shape[3]), dtype=x.dtype) if y is None else y
    return (
        y,
        places(x.shape[1], window[0], strides[0], down),
        places(x.shape[2], window[1], strides[1], along),
    )


def _shares(rows: Places, columns: Places, y: Array) -> Array:
    """1 / n for windows of which n elements are on the image: ``[h,w,C]``, or ``[]`` where all are alike."""
    counts = []
    for axis, length in ((rows, y.shape[1]), (columns, y.shape[2])):
        count = np.zeros(length)
        for windows, _ in axis:
            count[windows] += 1
        counts.append(count)
    shares = (1 / np.outer(*counts)).astype(y.dtype)
    if np.all(shares == shares[0, 0]):
        return shares[0, 0]
    return np.repeat(shares[:, :, None], y.shape[3], axis=2)


def _reduced(
    ufunc: Any, start: float, x: Array, rows: Places, columns: Places, out: Array, scratch: Scratch
) -> list[Callable[[], Any]]:
    """Calls that reduce windows with a ufunc, a piece of the batch at a time."""
    calls = []
    for part in parts(x.shape[0], prod(x.shape[1:])):
        some = x[part]
        shape = (*some.shape[:2], out.shape[2], some.shape[3])
        narrow = scratch(prod(shape), x.dtype, 0).reshape(shape)
        calls += _along(ufunc, start, some, 2, columns, narrow)
        calls += _along(ufunc, start, narrow, 1, rows, out[part])
    return calls


def _along(ufunc: Any, start: float, a: Array, axis: int, places: Places, out: Array) -> list[Callable[[], Any]]:
    before = (slice(None),) * axis
    moves = [(out[(*before, windows)], a[(*before, elements)]) for windows, elements in places]
    whole = [part for target, part in moves if target.shape == out.shape]
    rest = [(target, part) for target, part in moves if target.shape != out.shape]
    calls: list[Callable[[], Any]]
    if len(whole) > 1:
        calls = [partial(ufunc, whole[0], whole[1], out=out)]
    else:
        calls = [partial(np.copyto, out, whole[0] if whole else start)]
    moves = [(out, part) for part in whole[2:]] + rest
    return calls + [partial(ufunc, target, part, out=target) for target, part in moves]
