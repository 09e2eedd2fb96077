r"""Rectifiers: the identity above 0, and little below. Their backwards read the output, which has the input's sign."""

from nnxp._types import Array, Namespace

__all__ = [
    "elu",
    "elu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "relu",
    "relu_backward",
    "selu",
    "selu_backward",
]


def relu(xp: Namespace, x: Array) -> Array:
    r"""$y = \max(x, 0)$, elementwise; NaN stays NaN."""
    return xp.maximum(x, xp.zeros_like(x))


def relu_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = dy$ where $y > 0$, else 0 (at the kink, 0)."""
    return xp.where(y > 0, dy, xp.zeros_like(dy))


def leaky_relu(xp: Namespace, x: Array, negative_slope: float) -> Array:
    r"""$y = x$ where $x > 0$, else $s x$, elementwise, with a slope $s > 0$. Source: Maas, Hannun & Ng (ICML 2013)."""
    return xp.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(xp: Namespace, dy: Array, y: Array, negative_slope: float) -> Array:
    r"""$dx = dy$ where $y > 0$, else $s \cdot dy$ (at the kink, s)."""
    return xp.where(y > 0, dy, negative_slope * dy)


def elu(xp: Namespace, x: Array, alpha: float) -> Array:
    r"""$y = x$ where $x > 0$, else $\alpha (e^x - 1)$, elementwise, with $\alpha > 0$.

    Source: Clevert, Unterthiner & Hochreiter (ICLR 2016).
    """
    return xp.where(x > 0, x, alpha * xp.expm1(xp.clip(x, None, 0.0)))


def elu_backward(xp: Namespace, dy: Array, y: Array, alpha: float) -> Array:
    r"""$dx = dy$ where $y > 0$, else $dy \cdot (y + \alpha)$, because $\alpha e^x = y + \alpha$ (at 0, α)."""
    return xp.where(y > 0, dy, dy * (y + alpha))


_SCALE, _ALPHA = 1.0507009873554805, 1.6732632423543772
"""λ and α for which a standard normal input gives an output of mean 0 and variance 1: equation 14 of the paper."""
_LEVEL = _SCALE * _ALPHA


def selu(xp: Namespace, x: Array) -> Array:
    r"""$y = \lambda x$ where $x > 0$, else $\lambda \alpha (e^x - 1)$, elementwise.

    λ = 1.0507… and α = 1.6733…. Source: Klambauer, Unterthiner, Mayr & Hochreiter (NeurIPS 2017).
    """
    return xp.where(x > 0, _SCALE * x, _LEVEL * xp.expm1(xp.clip(x, None, 0.0)))


def selu_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = \lambda \, dy$ where $y > 0$, else $dy \cdot (y + \lambda \alpha)$ (at 0, λα)."""
    return xp.where(y > 0, _SCALE * dy, dy * (y + _LEVEL))
