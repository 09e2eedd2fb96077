"""Noise, and rows by their indices."""

from collections.abc import Sequence
from math import prod
from typing import Any

from nnxp._types import Array
from nnxp.ops import Call, Changing, Number
from nnxp.ops.cuda.agenda import Column
from nnxp.ops.cuda.kernels.base import Family
from nnxp.ops.cuda.launch import Launch, blocks_for

__all__ = ["Rows", "gather_arguments", "has_whole_units"]

_UNIT = 4
"""Bytes that the kernel ``gather`` moves at a time."""


class Rows(Family):
    """Dropout, whose masks are made in the kernel, and gathering."""

    def dropout(self, x: Array, rate: float, stream: Any, *, out: Array = None, scratch: Any = None) -> Call:
        if not self._ready(x):
            return self._fallback("dropout", x, rate, stream, out=out)
        changing = stream if isinstance(stream, Changing) else Changing(stream)
        first, y = changing.value, self._like(x, out)
        arguments = {
            "x": x, "size": x.size, "key0": first.key[0], "key1": first.key[1], "item": first.counter[3],
            "step": Column(lambda: changing.value.counter[2], pace=1),
            "offset": Column(lambda: changing.value.offset),
            "threshold": int(rate * 2.0**64), "scale": 1 / (1 - rate), "y": y,
        }  # fmt: skip
        # a thread takes a block of four words; the first and the last one may be used in part
        return self._launch("dropout", x, arguments, y, size=x.size // 4 + 2)

    def take_rows(self, x: Array, index: Array, *, out: Array = None, scratch: Any = None) -> Call:
        units = prod(x.shape[1:]) * x.dtype.itemsize
        ready = x.flags.c_contiguous and index.flags.c_contiguous and index.dtype == self._xp.int64
        if not ready or not has_whole_units(x) or not x.size:
            return self._fallback("take_rows", x, index, out=out)
        rows = index.shape[0]
        y = self._xp.empty((rows, *x.shape[1:]), dtype=x.dtype) if out is None else out
        return Launch(
            self._machine,
            "gather",
            "float32",
            gather_arguments([x], [y], index, Number(0), rows),
            blocks=blocks_for(rows * units // _UNIT, self._machine.threads),
            result=y,
        )


def has_whole_units(array: Array) -> bool:
    """Whether the kernel ``gather`` can move the rows of an array."""
    return bool(prod(array.shape[1:]) * array.dtype.itemsize % _UNIT == 0)


def gather_arguments(
    sources: Sequence[Array | None], rows: Sequence[Array | None], order: Array, start: Number, count: int
) -> dict[str, Any]:
    """The arguments of the kernel ``gather`` for up to three arrays."""
    arguments: dict[str, Any] = {"order": order, "start": start, "rows": count}
    for name, (source, part) in zip(
        "abc", [*zip(sources, rows, strict=True), (None, None), (None, None)], strict=False
    ):
        units = 0 if source is None else prod(source.shape[1:]) * source.dtype.itemsize // _UNIT
        arguments |= {name: source, f"{name}_rows": part, f"{name}_units": units}
    return arguments
