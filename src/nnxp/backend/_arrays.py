"""What an array says of itself: its library, and its values on the host."""

from typing import Any

import numpy as np

from nnxp._check import one_line
from nnxp._types import Array, Namespace
from nnxp.errors import DtypeError

__all__ = ["namespace_of", "to_host"]

_known: dict[type, Namespace] = {np.ndarray: np}


def namespace_of(a: Any) -> Namespace | None:
    """The namespace that an array belongs to; None for a list, a scalar or anything else."""
    kind = type(a)
    if kind not in _known:
        _known[kind] = _ask(a)
    return _known[kind]


def _ask(a: Any) -> Namespace | None:
    if isinstance(a, np.ndarray | np.generic | list | tuple | int | float):
        return np if isinstance(a, np.ndarray) else None
    import array_api_compat

    return array_api_compat.array_namespace(a) if array_api_compat.is_array_api_obj(a) else None


def to_host(a: Any) -> Array:
    """The values of ``a`` as a NumPy array, from any library and device; it may share memory and be read-only."""
    if namespace_of(a) in (None, np):
        return np.asarray(a)
    try:
        return np.asarray(np.from_dlpack(a, device="cpu"))
    except BufferError as error:
        raise DtypeError(f"The array does not give its values away: {one_line(error)}") from error
