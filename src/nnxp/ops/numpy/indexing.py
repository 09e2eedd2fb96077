"""Rows."""

from typing import Any

from nnxp._types import Array
from nnxp.ops import Call
from nnxp.ops.numpy._memory import fill

__all__ = ["take_rows"]


def take_rows(x: Array, index: Array, *, out: Array = None, scratch: Any = None) -> Call:
    if out is None or not x.flags.c_contiguous:  # take would copy all of x first
        return lambda: x[index] if out is None else fill(out, x[index])
    # With a check of each index take would gather into a copy of the buffer first. The op's indices are in range.
    return lambda: x.take(index, axis=0, out=out, mode="clip")
