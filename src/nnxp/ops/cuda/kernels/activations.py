"""Activations: one kernel for all that work element by element, and one for those that work row by row."""

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any

from nnxp._types import Array
from nnxp.ops import Call, Kernel
from nnxp.ops.cuda.kernels.base import Family
from nnxp.ops.cuda.launch import WARP, Launch, Machine, blocks_for

__all__ = ["ACTIVATIONS", "Activations", "activation"]

ACTIVATIONS = (
    "identity", "relu", "leaky_relu", "elu", "selu", "sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign",
    "softplus", "step", "silu", "mish", "gelu", "gelu_tanh",
)  # fmt: skip
"""The activations of the kernels, in the order of their enumeration there."""

_WITH_NUMBER = ("leaky_relu", "elu")
"""Activations with a number of their own."""


class Activations(Family):
    """Elementwise ones, softmax and its logarithm."""

    def all(self) -> Mapping[str, Kernel]:
        named = {name: partial(self._activate, name) for name in ACTIVATIONS[1:]}
        slopes = {f"{name}_backward": partial(self._derive, name) for name in ACTIVATIONS[1:]}
        return {**super().all(), **named, **slopes}

    def _activate(self, op: str, x: Array, a: float = 0.0, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(x):
            return self._fallback(op, *((x,) if op not in _WITH_NUMBER else (x, a)), out=out)
        return activation(self._machine, op, x, self._like(x, out), a=a)

    def _derive(
        self, op: str, dy: Array, kept: Array, a: float = 0.0, *, out: Array = None, scratch: Any = None
    ) -> Call:
        if not self._ready(dy, kept):
            return self._fallback(f"{op}_backward", *((dy, kept) if op not in _WITH_NUMBER else (dy, kept, a)), out=out)
        dx = self._like(dy, out)
        arguments = {"kind": ACTIVATIONS.index(op), "dy": dy, "kept": kept, "size": dy.size, "a": a, "dx": dx}
        return self._launch("activation_backward", dy, arguments, dx, size=dy.size)

    def softmax(self, x: Array, *, out: Array = None, scratch: Any = None) -> Call:
        return self._softmax("softmax", x, out)

    def log_softmax(self, x: Array, *, out: Array = None, scratch: Any = None) -> Call:
        return self._softmax("log_softmax", x, out)

    def _softmax(self, op: str, x: Array, out: Array | None) -> Call:
        if not self._ready(x) or not x.size:
            return self._fallback(op, x, out=out)
        rows, columns, y = prod(x.shape[:-1]), x.shape[-1], self._like(x, out)
        arguments = {"z": x, "rows": rows, "columns": columns, "logarithm": op == "log_softmax", "y": y}
        return self._launch("softmax", x, arguments, y, size=WARP * rows)

    def softmax_backward(self, dy: Array, y: Array, *, out: Array = None, scratch: Any = None) -> Call:
        return self._softmax_backward("softmax_backward", dy, y, out)

    def log_softmax_backward(self, dy: Array, y: Array, *, out: Array = None, scratch: Any = None) -> Call:
        return self._softmax_backward("log_softmax_backward", dy, y, out)

    def _softmax_backward(self, op: str, dy: Array, y: Array, out: Array | None) -> Call:
        if not self._ready(dy, y) or not dy.size:
            return self._fallback(op, dy, y, out=out)
        rows, columns, dx = prod(dy.shape[:-1]), dy.shape[-1], self._like(dy, out)
        logarithm = op == "log_softmax_backward"
        arguments = {"dy": dy, "y": y, "rows": rows, "columns": columns, "logarithm": logarithm, "dx": dx}
        return self._launch("softmax_backward", dy, arguments, dx, size=WARP * rows)


def activation(machine: Machine, op: str, x: Array, y: Array, *, a: float = 0.0, bias: Array = None) -> Launch:
    """y = activation(x + bias)."""
    columns = 1 if bias is None else bias.size
    arguments = {
        "kind": ACTIVATIONS.index(op), "x": x, "bias": bias, "size": x.size, "columns": columns, "a": a, "z": None,
        "y": y,
    }  # fmt: skip
    return Launch(machine, "activation", x.dtype, arguments, blocks=blocks_for(x.size, machine.threads), result=y)
