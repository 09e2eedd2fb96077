"""Updates, in place and in pieces that stay in cache. ``out`` holds the very arrays that are updated."""

from math import isfinite
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call, Number
from nnxp.ops.numpy._memory import Scratch, like
from nnxp.ops.numpy._updating import approach, in_pieces, owned, with_scratch

__all__ = [
    "adadelta",
    "adagrad",
    "all_finite",
    "average",
    "clip_norm",
    "clip_value",
    "decay_weights",
    "momentum",
    "nesterov",
    "rmsprop",
    "sgd",
]


def sgd(
    w: Array, g: Array, learning_rate: Number | float, *, out: Array = None, scratch: Scratch | None = None
) -> Call:
    (w,) = owned((w,), out)

    def piece(rate: Array, w: Array, g: Array, step: Array) -> None:
        np.multiply(g, rate, out=step)
        np.subtract(w, step, out=w)

    return in_pieces(piece, learning_rate, with_scratch(scratch, 1, w, g), w)


def momentum(
    w: Array,
    g: Array,
    v: Array,
    learning_rate: Number | float,
    momentum: float,
    *,
    out: tuple[Array, Array] | None = None,
    scratch: Scratch | None = None,
) -> Call:
    (w, v), keep = owned((w, v), out), np.asarray(momentum, dtype=w.dtype)

    def piece(rate: Array, w: Array, g: Array, v: Array, step: Array) -> None:
        _velocity(v, g, rate, keep, step)
        np.add(w, v, out=w)

    return in_pieces(piece, learning_rate, with_scratch(scratch, 1, w, g, v), (w, v))


def nesterov(
    w: Array,
    g: Array,
    v: Array,
    learning_rate: Number | float,
    momentum: float,
    *,
    out: tuple[Array, Array] | None = None,
    scratch: Scratch | None = None,
) -> Call:
    (w, v), keep = owned((w, v), out), np.asarray(momentum, dtype=w.dtype)

    def piece(rate: Array, w: Array, g: Array, v: Array, step: Array, ahead: Array) -> None:
        _velocity(v, g, rate, keep, step)
        np.multiply(v, keep, out=ahead)
        np.subtract(ahead, step, out=ahead)
        np.add(w, ahead, out=w)

    return in_pieces(piece, learning_rate, with_scratch(scratch, 2, w, g, v), (w, v))


def _velocity(v: Array, g: Array, rate: Array, keep: Array, step: Array) -> None:
    """v ← μv - ηg, with ηg left in ``step``."""
    np.multiply(g, rate, out=step)
    np.multiply(v, keep, out=v)
    np.subtract(v, step, out=v)


def adagrad(
    w: Array,
    g: Array,
    c: Array,
    learning_rate: Number | float,
    epsilon: float,
    *,
    out: tuple[Array, Array] | None = None,
    scratch: Scratch | None = None,
) -> Call:
    w, c = owned((w, c), out)

    def piece(rate: Array, w: Array, g: Array, c: Array, step: Array, scale: Array) -> None:
        np.multiply(g, g, out=step)
        np.add(c, step, out=c)
        _descend(w, g, c, rate, epsilon, step, scale)

    return in_pieces(piece, learning_rate, with_scratch(scratch, 2, w, g, c), (w, c))


def rmsprop(
    w: Array,
    g: Array,
    c: Array,
    learning_rate: Number | float,
    rho: float,
    epsilon: float,
    *,
    out: tuple[Array, Array] | None = None,
    scratch: Scratch | None = None,
) -> Call:
    w, c = owned((w, c), out)

    def piece(rate: Array, w: Array, g: Array, c: Array, step: Array, scale: Array) -> None:
        np.multiply(g, g, out=step)
        np.multiply(step, 1 - rho, out=step)
        np.multiply(c, rho, out=c)
        np.add(c, step, out=c)
        _descend(w, g, c, rate, epsilon, step, scale)

    return in_pieces(piece, learning_rate, with_scratch(scratch, 2, w, g, c), (w, c))


def adadelta(
    w: Array,
    g: Array,
    c: Array,
    u: Array,
    learning_rate: Number | float,
    rho: float,
    epsilon: float,
    *,
    out: tuple[Array, Array, Array] | None = None,
    scratch: Scratch | None = None,
) -> Call:
    w, c, u = owned((w, c, u), out)

    def piece(rate: Array, w: Array, g: Array, c: Array, u: Array, step: Array, scale: Array) -> None:
        np.multiply(g, g, out=scale)
        approach(c, scale, rho, step)
        np.add(c, epsilon, out=scale)
        np.sqrt(scale, out=scale)
        np.add(u, epsilon, out=step)
        np.sqrt(step, out=step)
        np.divide(step, scale, out=step)
        np.multiply(g, step, out=scale)
        np.multiply(scale, rate, out=step)
        np.subtract(w, step, out=w)
        np.multiply(scale, scale, out=scale)
        approach(u, scale, rho, step)

    return in_pieces(piece, learning_rate, with_scratch(scratch, 2, w, g, c, u), (w, c, u))


def decay_weights(
    w: Array,
    learning_rate: Number | float,
    weight_decay: float,
    *,
    out: Array = None,
    scratch: Scratch | None = None,
) -> Call:
    (w,) = owned((w,), out)
    rate, parts = Number.of(learning_rate), with_scratch(scratch, 1, w)

    def call() -> Array:
        share = rate.value * weight_decay
        for part, step in parts:
            np.multiply(part, share, out=step)
            np.subtract(part, step, out=part)
        return w

    return call


def average(average: Array, w: Array, ema: float, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    (average,) = owned((average,), out)
    parts = with_scratch(scratch, 1, average, w)

    def call() -> Array:
        for mean, part, step in parts:
            approach(mean, part, ema, step)
        return average

    return call


def _descend(w: Array, g: Array, c: Array, rate: Array, epsilon: float, step: Array, scale: Array) -> None:
    """w ← w - ηg / (√c + ε)."""
    np.sqrt(c, out=scale)
    np.add(scale, epsilon, out=scale)
    np.multiply(g, rate, out=step)
    np.divide(step, scale, out=step)
    np.subtract(w, step, out=w)


def clip_value(g: Array, limit: float, *, out: Array = None, scratch: Any = None) -> Call:
    out = like(g, out)
    return lambda: np.clip(g, -limit, limit, out=out)


def clip_norm(g: Array, limit: float, *, out: Array = None, scratch: Any = None) -> Call:
    out = like(g, out)

    def call() -> Array:
        norm = float(np.dot(g, g)) ** 0.5
        return np.multiply(g, limit / max(norm, limit), out=out)

    return call


def all_finite(w: Array, *, out: None = None, scratch: Any = None) -> Call:
    if not w.flags.forc:
        return lambda: np.isfinite(w).all()
    flat = w.reshape(-1, order="A")

    def call() -> Any:
        # one pass for nearly every array: a finite sum of squares has finite terms. It may overflow; then look closely.
        return np.bool(isfinite(flat.dot(flat))) or np.isfinite(flat).all()

    return call
