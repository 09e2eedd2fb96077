"""One gradient against differences: the error, the kinks, and a guess at what is wrong."""

from collections.abc import Callable

import numpy as np

from nnxp._types import Array
from nnxp.gradcheck._differences import numerical_gradient
from nnxp.gradcheck._result import TensorCheck

__all__ = ["ROUNDING", "compare"]

EPS = float(np.finfo(np.float64).eps)
STEP = EPS ** (1 / 3)
ROUNDING = 10 * EPS / STEP
"""What central differences of a number of order one cannot tell from 0."""

Value = Callable[[Array], float]


def compare(name: str, analytic: Array, value: Value, point: Array, *, scale: float, tolerance: float) -> TensorCheck:
    """The gradient ``analytic`` of ``value`` at ``point``, where value's terms are of the order of ``scale``."""
    if analytic.shape != point.shape:
        note = f"Backward gives shape {analytic.shape}, expected {point.shape}: look at its sums, as over the batch"
        return TensorCheck(name, point.shape, np.inf, note)
    if not np.all(np.isfinite(analytic)):
        return TensorCheck(name, point.shape, np.inf, "Backward gives NaN or infinity")
    numeric = numerical_gradient(value, point)
    size = np.linalg.norm(analytic) + np.linalg.norm(numeric)
    if max(np.max(np.abs(analytic), initial=0), np.max(np.abs(numeric), initial=0)) <= ROUNDING * scale:
        return TensorCheck(name, point.shape, 0.0, "zero")

    difference = np.abs(analytic - numeric)
    suspects = np.argwhere(~(difference <= tolerance * size / point.size**0.5))
    kept = np.ones(point.shape, dtype=bool)
    for index in map(tuple, suspects):
        kept[index] = not _at_kink(value, point, index, float(analytic[index]))
    left_out = point.size - int(kept.sum())
    if not kept.any():
        return TensorCheck(name, point.shape, np.inf, "Every element lies at a kink: give another x", left_out)

    a, n = analytic[kept], numeric[kept]
    size = np.linalg.norm(a) + np.linalg.norm(n)
    error = float(np.linalg.norm(a - n) / size) if size else 0.0
    index = tuple(map(int, np.unravel_index(np.argmax(np.where(kept, difference, -1.0)), point.shape)))
    note = "" if error <= tolerance else _guess(a, n)
    return TensorCheck(name, point.shape, error, note, left_out, index, float(analytic[index]), float(numeric[index]))


def _at_kink(value: Value, point: Array, index: tuple[int, ...], analytic: float) -> bool:
    """Whether the function has a corner or a jump within the step, and backward one of the slopes beside it.

    Of a smooth function, central differences do not change with the step, and the slopes on both sides draw together in
    proportion to it, but for what is far smaller than the disagreement that brought us here.
    """
    here, h = value(point), STEP * max(1.0, abs(float(point[index])))

    def slope(step: float) -> float:
        there = point.copy()
        there[index] += step
        return (value(there) - here) / step

    right, left, near_right, near_left = slope(h), slope(-h), slope(h / 2), slope(-h / 2)
    central, bend = (right + left) / 2, right - left
    change = abs((near_right + near_left) / 2 - central)
    excess = abs(bend - 2 * (near_right - near_left))
    between = abs(analytic - central) <= 0.6 * abs(bend)  # half, and a little for rounding
    return between and max(change, excess) >= abs(analytic - central) / 4


def _guess(analytic: Array, numeric: Array) -> str:
    """What a reader of the backward should look for."""
    if not analytic.any():
        return "Backward gives zeros: look whether this gradient is computed and stored"
    if not numeric.any():
        return "The value does not depend on it, and backward says that it does"
    factor = float(np.vdot(analytic, numeric) / np.vdot(numeric, numeric))
    if np.linalg.norm(analytic - factor * numeric) > 1e-4 * np.linalg.norm(analytic):
        return "Look for a term that is missing or of the wrong sign, and for a sum over the batch"
    if abs(factor + 1) < 1e-4:
        return "The sign is turned round everywhere"
    return f"It is {factor:.4g} times the right one everywhere: look for a factor, or a mean in place of a sum"
