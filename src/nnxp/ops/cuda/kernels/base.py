"""What families of kernels share: launches, room for sums, and the reference for arrays that kernels cannot read."""

from collections.abc import Mapping
from typing import Any

from nnxp._types import Array
from nnxp.ops import Call, Changing, Kernel, Number, Ops
from nnxp.ops.cuda.launch import Launch, Machine, blocks_for

__all__ = ["Family", "filled"]


class Family:
    """Binders, in the sense of `nnxp.ops.Kernel`, for the kernels of one machine."""

    def __init__(self, machine: Machine, reference: Ops) -> None:
        self._machine, self._xp, self._reference = machine, machine.xp, reference

    def all(self) -> Mapping[str, Kernel]:
        """Every binder by the name of its op: the public methods."""
        return {name: getattr(self, name) for name in dir(self) if not name.startswith("_") and name != "all"}

    def _launch(self, kernel: str, like: Array, arguments: dict[str, Any], result: Any, *, size: int) -> Launch:
        blocks = blocks_for(size, self._machine.threads)
        return Launch(self._machine, kernel, like.dtype, arguments, blocks=blocks, result=result)

    def _fallback(self, op: str, *inputs: Any, out: Any) -> Call:
        """The reference, into the buffers."""
        function = getattr(self._reference, op)

        def call() -> Any:
            made = function(*[i.value if isinstance(i, Number | Changing) else i for i in inputs])
            if isinstance(made, tuple):
                return tuple(map(filled, out or (None,) * len(made), made))
            return filled(out, made)

        return call

    def _ready(self, *arrays: Array) -> bool:
        """Whether the kernels can read the arrays: of one floating type, by rows and without gaps."""
        dtype, kind = arrays[0].dtype, self._xp.ndarray
        return dtype.kind == "f" and all(
            isinstance(a, kind) and a.flags.c_contiguous and a.dtype == dtype for a in arrays
        )

    def _like(self, x: Array, out: Array | None) -> Array:
        return self._xp.empty(x.shape, dtype=x.dtype) if out is None else out

    def _scalar(self, like: Array, out: Array | None = None) -> Array:
        return self._xp.empty((), dtype=like.dtype) if out is None else out

    def _work(self, size: int, like: Array) -> tuple[Array, Array]:
        """Room for partial sums, and the counter of the blocks that have left theirs."""
        return self._xp.empty(size, dtype=like.dtype), self._xp.zeros(1, dtype=self._xp.uint32)


def filled(buffer: Array | None, value: Array) -> Array:
    """The buffer with these values in it; the values, where there is none."""
    if buffer is None:
        return value
    if buffer is not value:
        buffer[...] = value
    return buffer
