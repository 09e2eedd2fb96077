"""Data at the door: converted to the model's backend and dtype, or refused with a sentence that helps."""

import sys
import warnings
from math import prod
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Array
from nnxp._values import first_bad, numbers
from nnxp.backend import Backend, backend_of, namespace_of
from nnxp.data import Scaling
from nnxp.errors import ConfigurationError, ConversionWarning, DataError, DtypeError, ShapeError, TransferWarning
from nnxp.layers import Layer

__all__ = ["Door", "check_values", "convert_features", "warn_of_transfer"]


class Door:
    """Remembers what arrays looked like that went in as they were: the next that look so need no questions."""

    def __init__(self) -> None:
        self._known: set[tuple[Any, ...]] = set()

    def knows(self, *arrays: Any) -> bool:
        """Whether arrays of these types, dtypes, shapes and devices have passed unchanged before, together."""
        try:
            return tuple(map(_look, arrays)) in self._known
        except (AttributeError, TypeError):  # a list, a scalar, or an array that says less of itself
            return False

    def remember(self, *arrays: Array) -> None:
        """Let arrays like these pass from now on."""
        if len(self._known) < _MOST:
            self._known.add(tuple(map(_look, arrays)))


_MOST = 1000
"""Looks that a door remembers: enough for any data, and no leak where every batch has a shape of its own."""


def _look(a: Any) -> tuple[Any, ...]:
    return type(a), a.dtype, a.shape, a.device


def convert_features(
    x: Any, owner: Layer, backend: Backend, scaling: Scaling | None, *, warn: bool
) -> tuple[Array, bool]:
    """Features on the backend, scaled, in its dtype and the owner's shape; and whether they were integers.

    The owner is the layer that will read them; before it is built, any shape with a batch axis is taken.
    """
    raw = numbers(str(owner), "x", x)
    if raw.ndim == 0:
        raise ShapeError(f"{owner} expected x to have a batch axis, got a single number; for one sample use x[None].")
    if raw.shape[0] == 0:
        raise DataError(f"{owner} expected at least one row in x, got shape {_check.shape(raw)}: the data is empty.")
    if owner.input_shape is not None:
        owner.check_input(raw)
    if owner.index_limit is not None:
        return _indices(raw, owner, owner.index_limit, backend, scaling), False
    features = backend.asarray(raw if scaling is None else scaling.apply(raw))
    if features.dtype == backend.dtype:
        return features, False
    if warn:
        warnings.warn(
            f"{owner}: x has dtype {_check.dtype_name(raw.dtype)} and is converted to "
            f"{_check.dtype_name(backend.dtype)}; convert it once yourself, and scale it to about [-1, 1], to save "
            "time and train better.",
            ConversionWarning,
            stacklevel=_levels_to_caller(),
        )
    return backend.xp.astype(features, backend.dtype), True


def _indices(raw: Any, owner: Layer, limit: int, backend: Backend, scaling: Scaling | None) -> Array:
    """Features that are indices, in the backend's integer type."""
    if scaling is not None:
        raise ConfigurationError(f"{owner} reads indices, which cannot be scaled; leave input_scaling away.")
    xp = namespace_of(raw) or np
    if not xp.isdtype(raw.dtype, "integral"):
        raise DtypeError(
            f"{owner} expected indices x of an integer dtype, got {_check.dtype_name(raw.dtype)}; number words or "
            "categories from 0."
        )
    if xp.iinfo(raw.dtype).bits > backend.xp.iinfo(backend.integer_dtype).bits:
        _check_indices(raw, owner, limit, backend_of(raw))  # what is cut off might leave an index that there is
    return backend.asarray(raw, dtype=backend.integer_dtype)


def check_values(x: Array, owner: Layer, backend: Backend) -> None:
    """Raise unless all features are finite, or indices that the owner has."""
    if owner.index_limit is not None:
        _check_indices(x, owner, owner.index_limit, backend)
        return
    with backend.quiet():
        good = bool(backend.ops.all_finite(x))
    if not good:
        finite = backend.xp.isfinite(x)
        place, value = first_bad(finite, x, backend)
        bad = int((~backend.to_numpy(finite)).sum())
        raise DataError(
            f"{owner} expected finite values in x, got {value} at x{place} ({bad} of {prod(finite.shape)} are NaN or "
            "infinite); drop those rows, or fill them in before training."
        )


def _check_indices(x: Array, owner: Layer, limit: int, backend: Backend) -> None:
    good = (x >= 0) & (x < limit)
    if not bool(backend.xp.all(good)):
        place, value = first_bad(good, x, backend)
        raise DataError(
            f"{owner} expected indices in 0..{limit - 1}, got {value} at x{place}; number them from 0, or give it more "
            "rows."
        )


def warn_of_transfer(name: str, a: Any, backend: Backend) -> bool:
    """Say that an array has to travel to the model's device, and whether it was said; a list or a number may travel."""
    xp = namespace_of(a)
    if xp is None or not backend.adapter.apart or backend.owns(a):
        return False
    whence = "on the host" if xp is np else f"on {a.device}"
    warnings.warn(
        f"{name} is {whence}, and the model on {backend.device}: it is moved there, and so is all that follows, each "
        f"time it is handed over. Better move once what is used again: {name} = model.backend.asarray({name}).",
        TransferWarning,
        stacklevel=_levels_to_caller(),
    )
    return True


def _levels_to_caller() -> int:
    """How far up the first frame outside this package is: a warning should name the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "nnxp":
        frame, level = frame.f_back, level + 1
    return level
