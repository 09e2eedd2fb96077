"""Penalties."""

from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call
from nnxp.ops.numpy._memory import Scratch, like, pieces

__all__ = ["l1_backward", "l2", "l2_backward"]


def l2(w: Array, rate: float, *, out: None = None, scratch: Any = None) -> Call:
    factor = w.dtype.type(rate)
    if not w.flags.forc:
        return lambda: np.multiply(w, w).sum() * factor
    flat = w.reshape(-1, order="A")
    return lambda: np.dot(flat, flat) * factor


def l1_backward(dw: Array, w: Array, rate: float, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    return _add_multiple(np.sign, dw, w, rate, out, scratch)


def l2_backward(dw: Array, w: Array, rate: float, *, out: Array = None, scratch: Scratch | None = None) -> Call:
    return _add_multiple(None, dw, w, 2 * rate, out, scratch)


def _add_multiple(slope: Any, dw: Array, w: Array, rate: float, out: Array | None, scratch: Scratch | None) -> Call:
    """dw + rate · slope(w); without a slope, dw + rate · w."""
    out, scratch = like(dw, out), scratch or Scratch()
    factor = np.asarray(rate, dtype=w.dtype)
    parts = pieces(dw, w, out)
    if parts is None:
        return lambda: np.add(dw, (w if slope is None else slope(w)) * factor, out=out)
    parts = [(*part, scratch(part[0].size, w.dtype)) for part in parts]

    def call() -> Array:
        for before, weights, after, term in parts:
            np.multiply(weights if slope is None else slope(weights, out=term), factor, out=term)
            np.add(before, term, out=after)
        return out

    return call
