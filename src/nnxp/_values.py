"""What arrives at the door, before it is known what it is for: are these numbers, and which of them is bad?"""

from typing import Any

import numpy as np

from nnxp._check import dtype_name, one_line
from nnxp._types import Array
from nnxp.backend import Backend, namespace_of, to_host
from nnxp.errors import DtypeError

__all__ = ["first_bad", "numbers"]


def numbers(owner: str, name: str, a: Any) -> Array:
    """``a`` as an array of real numbers or booleans, of whatever library it is; lists become host arrays."""
    xp = namespace_of(a)
    try:
        raw = to_host(a) if xp is None else a
    except (TypeError, ValueError) as error:
        why = one_line(error).rstrip(".")
        raise DtypeError(
            f"{owner} expected {name} to be an array of numbers, got {type(a).__name__}: {why}."
        ) from error
    isdtype = (xp or np).isdtype
    if isdtype(raw.dtype, ("real floating", "integral", "bool")):
        return raw
    if isdtype(raw.dtype, "complex floating"):
        what = dtype_name(raw.dtype)
        raise DtypeError(f"{owner} expected {name} of real numbers, got {what}; use {name}.real or encode it.")
    what = type(a).__name__ if xp is None else f"dtype {raw.dtype.name}"
    raise DtypeError(f"{owner} expected {name} to be an array of numbers, got {what}; encode it as numbers first.")


def first_bad(good: Array, x: Array, backend: Backend) -> tuple[str, object]:
    """Where the mask is first false, as text, and the value there."""
    flat = backend.to_numpy(backend.xp.reshape(good, (-1,)))
    position = int((~flat).argmax())
    value = backend.to_numpy(backend.xp.reshape(x, (-1,)))[position].item()
    index = []
    for size in reversed(x.shape):
        position, place = divmod(position, int(size))
        index.append(place)
    return "[" + ", ".join(map(str, reversed(index))) + "]", value
