"""Updates with moving averages of the gradient, in place and in pieces that stay in cache."""

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call, Number
from nnxp.ops.numpy._memory import Scratch
from nnxp.ops.numpy._updating import approach, in_pieces, owned, with_scratch

__all__ = ["adam", "adamax", "lion", "nadam"]


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
    parts = with_scratch(scratch, 1, w, g, m, v)

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


def adamax(
    w: Array,
    g: Array,
    m: Array,
    u: Array,
    learning_rate: Number | float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    correction_1: Number | float,
    *,
    out: tuple[Array, Array, Array] | None = None,
    scratch: Scratch | None = None,
) -> Call:
    w, m, u = owned((w, m, u), out)
    correction = Number.of(correction_1)

    def piece(rate: Array, w: Array, g: Array, m: Array, u: Array, step: Array, scale: Array) -> None:
        approach(m, g, beta_1, step)
        np.abs(g, out=step)
        np.multiply(u, beta_2, out=u)
        np.maximum(u, step, out=u)
        np.multiply(m, rate / correction.value, out=step)
        np.add(u, epsilon, out=scale)
        np.divide(step, scale, out=step)
        np.subtract(w, step, out=w)

    return in_pieces(piece, learning_rate, with_scratch(scratch, 2, w, g, m, u), (w, m, u))


def nadam(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    learning_rate: Number | float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    moment_share: Number | float,
    gradient_share: Number | float,
    correction_2: Number | float,
    *,
    out: tuple[Array, Array, Array] | None = None,
    scratch: Scratch | None = None,
) -> Call:
    w, m, v = owned((w, m, v), out)
    of_moment, of_gradient, correction = map(Number.of, (moment_share, gradient_share, correction_2))

    def piece(rate: Array, w: Array, g: Array, m: Array, v: Array, step: Array, ahead: Array, scale: Array) -> None:
        approach(m, g, beta_1, step)
        np.multiply(g, g, out=scale)
        approach(v, scale, beta_2, step)
        root = correction.value**0.5  # as in Adam's kernel: the correction moves into scalars
        np.sqrt(v, out=scale)
        np.add(scale, epsilon * root, out=scale)
        np.multiply(m, rate * (of_moment.value * root), out=step)
        np.multiply(g, rate * (of_gradient.value * root), out=ahead)
        np.add(step, ahead, out=step)
        np.divide(step, scale, out=step)
        np.subtract(w, step, out=w)

    return in_pieces(piece, learning_rate, with_scratch(scratch, 3, w, g, m, v), (w, m, v))


def lion(
    w: Array,
    g: Array,
    m: Array,
    learning_rate: Number | float,
    beta_1: float,
    beta_2: float,
    *,
    out: tuple[Array, Array] | None = None,
    scratch: Scratch | None = None,
) -> Call:
    w, m = owned((w, m), out)

    def piece(rate: Array, w: Array, g: Array, m: Array, step: Array, direction: Array) -> None:
        np.multiply(m, beta_1, out=direction)
        np.multiply(g, 1 - beta_1, out=step)
        np.add(direction, step, out=direction)
        np.sign(direction, out=direction)
        np.multiply(direction, rate, out=direction)
        np.subtract(w, direction, out=w)
        approach(m, g, beta_2, step)

    return in_pieces(piece, learning_rate, with_scratch(scratch, 2, w, g, m), (w, m))
