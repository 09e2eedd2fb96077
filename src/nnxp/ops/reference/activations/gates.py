r"""Gates: $y = x \cdot g(x)$, where g leads from 0 to 1.

Each has a minimum below 0, so two inputs share an output: backwards read the input. The derivative of all is
$g + x g'$.
"""

from math import log, pi, sqrt

from nnxp._types import Array, Namespace
from nnxp.ops.reference.activations.sigmoids import softplus
from nnxp.ops.reference.special import normal_cdf, normal_pdf

__all__ = [
    "gelu",
    "gelu_backward",
    "gelu_tanh",
    "gelu_tanh_backward",
    "mish",
    "mish_backward",
    "silu",
    "silu_backward",
]


def silu(xp: Namespace, x: Array) -> Array:
    r"""$y = x \, \sigma(x)$, elementwise. Source: Elfwing, Uchibe & Doya (Neural Networks 107, 2018)."""
    gate, _ = _sigmoids(xp, x)
    return xp.clip(x, -_far(xp, x), None) * gate


def silu_backward(xp: Namespace, dy: Array, x: Array) -> Array:
    r"""$dx = dy \cdot \sigma(x) (1 + x \, \sigma(-x))$, where $\sigma(-x) = 1 - \sigma(x)$."""
    gate, rest = _sigmoids(xp, x)
    return dy * (gate * (1 + _near(xp, x) * rest))


def mish(xp: Namespace, x: Array) -> Array:
    r"""$y = x \tanh s$ with $s = \log(1 + e^x)$, elementwise. Source: Misra (BMVC 2020)."""
    return xp.clip(x, -_far(xp, x), None) * xp.tanh(softplus(xp, x))


def mish_backward(xp: Namespace, dy: Array, x: Array) -> Array:
    r"""$dx = dy \cdot (\tanh s + x \, \sigma(x) (1 - \tanh^2 s))$."""
    s = softplus(xp, x)
    slope_of_s, _ = _sigmoids(xp, x)
    above, below = _sigmoids(xp, 2 * s)
    return dy * (xp.tanh(s) + _near(xp, x) * slope_of_s * (4 * above * below))  # 1 - tanh² s = 4 σ(2s) σ(-2s)


def gelu(xp: Namespace, x: Array) -> Array:
    r"""$y = x \, \Phi(x)$, elementwise, with Φ the normal distribution. Source: Hendrycks & Gimpel (2016)."""
    return xp.clip(x, -_far(xp, x), None) * normal_cdf(xp, x)


def gelu_backward(xp: Namespace, dy: Array, x: Array) -> Array:
    r"""$dx = dy \cdot (\Phi(x) + x \, \varphi(x))$, with φ the normal density."""
    return dy * (normal_cdf(xp, x) + _near(xp, x) * normal_pdf(xp, x))


_RATE, _CUBE = sqrt(2 / pi), 0.044715
"""The slope of the tanh at 0 that Φ has, and the factor of x³ that the paper fitted."""


def gelu_tanh(xp: Namespace, x: Array) -> Array:
    r"""$y = x \cdot (1 + \tanh u) / 2$ with $u = \sqrt{2/\pi} \, (x + 0.044715 x^3)$, elementwise: GELU, nearly.

    It differs from `gelu` by 5e-4 at most. Source: Hendrycks & Gimpel (2016), section 2.
    """
    near = _near(xp, x)
    gate, _ = _sigmoids(xp, _twice_u(near))
    return xp.clip(x, -_far(xp, x), None) * gate


def gelu_tanh_backward(xp: Namespace, dy: Array, x: Array) -> Array:
    r"""$dx = dy \cdot ((1 + \tanh u) / 2 + x \, u' (1 - \tanh^2 u) / 2)$: its own derivative, not that of `gelu`."""
    near = _near(xp, x)
    gate, rest = _sigmoids(xp, _twice_u(near))
    slope = 2 * _RATE * (1 + 3 * _CUBE * near * near)
    return dy * (gate + near * slope * (gate * rest))


def _twice_u(x: Array) -> Array:
    """(1 + tanh u) / 2 = σ(2u), which keeps its digits where tanh u is nearly -1."""
    return 2 * _RATE * (x + _CUBE * x * x * x)


def _sigmoids(xp: Namespace, x: Array) -> tuple[Array, Array]:
    """σ(x) and 1 - σ(x) = σ(-x), the smaller one to its last digits, down to 0."""
    e = xp.exp(-xp.abs(x))
    large, small = 1 / (1 + e), e / (1 + e)
    return xp.where(x > 0, large, small), xp.where(x > 0, small, large)


def _near(xp: Namespace, x: Array) -> Array:
    """x, or the bound beyond which all gates are 0 or 1, because 0 · ∞ is no number."""
    far = _far(xp, x)
    return xp.clip(x, -far, far)


def _far(xp: Namespace, x: Array) -> float:
    """e to the minus this is 0, even among the subnormal numbers."""
    return 2 * log(xp.finfo(x.dtype).max)
