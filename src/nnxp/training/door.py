"""Data at the door: converted to the model's backend and dtype, or refused with a sentence that helps."""

import sys
import warnings
from math import prod
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._targets import first_bad
from nnxp._types import Array
from nnxp.backend import Backend, namespace_of, to_host
from nnxp.data import Scaling
from nnxp.errors import ConversionWarning, DataError, DtypeError, ShapeError
from nnxp.layers import Layer

__all__ = ["check_finite", "convert_features"]


def convert_features(
    x: Any, owner: Layer, backend: Backend, scaling: Scaling | None, *, warn: bool
) -> tuple[Array, bool]:
    """Features on the backend, scaled, in its dtype and the owner's shape; and whether they were integers.

    The owner is the layer that will read them; before it is built, any shape with a batch axis is taken.
    """
    raw = _numbers(x, owner)
    if raw.ndim == 0:
        raise ShapeError(f"{owner} expected x to have a batch axis, got a single number; for one sample use x[None].")
    if raw.shape[0] == 0:
        raise DataError(f"{owner} expected at least one row in x, got shape {_check.shape(raw)}: the data is empty.")
    if owner.input_shape is not None:
        owner.check_input(raw)
    features = backend.asarray(raw if scaling is None else scaling.apply(raw))
    if features.dtype == backend.dtype:
        return features, False
    if not backend.xp.isdtype(features.dtype, ("integral", "bool")):
        got = _check.dtype_name(features.dtype)
        raise DtypeError(f"{owner} expected x of real numbers, got {got}; use x.real or encode it.")
    if warn:
        warnings.warn(
            f"{owner}: x has dtype {_check.dtype_name(features.dtype)} and is converted to "
            f"{_check.dtype_name(backend.dtype)}; convert it once yourself, and scale it to about [-1, 1], to save "
            "time and train better.",
            ConversionWarning,
            stacklevel=_levels_to_caller(),
        )
    return backend.xp.astype(features, backend.dtype), True


def check_finite(x: Array, owner: Layer, backend: Backend) -> None:
    """Raise unless all features are finite."""
    finite = backend.xp.isfinite(x)
    if not bool(backend.xp.all(finite)):
        place, value = first_bad(finite, x, backend)
        bad = int((~backend.to_numpy(finite)).sum())
        raise DataError(
            f"{owner} expected finite values in x, got {value} at x{place} ({bad} of {prod(finite.shape)} are NaN or "
            "infinite); drop those rows, or fill them in before training."
        )


def _numbers(x: Any, owner: Layer) -> Array:
    """x as an array of whatever library it is of; lists become host arrays."""
    try:
        raw = x if namespace_of(x) is not None else to_host(x)
    except (TypeError, ValueError) as error:
        raise DtypeError(
            f"{owner} expected x to be an array of numbers, got {type(x).__name__}; {_check.one_line(error)}"
        ) from error
    if isinstance(raw, np.ndarray) and raw.dtype.kind not in "biufc":
        got = type(x).__name__ if raw is not x else f"dtype {raw.dtype.name}"
        raise DtypeError(f"{owner} expected x to be an array of numbers, got {got}; encode it as numbers first.")
    return raw


def _levels_to_caller() -> int:
    """How far up the first frame outside this package is: a warning should name the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "nnxp":
        frame, level = frame.f_back, level + 1
    return level
