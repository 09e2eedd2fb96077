"""The mathematics as plain loops, for numba to compile. Each loop is one pass over memory that is there anyway.

Arrays are flat unless a docstring says otherwise: elementwise loops read memory in its order, whatever the axes are.
``fast`` lets the compiler add in any order and fuse products with sums; NaN and infinity keep their meaning.
"""

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from nnxp._types import Array

__all__ = [
    "adam",
    "add_columns",
    "add_rows",
    "copy",
    "fill_columns",
    "fill_rows",
    "l2",
    "l2_backward",
    "momentum",
    "nesterov",
    "outer",
    "relu",
    "relu_backward",
    "sgd",
    "sigmoid",
    "sigmoid_backward",
    "softmax_columns",
    "softmax_rows",
    "squared_error",
    "squared_error_backward",
    "surprise_of_classes",
    "tanh_backward",
]

_FAST = {"reassoc", "contract", "nsz", "arcp"}
# Inlined always: a process that compiles would else call each loop's own machine code, and one that reads the cache
# the copy inside of `run`, which LLVM optimized once more, and rounds differently.
fast = njit(nogil=True, fastmath=_FAST, error_model="numpy", forceinline=True)
exact = njit(nogil=True, error_model="numpy", forceinline=True)


# -- the exponential

_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # their sum is ln 2, to more than 32 bits
_C2, _C3, _C4, _C5, _C6, _C7 = map(
    np.float32, (0.5, 0.16666666, 0.041665796, 0.0083334519, 0.0013981999, 0.00019875691)
)
_LOWEST, _HIGHEST = np.float32(-87.33654), np.float32(88.72283)  # beyond them e^x is no normal number
_HALF, _ONE, _ZERO, _INFINITY = map(np.float32, (0.5, 1.0, 0.0, np.inf))


@njit(nogil=True, error_model="numpy", fastmath={"contract"}, forceinline=True)
def _exp32(x: Any) -> Any:
    """e^x to one ULP, in arithmetic that loops vectorize: e^x = 2^n e^r with |r| <= ln 2 / 2, and e^r by a polynomial.

    The coefficients are those of Cephes (Moshier), ``expf``.
    """
    n = np.floor(x * _LOG2_E + _HALF)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    y = ((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _C2
    y = y * r * r + r + _ONE
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)  # 2^n, by its bits
    y = y * power
    return _ZERO if x < _LOWEST else _INFINITY if x > _HIGHEST else y if x == x else x


def exp(x: Any) -> Any:
    """e^x: in float32 a form that loops vectorize, else the C library's."""
    raise NotImplementedError


@overload(exp, jit_options={"nogil": True})
def _exp(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)


# -- lines


@exact
def outer(a: Array, b: Array, c: Array) -> None:
    """``a[M], b[N] -> c[M,N]``, c by rows."""
    for i in range(a.size):
        for j in range(b.size):
            c[i, j] = a[i] * b[j]


@exact
def fill_rows(b: Array, y: Array) -> None:
    """``b[O] -> y[B,O]``: b in every row."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = b[j]


@exact
def fill_columns(b: Array, y: Array) -> None:
    """``b[O] -> y[O,B]``: b in every column."""
    for j in range(y.shape[0]):
        for i in range(y.shape[1]):
            y[j, i] = b[j]


@fast
def add_rows(dy: Array, db: Array) -> None:
    """``dy[B,O] -> db[O]``."""
    db[:] = 0
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            db[j] += dy[i, j]


@fast
def add_columns(dy: Array, db: Array) -> None:
    """``dy[O,B] -> db[O]``."""
    for j in range(dy.shape[0]):
        total = dy.dtype.type(0)
        for i in range(dy.shape[1]):
            total += dy[j, i]
        db[j] = total


# -- activations: in place, because the compiler cannot use vectors where two arrays may overlap


@exact
def copy(x: Array, y: Array) -> None:
    """y = x."""
    for i in range(x.size):
        y[i] = x[i]


@exact
def relu(y: Array) -> None:
    """y = max(y, 0)."""
    zero = y.dtype.type(0)
    for i in range(y.size):
        y[i] = zero if y[i] <= zero else y[i]  # NaN is not <= 0, and stays


@exact
def relu_backward(dx: Array, y: Array) -> None:
    """dx = dx where y > 0, else 0."""
    zero = y.dtype.type(0)
    for i in range(y.size):
        dx[i] = dx[i] if y[i] > zero else zero


@fast
def sigmoid(y: Array, most: Any) -> None:
    """y = 1 / (1 + e^-y); beyond ``most`` the exponential would overflow."""
    one = y.dtype.type(1)
    for i in range(y.size):
        y[i] = one / (one + exp(most if -y[i] > most else -y[i]))


@fast
def sigmoid_backward(dx: Array, y: Array) -> None:
    """dx = dx·y·(1 - y)."""
    one = y.dtype.type(1)
    for i in range(y.size):
        dx[i] *= (one - y[i]) * y[i]


@fast
def tanh_backward(dx: Array, y: Array) -> None:
    """dx = dx·(1 - y²)."""
    one = y.dtype.type(1)
    for i in range(y.size):
        dx[i] *= one - y[i] * y[i]


@fast
def softmax_rows(z: Array, p: Array, top: Array, total: Array) -> None:
    """``z[B,K] -> p[B,K], top[B], total[B]``: probabilities, the largest z, and the sum of e^(z - top)."""
    for b in range(z.shape[0]):
        most = z[b, 0]
        for k in range(1, z.shape[1]):
            most = most if z[b, k] <= most else z[b, k]
        for k in range(z.shape[1]):
            p[b, k] = exp(z[b, k] - most)
        terms = p[b, 0]
        for k in range(1, z.shape[1]):
            terms += p[b, k]
        for k in range(z.shape[1]):
            p[b, k] /= terms
        top[b], total[b] = most, terms


@fast
def softmax_columns(z: Array, p: Array, top: Array, total: Array) -> None:
    """``z[K,B] -> p[K,B], top[B], total[B]``: as `softmax_rows`, by columns."""
    top[:] = z[0]
    for k in range(1, z.shape[0]):
        for b in range(z.shape[1]):
            top[b] = top[b] if z[k, b] <= top[b] else z[k, b]
    total[:] = 0
    for k in range(z.shape[0]):
        for b in range(z.shape[1]):
            p[k, b] = exp(z[k, b] - top[b])
            total[b] += p[k, b]
    for k in range(z.shape[0]):
        for b in range(z.shape[1]):
            p[k, b] /= total[b]


# -- losses


@fast
def surprise_of_classes(
    z: Array, p: Array, dz: Array, y: Array, top: Array, total: Array, sample: int, class_: int, share: Any
) -> Any:
    """Σ (log total + top - z_y) over D, and dz = (p - one-hot y) / D; share is 1/D.

    ``z[b·sample + y·class_]`` is the element of sample b and class y.
    """
    for i in range(p.size):
        dz[i] = p[i] * share
    loss = 0.0
    for b in range(y.size):
        at = b * sample + y[b] * class_
        loss += math.log(total[b]) + (top[b] - z[at])
        dz[at] -= share
    return loss * share


@fast
def squared_error(p: Array, y: Array, divisor: Any) -> Any:
    """Σ (p - y)² / D."""
    total = p.dtype.type(0)
    for i in range(p.size):
        total += (p[i] - y[i]) * (p[i] - y[i])
    return total / divisor


@fast
def squared_error_backward(dp: Array, y: Array, divisor: Any) -> None:
    """dp = 2·(dp - y) / D, where dp holds p."""
    factor = dp.dtype.type(2) / divisor
    for i in range(y.size):
        dp[i] = (dp[i] - y[i]) * factor


# -- penalties


@fast
def l2(w: Array, rate: Any) -> Any:
    """λ·Σ w²."""
    total = w.dtype.type(0)
    for i in range(w.size):
        total += w[i] * w[i]
    return total * rate


@fast
def l2_backward(dw: Array, w: Array, rate: Any) -> None:
    """dw = dw + 2·λ·w."""
    double = rate + rate
    for i in range(w.size):
        dw[i] += double * w[i]


# -- updates, in place


@fast
def sgd(w: Array, g: Array, rate: Any) -> None:
    """w = w - η·g."""
    for i in range(w.size):
        w[i] -= rate * g[i]


@fast
def momentum(w: Array, g: Array, v: Array, rate: Any, mu: Any) -> None:
    """v = μ·v - η·g; w = w + v."""
    for i in range(w.size):
        v[i] = mu * v[i] - rate * g[i]
        w[i] += v[i]


@fast
def nesterov(w: Array, g: Array, v: Array, rate: Any, mu: Any) -> None:
    """v = μ·v - η·g; w = w + μ·v - η·g."""
    for i in range(w.size):
        v[i] = mu * v[i] - rate * g[i]
        w[i] += mu * v[i] - rate * g[i]


@fast
def adam(
    w: Array, g: Array, m: Array, v: Array, beta_1: Any, beta_2: Any, add_1: Any, add_2: Any, rate: Any, floor: Any
) -> None:
    """m = β₁·m + (1 - β₁)·g; v = β₂·v + (1 - β₂)·g²; w = w - rate·m / (√v + floor)."""
    for i in range(w.size):
        m[i] = beta_1 * m[i] + add_1 * g[i]
        v[i] = beta_2 * v[i] + add_2 * (g[i] * g[i])
        w[i] -= rate * m[i] / (math.sqrt(v[i]) + floor)
