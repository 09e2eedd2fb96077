r"""Normalization: values of mean 0 and variance 1, scaled and moved by parameters; each followed by its backward.

Batch normalization takes mean and variance over all axes but the last, one pair for each feature (or channel) c; layer
and RMS normalization take them over the last axis, one for each row. $\epsilon$ is inside the root, as in the papers.
"""

from math import prod

from nnxp._types import Array, Namespace

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "fixed_norm",
    "fixed_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "moving_average",
    "rms_norm",
    "rms_norm_backward",
]


def batch_norm(xp: Namespace, x: Array, scale: Array, offset: Array, epsilon: float) -> tuple[Array, Array, Array]:
    r"""``x[B,…,C], scale[C], offset[C] -> y[B,…,C], mean[C], variance[C]``: the batch's own mean and variance.

    $y = \gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta$ with $\mu_c, \sigma^2_c$ over all axes but the last; the
    variance divides by the number of values, not by one less. Source: Ioffe & Szegedy (ICML 2015), algorithm 1.
    """
    mean = _feature_mean(xp, x)
    variance = _feature_mean(xp, (x - mean) * (x - mean))
    return fixed_norm(xp, x, mean, variance, scale, offset, epsilon), mean, variance


def batch_norm_backward(
    xp: Namespace, dy: Array, x: Array, mean: Array, variance: Array, scale: Array, epsilon: float
) -> tuple[Array, Array, Array]:
    r"""``-> dx[B,…,C], dscale[C], doffset[C]``, where mean and variance depend on x:

    $dx = \gamma / \sqrt{\sigma^2 + \epsilon} \cdot (dy - \overline{dy} - \hat x\, \overline{dy\, \hat x})$.
    """
    dx, dscale, doffset = fixed_norm_backward(xp, dy, x, mean, variance, scale, epsilon)
    count = max(prod(x.shape[:-1]), 1)
    inverse = 1 / xp.sqrt(variance + epsilon)
    normal = (x - mean) * inverse
    return dx - (scale * inverse) * (doffset / count + normal * (dscale / count)), dscale, doffset


def fixed_norm(
    xp: Namespace, x: Array, mean: Array, variance: Array, scale: Array, offset: Array, epsilon: float
) -> Array:
    r"""``x[B,…,C], mean[C], variance[C], scale[C], offset[C] -> y[B,…,C]``: mean and variance are given.

    $y = \gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta$: batch normalization outside of training.
    """
    return (x - mean) / xp.sqrt(variance + epsilon) * scale + offset


def fixed_norm_backward(
    xp: Namespace, dy: Array, x: Array, mean: Array, variance: Array, scale: Array, epsilon: float
) -> tuple[Array, Array, Array]:
    r"""``-> dx[B,…,C], dscale[C], doffset[C]``: $dx = \gamma\, dy / \sqrt{\sigma^2 + \epsilon}$, $d\gamma = \sum dy\,
    \hat x$, $d\beta = \sum dy$."""
    root = xp.sqrt(variance + epsilon)
    return dy * (scale / root), _feature_sum(xp, dy * ((x - mean) / root)), _feature_sum(xp, dy)


def layer_norm(xp: Namespace, x: Array, scale: Array, offset: Array, epsilon: float) -> Array:
    r"""``x[B,…,C], scale[C], offset[C] -> y[B,…,C]``: $y = \gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta$ with
    $\mu, \sigma^2$ over each row of C values. Source: Ba, Kiros & Hinton, *Layer normalization* (2016)."""
    normal, _ = _normal_rows(xp, x, epsilon)
    return normal * scale + offset


def layer_norm_backward(xp: Namespace, dy: Array, x: Array, scale: Array, epsilon: float) -> tuple[Array, Array, Array]:
    r"""``-> dx[B,…,C], dscale[C], doffset[C]``: with $g = \gamma\, dy$ and row means,
    $dx = (g - \overline g - \hat x\, \overline{g \hat x}) / \sqrt{\sigma^2 + \epsilon}$."""
    normal, root = _normal_rows(xp, x, epsilon)
    g = dy * scale
    dx = (g - _row_mean(xp, g) - normal * _row_mean(xp, g * normal)) / root
    return dx, _feature_sum(xp, dy * normal), _feature_sum(xp, dy)


def rms_norm(xp: Namespace, x: Array, scale: Array, epsilon: float) -> Array:
    r"""``x[B,…,C], scale[C] -> y[B,…,C]``: $y = \gamma x / \sqrt{\overline{x^2} + \epsilon}$, the mean over each row.

    Source: Zhang & Sennrich, *Root mean square layer normalization* (NeurIPS 2019).
    """
    return x / _root_mean_square(xp, x, epsilon) * scale


def rms_norm_backward(xp: Namespace, dy: Array, x: Array, scale: Array, epsilon: float) -> tuple[Array, Array]:
    r"""``-> dx[B,…,C], dscale[C]``: with $g = \gamma\, dy$ and $\hat x = x / r$, $dx = (g - \hat x\,
    \overline{g \hat x}) / r$, where r is the root."""
    root = _root_mean_square(xp, x, epsilon)
    normal, g = x / root, dy * scale
    return (g - normal * _row_mean(xp, g * normal)) / root, _feature_sum(xp, dy * normal)


def moving_average(xp: Namespace, old: Array, new: Array, momentum: float) -> Array:
    r"""$\mu\, a + (1 - \mu)\, b$: an average that forgets its past at the rate $1 - \mu$."""
    return momentum * old + (1 - momentum) * new


def _normal_rows(xp: Namespace, x: Array, epsilon: float) -> tuple[Array, Array]:
    """The rows normalized, and what they were divided by."""
    centred = x - _row_mean(xp, x)
    root = _root_mean_square(xp, centred, epsilon)
    return centred / root, root


def _root_mean_square(xp: Namespace, x: Array, epsilon: float) -> Array:
    return xp.sqrt(_row_mean(xp, x * x) + epsilon)


def _row_mean(xp: Namespace, x: Array) -> Array:
    return xp.mean(x, axis=-1, keepdims=True)


def _feature_mean(xp: Namespace, x: Array) -> Array:
    return _feature_sum(xp, x) / max(prod(x.shape[:-1]), 1)  # of no rows: 0


def _feature_sum(xp: Namespace, x: Array) -> Array:
    return xp.sum(x, axis=tuple(range(x.ndim - 1)))
