"""What each op is in loops. Where arrays do not lie as the loops need them, NumPy's kernel takes over."""

from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call, Number
from nnxp.ops.numba._blas import BLAS
from nnxp.ops.numba.program import Native, address
from nnxp.ops.numpy import KERNELS as FALLBACK
from nnxp.ops.numpy import highest_exponent, like, owned

__all__ = [
    "adam",
    "l2",
    "l2_backward",
    "linear",
    "linear_bias_gradient",
    "linear_input_gradient",
    "linear_weight_gradient",
    "matmul",
    "momentum",
    "nesterov",
    "relu",
    "relu_backward",
    "sgd",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_categorical_crossentropy",
    "squared_error",
    "squared_error_backward",
    "tanh_backward",
]

_PLAIN, _TRANSPOSED = 111, 112  # CBLAS's words


# -- products


def matmul(a: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
    if out is None:
        out = np.empty((a.shape[0], b.shape[1]), dtype=a.dtype)
    native = Native(a.dtype, lambda _: out)
    return native if _product(native, a, b, out) else FALLBACK["matmul"](a, b, out=out)


def linear(x: Array, w: Array, b: Array, *, out: Array = None, scratch: Any = None) -> Call:
    if out is None:
        out = np.empty((x.shape[0], w.shape[1]), dtype=x.dtype)
    native = Native(x.dtype, lambda _: out)
    if _by_rows(out):
        native.add("fill_rows", (b, out), out.shape)
    elif out.flags.f_contiguous:
        native.add("fill_columns", (b, out.T), out.T.shape)
    if native.rows and b.flags.c_contiguous and _product(native, x, w, out, add=True):
        return native
    return FALLBACK["linear"](x, w, b, out=out)


def linear_bias_gradient(dy: Array, *, out: Array = None, scratch: Any = None) -> Call:
    if out is None:
        out = np.empty(dy.shape[1], dtype=dy.dtype)
    if not (dy.flags.forc and out.flags.c_contiguous):
        return FALLBACK["linear_bias_gradient"](dy, out=out)
    native = Native(dy.dtype, lambda _: out)
    if _by_rows(dy) and dy.shape[1] > 1:
        return native.add("add_rows", (dy, out), dy.shape)
    return native.add("add_columns", (dy.T, out), dy.T.shape)


def linear_weight_gradient(x: Array, dy: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return matmul(x.T, dy, out=out)


def linear_input_gradient(dy: Array, w: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return matmul(dy, w.T, out=out)


def _by_rows(a: Array) -> bool:
    return bool(a.flags.c_contiguous)


def _product(native: Native, a: Array, b: Array, c: Array, *, add: bool = False) -> bool:
    """Add the row for c = a·b (or for c += a·b); False where BLAS cannot do it."""
    if BLAS is None or not c.flags.forc or 0 in (*a.shape, *b.shape):
        return False
    if not _by_rows(c):
        a, b, c = b.T, a.T, c.T
    (m, k), n, beta = a.shape, b.shape[1], float(add)
    if k == 1 and not add and a.flags.forc and b.flags.forc:
        native.add("outer", (a, b, c), (m, n))
        return True
    if m == 1:  # a row times a matrix, as a matrix times a column
        a, b, c, m, n = b.T, a.T, c.T, n, m
    (ta, lda), (tb, ldb) = _layout(a), _layout(b)
    if not lda or not ldb:
        return False
    if n == 1 and b.flags.forc:
        native.add("times_vector", (a, b, c), (m, k, ta, lda) if ta == _PLAIN else (k, m, ta, lda), (beta,))
    else:
        native.add("product", (a, b, c), (m, n, k, ta, tb, lda, ldb), (beta,))
    return True


def _layout(a: Array) -> tuple[int, int]:
    """CBLAS's word for a matrix, and the distance of its rows (or, transposed, of its columns); 0 for one with gaps."""
    row, column = (stride // a.itemsize for stride in a.strides)
    if (column == 1 or a.shape[1] == 1) and row >= a.shape[1]:
        return _PLAIN, row
    if (row == 1 or a.shape[0] == 1) and column >= a.shape[0]:
        return _TRANSPOSED, column
    return _PLAIN, 0


# -- activations


def relu(x: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return _elementwise("relu", (x,), out, scratch)


def relu_backward(dy: Array, y: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return _elementwise("relu_backward", (dy, y), out, scratch)


def sigmoid(x: Array, *, out: Array = None, scratch: Any = None) -> Call:
    out = like(x, out)
    if not _alike(x, out):
        return FALLBACK["sigmoid"](x, out=out)
    return _in_place("sigmoid", (x,), out, highest_exponent(x.dtype))


def sigmoid_backward(dy: Array, y: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return _elementwise("sigmoid_backward", (dy, y), out, scratch)


def tanh_backward(dy: Array, y: Array, *, out: Array = None, scratch: Any = None) -> Call:
    return _elementwise("tanh_backward", (dy, y), out, scratch)


def _elementwise(op: str, inputs: tuple[Array, ...], out: Array | None, scratch: Any, *numbers: float) -> Call:
    """The loop of the op's name where it can be, else NumPy's kernel."""
    out = like(inputs[0], out)
    if not _alike(*inputs, out) or address(out) in map(address, inputs[1:]):
        return FALLBACK[op](*inputs, *numbers, out=out, scratch=scratch)
    return _in_place(op, inputs, out, *numbers)


def _in_place(op: str, inputs: tuple[Array, ...], out: Array, *numbers: float) -> Native:
    """A loop that turns its first input into the result, in place, and reads the others."""
    first, *others = inputs
    native = Native(out.dtype, lambda _: out)
    if address(out) != address(first):
        native.add("copy", (first, out), (out.size,))
    return native.add(op, (out, *others), (out.size,), numbers)


def _alike(*arrays: Array) -> bool:
    return all(a.flags.c_contiguous for a in arrays) or all(a.flags.f_contiguous for a in arrays)


def softmax(x: Array, *, out: Array = None, scratch: Any = None) -> Call:
    out = like(x, out)
    if x.ndim != 2 or not _alike(x, out):
        return FALLBACK["softmax"](x, out=out)
    top, total = np.empty((2, x.shape[0]), dtype=x.dtype)
    return _softmax(Native(x.dtype, lambda _: out), x, out, top, total)


def _softmax(native: Native, x: Array, p: Array, top: Array, total: Array) -> Native:
    if _by_rows(x):
        return native.add("softmax_rows", (x, p, top, total), x.shape)
    return native.add("softmax_columns", (x, p, top, total), x.T.shape)


# -- losses


def softmax_categorical_crossentropy(
    z: Array, y: Array, divisor: float, *, out: tuple[Array, None, Array] | None = None, scratch: Any = None
) -> Call:
    p_buffer, _, dz_buffer = out or (None, None, None)
    p, dz = like(z, p_buffer), like(z, dz_buffer)
    if not (_alike(z, p, dz) and y.ndim == 1 and y.flags.c_contiguous and y.dtype == np.int64):
        return FALLBACK["softmax_categorical_crossentropy"](z, y, divisor, out=(p, None, dz))
    samples, classes = z.shape
    top, total = np.empty((2, samples), dtype=z.dtype)
    native = _softmax(Native(z.dtype, lambda loss: (p, loss, dz)), z, p, top, total)
    strides = (classes, 1) if _by_rows(z) else (1, samples)
    return native.add("surprise", (z, p, dz, y, top, total), (z.size, samples, *strides), (1 / divisor,))


def squared_error(p: Array, y: Array, divisor: float, *, out: None = None, scratch: Any = None) -> Call:
    if not _alike(p, y):
        return FALLBACK["squared_error"](p, y, divisor)
    return Native(p.dtype, lambda loss: loss).add("squared_error", (p, y), (p.size,), (divisor,))


def squared_error_backward(p: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None) -> Call:
    return _elementwise("squared_error_backward", (p, y), out, scratch, divisor)


# -- penalties


def l2(w: Array, rate: float, *, out: None = None, scratch: Any = None) -> Call:
    if not w.flags.forc:
        return FALLBACK["l2"](w, rate)
    return Native(w.dtype, lambda loss: loss).add("l2", (w,), (w.size,), (rate,))


def l2_backward(dw: Array, w: Array, rate: float, *, out: Array = None, scratch: Any = None) -> Call:
    return _elementwise("l2_backward", (dw, w), out, scratch, rate)


# -- updates


def sgd(w: Array, g: Array, learning_rate: Number | float, *, out: Array = None, scratch: Any = None) -> Call:
    (w,) = owned((w,), out)
    return _update("sgd", (w, g), w, learning_rate)


def momentum(
    w: Array,
    g: Array,
    v: Array,
    learning_rate: Number | float,
    momentum: float,
    *,
    out: tuple[Array, Array] | None = None,
    scratch: Any = None,
) -> Call:
    w, v = owned((w, v), out)
    return _update("momentum", (w, g, v), (w, v), learning_rate, momentum)


def nesterov(
    w: Array,
    g: Array,
    v: Array,
    learning_rate: Number | float,
    momentum: float,
    *,
    out: tuple[Array, Array] | None = None,
    scratch: Any = None,
) -> Call:
    w, v = owned((w, v), out)
    return _update("nesterov", (w, g, v), (w, v), learning_rate, momentum)


def adam(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    learning_rate: Number | float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    correction_1: Number | float,
    correction_2: Number | float,
    *,
    out: tuple[Array, Array, Array] | None = None,
    scratch: Any = None,
) -> Call:
    w, m, v = owned((w, m, v), out)
    numbers = (learning_rate, beta_1, beta_2, epsilon, correction_1, correction_2)
    return _update("adam", (w, g, m, v), (w, m, v), *numbers)


def _update(op: str, arrays: tuple[Array, ...], result: Any, *numbers: Number | float) -> Call:
    if all(a.flags.c_contiguous for a in arrays):
        return Native(arrays[0].dtype, lambda _: result).add(op, arrays, (arrays[0].size,), numbers)
    return FALLBACK[op](*arrays, *numbers, out=result)
