"""Sums of products: c·K·ε·(|x|·|w|), with K terms in any order. Windows of images are rows of such products."""

from math import prod

import numpy as np

from nnxp._types import Array
from nnxp.ops.reference import convolution, embedding, pooling
from nnxp.ops.reference.windows import Padding
from nnxp.parity._bounds.bound import EXACT, Bound, one, relative, summed

__all__ = ["LINES"]

_Pair = tuple[int, int]


def _matmul(a: Array, b: Array) -> Array:
    return (1 + summed(a.shape[1])) * (np.abs(a) @ np.abs(b))


def _linear(x: Array, w: Array, b: Array) -> Array:
    return (2 + summed(x.shape[1])) * (np.abs(x) @ np.abs(w) + np.abs(b))


def _bias_gradient(dy: Array) -> Array:
    axes = tuple(range(dy.ndim - 1))
    return summed(prod(dy.shape[:-1])) * np.sum(np.abs(dy), axis=axes)


def _conv2d(x: Array, w: Array, b: Array, strides: _Pair, padding: Padding) -> Array:
    terms = prod(w.shape[:3])
    return (2 + summed(terms)) * convolution.conv2d(np, np.abs(x), np.abs(w), np.abs(b), strides, padding)


def _conv2d_weight_gradient(x: Array, dy: Array, window: _Pair, strides: _Pair, padding: Padding) -> Array:
    size = convolution.conv2d_weight_gradient(np, np.abs(x), np.abs(dy), window, strides, padding)
    return (1 + summed(prod(dy.shape[:3]))) * size


def _conv2d_input_gradient(dy: Array, w: Array, size: _Pair, strides: _Pair, padding: Padding) -> Array:
    terms = w.shape[0] * w.shape[1] * w.shape[3]  # an input is in so many windows at most, and each has O outputs
    magnitude = convolution.conv2d_input_gradient(np, np.abs(dy), np.abs(w), size, strides, padding)
    return (1 + summed(terms)) * magnitude


def _max_pool2d_backward(dy: Array, x: Array, y: Array, window: _Pair, strides: _Pair, padding: Padding) -> Array:
    """Which element is the largest is no matter of rounding; the gradients of the windows that it is in are added."""
    return summed(prod(window)) * pooling.max_pool2d_backward(np, np.abs(dy), x, y, window, strides, padding)


def _average_pool2d(x: Array, window: _Pair, strides: _Pair, padding: Padding) -> Array:
    return (2 + summed(prod(window))) * pooling.average_pool2d(np, np.abs(x), window, strides, padding)


def _average_pool2d_backward(dy: Array, size: _Pair, window: _Pair, strides: _Pair, padding: Padding) -> Array:
    magnitude = pooling.average_pool2d_backward(np, np.abs(dy), size, window, strides, padding)
    return (2 + summed(prod(window))) * magnitude


def _global_average_pool(x: Array) -> Array:
    return (2 + summed(prod(x.shape[1:-1]))) * pooling.global_average_pool(np, np.abs(x))


def _embedding_gradient(dy: Array, x: Array, w: Array) -> Array:
    """A sum of the rows that read an index; those that do not are products with 0."""
    return summed(x.size) * embedding.embedding_gradient(np, np.abs(dy), x, w)


LINES: dict[str, Bound] = {
    "add": relative(1),
    "average_pool2d": one(_average_pool2d),
    "average_pool2d_backward": one(_average_pool2d_backward),
    "conv2d": one(_conv2d),
    "conv2d_bias_gradient": one(_bias_gradient),
    "conv2d_input_gradient": one(_conv2d_input_gradient),
    "conv2d_weight_gradient": one(_conv2d_weight_gradient),
    "embedding": EXACT,
    "embedding_gradient": one(_embedding_gradient),
    "global_average_pool": one(_global_average_pool),
    "global_average_pool_backward": relative(2),
    "linear": one(_linear),
    "linear_bias_gradient": one(_bias_gradient),
    "linear_input_gradient": one(lambda dy, w: _matmul(dy, w.T)),
    "linear_weight_gradient": one(lambda x, dy: _matmul(x.T, dy)),
    "matmul": one(_matmul),
    "max_pool2d": EXACT,
    "max_pool2d_backward": one(_max_pool2d_backward),
    "reshape": EXACT,
    "take_rows": EXACT,
}
