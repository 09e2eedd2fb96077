r"""Normalizations. What is taken from x, a mean, has roundings of all that was added up, and $\hat x$ has them too.

Errors here are in units of ε, as n·M are: ``off_mean`` is that of a mean, ``off`` that of $\hat x$.
"""

from math import prod

import numpy as np

from nnxp._types import Array
from nnxp.parity._bounds.bound import Bound, many, one, summed

__all__ = ["NORMALIZATIONS"]


def _rows_but_last(x: Array) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))


def _terms(x: Array) -> float:
    """Roundings of a sum over all axes but the last."""
    return float(summed(prod(x.shape[:-1])))


def _mean(x: Array, axis: tuple[int, ...]) -> Array:
    count = prod(x.shape[a] for a in axis)
    return np.sum(x, axis=axis, keepdims=True) / max(count, 1)


class _Normal:
    r"""$\hat x = (x - \mu) / r$ with $r^2 = \sigma^2 + \epsilon$, made from x, and how far all that may be off."""

    def __init__(self, x: Array, axis: tuple[int, ...], epsilon: float) -> None:
        terms = summed(prod(x.shape[a] for a in axis))
        self.mean = _mean(x, axis)
        self.off_mean = (2 + terms) * _mean(np.abs(x), axis)
        centred = x - self.mean
        self.variance = _mean(centred * centred, axis)
        self.off_variance = (4 + terms) * self.variance + 2 * self.off_mean * _mean(np.abs(centred), axis)
        square = self.variance + epsilon
        self.inverse = 1 / np.sqrt(square)
        self.off_root = 2 + self.off_variance / square / 2  # relative
        self.x = centred * self.inverse
        self.off = self.inverse * (np.abs(centred) + self.off_mean) + np.abs(self.x) * (1 + self.off_root)


def _scaled(normal: _Normal, scale: Array, offset: Array) -> Array:
    return np.abs(scale) * (normal.off + 2 * np.abs(normal.x)) + np.abs(offset)


def _batch_norm(x: Array, scale: Array, offset: Array, epsilon: float) -> tuple[Array, Array, Array]:
    normal = _Normal(x, _rows_but_last(x), epsilon)
    features = x.shape[-1:]
    moments = (normal.off_mean.reshape(features), normal.off_variance.reshape(features))
    return _scaled(normal, scale, offset), *moments


def _layer_norm(x: Array, scale: Array, offset: Array, epsilon: float) -> Array:
    return _scaled(_Normal(x, (x.ndim - 1,), epsilon), scale, offset)


def _fixed_norm(x: Array, mean: Array, variance: Array, scale: Array, offset: Array, epsilon: float) -> Array:
    """Also as x·a + b, with what is fixed multiplied beforehand: then x and the mean are scaled before they cancel."""
    size = np.abs(scale) / np.sqrt(variance + epsilon)
    return 7 * (size * (np.abs(x) + np.abs(mean)) + np.abs(offset))


def _fixed_norm_backward(
    dy: Array, x: Array, mean: Array, variance: Array, scale: Array, epsilon: float
) -> tuple[Array, Array, Array]:
    inverse, terms, rows = 1 / np.sqrt(variance + epsilon), _terms(x), _rows_but_last(x)
    dscale = (6 + terms) * np.sum(np.abs(dy * (x - mean)) * inverse, axis=rows)
    return 5 * np.abs(dy * scale) * inverse, dscale, terms * np.sum(np.abs(dy), axis=rows)


def _batch_norm_backward(
    dy: Array, x: Array, mean: Array, variance: Array, scale: Array, epsilon: float
) -> tuple[Array, Array, Array]:
    r"""dx is what is left of dy, of its mean, and of its part along $\hat x$."""
    inverse, terms, rows = 1 / np.sqrt(variance + epsilon), _terms(x), _rows_but_last(x)
    normal, size = np.abs(x - mean) * inverse, np.abs(dy)
    parts = size + _mean(size, rows) + normal * _mean(size * normal, rows)
    _, dscale, doffset = _fixed_norm_backward(dy, x, mean, variance, scale, epsilon)
    return (14 + terms) * np.abs(scale) * inverse * parts, dscale, doffset


def _layer_norm_backward(dy: Array, x: Array, scale: Array, epsilon: float) -> tuple[Array, Array, Array]:
    r"""As for a batch; and $\hat x$ is made anew, with its own errors."""
    row, rows, n = (x.ndim - 1,), _rows_but_last(x), _Normal(x, (x.ndim - 1,), epsilon)
    g, normal = np.abs(dy * scale), np.abs(n.x)
    along = _mean(g * normal, row)
    parts = (8 + summed(x.shape[-1]) + n.off_root) * (g + _mean(g, row) + normal * along)
    dx = n.inverse * (parts + n.off * along + normal * _mean(g * n.off, row))
    dscale = np.sum(np.abs(dy) * ((1 + _terms(x)) * normal + n.off), axis=rows)
    return dx, dscale, _terms(x) * np.sum(np.abs(dy), axis=rows)


def _rms_norm(results: tuple[Array, ...], x: Array, *_: object) -> tuple[Array, ...]:
    """A sum of squares, under a root that halves its errors; nothing cancels."""
    return ((6 + summed(x.shape[-1]) / 2) * np.abs(results[0]),)


def _rms_norm_backward(dy: Array, x: Array, scale: Array, epsilon: float) -> tuple[Array, Array]:
    row, terms = (x.ndim - 1,), summed(x.shape[-1])
    inverse = 1 / np.sqrt(_mean(x * x, row) + epsilon)
    normal, g = np.abs(x) * inverse, np.abs(dy * scale)
    dx = (16 + 3 * terms) * inverse * (g + normal * _mean(g * normal, row))
    return dx, (6 + terms / 2 + _terms(x)) * np.sum(np.abs(dy) * normal, axis=_rows_but_last(x))


def _moving_average(a: Array, b: Array, momentum: float) -> Array:
    return 3 * (momentum * np.abs(a) + (1 - momentum) * np.abs(b))


NORMALIZATIONS: dict[str, Bound] = {
    "batch_norm": many(_batch_norm),
    "batch_norm_backward": many(_batch_norm_backward),
    "fixed_norm": one(_fixed_norm),
    "fixed_norm_backward": many(_fixed_norm_backward),
    "layer_norm": one(_layer_norm),
    "layer_norm_backward": many(_layer_norm_backward),
    "moving_average": one(_moving_average),
    "rms_norm": Bound(_rms_norm, relative=True),
    "rms_norm_backward": many(_rms_norm_backward),
}
