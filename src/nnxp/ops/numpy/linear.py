"""Products."""

from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call

__all__ = ["linear", "linear_bias_gradient", "linear_input_gradient", "linear_weight_gradient", "matmul"]


def matmul(a: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
    if a.shape[1] == 1:  # an outer product: NumPy's matmul takes a slow path of its own, not BLAS
        return lambda: np.multiply(a, b, out=out)
    return lambda: np.matmul(a, b, out=out)


def linear(x: Array, w: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
    product = matmul(x, w, out=out)

    def call() -> Array:
        y = product()
        return np.add(y, b, out=y)

    return call


def linear_bias_gradient(dy: Array, *, out: Array = None, scratch: Any = None) -> Call:
    ones = np.ones(dy.shape[0], dtype=dy.dtype)
    return lambda: np.matmul(ones, dy, out=out)  # BLAS adds rows faster than add.reduce


def linear_weight_gradient(x: Array, dy: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return matmul(x.T, dy, out=out)


def linear_input_gradient(dy: Array, w: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return matmul(dy, w.T, out=out)
