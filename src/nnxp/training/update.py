"""One update of the arena, as calls that a plan puts behind its own."""

from collections.abc import Mapping
from typing import Any

from nnxp.backend import Backend
from nnxp.ops import UPDATES, Call, Number
from nnxp.ops.record import Record, results
from nnxp.optimizers import Optimizer
from nnxp.parameters import Buffer

__all__ = ["Update"]


class Update:
    """An optimizer's records, bound to the buffers of parameters ``w``, gradients ``g`` and slots.

    ``start`` is the model's step at which the optimizer's own count begins.
    """

    def __init__(
        self, optimizer: Optimizer, buffers: Mapping[str, Buffer], backend: Backend, scratch: Any, *, start: int
    ) -> None:
        self.start = start
        self._optimizer, self._buffers, self._ops = optimizer, buffers, backend.ops
        self._numbers = {name: Number(value) for name, value in optimizer.varying(0).items()}
        self._constants = optimizer.constants()
        self._piece = backend.adapter.piece
        self.records = optimizer.records()
        self.calls = [
            self._bound(step, scratch) if step.op in self._ops.kernels else self._by_name(step) for step in self.records
        ]

    def prepare(self, step: int) -> None:
        """Set the numbers that change from update to update."""
        for name, value in self._optimizer.varying(step - self.start).items():
            self._numbers[name].value = value

    def array(self, name: str) -> Any:
        """The flat array of a name in the records; None for a number."""
        return self._buffers[name].flat if name in self._buffers else None

    def value(self, name: str) -> Any:
        """The flat array, or the number of the prepared update, of a name in the records."""
        return self._part(name, slice(None))

    def _bound(self, step: Record, scratch: Any) -> Call:
        known: dict[str, Any] = {name: buffer.flat for name, buffer in self._buffers.items()}
        known |= self._numbers | self._constants
        out = tuple(known[name] for name in step.outputs)
        kernel = self._ops.kernels[str(step.op)]
        return kernel(*[known[n] for n in step.inputs], out=out if len(out) > 1 else out[0], scratch=scratch)

    def _by_name(self, step: Record) -> Call:
        function, size = step.function(self._ops), self._buffers["w"].layout.size
        piece = self._piece if step.op in UPDATES and self._piece else size

        def call() -> None:
            for start in range(0, size, max(piece, 1)):
                part = slice(start, start + piece)
                returned = function(*[self._part(name, part) for name in step.inputs])
                for name, array in results(step, returned):
                    if piece < size:
                        self._buffers[name].flat[part] = array
                    else:
                        self._buffers[name].replace(array)

        return call

    def _part(self, name: str, part: slice) -> Any:
        if name in self._buffers:
            return self._buffers[name].flat[part]
        return self._constants[name] if name in self._constants else self._numbers[name].value
