r"""Losses of one class out of several: probabilities, or the logits behind them."""

from nnxp._types import Array, Namespace
from nnxp.ops.reference.activations import softmax
from nnxp.ops.reference.indexing import one_hot
from nnxp.ops.reference.losses.weighting import clip

__all__ = [
    "categorical_crossentropy",
    "categorical_crossentropy_backward",
    "categorical_crossentropy_from_logits",
    "categorical_crossentropy_from_logits_backward",
    "categorical_crossentropy_from_logits_rows",
    "categorical_crossentropy_rows",
    "categorical_surprises",
    "kl_divergence",
    "kl_divergence_backward",
    "kl_divergence_from_logits",
    "kl_divergence_from_logits_backward",
    "kl_divergence_from_logits_rows",
    "kl_divergence_rows",
    "probabilities_minus_targets",
    "softmax_categorical_crossentropy",
]


def categorical_surprises(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,K], y[B] or y[B,K] -> [B]``: $-\sum_k y_{bk} \log p_{bk}$, what `categorical_crossentropy` adds up."""
    return -xp.sum(_targets(xp, y, p) * xp.log(clip(xp, p)), axis=-1)


def categorical_crossentropy(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,K], y[B] or y[B,K] -> loss[]``: $-\sum_{bk} y_{bk} \log p_{bk} / D$, p clipped by `CLIP`."""
    return xp.sum(categorical_surprises(xp, p, y)) / divisor


def categorical_crossentropy_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = -(y / p) / D$, at the clipped p."""
    return -(_targets(xp, y, p) / clip(xp, p)) / divisor


def categorical_crossentropy_rows(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,K], y[B] or y[B,K] -> [B]``: $-\sum_k y_{bk} \log p_{bk}$, p clipped by `CLIP`."""
    return categorical_surprises(xp, p, y)


def categorical_crossentropy_from_logits(xp: Namespace, z: Array, y: Array, divisor: float) -> Array:
    r"""``z[B,K], y[B] or y[B,K] -> loss[]``: $\sum_{bk} y_{bk} (\log\sum_j e^{z_{bj}} - z_{bk}) / D$."""
    return xp.sum(_stable(xp, z, y)) / divisor


def categorical_crossentropy_from_logits_backward(xp: Namespace, z: Array, y: Array, divisor: float) -> Array:
    r"""$dz = (\mathrm{softmax}(z) \sum_k y_k - y) / D$; the sum is 1 for class indices and for probabilities."""
    return probabilities_minus_targets(xp, softmax(xp, z), y, divisor)


def categorical_crossentropy_from_logits_rows(xp: Namespace, z: Array, y: Array) -> Array:
    r"""``z[B,K], y[B] or y[B,K] -> [B]``: $\sum_k y_{bk} (\log\sum_j e^{z_{bj}} - z_{bk})$."""
    return xp.sum(_stable(xp, z, y), axis=-1)


def probabilities_minus_targets(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,K], y -> dz[B,K]``: $(p \sum_k y_k - y) / D$, the gradient by the logits that made p."""
    if y.ndim == 1:
        return (p - one_hot(xp, y, p.shape[-1], p.dtype)) / divisor
    return (p * xp.sum(y, axis=-1, keepdims=True) - y) / divisor


def softmax_categorical_crossentropy(xp: Namespace, z: Array, y: Array, divisor: float) -> tuple[Array, Array, Array]:
    """``z[B,K], y -> p[B,K], loss[], dz[B,K]``: softmax, its cross-entropy and the gradient by z, in one."""
    p = softmax(xp, z)
    loss = categorical_crossentropy_from_logits(xp, z, y, divisor)
    return p, loss, probabilities_minus_targets(xp, p, y, divisor)


def kl_divergence(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""``p[B,K], y[B] or y[B,K] -> loss[]``: $\sum_{bk} y_{bk} \log(y_{bk} / p_{bk}) / D$, p clipped by `CLIP`.

    It is the cross-entropy less the entropy of y, which p cannot change: 0 where the two agree, and the same gradient.
    Source: Kullback & Leibler, *On information and sufficiency* (1951).
    """
    return xp.sum(kl_divergence_rows(xp, p, y)) / divisor


def kl_divergence_backward(xp: Namespace, p: Array, y: Array, divisor: float) -> Array:
    r"""$dp = -(y / p) / D$, at the clipped p."""
    return categorical_crossentropy_backward(xp, p, y, divisor)


def kl_divergence_rows(xp: Namespace, p: Array, y: Array) -> Array:
    r"""``p[B,K], y[B] or y[B,K] -> [B]``: $\sum_k y_{bk} \log(y_{bk} / p_{bk})$."""
    return categorical_surprises(xp, p, y) - _entropies(xp, _targets(xp, y, p))


def kl_divergence_from_logits(xp: Namespace, z: Array, y: Array, divisor: float) -> Array:
    r"""``z[B,K], y[B] or y[B,K] -> loss[]``: $\sum_{bk} y_{bk} (\log y_{bk} + \log\sum_j e^{z_{bj}} - z_{bk}) / D$."""
    return xp.sum(kl_divergence_from_logits_rows(xp, z, y)) / divisor


def kl_divergence_from_logits_backward(xp: Namespace, z: Array, y: Array, divisor: float) -> Array:
    r"""$dz = (\mathrm{softmax}(z) \sum_k y_k - y) / D$."""
    return categorical_crossentropy_from_logits_backward(xp, z, y, divisor)


def kl_divergence_from_logits_rows(xp: Namespace, z: Array, y: Array) -> Array:
    r"""``z[B,K], y[B] or y[B,K] -> [B]``: $\sum_k y_{bk} (\log y_{bk} + \log\sum_j e^{z_{bj}} - z_{bk})$."""
    return categorical_crossentropy_from_logits_rows(xp, z, y) - _entropies(xp, _targets(xp, y, z))


def _stable(xp: Namespace, z: Array, y: Array) -> Array:
    """``[B,K]``: what each class adds to the cross-entropy."""
    top = xp.max(z, axis=-1, keepdims=True)
    log_sum = xp.log(xp.sum(xp.exp(z - top), axis=-1, keepdims=True))  # log Σ e^z = max z + log Σ e^(z - max z)
    surprise = (top - z) + log_sum
    targets = _targets(xp, y, z)
    return targets * xp.where(targets > 0, surprise, xp.zeros_like(z))  # 0 · log 0 = 0


def _entropies(xp: Namespace, y: Array) -> Array:
    r"""``y[B,K] -> [B]``: $-\sum_k y_k \log y_k$, where 0 · log 0 is 0."""
    return -xp.sum(y * xp.log(xp.where(y > 0, y, xp.ones_like(y))), axis=-1)


def _targets(xp: Namespace, y: Array, like: Array) -> Array:
    return one_hot(xp, y, like.shape[-1], like.dtype) if y.ndim == 1 else y
