"""Gates, x times a curve from 0 to 1: the reference's formulas a piece at a time, in work arrays that stay in cache."""

from collections.abc import Callable, Sequence
from math import inf, log, pi, sqrt

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call
from nnxp.ops.numpy._memory import Scratch, fill, like, pieces
from nnxp.ops.reference import FUNCTIONS, special

__all__ = ["gelu", "gelu_backward", "silu", "silu_backward"]


def silu(x: Array, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    far = _far(x)

    def compute(x: Array, y: Array, total: Array, gate: Array) -> None:
        _sigmoid(x, far, total, gate)
        np.clip(x, -far, inf, out=total)  # clip has a vector loop, and maximum with a number has none
        np.multiply(total, gate, out=y)

    return _in_pieces("silu", compute, (x,), like(x, out), scratch, 2)


def silu_backward(dy: Array, x: Array, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    far = _far(x)

    def compute(dy: Array, x: Array, dx: Array, total: Array, gate: Array, rest: Array) -> None:
        _sigmoid(x, far, total, gate)
        np.clip(x, -far, far, out=total)
        np.subtract(1, gate, out=rest)  # σ(-x), to an ULP of 1: one exponential less
        np.multiply(rest, total, out=rest)
        np.add(rest, 1, out=rest)
        np.multiply(rest, gate, out=rest)
        np.multiply(dy, rest, out=dx)

    return _in_pieces("silu_backward", compute, (dy, x), like(dy, out), scratch, 3)


def _sigmoid(x: Array, far: float, total: Array, gate: Array) -> None:
    r"""$\sigma(x) = e^{\min(x, 0)} / (1 + e^{-|x|})$ in ``gate``, and what it is divided by."""
    np.abs(x, out=total)
    np.negative(total, out=total)
    np.exp(total, out=total)
    np.add(total, 1, out=total)
    np.clip(x, -far, 0, out=gate)
    np.exp(gate, out=gate)
    np.divide(gate, total, out=gate)


def gelu(x: Array, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    far = _far(x)

    def compute(x: Array, y: Array, cdf: Array, *work: Array) -> None:
        _normal(x, cdf, *work)
        np.clip(x, -far, inf, out=work[0])
        np.multiply(work[0], cdf, out=y)

    return _in_pieces("gelu", compute, (x,), like(x, out), scratch, 6)


def gelu_backward(dy: Array, x: Array, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    far, height = _far(x), 1 / sqrt(2 * pi)

    def compute(dy: Array, x: Array, dx: Array, cdf: Array, bell: Array, *work: Array) -> None:
        _normal(x, cdf, bell, *work)
        np.clip(x, -far, far, out=work[0])
        np.multiply(bell, height, out=bell)
        np.multiply(bell, work[0], out=bell)
        np.add(cdf, bell, out=cdf)
        np.multiply(dy, cdf, out=dx)

    return _in_pieces("gelu_backward", compute, (dy, x), like(dy, out), scratch, 6)


def _normal(x: Array, cdf: Array, bell: Array, size: Array, p: Array, q: Array, t: Array) -> None:
    r"""$\Phi(x)$ in ``cdf`` and $e^{-x^2/2}$ in ``bell``, as in `nnxp.ops.reference.special`; the rest is work."""
    np.abs(x, out=size)
    np.clip(size, 0, _far(x), out=t)
    _bell(t, bell, p, q)
    np.clip(size, 0, special.MIDDLE, out=t)
    _ratio(t, special.IN_MIDDLE, p, q)
    if not np.maximum.reduce(size) < special.MIDDLE:
        beyond = size > special.MIDDLE  # few, so they are taken aside
        p[beyond] = special.in_tail(np, size[beyond])
    np.multiply(p, bell, out=p)
    np.greater(x, 0, out=q)
    np.subtract(q, p, out=p)
    np.abs(p, out=p)  # 1 - tail above 0, |0 - tail| below
    np.clip(x, -special.CENTRE, special.CENTRE, out=t)
    np.multiply(t, t, out=q)
    _ratio(q, special.IN_CENTRE, cdf, size)
    np.multiply(cdf, t, out=cdf)
    np.add(cdf, 0.5, out=cdf)
    np.equal(t, x, out=q)  # 1 in the centre, else 0
    np.multiply(cdf, q, out=cdf)
    np.subtract(1, q, out=q)
    np.multiply(p, q, out=p)
    np.add(cdf, p, out=cdf)


def _bell(size: Array, bell: Array, leading: Array, rest: Array) -> None:
    """Destroys ``size``."""
    np.multiply(size, 16, out=leading)
    np.trunc(leading, out=leading)
    np.multiply(leading, 1 / 16, out=leading)
    np.subtract(size, leading, out=rest)
    np.add(size, leading, out=size)
    np.multiply(rest, size, out=rest)
    np.multiply(leading, leading, out=leading)
    for square in (leading, rest):
        np.multiply(square, -0.5, out=square)
        np.exp(square, out=square)
    np.multiply(leading, rest, out=bell)


def _ratio(x: Array, polynomials: tuple[Sequence[float], Sequence[float]], out: Array, below: Array) -> None:
    for (first, second, *others), result in zip(polynomials, (out, below), strict=True):
        np.multiply(x, first, out=result)
        np.add(result, second, out=result)
        for coefficient in others:
            np.multiply(result, x, out=result)
            np.add(result, coefficient, out=result)
    np.divide(out, below, out=out)


def _far(x: Array) -> float:
    """Beyond it all gates are 0 or 1, and so are squares in an exponent."""
    return 2 * log(np.finfo(x.dtype).max)


def _in_pieces(
    op: str, compute: Callable[..., None], inputs: tuple[Array, ...], out: Array, scratch: Scratch | None, work: int
) -> Call:
    """``compute`` for each piece of the inputs and of ``out``, which it writes last, with so many work arrays."""
    parts, scratch = pieces(*inputs, out), scratch or Scratch()
    if parts is None:
        return lambda: fill(out, FUNCTIONS[op](np, *inputs))
    parts = [(*part, *(scratch(part[0].size, out.dtype, number) for number in range(work))) for part in parts]

    def call() -> Array:
        for part in parts:
            compute(*part)
        return out

    return call
