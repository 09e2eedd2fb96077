"""Targets at the door: converted to what a loss reads, or refused with what arrived and what was expected.

Shapes and types are checked always; values (ranges, NaN) only on request, because reading them waits for the device.
"""

from typing import Any

import numpy as np

from nnxp._check import dtype_name, shape
from nnxp._types import Array, Shape
from nnxp._values import first_bad, numbers
from nnxp.backend import Backend, namespace_of
from nnxp.errors import DataError, DtypeError, ShapeError

__all__ = ["class_targets", "probability_targets", "real_targets", "sample_weights"]

_ROW_SUM_TOLERANCE = 1e-3


def class_targets(owner: str, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
    """Class indices ``(N,)`` as integers, or probabilities ``(N, K)`` in the model's dtype."""
    if len(expected) != 2:
        raise ShapeError(
            f"{owner} expected predictions of shape (batch, classes), got {expected}; end the network with a "
            "Dense layer."
        )
    y = numbers(owner, "y", y)
    samples, classes = expected
    if shape(y) == expected and classes > 1:
        return _class_rows(owner, backend.asarray(y, dtype=backend.dtype), backend, values=values)
    if y.ndim != 1:
        remedy = "; use y[:, 0]" if y.ndim == 2 and y.shape[1] == 1 else ""
        raise ShapeError(
            f"{owner} expected y of shape ({samples},) (class indices) or {expected} (probabilities), got "
            f"{shape(y)}{remedy}."
        )
    _same_length(owner, y, samples)
    if not (namespace_of(y) or np).isdtype(y.dtype, "integral"):
        raise DtypeError(
            f"{owner} expected class indices y of an integer dtype, got {dtype_name(y.dtype)}; use y.astype('int64') "
            "if they are whole numbers, or a loss for regression."
        )
    y = backend.asarray(y, dtype=backend.integer_dtype)
    if values:
        _in_range(owner, y, classes, backend)
    return y


def probability_targets(owner: str, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
    """Targets in [0, 1], of the predictions' shape."""
    y = real_targets(owner, y, expected, backend, values=values)
    if values:
        _require(owner, "y", (y >= 0) & (y <= 1), y, "values in [0, 1]", "scale or relabel y", backend)
    return y


def real_targets(owner: str, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
    """Finite targets of the predictions' shape, in the model's dtype."""
    y = numbers(owner, "y", y)
    if shape(y) != expected:
        _same_length(owner, y, expected[0])
        column = y.ndim == 1 and expected == (y.shape[0], 1)
        remedy = "; use y[:, None]" if column else "; they are never broadcast"
        raise ShapeError(f"{owner} expected y of shape {expected}, like the predictions, got {shape(y)}{remedy}.")
    y = backend.asarray(y, dtype=backend.dtype)
    if values:
        _require(owner, "y", backend.xp.isfinite(y), y, "finite values", "drop or fill those rows", backend)
    return y


def sample_weights(weights: Any, samples: int, backend: Backend, *, values: bool) -> Array:
    """One finite weight of at least 0 for each sample, in the model's dtype."""
    weights = numbers("sample_weight", "weights", weights)
    if shape(weights) != (samples,):
        raise ShapeError(f"sample_weight expected shape ({samples},), one number a sample, got {shape(weights)}.")
    weights = backend.asarray(weights, dtype=backend.dtype)
    if values:
        good = backend.xp.isfinite(weights) & (weights >= 0)
        _require("sample_weight", "weights", good, weights, "finite values of at least 0", "check them", backend)
    return weights


def _class_rows(owner: str, y: Array, backend: Backend, *, values: bool) -> Array:
    if values:
        xp = backend.xp
        _require(owner, "y", xp.isfinite(y) & (y >= 0), y, "finite probabilities of at least 0", "check y", backend)
        sums = xp.sum(y, axis=1)
        close = xp.abs(sums - 1) <= _ROW_SUM_TOLERANCE
        _require(owner, "the row sums of y", close, sums, "rows that sum to 1", "divide each row by its sum", backend)
    return y


def _in_range(owner: str, y: Array, classes: int, backend: Backend) -> None:
    good = (y >= 0) & (y < classes)
    if not bool(backend.xp.all(good)):
        place, value = first_bad(good, y, backend)
        raise DataError(
            f"{owner} expected class indices y in 0..{classes - 1} ({classes} outputs), got {value} at y{place}; "
            "renumber the classes from 0, or give the last layer more outputs."
        )


def _require(owner: str, name: str, good: Array, x: Array, expected: str, remedy: str, backend: Backend) -> None:
    if not bool(backend.xp.all(good)):
        place, value = first_bad(good, x, backend)
        raise DataError(f"{owner} expected {name} to have {expected}, got {value} at {place}; {remedy}.")


def _same_length(owner: str, y: Array, samples: int) -> None:
    if y.ndim == 0 or y.shape[0] != samples:
        got = "a single number" if y.ndim == 0 else f"{y.shape[0]} rows in y"
        raise ShapeError(f"{owner} expected one row of y for each of the {samples} rows of x, got {got}.")
