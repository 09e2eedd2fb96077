"""What a picture is made of, as host arrays of the shape that is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnxp._check import one_line
from nnxp.errors import DataError, DtypeError, ShapeError

__all__ = ["class_name", "column", "host", "read_labels"]


def read_labels(name: str, value: ArrayLike) -> NDArray[Any]:
    """Classes [N] from classes [N] or [N, 1], or from probabilities [N, K]."""
    array = host(name, value)
    if array.ndim == 2:
        array = array[:, 0] if array.shape[1] == 1 else array.argmax(axis=1)
    if array.ndim != 1 or not np.array_equal(array, np.floor(array)) or (array < 0).any():
        found = f"{array.dtype} of shape {array.shape}"
        raise DataError(f"{name} must be classes 0, 1, ... of shape (N,) or probabilities (N, K), got {found}.")
    return array.astype(np.int64)


def column(name: str, value: ArrayLike) -> NDArray[Any]:
    """Numbers [N] from [N] or [N, 1]."""
    array = host(name, value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ShapeError(
            f"A curve has one number for each point: expected {name} of shape (N,) or (N, 1), got {array.shape}."
        )
    return array


def host(name: str, value: ArrayLike) -> NDArray[Any]:
    """Real numbers as a NumPy array."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"{name} is not an array on the host ({one_line(error)}); use backend.to_numpy.") from error
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"{name} must hold real numbers, got {array.dtype}.")
    return array


def class_name(label: int, class_names: Sequence[str] | None) -> str:
    """What a class is called: by its name, or by its number."""
    return str(class_names[label]) if class_names is not None and label < len(class_names) else str(label)
