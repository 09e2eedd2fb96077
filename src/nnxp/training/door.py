"""Data at the door: converted to the model's backend and dtype, or refused with a sentence that helps."""

import sys
import warnings
from typing import Any

from nnxp import _check
from nnxp._targets import first_bad
from nnxp._types import Array
from nnxp.backend import Backend, namespace_of
from nnxp.data import Scaling
from nnxp.errors import ConversionWarning, DataError, DtypeError, ShapeError
from nnxp.layers import Layer

__all__ = ["check_features", "convert_features"]


def convert_features(
    x: Any, owner: Layer, backend: Backend, scaling: Scaling | None, *, warn: bool
) -> tuple[Array, bool]:
    """Features on the backend, in its dtype, scaled; and whether they had to be converted from integers."""
    try:
        raw = x if namespace_of(x) is not None else backend.to_numpy(x)
        if scaling is not None:
            raw = scaling.apply(raw)
        a = backend.asarray(raw)
    except (TypeError, ValueError) as error:
        raise DtypeError(
            f"{owner} expected x to be an array of numbers, got {_kind(x)}; {_check.one_line(error)}"
        ) from error
    if a.ndim == 0:
        raise ShapeError(f"{owner} expected x to have a batch axis, got a single number; for one sample use x[None].")
    if a.shape[0] == 0:
        raise DataError(f"{owner} expected at least one row in x, got shape {_check.shape(a)}: the data is empty.")
    if a.dtype == backend.dtype:
        return a, False
    if not backend.xp.isdtype(a.dtype, ("integral", "bool")):
        raise DtypeError(
            f"{owner} expected x of real numbers, got {_check.dtype_name(a.dtype)}; use x.real or encode it."
        )
    if warn:
        warnings.warn(
            f"{owner}: x has dtype {_check.dtype_name(a.dtype)} and is converted to "
            f"{_check.dtype_name(backend.dtype)}; "
            "convert it once yourself, and scale it to about [-1, 1], to save time and train better.",
            ConversionWarning,
            stacklevel=_levels_to_caller(),
        )
    return backend.xp.astype(a, backend.dtype), True


def _levels_to_caller() -> int:
    """How far up the first frame outside this package is: a warning should name the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "nnxp":
        frame, level = frame.f_back, level + 1
    return level


def _kind(x: Any) -> str:
    return f"dtype {_check.dtype_name(x.dtype)}" if namespace_of(x) is not None else type(x).__name__


def check_features(x: Array, owner: Layer, backend: Backend, *, values: bool) -> None:
    """Raise unless x has the layer's shape and, on request, only finite values."""
    owner.check_input(x)
    if not values:
        return
    finite = backend.xp.isfinite(x)
    if not bool(backend.xp.all(finite)):
        place, value = first_bad(finite, x, backend)
        bad = int((~backend.to_numpy(finite)).sum())
        raise DataError(
            f"{owner} expected finite values in x, got {value} at x{place} ({bad} of {finite.size} are NaN "
            "or infinite); "
            "drop those rows, or fill them in before training."
        )
