r"""Penalties on weights, each followed by its backward, which *adds* to the gradient that is there."""

from nnxp._types import Array, Namespace

__all__ = ["l1", "l1_backward", "l2", "l2_backward"]


def l1(xp: Namespace, w: Array, rate: float) -> Array:
    r"""$\lambda \lVert w \rVert_1$."""
    return rate * xp.sum(xp.abs(w))


def l1_backward(xp: Namespace, dw: Array, w: Array, rate: float) -> Array:
    r"""$dw + \lambda\, \mathrm{sign}(w)$: the subgradient that is 0 at 0."""
    return dw + rate * xp.sign(w)


def l2(xp: Namespace, w: Array, rate: float) -> Array:
    r"""$\lambda \lVert w \rVert_2^2$."""
    return rate * xp.sum(w * w)


def l2_backward(xp: Namespace, dw: Array, w: Array, rate: float) -> Array:
    r"""$dw + 2 \lambda w$."""
    return dw + 2 * rate * w
