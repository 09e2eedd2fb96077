r"""What rounding allows: how far two right implementations of an op may part on equal inputs.

Each bound is a function of the op's results and inputs (float64 host arrays, numbers) and gives, for each result, an
array $n M$: roundings along the longest path, times the magnitude of what is rounded. One rounding is wrong by at most
$\epsilon M / 2$, and there are two implementations, so $\epsilon n M$ is what they may differ by.

Sums are bounded by the sum of their terms' magnitudes (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd
ed., 2002, chapters 3 and 4), in any order, with or without fused multiply-add.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops.reference.losses import CLIP

__all__ = ["BOUNDS", "Bound", "allowed", "bound_of"]

_FUNCTION = 8
"""Roundings of an exponential, a logarithm, a tanh: 4 ULP. CUDA's are within 2, NumPy's in float32 within 3.83."""

_SIGNS = 8
"""Roundings are of both signs, so a sum of K terms gathers about √K of them, not K (Higham & Mary, *A new approach to
probabilistic rounding error analysis*, SISC 41, 2019). The factor leaves room for sums of many equal terms."""

_OTHER = 256


@dataclass(frozen=True)
class Bound:
    """``roundings(results, *inputs)`` gives n·M for each result; where it is ``relative``, M is the result itself."""

    roundings: Callable[..., tuple[Array, ...]]
    relative: bool = False


def bound_of(op: str) -> Bound:
    """The bound of an op by its name in the table; one that has none, such as a user's own layer, gets 256 roundings of
    its largest result."""
    return BOUNDS.get(op, _LARGEST)


def allowed(op: str, results: Sequence[Array], inputs: Sequence[Any]) -> tuple[Array, ...]:
    """For each result of an op on these inputs, how far another one may be away, element by element.

    0 for what is no floating number. All arrays are host arrays.
    """
    with np.errstate(all="ignore"):  # of a run that diverges
        limits = bound_of(op).roundings(tuple(map(_wide, results)), *map(_wide, inputs))
    return tuple(_in_its_unit(limit, result.dtype) for limit, result in zip(limits, results, strict=True))


def _wide(value: Any) -> Any:
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def _in_its_unit(roundings: Array, dtype: Any) -> Array:
    if dtype.kind != "f":
        return np.zeros_like(roundings, dtype=np.float64)
    return float(np.finfo(dtype).eps) * roundings


def _largest(results: Any, *inputs: Any) -> tuple[Array, ...]:
    return tuple(np.full_like(r, _OTHER * np.max(np.abs(r), initial=0.0)) for r in results)


_LARGEST = Bound(_largest)


def _relative(n: float) -> Bound:
    """n roundings of each result, from sums without cancellation, products, quotients."""
    return Bound(lambda results, *inputs: tuple(n * np.abs(r) for r in results), relative=True)


def _relative_sum(n: float) -> Bound:
    """A sum over all elements, of one sign, each rounded n times."""
    return Bound(lambda results, p, *_: tuple((n + _sum(p.size)) * np.abs(r) for r in results), relative=True)


def _sum(terms: int) -> float:
    """Roundings of a sum."""
    return min(terms, _SIGNS * sqrt(terms))


def _one(function: Callable[..., Array]) -> Bound:
    """A bound for an op with one result, as a function of its inputs."""
    return Bound(lambda results, *inputs: (function(*inputs),))


# -- lines


def _matmul(a: Array, b: Array) -> Array:
    return (1 + _sum(a.shape[1])) * (np.abs(a) @ np.abs(b))


def _linear(x: Array, w: Array, b: Array) -> Array:
    return (2 + _sum(x.shape[1])) * (np.abs(x) @ np.abs(w) + np.abs(b))


def _bias_gradient(dy: Array) -> Array:
    return _sum(dy.shape[0]) * np.sum(np.abs(dy), axis=0)


# -- activations


def _tanh_backward(dy: Array, y: Array) -> Array:
    return 3 * np.abs(dy)  # y² is rounded before it is taken from 1


def _exponentials(x: Array) -> tuple[Array, Array]:
    """Softmax, and its n·M: the rounding of x - max x is an error of the exponent, so it grows with that."""
    distance = np.max(x, axis=-1, keepdims=True) - x
    e = np.exp(-distance)
    p = e / np.sum(e, axis=-1, keepdims=True)
    classes = x.shape[-1]
    return p, (2 * _FUNCTION + 2 + log(classes) + _sum(classes)) * p * (1 + distance)


def _softmax(x: Array) -> Array:
    return _exponentials(x)[1]


def _softmax_backward(dy: Array, y: Array) -> Array:
    terms = np.abs(dy) + np.sum(np.abs(dy * y), axis=-1, keepdims=True)
    return (3 + _sum(y.shape[-1])) * np.abs(y) * terms


# -- losses


def _targets(y: Array, classes: int) -> Array:
    return np.eye(classes)[y.astype(int)] if y.ndim == 1 else y


def _ccx_from_logits(z: Array, y: Array, divisor: float) -> Array:
    top, t = np.max(z, axis=-1, keepdims=True), _targets(y, z.shape[-1])
    surprise = top - z + np.log(np.sum(np.exp(z - top), axis=-1, keepdims=True))
    classes = z.shape[-1]
    n = 3 * _FUNCTION + log(classes) + _sum(classes) + _sum(z.size)
    return n * np.sum(t * (1 + surprise)) / divisor  # log(1 + small) is as wrong as 1


def _ccx_from_logits_backward(z: Array, y: Array, divisor: float) -> Array:
    t = _targets(y, z.shape[-1])
    return (_exponentials(z)[1] + (2 + _sum(z.shape[-1])) * t) / divisor


def _bcx(p: Array, y: Array, divisor: float) -> Array:
    q = np.clip(p, CLIP, 1 - CLIP)
    terms = np.abs(y * np.log(q)) + np.abs(1 - y) * (1 - np.log1p(-q))  # 1 - q is rounded before its logarithm
    return (_FUNCTION + 3 + _sum(p.size)) * np.sum(terms) / divisor


def _bcx_backward(p: Array, y: Array, divisor: float) -> Array:
    q = np.clip(p, CLIP, 1 - CLIP)
    return 5 * (np.abs(y) / q + np.abs(1 - y) / (1 - q)) / divisor


def _bcx_from_logits(z: Array, y: Array, divisor: float) -> Array:
    terms = np.maximum(z, 0) + np.abs(z * y) + np.log1p(np.exp(-np.abs(z)))
    return (2 * _FUNCTION + 3 + _sum(z.size)) * np.sum(terms) / divisor


def _bcx_from_logits_backward(z: Array, y: Array, divisor: float) -> Array:
    return (_FUNCTION + 4) * (_sigma(z) + np.abs(y)) / divisor


def _sigma(z: Array) -> Array:
    return np.exp(-np.logaddexp(0, -z))


def _softmax_ccx(results: Any, z: Array, y: Array, divisor: float) -> tuple[Array, ...]:
    return _softmax(z), _ccx_from_logits(z, y, divisor), _ccx_from_logits_backward(z, y, divisor)


def _sigmoid_bcx(results: Any, z: Array, y: Array, divisor: float) -> tuple[Array, ...]:
    p = (_FUNCTION + 2) * _sigma(z)
    return p, _bcx_from_logits(z, y, divisor), _bcx_from_logits_backward(z, y, divisor)


# -- penalties


def _l1_backward(dw: Array, w: Array, rate: float) -> Array:
    return 2 * (np.abs(dw) + rate)


def _l2_backward(dw: Array, w: Array, rate: float) -> Array:
    return 3 * (np.abs(dw) + 2 * rate * np.abs(w))


# -- updates


def _sgd(w: Array, g: Array, rate: float) -> Array:
    return 2 * (np.abs(w) + rate * np.abs(g))


def _momentum(results: Any, w: Array, g: Array, v: Array, rate: float, momentum: float) -> tuple[Array, ...]:
    moved = momentum * np.abs(v) + rate * np.abs(g)
    return 4 * (np.abs(w) + moved), 3 * moved


def _nesterov(results: Any, w: Array, g: Array, v: Array, rate: float, momentum: float) -> tuple[Array, ...]:
    moved = momentum * np.abs(v) + rate * np.abs(g)
    return 6 * (np.abs(w) + momentum * moved + rate * np.abs(g)), 3 * moved


def _adam(
    results: Any,
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    correction_1: float,
    correction_2: float,
) -> tuple[Array, ...]:
    first = beta_1 * np.abs(m) + (1 - beta_1) * np.abs(g)
    second = np.abs(results[2])
    step = rate * first / correction_1 / (np.sqrt(second / correction_2) + epsilon)
    return 12 * (np.abs(w) + step), 3 * first, 4 * second


def _rooted(results: Any, w: Array, g: Array, c: Array, rate: float, *numbers: float) -> tuple[Array, ...]:
    """Adagrad and RMSprop; ε is the last of their numbers."""
    return 8 * (np.abs(w) + rate * np.abs(g) / (np.sqrt(results[1]) + numbers[-1])), 4 * results[1]


def _perturb(w: Array, noise: Array, scale: float) -> Array:
    return 2 * (np.abs(w) + scale * np.abs(noise))


def _clip_norm(results: Any, g: Array, limit: float) -> tuple[Array, ...]:
    return ((6 + _sum(g.size)) * np.abs(results[0]),)


_EXACT = _relative(0)

BOUNDS: dict[str, Bound] = {
    "absolute_error": _relative_sum(2),
    "absolute_error_backward": _relative(2),
    "adagrad": Bound(_rooted),
    "adam": Bound(_adam),
    "add": _relative(1),
    "all_finite": _EXACT,
    "binary_crossentropy": _one(_bcx),
    "binary_crossentropy_backward": _one(_bcx_backward),
    "binary_crossentropy_from_logits": _one(_bcx_from_logits),
    "binary_crossentropy_from_logits_backward": _one(_bcx_from_logits_backward),
    "binary_matches": _EXACT,
    "categorical_crossentropy": _relative_sum(_FUNCTION + 2),
    "categorical_crossentropy_backward": _relative(3),
    "categorical_crossentropy_from_logits": _one(_ccx_from_logits),
    "categorical_crossentropy_from_logits_backward": _one(_ccx_from_logits_backward),
    "categorical_matches": _EXACT,
    "clip_norm": Bound(_clip_norm, relative=True),
    "clip_value": _EXACT,
    "dropout": _relative(2),
    "keep_better": _EXACT,
    "l1": _relative_sum(2),
    "l1_backward": _one(_l1_backward),
    "l2": _relative_sum(3),
    "l2_backward": _one(_l2_backward),
    "linear": _one(_linear),
    "linear_bias_gradient": _one(_bias_gradient),
    "linear_input_gradient": _one(lambda dy, w: _matmul(dy, w.T)),
    "linear_weight_gradient": _one(lambda x, dy: _matmul(x.T, dy)),
    "matmul": _one(_matmul),
    "momentum": Bound(_momentum),
    "nesterov": Bound(_nesterov),
    "perturb": _one(_perturb),
    "relu": _EXACT,
    "relu_backward": _EXACT,
    "reshape": _EXACT,
    "rmsprop": Bound(_rooted),
    "sgd": _one(_sgd),
    "sigmoid": _relative(_FUNCTION + 2),
    "sigmoid_backward": _relative(4),
    "sigmoid_binary_crossentropy": Bound(_sigmoid_bcx),
    "softmax": _one(_softmax),
    "softmax_backward": _one(_softmax_backward),
    "softmax_categorical_crossentropy": Bound(_softmax_ccx),
    "squared_error": _relative_sum(4),
    "squared_error_backward": _relative(3),
    "step": _EXACT,
    "step_backward": _EXACT,
    "take_rows": _EXACT,
    "tanh": _relative(_FUNCTION),
    "tanh_backward": _one(_tanh_backward),
    "tolerance_matches": _EXACT,
}
"""The bound of each op of the table."""
