"""One update of the arena, as calls that a plan puts behind its own."""

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

from nnxp.backend import Backend
from nnxp.ops import UPDATES, Call, Number
from nnxp.ops.record import Record, results
from nnxp.optimizers import Optimizer
from nnxp.parameters import Buffer, Layout

__all__ = ["Update"]


class Update:
    """An optimizer's records, bound to the buffers of parameters ``w``, gradients ``g`` and slots.

    ``start`` is the model's step at which the optimizer's own count begins; ``factor`` multiplies its learning rate.
    """

    def __init__(
        self, optimizer: Optimizer, buffers: Mapping[str, Buffer], backend: Backend, scratch: Any, *, start: int
    ) -> None:
        self.start, self.factor = start, 1.0
        self.records = optimizer.records()
        self._optimizer, self._backend, self._ops = optimizer, backend, backend.ops
        self._buffers = {**buffers, **self._further(buffers["w"].layout)}
        self._step = 0
        self._numbers = {
            name: Number(value, partial(self._later, name)) for name, value in optimizer.varying(0).items()
        }
        constants = {**optimizer.constants(), "bounds": buffers["w"].layout.bounds}
        self._constants = {name: value for name, value in constants.items() if name not in self._numbers}
        self._piece = backend.adapter.piece
        self.calls = [
            self._bound(step, scratch) if step.op in self._ops.kernels else self._by_name(step) for step in self.records
        ]

    def prepare(self, step: int) -> None:
        """Set the numbers that change from update to update."""
        self._step = step
        for name, value in self._optimizer.varying(step - self.start).items():
            self._numbers[name].value = value
        if self.factor != 1.0:
            self._numbers["learning_rate"].value *= self.factor

    def _later(self, name: str, steps: int) -> float:
        """What a number will be so many updates from now."""
        value = self._optimizer.varying(self._step + steps - self.start)[name]
        return value * self.factor if name == "learning_rate" else value

    def run(self, step: int) -> None:
        """The update by itself, with the gradients that are there."""
        self.prepare(step)
        for call in self._linked:
            call()

    @cached_property
    def _linked(self) -> list[Call]:
        return self._backend.compile_step(self.calls)

    def _further(self, layout: Layout) -> dict[str, Buffer]:
        """The buffers that some records need and nobody else: the elements' rates, and room for a step."""
        if not any("rates" in step.inputs for step in self.records):
            return {}
        rates, xp = Buffer(layout, self._backend), self._backend.xp
        multipliers = self._optimizer.multipliers(rates)
        rates.write({key: xp.ones_like(array) * multipliers[key] for key, array in rates.items()})
        return {"rates": rates, "stepped": Buffer(layout, self._backend)}

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
