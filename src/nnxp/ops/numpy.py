"""Kernels for NumPy: the reference's ops again, with ``out=``, in place, in fewer and cheaper passes.

Each honours its donation, allocates where there is none, and equals the reference to the tolerance in
``tests/ops/test_numpy_kernels.py``; ``benchmarks/kernels.py`` prints what each one gains.
"""

import threading
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Ops

__all__ = ["table", "zeros"]

_CHUNK = 32_768
"""Elements an update works on at a time: five such float32 arrays stay in a 1 MiB second-level cache."""

_ALIGNMENT = 64


class _Scratch(threading.local):
    """Two work arrays for chunked updates; each thread has its own."""

    def __init__(self) -> None:
        self._arrays: dict[Any, Array] = {}

    def pair(self, dtype: Any, size: int) -> tuple[Array, Array]:
        both = self._arrays.get(dtype)
        if both is None:
            both = self._arrays[dtype] = np.empty((2, _CHUNK), dtype=dtype)
        return both[0, :size], both[1, :size]


_scratch = _Scratch()


def zeros(size: int, dtype: Any) -> Array:
    """A flat array of zeros that begins on a 64-byte boundary: a cache line, and the widest vector register."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size * dtype.itemsize + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size * dtype.itemsize].view(dtype)


def table(reference: Ops) -> Ops:
    """The reference with these kernels in place of its entries."""
    return reference.replace(
        linear=linear,
        linear_bias_gradient=linear_bias_gradient,
        linear_weight_gradient=linear_weight_gradient,
        linear_input_gradient=linear_input_gradient,
        relu=relu,
        relu_backward=relu_backward,
        sigmoid_backward=sigmoid_backward,
        tanh=tanh,
        tanh_backward=tanh_backward,
        softmax=softmax,
        softmax_categorical_crossentropy=softmax_categorical_crossentropy,
        squared_error_backward=squared_error_backward,
        l2_backward=l2_backward,
        sgd=sgd,
        momentum=momentum,
        nesterov=nesterov,
        adam=adam,
    )


def linear(x: Array, w: Array, b: Array, *, out: Array = None) -> Array:
    y = _matmul(x, w, out)
    y += b
    return y


def linear_bias_gradient(dy: Array, *, out: Array = None) -> Array:
    return np.matmul(np.ones(dy.shape[0], dtype=dy.dtype), dy, out=out)  # BLAS adds rows faster than add.reduce


def linear_weight_gradient(x: Array, dy: Array, *, out: Array = None) -> Array:
    return _matmul(x.T, dy, out)


def linear_input_gradient(dy: Array, w: Array, *, out: Array = None) -> Array:
    return _matmul(dy, w.T, out)


def _matmul(a: Array, b: Array, out: Array) -> Array:
    if a.shape[1] == 1:  # an outer product: matmul takes a slow path of its own, not BLAS
        return np.multiply(a, b, out=out)
    return np.matmul(a, b, out=out)


def relu(x: Array, *, out: Array = None) -> Array:
    # an array of zeros, not the scalar 0: maximum has a vector loop only for arrays
    return np.maximum(x, np.zeros(x.shape[-1:], dtype=x.dtype), out=out)


def relu_backward(dy: Array, y: Array, *, out: Array = None) -> Array:
    return np.multiply(dy, y > 0, out=out)


def sigmoid_backward(dy: Array, y: Array, *, out: Array = None) -> Array:
    slope = np.subtract(1, y)
    slope *= y
    return np.multiply(dy, slope, out=out)


def tanh(x: Array, *, out: Array = None) -> Array:
    return np.tanh(x, out=out)


def tanh_backward(dy: Array, y: Array, *, out: Array = None) -> Array:
    slope = np.multiply(y, y)
    np.subtract(1, slope, out=slope)
    return np.multiply(dy, slope, out=out)


def softmax(x: Array, *, out: Array = None) -> Array:
    e = np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(e, out=e)
    e /= e.sum(axis=-1, keepdims=True)
    return e


def softmax_categorical_crossentropy(
    z: Array, y: Array, divisor: float, *, out: tuple[Array, None, Array] | None = None
) -> tuple[Array, Array, Array]:
    p_buffer, _, dz_buffer = out or (None, None, None)
    top = z.max(axis=-1, keepdims=True)
    p = np.subtract(z, top, out=p_buffer)
    np.exp(p, out=p)
    total = p.sum(axis=-1, keepdims=True)
    p /= total
    if y.ndim == 1:
        picked = (np.arange(y.shape[0]), y)
        loss = (np.log(total[:, 0]) + (top[:, 0] - z[picked])).sum()
        dz = np.multiply(p, 1 / divisor, out=dz_buffer)
        dz[picked] -= 1 / divisor
    else:
        loss = (y * np.where(y > 0, (top - z) + np.log(total), 0)).sum()
        dz = np.multiply(p, y.sum(axis=-1, keepdims=True), out=dz_buffer)
        dz -= y
        dz /= divisor
    return p, loss / divisor, dz


def squared_error_backward(p: Array, y: Array, divisor: float, *, out: Array = None) -> Array:
    dp = np.subtract(p, y, out=out)
    dp *= 2 / divisor
    return dp


def l2_backward(dw: Array, w: Array, rate: float, *, out: Array = None) -> Array:
    return np.add(dw, np.multiply(w, 2 * rate), out=out)


def sgd(w: Array, g: Array, learning_rate: float, *, out: Array = None) -> Array:
    (w,) = _owned((w,), (out,))
    for part in _chunks(w.size):
        step, _ = _scratch.pair(w.dtype, w[part].size)
        np.multiply(g[part], learning_rate, out=step)
        w[part] -= step
    return w


def momentum(
    w: Array, g: Array, v: Array, learning_rate: float, momentum: float, *, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    w, v = _owned((w, v), out)
    for part in _chunks(w.size):
        step, _ = _scratch.pair(w.dtype, w[part].size)
        _velocity(v[part], g[part], learning_rate, momentum, step)
        w[part] += v[part]
    return w, v


def nesterov(
    w: Array, g: Array, v: Array, learning_rate: float, momentum: float, *, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    w, v = _owned((w, v), out)
    for part in _chunks(w.size):
        step, ahead = _scratch.pair(w.dtype, w[part].size)
        _velocity(v[part], g[part], learning_rate, momentum, step)
        np.multiply(v[part], momentum, out=ahead)
        ahead -= step
        w[part] += ahead
    return w, v


def _velocity(v: Array, g: Array, learning_rate: float, momentum: float, step: Array) -> None:
    """v ← μv - ηg, with ηg left in ``step``."""
    np.multiply(g, learning_rate, out=step)
    v *= momentum
    v -= step


def adam(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    correction_1: float,
    correction_2: float,
    *,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    w, m, v = _owned((w, m, v), out)
    # η(m/c₁) / (√(v/c₂) + ε) = (η√c₂/c₁)·m / (√v + ε√c₂): both corrections move into scalars
    root = correction_2**0.5
    rate, floor = learning_rate * root / correction_1, epsilon * root
    for part in _chunks(w.size):
        gp, mp, vp = g[part], m[part], v[part]
        step, scale = _scratch.pair(w.dtype, gp.size)
        np.multiply(gp, 1 - beta_1, out=step)
        mp *= beta_1
        mp += step
        np.multiply(gp, gp, out=step)
        step *= 1 - beta_2
        vp *= beta_2
        vp += step
        np.sqrt(vp, out=scale)
        scale += floor
        np.multiply(mp, rate, out=step)
        step /= scale
        w[part] -= step
    return w, m, v


def _chunks(size: int) -> list[slice]:
    return [slice(start, min(start + _CHUNK, size)) for start in range(0, size, _CHUNK)]


def _owned(arrays: tuple[Array, ...], out: tuple[Array | None, ...] | None) -> tuple[Array, ...]:
    """The arrays in memory that may be written: copied into the donated buffers, or into new ones."""
    return tuple(map(_own, arrays, out or (None,) * len(arrays)))


def _own(array: Array, buffer: Array | None) -> Array:
    if buffer is None:
        return array.copy()
    if buffer is not array:
        np.copyto(buffer, array)
    return buffer
