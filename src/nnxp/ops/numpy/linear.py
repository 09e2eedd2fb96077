"""Products."""

from math import gcd
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call

__all__ = ["add", "linear", "linear_bias_gradient", "linear_input_gradient", "linear_weight_gradient", "matmul"]


_LONG = 1024
"""About how many numbers a row should have."""


def matmul(a: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
    if a.shape[1] > 1:
        return lambda: np.matmul(a, b, out=out)
    # an outer product: matmul takes a slow path of its own; dot takes BLAS, and only buffers that lie by rows
    if out is None or out.flags.c_contiguous:
        return lambda: np.dot(a, b, out=out)
    return lambda: np.multiply(a, b, out=out)


def add(a: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return lambda: np.add(a, b, out=out)


def linear(x: Array, w: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
    product = matmul(x, w, out=out)
    if out is None or not out.flags.c_contiguous:

        def plain() -> Array:
            y = product()
            return np.add(y, b, out=y)

        return plain
    # several rows as one: a ufunc begins anew with every row, which costs as much as some hundred additions
    rows = gcd(out.shape[0], max(_LONG // max(b.size, 1), 1))
    long, repeated = out.reshape(-1, rows * b.size), np.empty((rows, b.size), dtype=b.dtype)
    line = repeated.reshape(-1)

    def call() -> Array:
        product()
        np.copyto(repeated, b)
        np.add(long, line, out=long)
        return out

    return call


def linear_bias_gradient(dy: Array, *, out: Array = None, scratch: Any = None) -> Call:
    ones = np.ones(dy.shape[0], dtype=dy.dtype)
    return lambda: np.matmul(ones, dy, out=out)  # BLAS adds rows faster than add.reduce


def linear_weight_gradient(x: Array, dy: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return matmul(x.T, dy, out=out)


def linear_input_gradient(dy: Array, w: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return matmul(dy, w.T, out=out)
