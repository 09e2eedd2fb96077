r"""Curves that lead from one level to another, and softplus, whose slope is such a curve."""

from math import floor, log

from nnxp._types import Array, Namespace

__all__ = [
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_tanh",
    "hard_tanh_backward",
    "sigmoid",
    "sigmoid_backward",
    "softplus",
    "softplus_backward",
    "softsign",
    "softsign_backward",
    "step",
    "step_backward",
    "tanh",
    "tanh_backward",
]


def sigmoid(xp: Namespace, x: Array) -> Array:
    r"""$y = \sigma(x) = 1 / (1 + e^{-x})$, elementwise."""
    least = 1.0 - floor(log(xp.finfo(x.dtype).max))  # below it e^-x overflows and σ is no normal number any more
    return 1 / (1 + xp.exp(-xp.clip(x, least, None)))


def sigmoid_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = dy \cdot y (1 - y)$."""
    return dy * (1 - y) * y


def hard_sigmoid(xp: Namespace, x: Array) -> Array:
    r"""$y = \min(\max(x / 6 + 1/2, 0), 1)$, elementwise. Source: Howard et al. (ICCV 2019), as ReLU6(x + 3) / 6."""
    return xp.clip(x / 6 + 0.5, 0.0, 1.0)


def hard_sigmoid_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = dy / 6$ where $0 < y < 1$, else 0 (at the kinks, 0)."""
    return xp.where((y > 0) & (y < 1), dy / 6, xp.zeros_like(dy))


def tanh(xp: Namespace, x: Array) -> Array:
    r"""$y = \tanh x$, elementwise."""
    return xp.tanh(x)


def tanh_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = dy \cdot (1 - y^2)$."""
    return dy * (1 - y * y)


def hard_tanh(xp: Namespace, x: Array) -> Array:
    r"""$y = \min(\max(x, -1), 1)$, elementwise. Source: Collobert (2004)."""
    return xp.clip(x, -1.0, 1.0)


def hard_tanh_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = dy$ where $-1 < y < 1$, else 0 (at the kinks, 0)."""
    return xp.where((y > -1) & (y < 1), dy, xp.zeros_like(dy))


def softsign(xp: Namespace, x: Array) -> Array:
    r"""$y = x / (1 + |x|)$, elementwise. Source: Turian, Bergstra & Bengio (NAACL 2009)."""
    most = float(xp.finfo(x.dtype).max)
    x = xp.clip(x, -most, most)  # ∞ / ∞ is no number
    return x / (1 + xp.abs(x))


def softsign_backward(xp: Namespace, dy: Array, x: Array) -> Array:
    r"""$dx = dy / (1 + |x|)^2$. Reads x: $(1 - |y|)^2$ is the same, and has no digits left where x is large."""
    slope_root = 1 / (1 + xp.abs(x))
    return dy * slope_root * slope_root


def softplus(xp: Namespace, x: Array) -> Array:
    r"""$y = \log(1 + e^x)$, elementwise. Source: Dugas, Bengio, Bélisle, Nadeau & Garcia (NeurIPS 2000)."""
    # log(1 + e^x) = x + log(1 + e^-x), so e^-|x| is enough, which cannot overflow
    return xp.maximum(x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))


def softplus_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = dy \cdot (1 - e^{-y})$, which is $dy \cdot \sigma(x)$."""
    return dy * -xp.expm1(-y)


def step(xp: Namespace, x: Array) -> Array:
    r"""$y = 1$ where $x > 0$, else 0, elementwise: the threshold of a perceptron. Source: Rosenblatt (1958)."""
    return xp.astype(x > 0, x.dtype)


def step_backward(xp: Namespace, dy: Array, y: Array) -> Array:
    r"""$dx = 0$: the step is flat wherever it has a slope, so nothing in front of it learns by its gradient."""
    return xp.zeros_like(dy)
