"""Convolutions: windows are copied into rows of a matrix, and BLAS does the rest."""

from math import prod

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call
from nnxp.ops.numpy import linear as products
from nnxp.ops.numpy._memory import Scratch
from nnxp.ops.numpy._windows import Axis, by_rows, parts, places, unfolded
from nnxp.ops.reference.windows import Padding, grid

__all__ = ["conv2d", "conv2d_bias_gradient", "conv2d_input_gradient", "conv2d_weight_gradient"]


@by_rows
def conv2d(
    x: Array,
    weights: Array,
    biases: Array,
    strides: tuple[int, int],
    padding: Padding,
    *,
    out: Array = None,
    scratch: Scratch | None = None,
) -> Call:
    window = weights.shape[:2]
    axes = grid(x.shape[1:3], window, strides, padding)
    if out is None:
        out = np.empty((x.shape[0], axes[0][0], axes[1][0], weights.shape[3]), dtype=x.dtype)
    w = _matrix(weights)
    pieces = [
        (gather, products.linear(p, w, biases, out=_matrix(out[part])))
        for part, p, gather in unfolded(x, window, strides, axes, scratch or Scratch())
    ]

    def call() -> Array:
        for gather, product in pieces:
            gather()
            product()
        return out

    return call


@by_rows
def conv2d_bias_gradient(dy: Array, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    return products.linear_bias_gradient(_matrix(dy), out=out)


@by_rows
def conv2d_weight_gradient(
    x: Array,
    dy: Array,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    *,
    out: Array = None,
    scratch: Scratch | None = None,
) -> Call:
    if out is None:
        out = np.empty((*window, x.shape[3], dy.shape[3]), dtype=x.dtype)
    scratch = scratch or Scratch()
    total = _matrix(out)
    share = scratch(out.size, x.dtype, 2).reshape(total.shape)
    pieces = [
        (gather, products.matmul(p.T, _matrix(dy[part]), out=share if part.start else total))
        for part, p, gather in unfolded(x, window, strides, grid(x.shape[1:3], window, strides, padding), scratch)
    ]

    def call() -> Array:
        if not pieces:
            out.fill(0)
        for index, (gather, product) in enumerate(pieces):
            gather()
            product()
            if index:
                np.add(total, share, out=total)
        return out

    return call


@by_rows
def conv2d_input_gradient(
    dy: Array,
    weights: Array,
    size: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    *,
    out: Array = None,
    scratch: Scratch | None = None,
) -> Call:
    window, scratch = weights.shape[:2], scratch or Scratch()
    axes = grid(size, window, strides, padding)
    if out is None:
        out = np.empty((dy.shape[0], *size, weights.shape[2]), dtype=dy.dtype)
    within = all(margin < k for k, (_, *margins) in zip(window, axes, strict=True) for margin in margins)
    if strides == (1, 1) and within:
        return _by_windows(dy, weights, axes, out, scratch)
    return _by_places(dy, weights, axes, strides, out, scratch)


def _by_windows(dy: Array, weights: Array, axes: tuple[Axis, Axis], out: Array, scratch: Scratch) -> Call:
    """With strides of 1, dx is itself a convolution, of dy with the weights turned around. That is faster than
    `_by_places`: the windows of dy are copied in one pass, and nothing is added."""
    kh, kw, channels, filters = weights.shape
    turned = weights[::-1, ::-1].transpose(0, 1, 3, 2)
    w = scratch(weights.size, weights.dtype, 2).reshape(kh, kw, filters, channels)
    back = [
        (length, k - 1 - before, k - 1 - after)
        for length, k, (_, before, after) in zip(out.shape[1:3], (kh, kw), axes, strict=True)
    ]
    pieces = [
        (gather, products.matmul(p, _matrix(w), out=_matrix(out[part])))
        for part, p, gather in unfolded(dy, (kh, kw), (1, 1), (back[0], back[1]), scratch)
    ]

    def call() -> Array:
        np.copyto(w, turned)
        for gather, product in pieces:
            gather()
            product()
        return out

    return call


def _by_places(
    dy: Array, weights: Array, axes: tuple[Axis, Axis], strides: tuple[int, int], out: Array, scratch: Scratch
) -> Call:
    """The rows of dy·wᵀ are windows: all elements that have one place in their window are added at a time."""
    (kh, kw), w = weights.shape[:2], _matrix(weights).T
    rows, columns = (
        places(length, k, stride, axis)
        for length, k, stride, axis in zip(out.shape[1:3], (kh, kw), strides, axes, strict=True)
    )
    pieces = []
    for part in parts(dy.shape[0], prod(dy.shape[1:3]) * w.shape[1]):
        some, dx = _matrix(dy[part]), out[part]
        p = scratch(some.shape[0] * w.shape[1], dy.dtype, 1)
        windows = p.reshape(-1, *dy.shape[1:3], *weights.shape[:3])
        moves = [
            (windows[:, r, c, i, j], dx[:, down, along])
            for i, (r, down) in enumerate(rows)
            for j, (c, along) in enumerate(columns)
        ]
        pieces.append((products.matmul(some, w, out=p.reshape(-1, w.shape[1])), moves))

    def call() -> Array:
        out.fill(0)
        for product, moves in pieces:
            product()
            for source, target in moves:
                np.add(target, source, out=target)
        return out

    return call


def _matrix(a: Array) -> Array:
    """``[…,O]`` as rows."""
    return a.reshape(prod(a.shape[:-1]), a.shape[-1])
