r"""The normal distribution, which the Array API lacks, by W. J. Cody's rational approximations.

Where $|x| \le 0.66291$, $\Phi(x) = 1/2 + x R(x^2)$. Elsewhere the tail $Q = \Phi(-|x|)$ is $\varphi$ times a slow
function: $e^{-x^2/2} R(|x|)$ up to $\sqrt{32}$, and from there
$e^{-x^2/2} / |x| \cdot (1/\sqrt{2\pi} - x^{-2} R(x^{-2}))$. So the tail is right to its last digits, too.

Sources: W. J. Cody, Rational Chebyshev approximations for the error function (Math. Comp. 23, 1969); the same for
$\Phi(x) = \mathrm{erfc}(-x/\sqrt 2) / 2$ itself, without the error that rounding $x/\sqrt 2$ makes: W. J. Cody,
Algorithm 715 (ACM TOMS 19, 1993).
"""

from collections.abc import Sequence
from math import log, pi, sqrt

from nnxp._types import Array, Namespace

__all__ = ["CENTRE", "IN_CENTRE", "IN_MIDDLE", "IN_TAIL", "MIDDLE", "in_tail", "normal_cdf", "normal_pdf"]

CENTRE, MIDDLE = 0.66291, sqrt(32)
"""Where one approximation ends and the next begins."""

# Numerators and denominators, the highest power first.
IN_CENTRE = (
    (0.065682337918207449, 2.2352520354606837, 161.02823106855587, 1067.6894854603709, 18154.981253343560),
    (1.0, 47.202581904688245, 976.09855173777669, 10260.932208618979, 45507.789335026730),
)
IN_MIDDLE = (
    (
        *(1.0765576773720192e-8, 0.39894151208813466, 8.8831497943883768, 93.506656132177852, 597.27027639480026),
        *(2494.5375852903726, 6848.1904505362827, 11602.651437647350, 9842.7148383839776),
    ),
    (
        *(1.0, 22.266688044328117, 235.38790178262500, 1519.3775994075547, 6485.5582982667611),
        *(18615.571640885097, 34900.952721145979, 38912.003286093271, 19685.429676859992),
    ),
)
IN_TAIL = (
    (
        *(0.023073441764940174, 0.21589853405795700, 0.12740116116024736),
        *(0.022235277870649807, 1.4216191932278934e-3, 2.9112874951168793e-5),
    ),
    (
        *(1.0, 1.2842600961449111, 0.46823821248086511),
        *(0.065988137868928552, 3.7823963320275824e-3, 7.2975155508396618e-5),
    ),
)


def normal_cdf(xp: Namespace, x: Array) -> Array:
    r"""$\Phi(x) = \int_{-\infty}^x \varphi(t) \, dt$, elementwise, to a few ULP also far below 0."""
    size = xp.abs(x)
    tail = xp.where(size < MIDDLE, _middle(xp, size), in_tail(xp, size)) * _bell(xp, x)
    outside = xp.where(x < 0, tail, 1 - tail)
    return xp.where(size < CENTRE, _centre(xp, x), outside)


def normal_pdf(xp: Namespace, x: Array) -> Array:
    r"""$\varphi(x) = e^{-x^2/2} / \sqrt{2\pi}$, elementwise, to a few ULP also far from 0."""
    return _bell(xp, x) * (1 / sqrt(2 * pi))


def _centre(xp: Namespace, x: Array) -> Array:
    x = xp.clip(x, -CENTRE, CENTRE)
    return 0.5 + x * _ratio(x * x, *IN_CENTRE)


def _middle(xp: Namespace, size: Array) -> Array:
    return _ratio(xp.clip(size, None, MIDDLE), *IN_MIDDLE)


def in_tail(xp: Namespace, size: Array) -> Array:
    r"""$Q(|x|) / e^{-x^2/2}$ from $\sqrt{32}$ on, elementwise."""
    inverse = 1 / xp.clip(size, MIDDLE, None)
    square = inverse * inverse
    return inverse * (1 / sqrt(2 * pi) - square * _ratio(square, *IN_TAIL))


def _bell(xp: Namespace, x: Array) -> Array:
    """e^(-x²/2): the square of x's leading digits is exact, so that only the small rest of the exponent is rounded."""
    far = 2 * sqrt(log(xp.finfo(x.dtype).max))  # beyond it the result is 0, and a square may overflow
    size = xp.clip(xp.abs(x), None, far)
    leading = xp.trunc(size * 16) / 16
    rest = (size - leading) * (size + leading)
    return xp.exp(-leading * leading / 2) * xp.exp(-rest / 2)


def _ratio(x: Array, numerator: Sequence[float], denominator: Sequence[float]) -> Array:
    return _polynomial(x, numerator) / _polynomial(x, denominator)


def _polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    """By Horner's rule, the highest power first."""
    result: Array = coefficients[0]
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result
