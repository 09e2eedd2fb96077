"""Activations."""

from math import floor, log
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call
from nnxp.ops.numpy._memory import INTEGERS, Scratch, fill, like, pieces

__all__ = [
    "leaky_relu",
    "leaky_relu_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "step",
    "step_backward",
    "tanh",
    "tanh_backward",
]


def relu(x: Array, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    out, scratch = like(x, out), scratch or Scratch()
    parts = pieces(x, out)
    if parts is None:
        return lambda: np.maximum(x, 0, out=out)
    parts = [(xp, scratch.zeros(xp.size, x.dtype), yp) for xp, yp in parts]

    def call() -> Array:
        for xp, zero, yp in parts:
            np.maximum(xp, zero, out=yp)
        return out

    return call


def relu_backward(dy: Array, y: Array, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    out, scratch = like(dy, out), scratch or Scratch()
    parts = pieces(dy, y, out)
    if parts is None:
        return lambda: fill(out, np.where(y > 0, dy, 0))
    bits = INTEGERS[y.dtype.itemsize]
    last = np.asarray(bits.itemsize * 8 - 1, dtype=bits)
    parts = [(*(a.view(bits) for a in part), scratch(part[0].size, bits)) for part in parts]

    def call() -> Array:
        for dyp, yp, dxp, mask in parts:
            # y is never below 0, so as an integer -y has its sign bit set where y > 0; shifted, it fills the mask
            np.negative(yp, out=mask)
            np.right_shift(mask, last, out=mask)
            np.bitwise_and(dyp, mask, out=dxp)
        return out

    return call


def leaky_relu(x: Array, negative_slope: float, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    out, scratch = like(x, out), scratch or Scratch()
    parts = pieces(x, out)
    if parts is None:
        return lambda: fill(out, np.where(x > 0, x, negative_slope * x))
    parts = [(xp, scratch(xp.size, x.dtype), yp) for xp, yp in parts]
    choose = np.minimum if negative_slope > 1 else np.maximum

    def call() -> Array:
        for xp, below, yp in parts:
            np.multiply(xp, negative_slope, out=below)
            choose(xp, below, out=yp)
        return out

    return call


def leaky_relu_backward(
    dy: Array, y: Array, negative_slope: float, *, out: Array = None, scratch: Scratch | None = None
) -> Call:
    def slope_of(y: Array, slope: Array) -> Array:
        if negative_slope <= 1:
            return np.clip(np.greater(y, 0, out=slope), negative_slope, 1, out=slope)  # clip has a vector loop
        np.multiply(np.less_equal(y, 0, out=slope), negative_slope, out=slope)
        return np.clip(slope, 1, negative_slope, out=slope)

    return _times_slope(dy, y, out, scratch, slope_of)


def highest_exponent(dtype: Any) -> float:
    """A whole number e below which 1 / (1 + e^e) is a normal number."""
    return floor(log(np.finfo(dtype).max)) - 1.0


def sigmoid(x: Array, *, out: Array = None, scratch: Any = None) -> Call:
    out = like(x, out)
    most = np.asarray(highest_exponent(x.dtype), dtype=x.dtype)

    def call() -> Array:
        np.negative(x, out=out)
        np.minimum(out, most, out=out)
        np.exp(out, out=out)
        np.add(out, 1, out=out)
        return np.divide(1, out, out=out)

    return call


def sigmoid_backward(dy: Array, y: Array, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    return _times_slope(dy, y, out, scratch, lambda y, slope: np.multiply(np.subtract(1, y, out=slope), y, out=slope))


def tanh(x: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return lambda: np.tanh(x, out=out)


def tanh_backward(dy: Array, y: Array, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    return _times_slope(dy, y, out, scratch, lambda y, slope: np.subtract(1, np.multiply(y, y, out=slope), out=slope))


def _times_slope(dy: Array, y: Array, out: Array | None, scratch: Scratch | None, slope_of: Any) -> Call:
    """``slope_of(y, slope)`` writes the derivative at y into ``slope``."""
    out, scratch = like(dy, out), scratch or Scratch()
    parts = pieces(dy, y, out)
    if parts is None:
        return lambda: np.multiply(dy, slope_of(y, np.empty_like(y)), out=out)
    parts = [(*part, scratch(part[0].size, y.dtype)) for part in parts]

    def call() -> Array:
        for dyp, yp, dxp, slope in parts:
            np.multiply(dyp, slope_of(yp, slope), out=dxp)
        return out

    return call


def step(x: Array, *, out: Array = None, scratch: Any = None) -> Call:
    out = like(x, out)
    return lambda: np.greater(x, 0, out=out)


def step_backward(dy: Array, y: Array, *, out: Array = None, scratch: Any = None) -> Call:
    out = like(dy, out)

    def call() -> Array:
        out[...] = 0
        return out

    return call


def softmax(x: Array, *, out: Array = None, scratch: Any = None) -> Call:
    out = like(x, out)
    top, total = np.empty((2, *x.shape[:-1], 1), dtype=x.dtype)
    terms = exponentials(x, out, top, total)

    def call() -> Array:
        terms()
        return np.divide(out, total, out=out)

    return call


def exponentials(x: Array, e: Array, top: Array, total: Array) -> Call:
    r"""The terms of a softmax, $e^{x - \max x}$, the largest x, and the sum of the terms, over the last axis."""
    ones, sums = np.ones(x.shape[-1], dtype=x.dtype), total[..., 0]
    if e.ndim == 2 and e.flags.forc:  # BLAS adds rows faster than add.reduce

        def add() -> None:
            np.dot(e, ones, out=sums)
    else:

        def add() -> None:
            np.add.reduce(e, axis=-1, out=sums)

    def call() -> None:
        np.maximum.reduce(x, axis=-1, keepdims=True, out=top)
        np.subtract(x, top, out=e)
        np.exp(e, out=e)
        add()

    return call


def softmax_backward(dy: Array, y: Array, *, out: Array = None, scratch: Any = None) -> Call:
    out = like(dy, out)
    row = np.empty((*dy.shape[:-1], 1), dtype=dy.dtype)
    product = np.empty_like(dy)

    def call() -> Array:
        np.multiply(dy, y, out=product)
        np.add.reduce(product, axis=-1, keepdims=True, out=row)
        np.subtract(dy, row, out=product)
        return np.multiply(product, y, out=out)

    return call
