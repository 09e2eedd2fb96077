r"""Losses of real predictions: functions of the error $e = p - y$, or of the margin."""

from math import log

from nnxp._types import Array, Namespace
from nnxp.ops.reference.losses.weighting import row_sums

__all__ = [
    "absolute_error",
    "absolute_error_backward",
    "absolute_error_rows",
    "absolute_errors",
    "hinge",
    "hinge_backward",
    "hinge_rows",
    "huber",
    "huber_backward",
    "huber_rows",
    "log_cosh",
    "log_cosh_backward",
    "log_cosh_rows",
    "squared_error",
    "squared_error_backward",
    "squared_error_rows",
    "squared_errors",
]


def squared_errors(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] -> [B,O]``: $(p - y)^2$, what `squared_error` adds up."""
    error = p - y
    return error * error


def squared_error(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,O], y[B,O] -> loss[]``: $\sum (p - y)^2 / D$."""
    return xp.sum(squared_errors(xp, p, y)) / divisor


def squared_error_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = 2 (p - y) / D$."""
    return 2 * (p - y) / divisor


def squared_error_rows(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] -> [B]``: $\sum_o (p - y)^2$."""
    return row_sums(xp, squared_errors(xp, p, y))


def absolute_errors(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] -> [B,O]``: $|p - y|$, what `absolute_error` adds up."""
    return xp.abs(p - y)


def absolute_error(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,O], y[B,O] -> loss[]``: $\sum |p - y| / D$."""
    return xp.sum(absolute_errors(xp, p, y)) / divisor


def absolute_error_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = \mathrm{sign}(p - y) / D$; 0 where they are equal."""
    return xp.sign(p - y) / divisor


def absolute_error_rows(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] -> [B]``: $\sum_o |p - y|$."""
    return row_sums(xp, absolute_errors(xp, p, y))


def huber(xp: Namespace, p: Array, y: Array, delta: float, divisor: float) -> Array:
    r"""``p[B,O], y[B,O] -> loss[]``: $\sum h_\delta(p - y) / D$.

    $h_\delta(e) = e^2 / 2$ where $|e| \le \delta$, else $\delta (|e| - \delta / 2)$: a parabola that goes on as lines.
    Source: Huber, *Robust estimation of a location parameter* (1964).
    """
    return xp.sum(_hubers(xp, p, y, delta)) / divisor


def huber_backward(xp: Namespace, p: Array, y: Array, delta: float, divisor: float) -> Array:
    r"""$dp = \min(\max(p - y, -\delta), \delta) / D$."""
    return xp.clip(p - y, -delta, delta) / divisor


def huber_rows(xp: Namespace, p: Array, y: Array, delta: float) -> Array:
    r"""``p[B,O], y[B,O] -> [B]``: $\sum_o h_\delta(p - y)$."""
    return row_sums(xp, _hubers(xp, p, y, delta))


def log_cosh(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,O], y[B,O] -> loss[]``: $\sum \log\cosh(p - y) / D$.

    It is about $e^2 / 2$ near the target, and about $|e| - \log 2$ far from it.
    """
    return xp.sum(_log_coshs(xp, p, y)) / divisor


def log_cosh_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = \tanh(p - y) / D$."""
    return xp.tanh(p - y) / divisor


def log_cosh_rows(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] -> [B]``: $\sum_o \log\cosh(p - y)$."""
    return row_sums(xp, _log_coshs(xp, p, y))


def hinge(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,O], y[B,O] in {0, 1} -> loss[]``: $\sum \max(0, 1 - t p) / D$ with $t = 2 y - 1$, so -1 or 1.

    Source: Cortes & Vapnik, *Support-vector networks* (1995).
    """
    return xp.sum(_hinges(xp, p, y)) / divisor


def hinge_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = -t / D$ where $t p < 1$, else 0."""
    t = 2 * y - 1
    return xp.where(t * p < 1, -t, xp.zeros_like(t)) / divisor


def hinge_rows(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,O], y[B,O] in {0, 1} -> [B]``: $\sum_o \max(0, 1 - t p)$."""
    return row_sums(xp, _hinges(xp, p, y))


def _hubers(xp: Namespace, p: Array, y: Array, delta: float) -> Array:
    size = xp.abs(p - y)
    inner = xp.clip(size, None, delta)  # δ(|e| - δ/2) = c(|e| - c/2) at c = δ, and e²/2 at c = |e|
    return inner * (size - inner / 2)


def _log_coshs(xp: Namespace, p: Array, y: Array) -> Array:
    size = xp.abs(p - y)
    slope = xp.tanh(xp.clip(size, None, 1.0))
    near = xp.log1p(-slope * slope) / -2  # log cosh e = -log(1 - tanh² e) / 2: small losses keep their digits
    far = size + (xp.log1p(xp.exp(-2 * size)) - log(2))  # and = |e| + log(1 + e^(-2|e|)) - log 2: large ones are finite
    return xp.where(size < 1, near, far)


def _hinges(xp: Namespace, p: Array, y: Array) -> Array:
    margin = 1 - (2 * y - 1) * p
    return xp.maximum(margin, xp.zeros_like(margin))
