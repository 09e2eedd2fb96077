"""Updates of the arena. A step is a sum with the parameters, so it is rounded in their unit; and what metrics count."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.parity._bounds.bound import EXACT, Bound, Jump, one, summed

__all__ = ["UPDATES"]


def _blend(share: float, a: Array, b: Array) -> Array:
    """The magnitudes in share·a + (1 - share)·b."""
    return share * np.abs(a) + (1 - share) * np.abs(b)


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
    first, second = _blend(beta_1, m, g), np.abs(results[2])
    step = rate * first / correction_1 / (np.sqrt(second / correction_2) + epsilon)
    return 12 * (np.abs(w) + step), 3 * first, 4 * second


def _adamax(
    results: Any,
    w: Array,
    g: Array,
    m: Array,
    u: Array,
    rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    correction_1: float,
) -> tuple[Array, ...]:
    first, largest = _blend(beta_1, m, g), np.abs(results[2])
    return 10 * (np.abs(w) + rate * first / correction_1 / (largest + epsilon)), 3 * first, largest


def _nadam(
    results: Any,
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    moment_share: float,
    gradient_share: float,
    correction_2: float,
) -> tuple[Array, ...]:
    first, second = _blend(beta_1, m, g), np.abs(results[2])
    ahead = moment_share * first + gradient_share * np.abs(g)
    return 14 * (np.abs(w) + rate * ahead / (np.sqrt(second / correction_2) + epsilon)), 3 * first, 4 * second


def _lion(results: Any, w: Array, g: Array, m: Array, rate: float, beta_1: float, beta_2: float) -> tuple[Array, ...]:
    return 2 * (np.abs(w) + rate), 3 * _blend(beta_2, m, g)


def _lion_turns(
    results: Any, w: Array, g: Array, m: Array, rate: float, beta_1: float, beta_2: float
) -> tuple[Any, ...]:
    """Where the direction is all rounding, one may go up and the other down."""
    return Jump(beta_1 * m + (1 - beta_1) * g, 3 * _blend(beta_1, m, g), 2 * rate), None


def _rooted(results: Any, w: Array, g: Array, c: Array, rate: float, *numbers: float) -> tuple[Array, ...]:
    """Adagrad and RMSprop; ε is the last of their numbers."""
    return 8 * (np.abs(w) + rate * np.abs(g) / (np.sqrt(results[1]) + numbers[-1])), 4 * results[1]


def _adadelta(
    results: Any, w: Array, g: Array, c: Array, u: Array, rate: float, rho: float, epsilon: float
) -> tuple[Array, ...]:
    step = rate * np.abs(g) * np.sqrt((u + epsilon) / (results[1] + epsilon))
    return 10 * (np.abs(w) + step), 4 * results[1], 20 * results[2]  # the step's 8 roundings count twice in its square


def _decay_weights(w: Array, rate: float, weight_decay: float) -> Array:
    return 3 * (1 + rate * weight_decay) * np.abs(w)


def _move(w: Array, stepped: Array, rates: Array) -> Array:
    """The one or the other to the last bit where the rate is 0 or 1."""
    way = 3 * (np.abs(w) + rates * (np.abs(stepped) + np.abs(w)))
    return np.where((rates == 0) | (rates == 1), 0.0, way)


def _average(a: Array, w: Array, ema: float) -> Array:
    return 3 * _blend(ema, a, w)


def _perturb(w: Array, noise: Array, scale: float) -> Array:
    return 2 * (np.abs(w) + scale * np.abs(noise))


def _clip_norm(results: Any, g: Array, limit: float) -> tuple[Array, ...]:
    return ((6 + summed(g.size)) * np.abs(results[0]),)


def _clip_norms(results: Any, g: Array, limit: float, bounds: Sequence[tuple[int, int]]) -> tuple[Array, ...]:
    """What is in no parameter stays as it is."""
    roundings = np.zeros(g.shape)
    for start, stop in bounds:
        roundings[start:stop] = 6 + summed(stop - start)
    return (roundings * np.abs(results[0]),)


def _moments(results: Any, y: Array) -> tuple[Array, ...]:
    """A centre that is off by δ changes s by N·δ, and q by less than δ times all distances."""
    terms, centre = summed(y.size), float(results[0])
    distances = float(np.sum(np.abs(y - centre)))
    off = (3 + terms) * float(np.sum(np.abs(y))) / max(y.size, 1)
    s = y.size * off + (1 + terms) * distances
    return np.asarray(off), np.asarray(s), (3 + terms) * np.abs(results[2]) + 2 * off * distances


UPDATES: dict[str, Bound] = {
    "adadelta": Bound(_adadelta),
    "adagrad": Bound(_rooted),
    "adam": Bound(_adam),
    "adamax": Bound(_adamax),
    "all_finite": EXACT,
    "average": one(_average),
    "binary_hits": EXACT,
    "binary_matches": EXACT,
    "categorical_matches": EXACT,
    "class_pairs": EXACT,
    "clip_norm": Bound(_clip_norm, relative=True),
    "clip_norms": Bound(_clip_norms, relative=True),
    "clip_value": EXACT,
    "clone": EXACT,
    "decay_weights": one(_decay_weights),
    "keep_better": EXACT,
    "lion": Bound(_lion, jumps=_lion_turns),
    "moments": Bound(_moments),
    "momentum": Bound(_momentum),
    "move": one(_move),
    "nadam": Bound(_nadam),
    "nesterov": Bound(_nesterov),
    "perturb": one(_perturb),
    "rmsprop": Bound(_rooted),
    "sgd": one(_sgd),
    "tolerance_matches": EXACT,
    "top_matches": EXACT,
}
