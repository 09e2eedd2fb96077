"""Losses: sums of terms, each with its own roundings, over all elements or over those of a row; penalties."""

from collections.abc import Callable
from math import log, prod
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops.reference.losses import CLIP
from nnxp.parity._bounds.activations import exponentials, sigma
from nnxp.parity._bounds.bound import FUNCTION, Bound, one, relative, relative_rows, relative_sum, summed

__all__ = ["LOSSES"]

_Terms = Callable[..., Array]


def _total(n: float, terms: _Terms) -> Bound:
    """``terms(p, y, …)`` are the magnitudes of what is added up, each rounded n times; the last input divides."""
    return one(lambda p, *more: (n + 1 + summed(p.size)) * np.sum(terms(p, *more[:-1])) / more[-1])


def _rows(n: float, terms: _Terms) -> Bound:
    """The same for the sum of each row."""

    def rows(p: Array, *more: Any) -> Array:
        sizes = terms(p, *more)
        return (n + summed(prod(p.shape[1:]))) * np.sum(sizes, axis=tuple(range(1, sizes.ndim)))

    return one(rows)


def _targets(y: Array, classes: int) -> Array:
    return np.eye(classes)[y.astype(int)] if y.ndim == 1 else y


def _clipped(p: Array) -> Array:
    return np.clip(p, CLIP, 1 - CLIP)


# -- one class out of several


def _surprises(z: Array, y: Array) -> Array:
    """Roundings and magnitudes together: a sum of exponentials, whose logarithm is as wrong at 1 + small as at 1."""
    top, classes = np.max(z, axis=-1, keepdims=True), z.shape[-1]
    surprise = top - z + np.log(np.sum(np.exp(z - top), axis=-1, keepdims=True))
    return (1 + (log(classes) + summed(classes)) / _LOGITS) * _targets(y, classes) * (1 + surprise)


_LOGITS = 3 * FUNCTION


def _entropies(p: Array, y: Array) -> Array:
    t = _targets(y, p.shape[-1])
    return t * np.abs(np.log(np.where(t > 0, t, 1.0)))


def _divergences(p: Array, y: Array) -> Array:
    """y·log y and y·log p, which cancel where p is right."""
    return _entropies(p, y) + _targets(y, p.shape[-1]) * np.abs(np.log(_clipped(p)))


def _divergences_of_logits(z: Array, y: Array) -> Array:
    return _entropies(z, y) + _surprises(z, y)


def _minus_targets(z: Array, y: Array, divisor: float) -> Array:
    """p·Σ y - y, where rows with weights have other sums than 1."""
    t, (p, off) = _targets(y, z.shape[-1]), exponentials(z)
    total = np.sum(t, axis=-1, keepdims=True)
    return ((off + (2 + summed(z.shape[-1])) * p) * total + 3 * t) / divisor


def _softmax_ccx(results: Any, z: Array, y: Array, divisor: float) -> tuple[Array, ...]:
    (loss,) = _CCX.roundings(results, z, y, divisor)
    return exponentials(z)[1], loss, _minus_targets(z, y, divisor)


# -- yes or no, where a yes weighs r


def _doubts(p: Array, y: Array, r: Any = 1.0) -> Array:
    q = _clipped(p)
    return r * np.abs(y * np.log(q)) + np.abs(1 - y) * (1 - np.log1p(-q))  # 1 - q is rounded before its logarithm


def _bcx_backward(p: Array, y: Array, r: Any, divisor: float) -> Array:
    q = _clipped(p)
    return 6 * (r * np.abs(y) / q + np.abs(1 - y) / (1 - q)) / divisor


def _doubts_of_logits(z: Array, y: Array) -> Array:
    return np.maximum(z, 0) + np.abs(z * y) + np.log1p(np.exp(-np.abs(z)))


def _weighted_doubts_of_logits(z: Array, y: Array, r: Any) -> Array:
    rest = np.log1p(np.exp(-np.abs(z)))
    yes = np.where(y > 0, np.maximum(-z, 0) + rest, 0.0)
    return r * np.abs(y) * yes + np.abs(1 - y) * np.where(y < 1, np.maximum(z, 0) + rest, 0.0)


def _sigma_minus(z: Array, y: Array, divisor: float) -> Array:
    return (FUNCTION + 4) * (sigma(z) + np.abs(y)) / divisor


def _weighted_sigma_minus(z: Array, y: Array, r: Any, divisor: float) -> Array:
    return (FUNCTION + 7) * ((1 + np.abs(r - 1) * np.abs(y)) * sigma(z) + r * np.abs(y)) / divisor


def _sigmoid_bcx(results: Any, z: Array, y: Array, divisor: float) -> tuple[Array, ...]:
    (loss,) = _BCX.roundings(results, z, y, divisor)
    return (FUNCTION + 2) * sigma(z), loss, _sigma_minus(z, y, divisor)


# -- margins, weights, penalties


def _hinges(p: Array, y: Array) -> Array:
    """1 and the margin's product, wherever their difference may be above 0."""
    product = (2 * y - 1) * p
    return np.where(product < 2, 1 + np.abs(product), 0.0)


def _weighted_sum(rows: Array, weights: Array, divisor: float) -> Array:
    terms = np.where(weights > 0, np.abs(rows), 0.0) * weights
    return (2 + summed(rows.size)) * np.sum(terms) / divisor


def _l1_backward(dw: Array, w: Array, rate: float) -> Array:
    return 2 * (np.abs(dw) + rate)


def _l2_backward(dw: Array, w: Array, rate: float) -> Array:
    return 3 * (np.abs(dw) + 2 * rate * np.abs(w))


_CCX = _total(_LOGITS, _surprises)
_BCX = _total(2 * FUNCTION + 2, _doubts_of_logits)
_HUBER, _LOG_COSH = 8, 5 * FUNCTION
"""Of |e|·(|e| - |e| / 2); of log(1 - tanh² e), which is steep where tanh² e is large, and of |e| - log 2 + …."""

LOSSES: dict[str, Bound] = {
    "absolute_error": relative_sum(2),
    "absolute_error_backward": relative(2),
    "absolute_error_rows": relative_rows(1),
    "binary_crossentropy": _total(FUNCTION + 2, _doubts),
    "binary_crossentropy_backward": one(lambda p, y, divisor: _bcx_backward(p, y, 1.0, divisor)),
    "binary_crossentropy_from_logits": _BCX,
    "binary_crossentropy_from_logits_backward": one(_sigma_minus),
    "binary_crossentropy_from_logits_rows": _rows(2 * FUNCTION + 2, _doubts_of_logits),
    "binary_crossentropy_rows": _rows(FUNCTION + 2, _doubts),
    "categorical_crossentropy": relative_sum(FUNCTION + 2),
    "categorical_crossentropy_backward": relative(3),
    "categorical_crossentropy_from_logits": _CCX,
    "categorical_crossentropy_from_logits_backward": one(_minus_targets),
    "categorical_crossentropy_from_logits_rows": _rows(_LOGITS, _surprises),
    "categorical_crossentropy_rows": relative_rows(FUNCTION + 1),
    "hinge": _total(2, _hinges),
    "hinge_backward": relative(1),
    "hinge_rows": _rows(2, _hinges),
    "huber": relative_sum(_HUBER),
    "huber_backward": relative(3),
    "huber_rows": relative_rows(_HUBER),
    "kl_divergence": _total(FUNCTION + 3, _divergences),
    "kl_divergence_backward": relative(3),
    "kl_divergence_from_logits": _total(_LOGITS, _divergences_of_logits),
    "kl_divergence_from_logits_backward": one(_minus_targets),
    "kl_divergence_from_logits_rows": _rows(_LOGITS, _divergences_of_logits),
    "kl_divergence_rows": _rows(FUNCTION + 3, _divergences),
    "l1": relative_sum(2),
    "l1_backward": one(_l1_backward),
    "l2": relative_sum(3),
    "l2_backward": one(_l2_backward),
    "log_cosh": relative_sum(_LOG_COSH),
    "log_cosh_backward": relative(FUNCTION + 3),
    "log_cosh_rows": relative_rows(_LOG_COSH),
    "scale_rows": relative(1),
    "sigmoid_binary_crossentropy": Bound(_sigmoid_bcx),
    "soft_targets": relative(5),
    "softmax_categorical_crossentropy": Bound(_softmax_ccx),
    "squared_error": relative_sum(4),
    "squared_error_backward": relative(3),
    "squared_error_rows": relative_rows(3),
    "weighted_binary_crossentropy": _total(FUNCTION + 3, _doubts),
    "weighted_binary_crossentropy_backward": one(_bcx_backward),
    "weighted_binary_crossentropy_from_logits": _total(2 * FUNCTION + 4, _weighted_doubts_of_logits),
    "weighted_binary_crossentropy_from_logits_backward": one(_weighted_sigma_minus),
    "weighted_binary_crossentropy_from_logits_rows": _rows(2 * FUNCTION + 4, _weighted_doubts_of_logits),
    "weighted_binary_crossentropy_rows": _rows(FUNCTION + 3, _doubts),
    "weighted_sum": one(_weighted_sum),
}
