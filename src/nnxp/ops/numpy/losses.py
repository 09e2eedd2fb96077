"""Losses. A value is a new 0-d number; what belongs to the elements lies in buffers."""

from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Call
from nnxp.ops.numpy._memory import like
from nnxp.ops.numpy.activations import exponentials, sigmoid, softmax

__all__ = [
    "absolute_error_backward",
    "binary_crossentropy_from_logits",
    "binary_crossentropy_from_logits_backward",
    "categorical_crossentropy_from_logits",
    "categorical_crossentropy_from_logits_backward",
    "sigmoid_binary_crossentropy",
    "softmax_categorical_crossentropy",
    "squared_error",
    "squared_error_backward",
]


def squared_error(p: Array, y: Array, divisor: float, *, out: None = None, scratch: Any = None) -> Call:
    error, count = np.empty_like(p, order="A"), p.dtype.type(divisor)
    flat = error.reshape(-1, order="A")

    def call() -> Array:
        np.subtract(p, y, out=error)
        return np.dot(flat, flat) / count

    return call


def squared_error_backward(p: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None) -> Call:
    out, factor = like(p, out), np.asarray(2 / divisor, dtype=p.dtype)

    def call() -> Array:
        np.subtract(p, y, out=out)
        return np.multiply(out, factor, out=out)

    return call


def absolute_error_backward(p: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None) -> Call:
    out, factor = like(p, out), np.asarray(1 / divisor, dtype=p.dtype)

    def call() -> Array:
        np.subtract(p, y, out=out)
        np.sign(out, out=out)
        return np.multiply(out, factor, out=out)

    return call


def categorical_crossentropy_from_logits(
    z: Array, y: Array, divisor: float, *, out: None = None, scratch: Any = None
) -> Call:
    if not z.flags.forc:  # an input with gaps is copied, anew at every call
        return lambda: categorical_crossentropy_from_logits(z.copy(), y, divisor)()
    e, top, total = np.empty_like(z), *np.empty((2, z.shape[0], 1), dtype=z.dtype)
    place = _Picked(z, y) if y.ndim == 1 else None
    terms, loss = exponentials(z, e, top, total), _surprise(z, top, total, y, place, divisor)

    def call() -> Array:
        terms()
        if place is not None:
            place.locate()
        return loss()

    return call


def categorical_crossentropy_from_logits_backward(
    z: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
) -> Call:
    out = like(z, out)
    place = _Picked(out, y) if y.ndim == 1 else None
    probabilities, difference = softmax(z, out=out), _minus_targets(out, y, place, divisor, out)

    def call() -> Array:
        probabilities()
        if place is not None:
            place.locate()
        return difference()

    return call


def softmax_categorical_crossentropy(
    z: Array, y: Array, divisor: float, *, out: tuple[Array, None, Array] | None = None, scratch: Any = None
) -> Call:
    if not z.flags.forc:
        return lambda: softmax_categorical_crossentropy(z.copy(), y, divisor, out=out)()
    p_buffer, _, dz_buffer = out or (None, None, None)
    p, dz = like(z, p_buffer), like(z, dz_buffer)
    top, total = np.empty((2, z.shape[0], 1), dtype=z.dtype)
    places = _picked_in(z, dz, y) if y.ndim == 1 else ()
    of_z, of_dz = (places[0], places[-1]) if places else (None, None)
    terms = exponentials(z, p, top, total)
    loss, difference = _surprise(z, top, total, y, of_z, divisor), _minus_targets(p, y, of_dz, divisor, dz)

    def call() -> tuple[Array, Array, Array]:
        terms()
        np.divide(p, total, out=p)
        for place in places:
            place.locate()
        difference()
        return p, loss(), dz

    return call


class _Picked:
    """Where in memory the elements ``a[b, y[b]]`` are, for a and whatever lies as it does.

    An index into a flat view; indexing with two arrays is slower.
    """

    def __init__(self, a: Array, y: Array) -> None:
        samples, classes = a.shape
        self.by_columns, self._y = bool(a.flags.f_contiguous), y
        self._stride = np.asarray(samples if self.by_columns else 1)
        self._first = np.arange(samples) * (1 if self.by_columns else classes)
        self.index = np.empty(samples, dtype=np.intp)

    def locate(self) -> None:
        """Find the elements anew, after the labels have changed."""
        np.multiply(self._y, self._stride, out=self.index)
        np.add(self.index, self._first, out=self.index)

    def flat(self, a: Array) -> Array:
        """What the index is for."""
        return (a.T if self.by_columns else a).reshape(-1)


def _picked_in(z: Array, dz: Array, y: Array) -> tuple[_Picked, ...]:
    """The places in z, and those in dz if it lies otherwise."""
    place = _Picked(z, y)
    alike = dz.flags.f_contiguous if place.by_columns else dz.flags.c_contiguous and not dz.flags.f_contiguous
    return (place,) if alike else (place, _Picked(dz, y))


def _surprise(z: Array, top: Array, total: Array, y: Array, place: _Picked | None, divisor: float) -> Call:
    if place is None:
        return _row_surprise(z, top, total, y, z.dtype.type(divisor))
    return _class_surprise(z, top, total, place, z.dtype.type(divisor))


def _class_surprise(z: Array, top: Array, total: Array, place: _Picked, divisor: Any) -> Call:
    """Σ log Σ e^z - z_y = Σ (log Σ e^(z - top) + top - z_y), over D."""
    picked, log = np.empty((2, z.shape[0]), dtype=z.dtype)
    flat, index = place.flat(z), place.index
    highest, sums = top[:, 0], total[:, 0]

    def call() -> Array:
        flat.take(index, out=picked, mode="clip")
        np.subtract(highest, picked, out=picked)
        np.log(sums, out=log)
        np.add(log, picked, out=log)  # the small terms first: a confident loss keeps its digits
        return np.add.reduce(log) / divisor

    return call


def _row_surprise(z: Array, top: Array, total: Array, y: Array, divisor: Any) -> Call:
    """Σ y·(log Σ e^(z - top) + top - z) over D, where 0 · ∞ is 0."""
    surprise, log, nothing = np.empty_like(z), np.empty_like(total), np.empty(z.shape, dtype=bool)

    def call() -> Array:
        np.subtract(top, z, out=surprise)
        np.log(total, out=log)
        np.add(surprise, log, out=surprise)
        np.multiply(surprise, y, out=surprise)
        np.less_equal(y, 0, out=nothing)
        np.copyto(surprise, 0, where=nothing)
        return np.add.reduce(surprise, axis=None) / divisor

    return call


def _minus_targets(p: Array, y: Array, place: _Picked | None, divisor: float, out: Array) -> Call:
    """(p · Σ_k y - y) / D into ``out``, which may be p."""
    share = np.asarray(1 / divisor, dtype=p.dtype)
    return _minus_rows(p, y, share, out) if place is None else _minus_classes(p, place, share, out)


def _minus_classes(p: Array, place: _Picked, share: Array, out: Array) -> Call:
    dz = out if out.flags.forc else np.empty_like(p, order="F" if place.by_columns else "C")
    picked = np.empty(p.shape[0], dtype=p.dtype)
    flat, index = place.flat(dz), place.index

    def call() -> Array:
        np.multiply(p, share, out=dz)
        flat.take(index, out=picked, mode="clip")
        flat[index] = np.subtract(picked, share, out=picked)
        if dz is not out:
            np.copyto(out, dz)
        return out

    return call


def _minus_rows(p: Array, y: Array, share: Array, out: Array) -> Call:
    total = np.empty((p.shape[0], 1), dtype=p.dtype)

    def call() -> Array:
        np.add.reduce(y, axis=-1, keepdims=True, out=total)
        np.multiply(p, total, out=out)
        np.subtract(out, y, out=out)
        return np.multiply(out, share, out=out)

    return call


def binary_crossentropy_from_logits(
    z: Array, y: Array, divisor: float, *, out: None = None, scratch: Any = None
) -> Call:
    stable, term, count = np.empty_like(z), np.empty_like(z), z.dtype.type(divisor)

    def call() -> Array:
        np.greater(z, 0, out=stable)
        np.subtract(stable, y, out=stable)
        np.abs(stable, out=stable)  # the share of the side that z is not on
        np.abs(z, out=term)
        np.multiply(stable, term, out=stable)
        np.negative(term, out=term)
        np.exp(term, out=term)
        np.log1p(term, out=term)
        np.add(stable, term, out=stable)
        total = np.add.reduce(stable, axis=None)
        return (total if total == total else _with_infinities(z, y)) / count

    return call


def _with_infinities(z: Array, y: Array) -> Array:
    """The sum where the quick one is NaN: here 0 · ∞ is 0, and only NaN makes NaN."""
    size, wrong = np.abs(z), np.abs((z > 0) - y)
    return np.add.reduce(np.where(wrong == 0, 0, size) * wrong + np.log1p(np.exp(-size)), axis=None)


def binary_crossentropy_from_logits_backward(
    z: Array, y: Array, divisor: float, *, out: Array = None, scratch: Any = None
) -> Call:
    out = like(z, out)
    probabilities, share = sigmoid(z, out=out), np.asarray(1 / divisor, dtype=z.dtype)

    def call() -> Array:
        probabilities()
        np.subtract(out, y, out=out)
        return np.multiply(out, share, out=out)

    return call


def sigmoid_binary_crossentropy(
    z: Array, y: Array, divisor: float, *, out: tuple[Array, None, Array] | None = None, scratch: Any = None
) -> Call:
    p_buffer, _, dz_buffer = out or (None, None, None)
    p, dz = like(z, p_buffer), like(z, dz_buffer)
    probabilities, loss = sigmoid(z, out=p), binary_crossentropy_from_logits(z, y, divisor)
    share = np.asarray(1 / divisor, dtype=z.dtype)

    def call() -> tuple[Array, Array, Array]:
        probabilities()
        np.subtract(p, y, out=dz)
        np.multiply(dz, share, out=dz)
        return p, loss(), dz

    return call
