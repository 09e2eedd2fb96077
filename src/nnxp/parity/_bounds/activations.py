"""Activations: relative where the function keeps its digits, else magnitudes of what is added up."""

from math import log

import numpy as np

from nnxp._types import Array
from nnxp.ops.reference.activations.sigmoids import softplus
from nnxp.ops.reference.special import normal_cdf, normal_pdf
from nnxp.parity._bounds.bound import EXACT, FUNCTION, Bound, one, relative, summed

__all__ = ["ACTIVATIONS", "exponentials", "sigma"]

_NORMAL = 2 * 16 + 2 * FUNCTION + 4
"""Roundings of the normal distribution: polynomials of degree 8 above and below a fraction bar, two exponentials."""


# Constants of formulas, to the few digits that a bound needs.
_SELU_SCALE, _SELU_LEVEL = 1.0507, 1.7581
_GELU_RATE, _GELU_CUBE = 1.5958, 0.044715


def sigma(z: Array) -> Array:
    """σ, also far below 0."""
    return np.exp(-np.logaddexp(0, -z))


def _elu_backward(dy: Array, y: Array, alpha: float) -> Array:
    return np.where(y > 0, 0.0, 3 * np.abs(dy) * (np.abs(y) + alpha))


def _selu_backward(dy: Array, y: Array) -> Array:
    return np.abs(dy) * np.where(y > 0, 2 * _SELU_SCALE, 3 * (np.abs(y) + _SELU_LEVEL))


def _hard_sigmoid(x: Array) -> Array:
    return 3 * (np.minimum(np.abs(x), 6.0) / 6 + 0.5)


def _tanh_backward(dy: Array, y: Array) -> Array:
    return 3 * np.abs(dy)  # y² is rounded before it is taken from 1


def _silu_backward(dy: Array, x: Array) -> Array:
    return (2 * FUNCTION + 8) * np.abs(dy) * sigma(x) * (1 + np.abs(x) * sigma(-x))


def _mish_backward(dy: Array, x: Array) -> Array:
    """The rounding of s is an error of the exponent in 1 - tanh² s, so it grows with s."""
    s = softplus(np, x)
    slope = np.abs(x) * sigma(x) * 4 * sigma(2 * s) * sigma(-2 * s)
    return (4 * FUNCTION + 12) * np.abs(dy) * (np.tanh(s) + slope * (1 + 2 * s))


def _gelu_backward(dy: Array, x: Array) -> Array:
    return (_NORMAL + 4) * np.abs(dy) * (normal_cdf(np, x) + np.abs(x) * normal_pdf(np, x))


def _twice_u(x: Array) -> Array:
    return _GELU_RATE * (x + _GELU_CUBE * x * x * x)


def _gelu_tanh(x: Array) -> Array:
    """The rounding of 2u is an error of the exponent, so it grows with that, where it is one of σ(2u)."""
    u = _twice_u(np.clip(x, -40, 40))
    return (FUNCTION + 6) * np.abs(x) * sigma(u) * (1 + np.abs(u) * sigma(-u))


def _gelu_tanh_backward(dy: Array, x: Array) -> Array:
    near = np.clip(x, -40, 40)  # beyond it all is 0 or dy
    u, size = _twice_u(near), np.abs(near)
    slope = _GELU_RATE * (1 + 3 * _GELU_CUBE * near * near)
    steep = sigma(u) * sigma(-u) * (1 + np.abs(u))
    return (2 * FUNCTION + 12) * np.abs(dy) * (sigma(u) + steep * (1 + size * slope))


def exponentials(x: Array) -> tuple[Array, Array]:
    """Softmax, and its n·M: the rounding of x - max x is an error of the exponent, so it grows with that."""
    distance = np.max(x, axis=-1, keepdims=True) - x
    e = np.exp(-distance)
    p = e / np.sum(e, axis=-1, keepdims=True)
    classes = x.shape[-1]
    return p, (2 * FUNCTION + 2 + log(classes) + summed(classes)) * p * (1 + distance)


def _softmax_backward(dy: Array, y: Array) -> Array:
    terms = np.abs(dy) + np.sum(np.abs(dy * y), axis=-1, keepdims=True)
    return (3 + summed(y.shape[-1])) * np.abs(y) * terms


def _log_softmax(x: Array) -> Array:
    """x - max x, and the logarithm of a sum from 1 to K: that of 1 + small is as wrong as 1."""
    distance, classes = np.max(x, axis=-1, keepdims=True) - x, x.shape[-1]
    return (2 * FUNCTION + 3 + log(classes) + summed(classes)) * (1 + distance)


def _log_softmax_backward(dy: Array, y: Array) -> Array:
    total = np.sum(np.abs(dy), axis=-1, keepdims=True)
    return (FUNCTION + 2 + summed(y.shape[-1])) * (np.abs(dy) + np.exp(y) * total)


ACTIVATIONS: dict[str, Bound] = {
    "dropout": relative(2),
    "elu": relative(FUNCTION + 1),
    "elu_backward": one(_elu_backward),
    "gelu": relative(_NORMAL + 1),
    "gelu_backward": one(_gelu_backward),
    "gelu_tanh": one(_gelu_tanh),
    "gelu_tanh_backward": one(_gelu_tanh_backward),
    "hard_sigmoid": one(_hard_sigmoid),
    "hard_sigmoid_backward": relative(2),
    "hard_tanh": EXACT,
    "hard_tanh_backward": EXACT,
    "leaky_relu": relative(2),
    "leaky_relu_backward": relative(2),
    "log_softmax": one(_log_softmax),
    "log_softmax_backward": one(_log_softmax_backward),
    "mish": relative(3 * FUNCTION + 2),
    "mish_backward": one(_mish_backward),
    "relu": EXACT,
    "relu_backward": EXACT,
    "selu": relative(FUNCTION + 2),
    "selu_backward": one(_selu_backward),
    "sigmoid": relative(FUNCTION + 2),
    "sigmoid_backward": relative(4),
    "silu": relative(FUNCTION + 3),
    "silu_backward": one(_silu_backward),
    "softmax": one(lambda x: exponentials(x)[1]),
    "softmax_backward": one(_softmax_backward),
    "softplus": relative(2 * FUNCTION + 1),
    "softplus_backward": relative(FUNCTION + 1),
    "softsign": relative(3),
    "softsign_backward": relative(6),
    "step": EXACT,
    "step_backward": EXACT,
    "tanh": relative(FUNCTION),
    "tanh_backward": one(_tanh_backward),
}
