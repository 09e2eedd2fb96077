"""A program bound to buffers: the same records as short calls over one workspace.

The first run goes without buffers and shows each value's shape; from then on, every op that honours donations is handed
a buffer, which values share whose lives do not overlap. Without buffers (`Plan(..., buffers=False)`) a plan is the
plain path, one fresh array a result, which the bound one is tested against.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from nnxp import _check
from nnxp._types import Array, Op, Shape
from nnxp.backend import Backend
from nnxp.ops import ELEMENTWISE, VIEWS
from nnxp.ops.record import Moment, Record, results
from nnxp.parameters import Buffer, Layout
from nnxp.training.program import Network

__all__ = ["Plan"]


@dataclass(frozen=True)
class _Call:
    """A record with its function and its donations (one per output, None for no buffer)."""

    function: Op
    record: Record
    buffers: tuple[Array | None, ...]

    def __call__(self, values: dict[str, Any]) -> None:
        arguments = [values[name] for name in self.record.inputs]
        if len(self.buffers) == 1:
            values[self.record.outputs[0]] = self.function(*arguments, out=self.buffers[0])
        else:
            values.update(results(self.record, self.function(*arguments, out=self.buffers)))


class Plan:
    """One network, for one input shape, on one backend."""

    def __init__(
        self,
        network: Network,
        backend: Backend,
        parameters: Buffer,
        gradients: Buffer,
        *,
        divisor: float = 1.0,
        buffers: bool = True,
    ) -> None:
        self.network, self.backend = network, backend
        self.parameters, self.gradients = parameters, gradients
        self.records = network.program.records
        self.constants = {**network.program.constants, "divisor": divisor, **parameters}
        self.calls = [self._call(step, (None,) * len(step.outputs)) for step in self.records]
        self.workspace: Buffer | None = None
        self._loose = network.gradients  # what the calls do not write into the gradients' buffer themselves
        self._unbound = buffers and backend.writable

    def run(self, x: Array, y: Array | None, moment: Moment) -> dict[str, Any]:
        """Run the program; return ``y_pred``, ``data_loss`` and ``loss``, as far as the network has them.

        The predictions may lie in the workspace: they are good until the next run. The loss is always a new array.
        """
        values = self.constants | {"x": x, "y": y}
        if not self.backend.writable:
            values |= self.parameters
        for name, make in self.network.program.varying.items():
            values[name] = make(moment)
        for call in self.calls:
            call(values)
        if self._loose:
            self.gradients.write({key: values[name] for key, name in self._loose.items()})
        if self._unbound:
            self._bind(values)
        return {role: values[name] for role, name in self.network.outputs.items()}

    def _call(self, step: Record, buffers: tuple[Array | None, ...]) -> _Call:
        function = step.function(self.backend.ops)
        targets = {name: self.gradients[key] for name, key in self.network.targets.items() if name in step.outputs}
        if targets and any(buffer is not None for buffer in buffers):
            function = _into(function, tuple(targets.get(name) for name in step.outputs))
        return _Call(function, step, buffers)

    def _bind(self, seen: Mapping[str, Any]) -> None:
        """Give each op that honours donations its buffers, now that the shapes are known."""
        self._unbound = False
        honours = self.backend.ops.honours
        if not honours:
            return
        shapes = {name: _check.shape(seen[name]) for step in self.records for name in step.outputs}
        places = _place(self.records, shapes, self.network, honours)
        sizes: dict[int, int] = {}
        for block, shape in places.values():
            sizes[block] = max(sizes.get(block, 0), prod(shape))
        layout = Layout.of([{str(block): (size,)} for block, size in sorted(sizes.items())], self.backend.itemsize)
        self.workspace = Buffer(layout, self.backend)
        buffers: dict[str, Array] = {name: self.gradients[key] for name, key in self.network.targets.items()}
        for name, (block, shape) in places.items():
            buffers[name] = self.backend.xp.reshape(self.workspace[str(block)][: prod(shape)], shape)
        self.calls = [
            self._call(step, tuple(buffers.get(name) if step.op in honours else None for name in step.outputs))
            for step in self.records
        ]
        written = {
            name for call in self.calls if any(b is not None for b in call.buffers) for name in call.record.outputs
        }
        self._loose = {key: name for key, name in self.network.gradients.items() if name not in written}


def _into(function: Op, views: tuple[Array | None, ...]) -> Op:
    """The op with its results in these views, whether it honours donations or not."""

    def into(*arguments: Any, out: Any = None) -> Any:
        returned = function(*arguments, out=out)
        for view, result in zip(views, returned if len(views) > 1 else (returned,), strict=True):
            if view is not None and result is not view:
                view[...] = result
        return views[0] if len(views) == 1 else returned

    return into


def _place(
    records: list[Record], shapes: Mapping[str, Shape], network: Network, honours: frozenset[str]
) -> dict[str, tuple[int, Shape]]:
    """A block of the workspace for each value that wants one; values share a block when their lives do not overlap."""
    owner, last_use = _lives(records, set(network.outputs.values()))
    places: dict[str, tuple[int, Shape]] = {}
    free: list[tuple[int, int]] = []  # (size, block)
    for index, step in enumerate(records):
        owners = dict.fromkeys(owner.get(name, name) for name in step.inputs)
        ending = [
            (prod(places[name][1]), places[name][0]) for name in owners if name in places and last_use[name] == index
        ]
        wanting = [
            name
            for name in step.outputs
            if step.op in honours and step.op not in VIEWS and name not in network.targets and shapes[name]
        ]
        if step.op in ELEMENTWISE:  # such an op may write over an input that nobody reads again
            free += ending
        for name in wanting:
            size = prod(shapes[name])
            fitting = min((entry for entry in free if entry[0] == size), default=None)
            if fitting is not None:
                free.remove(fitting)
            places[name] = (len(places) if fitting is None else fitting[1], shapes[name])
        if step.op not in ELEMENTWISE:
            free += ending
    return places


def _lives(records: list[Record], wanted: set[str]) -> tuple[dict[str, str], dict[str, int]]:
    """Whose memory each value may lie in, and the last record that reads that memory.

    What is wanted in the end lives for ever, and so does what a layer of the user's own has seen: it may have kept it.
    """
    owner: dict[str, str] = {}
    last_use: dict[str, int] = {}
    for index, step in enumerate(records):
        for name in (owner.get(name, name) for name in step.inputs):
            last_use[name] = max(last_use.get(name, 0), index if isinstance(step.op, str) else len(records))
        if step.op in VIEWS:
            owner[step.outputs[0]] = owner.get(step.inputs[0], step.inputs[0])
    for name in wanted:
        last_use[owner.get(name, name)] = len(records)
    return owner, last_use
