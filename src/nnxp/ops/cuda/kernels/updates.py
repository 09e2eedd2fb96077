"""Updates of the whole arena, each in one launch."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from nnxp._types import Array
from nnxp.ops import Call, Kernel, Number
from nnxp.ops.cuda.kernels.base import Family, filled

__all__ = ["Updates"]

_RULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "sgd": ("", ("learning_rate",)),
    "momentum": ("v", ("learning_rate", "momentum")),
    "nesterov": ("v", ("learning_rate", "momentum")),
    "adagrad": ("c", ("learning_rate", "epsilon")),
    "rmsprop": ("c", ("learning_rate", "rho", "epsilon")),
    "lion": ("m", ("learning_rate", "beta_1", "beta_2")),
    "adam": ("mv", ("learning_rate", "beta_1", "beta_2", "epsilon", "correction_1", "correction_2")),
}
"""The rules: what the kernels call their slots, a letter each, and their numbers in the op's order."""

_CHANGING = ("learning_rate", "correction_1", "correction_2")
"""Numbers that the kernels read from the agenda."""


class Updates(Family):
    """The rules with a kernel, the decay that a rule can take along, and what optimizers do before and after."""

    def all(self) -> Mapping[str, Kernel]:
        return {**super().all(), **{name: partial(self._update, name) for name in _RULES}}

    def _update(self, op: str, w: Array, g: Array, *rest: Any, out: Any = None, scratch: Any = None) -> Call:
        letters, names = _RULES[op]
        slots, numbers = rest[: len(letters)], rest[len(letters) :]
        if not self._ready(w, g, *slots):
            return self._fallback(op, w, g, *rest, out=out)
        owned = self._owned((w, *slots), out)
        arguments: dict[str, Any] = {"w": owned[0], "g": g, "size": w.size, "decay": 0.0}
        arguments |= zip(letters, owned[1:], strict=True)
        for name, number in zip(names, numbers, strict=True):
            arguments[name] = Number.of(number) if name in _CHANGING else number
        return self._launch(op, w, arguments, owned if slots else owned[0], size=-(-w.size // 4))

    def decay_weights(
        self, w: Array, learning_rate: Number | float, weight_decay: float, *, out: Array = None, scratch: Any = None
    ) -> Call:
        if not self._ready(w):
            return self._fallback("decay_weights", w, learning_rate, weight_decay, out=out)
        (owned,) = self._owned((w,), out)
        arguments = {
            "w": owned, "size": w.size, "learning_rate": Number.of(learning_rate), "decay": weight_decay,
        }  # fmt: skip
        return self._launch("decay_weights", w, arguments, owned, size=w.size)

    def clip_value(self, g: Array, limit: float, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(g):
            return self._fallback("clip_value", g, limit, out=out)
        clipped = self._like(g, out)
        arguments = {"g": g, "size": g.size, "limit": limit, "out": clipped}
        return self._launch("clip_value", g, arguments, clipped, size=g.size)

    def clone(self, w: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(w):
            return self._fallback("clone", w, out=out)
        copy = self._like(w, out)
        return self._launch("duplicate", w, {"w": w, "size": w.size, "copy": copy}, copy, size=w.size)

    def move(self, w: Array, stepped: Array, rates: Array, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(w, stepped, rates):
            return self._fallback("move", w, stepped, rates, out=out)
        moved = self._like(w, out)
        arguments = {"w": w, "stepped": stepped, "rates": rates, "size": w.size, "moved": moved}
        return self._launch("move_by_rates", w, arguments, moved, size=w.size)

    def average(self, average: Array, w: Array, ema: float, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(average, w):
            return self._fallback("average", average, w, ema, out=out)
        averaged = self._like(w, out)
        arguments = {"a": average, "w": w, "size": w.size, "beta": ema, "averaged": averaged}
        return self._launch("average", w, arguments, averaged, size=w.size)

    def _owned(self, arrays: tuple[Array, ...], out: Any) -> tuple[Array, ...]:
        """The arrays in memory that may be written: the donated buffers, or copies."""
        buffers = out if isinstance(out, tuple) else (out,) * len(arrays)
        return tuple(a.copy() if b is None else filled(b, a) for a, b in zip(arrays, buffers, strict=True))
