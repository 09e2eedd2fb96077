"""Updates, in place and in pieces that stay in cache. ``out`` holds the very arrays that are updated."""

from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call, Number
from nnxp.ops.numpy._memory import CHUNK, Scratch, like

__all__ = ["adagrad", "adam", "all_finite", "clip_norm", "clip_value", "momentum", "nesterov", "rmsprop", "sgd"]


def sgd(
    w: Array, g: Array, learning_rate: Number | float, *, out: Array = None, scratch: Scratch | None = None
) -> Call:
    (w,) = owned((w,), out)

    def piece(rate: Array, w: Array, g: Array, step: Array) -> None:
        np.multiply(g, rate, out=step)
        np.subtract(w, step, out=w)

    return _in_pieces(piece, learning_rate, _with_scratch(scratch, 1, w, g), w)


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

    return _in_pieces(piece, learning_rate, _with_scratch(scratch, 1, w, g, v), (w, v))


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

    return _in_pieces(piece, learning_rate, _with_scratch(scratch, 2, w, g, v), (w, v))


def _velocity(v: Array, g: Array, rate: Array, keep: Array, step: Array) -> None:
    """v ← μv - ηg, with ηg left in ``step``."""
    np.multiply(g, rate, out=step)
    np.multiply(v, keep, out=v)
    np.subtract(v, step, out=v)


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
    scratch: Scratch | None = None,
) -> Call:
    w, m, v = owned((w, m, v), out)
    keep_1, add_1, keep_2, add_2 = (np.asarray(b, dtype=w.dtype) for b in (beta_1, 1 - beta_1, beta_2, 1 - beta_2))
    rate, floor = np.empty((), dtype=w.dtype), np.empty((), dtype=w.dtype)
    eta, c_1, c_2 = map(Number.of, (learning_rate, correction_1, correction_2))
    parts = _with_scratch(scratch, 1, w, g, m, v)

    def call() -> tuple[Array, Array, Array]:
        # η(m/c₁) / (√(v/c₂) + ε) = (η√c₂/c₁)·m / (√v + ε√c₂): both corrections move into scalars
        root = c_2.value**0.5
        rate[()], floor[()] = eta.value * root / c_1.value, epsilon * root
        for wp, gp, mp, vp, step in parts:
            np.multiply(gp, add_1, out=step)
            np.multiply(mp, keep_1, out=mp)
            np.add(mp, step, out=mp)
            np.multiply(gp, gp, out=step)
            np.multiply(step, add_2, out=step)
            np.multiply(vp, keep_2, out=vp)
            np.add(vp, step, out=vp)
            np.sqrt(vp, out=step)
            np.add(step, floor, out=step)
            np.divide(mp, step, out=step)
            np.multiply(step, rate, out=step)
            np.subtract(wp, step, out=wp)
        return w, m, v

    return call


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

    return _in_pieces(piece, learning_rate, _with_scratch(scratch, 2, w, g, c), (w, c))


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

    return _in_pieces(piece, learning_rate, _with_scratch(scratch, 2, w, g, c), (w, c))


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


def _in_pieces(
    piece: Callable[..., None], learning_rate: Number | float, parts: list[tuple[Array, ...]], result: Any
) -> Call:
    """A call that updates piece after piece. The rate is a 0-d array, which ufuncs take faster than Python's floats."""
    number, rate = Number.of(learning_rate), np.empty((), dtype=parts[0][0].dtype if parts else float)

    def call() -> Any:
        rate[()] = number.value
        for part in parts:
            piece(rate, *part)
        return result

    return call


def _with_scratch(scratch: Scratch | None, count: int, *arrays: Array) -> list[tuple[Array, ...]]:
    """The arrays in pieces, each with ``count`` work arrays."""
    scratch, (first, *_) = scratch or Scratch(), arrays
    return [
        (*part, *(scratch(part[0].size, first.dtype, number) for number in range(count)))
        for part in (tuple(a[start : start + CHUNK] for a in arrays) for start in range(0, first.size, CHUNK))
    ]


def owned(arrays: tuple[Array, ...], out: Any) -> tuple[Array, ...]:
    """The arrays in memory that may be written: the donated buffers, or new ones, with the arrays' values."""
    buffers = (out,) if isinstance(out, np.ndarray) else out or (None,) * len(arrays)
    return tuple(map(_own, arrays, buffers))


def _own(array: Array, buffer: Array | None) -> Array:
    if buffer is None:
        return array.copy()
    if buffer is not array:
        np.copyto(buffer, array)
    return buffer
