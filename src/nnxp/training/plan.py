"""A program bound to memory: the same records as short calls over one workspace.

Before its first run a plan walks through its records with an empty batch, which shows each value's shape. The values of
ops with a kernel get their places, and the ops are *bound*: a kernel prepares its views and constants once, and a step
is a walk down a list of calls without arguments. What cannot be bound (an op without a kernel, a layer of the user's
own, and what reads their results) is called with its values by name.

Without buffers (`Plan(..., buffers=False)`) a plan is the plain path, one fresh array a result, which the bound one is
tested against.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from types import MappingProxyType
from typing import Any

from nnxp import _check
from nnxp._types import Array, Shape
from nnxp.backend import Backend
from nnxp.ops import VIEWS, Call, Changing, Kept
from nnxp.ops.record import Moment, Record, results
from nnxp.parameters import Buffer
from nnxp.training.joined import ONES, join_penalties, join_products, parts
from nnxp.training.memory import Need, array_bytes
from nnxp.training.program import Network
from nnxp.training.update import Update
from nnxp.training.workspace import SMALL, Workspace, columns_of, extend, place

__all__ = ["Plan"]


_GIVEN = ("x", "y", "sample_weight")
"""The arrays of a batch, as records call them."""


class Plan:
    """One network, for one input shape, on one backend; with an update behind it, a training step."""

    def __init__(
        self,
        network: Network,
        backend: Backend,
        parameters: Buffer,
        gradients: Buffer,
        statistics: Buffer,
        *,
        constants: Mapping[str, Any] = MappingProxyType({}),
        buffers: bool = True,
        update: Update | None = None,
        scratch: Any = None,
        capture: bool = False,
    ) -> None:
        self.network, self.backend = network, backend
        self.parameters, self.gradients, self.statistics = parameters, gradients, statistics
        self.records = network.program.records
        self.workspace: Workspace | None = None
        self._room: int | None = None  # bytes of the workspace, known before it is there
        self._update, self._scratch, self._capture = update, scratch, capture
        self._source: Call | None = None
        self._constants: dict[str, Any] = {**network.program.constants, **constants}
        state = {**parameters, **statistics}
        self._standing: dict[str, Any] = self._constants | (state if backend.writable else {})
        self._values = dict(self._standing)
        self._published: dict[str, Any] = {}
        self._changing: dict[str, Changing] = {}
        self._varying, self._outputs = tuple(network.program.varying.items()), tuple(network.outputs.items())
        self._x: Array | None = None
        self._y: Array | None = None
        self._weights: Array | None = None
        self._moving = not backend.writable  # parameters and statistics are new arrays after each update
        self._unbound = buffers and backend.writable
        self._places: dict[str, Array] = {}
        self._calls: list[Call] = []
        self._before: list[tuple[Record, Call]] = []
        self._copied: set[str] = set()
        self._link(self.records, {})

    def run(
        self,
        x: Array,
        y: Array | None,
        step: int,
        sample_weight: Array | None = None,
        offset: int = 0,
        source: Call | None = None,
    ) -> dict[str, Any]:
        """Run the program; return ``y_pred``, ``data_loss`` and ``loss``, as far as the network has them.

        The predictions may lie in the workspace: they are good until the next run. The loss is always a new array.
        ``offset`` counts the samples of the update that came before this batch; ``source`` puts the batch into x and y.
        """
        self._prepare(x, y, step, sample_weight, offset, source)
        for call in self._calls:
            call()
        values, published = self._values, self._published
        returned = {role: published[name] if name in published else values[name] for role, name in self._outputs}
        for name in self._passing:
            values[name] = None
        return returned

    def one_by_one(self, x: Array, y: Array | None, step: int) -> list[tuple[Record, Call]]:
        """The program as single ops, ready to run on this batch: each call once and in order makes the step."""
        self._prepare(x, y, step, None)
        return list(zip(self._listed, self._single, strict=True))

    def need(self) -> Need:
        """What the batch takes that the plan was given, also where there was no room for it."""
        assert self._x is not None
        room = self._room
        rows = int(self._x.shape[0])
        if room is None:  # each value is an array of its own, until the next run
            shapes = self._shapes()
            sizes = [
                prod(shapes[name]) for step in self.records for name in step.outputs if shapes[name][:1] == (rows,)
            ]
            room = sum(sizes) * self.backend.itemsize
        return Need(rows, room, array_bytes(self.backend, self._x, self._y, self._weights))

    def shape(self, name: str) -> Shape:
        """The shape of a value in the latest run; that of a number is ()."""
        value = self._places.get(name, self._values.get(name))
        if value is None and self._update is not None:
            value = self._update.array(name)
        return _check.shape(value) if hasattr(value, "shape") else ()

    def _prepare(
        self,
        x: Array,
        y: Array | None,
        step: int,
        weights: Array | None,
        offset: int = 0,
        source: Call | None = None,
    ) -> None:
        values = self._values
        if source is not self._source:  # before arrays are moved: in a step with this source
            self._source = source
            self._compile()
        if x is not self._x or y is not self._y or weights is not self._weights:
            self._take(x, y, weights)
            if self._unbound:
                self._bind()
        if self._moving:
            values |= self.parameters
            values |= self.statistics
        if self._varying:
            moment = Moment(step, offset)
            for name, make in self._varying:
                if name in self._changing:
                    self._changing[name].value = make(moment)
                else:
                    values[name] = make(moment)
        if self._update is not None:
            self._update.prepare(step)

    def release(self) -> None:
        """Let go of the arrays that the last run was given."""
        self._source = None
        if self._x is not None:
            stand_in = self.backend.ops.linker.stand_in
            given = (self._x, self._y, self._weights)
            self._take(*(None if array is None else stand_in(array) for array in given))

    def _take(self, x: Array | None, y: Array | None, weights: Array | None) -> None:
        """Read these arrays from now on: move the bound calls that hold the old ones over, or bind them anew."""
        given, held_before = (x, y, weights), (self._x, self._y, self._weights)
        pairs = [(old, new) for old, new in zip(held_before, given, strict=True) if new is not None]
        self._x, self._y, self._weights = given
        self._values |= {name: a for name, a in zip(_GIVEN, given, strict=True) if name not in self._copied}
        if x is not None:
            for view in self._views:
                self._see(view)
        if not self._reading:
            return
        held = [self._single[index] for index, _ in self._reading]
        # what a step puts into x by itself is not there yet when it would be copied to another place
        movable = x is not None and self._source is None and not any(map(self._is_own, held_before))
        if movable and self.backend.ops.linker.move(held, self._calls, pairs):
            return
        for index, step in self._reading:
            self._single[index] = _unready if x is None else self._bound(step)
        self._compile()

    def _is_own(self, array: Array | None) -> bool:
        """Whether an array lies in the model's own memory, so that addresses do not tell what is meant."""
        whole = getattr(array, "base", None)
        flats = (buffer.flat for buffer in (self.parameters, self.gradients, self.statistics))
        return whole is not None and any(whole is flat or whole is getattr(flat, "base", None) for flat in flats)

    # -- making the calls

    def _compile(self) -> None:
        first = [] if self._source is None else [self._source]
        self._calls = self.backend.compile_step([*first, *self._single], capture=self._capture)

    def _see(self, step: Record) -> None:
        """Make a view of values that stay where they are, once and for all."""
        (name,) = step.outputs
        self._values[name] = step.function(self.backend.ops)(*[self._values[name] for name in step.inputs])

    def _link(self, records: Sequence[Record], shapes: dict[str, Shape]) -> None:
        """The records as calls: bound where ``shapes`` are known and every argument stays where it is."""
        ops, values = self.backend.ops, self._values
        fixed = {*_GIVEN, *self._standing, *self._changing}
        self._listed: list[Record] = []  # what each call does
        self._single: list[Call] = []
        for step, call in self._before:
            self._append(step, call)
        self._reading: list[tuple[int, Record]] = []  # bound calls that hold x or y
        self._passing: list[str] = []  # values that are new arrays in each run
        self._views: list[Record] = []  # views of x or y
        given = {name for name in _GIVEN if name not in self._copied}  # what is another array from time to time
        late: list[tuple[Record, Call]] = []  # sums of losses, which should not stand between bound calls
        for step in records:
            placed = {name: self._places[name] for name in step.outputs if name in self._places}
            if step.op in ops.kernels:
                values |= placed
                fixed |= placed.keys()
            unplaced = [name for name in step.outputs if name not in fixed]
            if step.op in VIEWS and shapes and ops.linker.whole and fixed.issuperset(step.inputs):
                self._see(step)
                fixed.update(step.outputs)
                if given.intersection(step.inputs):
                    given.update(step.outputs)
                    self._views.append(step)
                continue
            bindable = step.op in ops.kernels and fixed.issuperset(step.inputs) and bool(shapes)
            if bindable and not any(shapes[name] for name in unplaced):
                if given.intersection(step.inputs):
                    self._reading.append((len(self._single), step))
                self._append(step, self._bound(step))
            elif step.op == "add" and shapes.get(step.outputs[0]) == ():
                late.append((step, self._by_name(step)))
            else:
                self._append(step, self._by_name(step))
                self._passing += unplaced
        self._passing = [name for name in self._passing if name not in self.network.outputs.values()]
        self._write(self.gradients, {name: key for key, name in self.network.gradients.items()}, fixed)
        self._write(self.statistics, self.network.remembered, fixed)
        if self._update is not None:
            for step, call in zip(self._update.records, self._update.calls, strict=True):
                self._append(step, call)
        for step, call in late:
            self._append(step, call)
        numbers = [name for name in self.network.outputs.values() if shapes.get(name) == () and name in self._places]
        if numbers:
            results = {name: self._places[name] for name in dict.fromkeys(numbers)}
            publish = ops.linker.publish(results, self._published)
            self._append(Record("copy", tuple(results), tuple(results)), publish)
        self._compile()

    def _bound(self, step: Record) -> Call:
        values = self._values
        kernel = self.backend.ops.kernels[str(step.op)]
        call = kernel(*[values[name] for name in step.inputs], out=self._buffers(step), scratch=self._scratch)
        new = [(name, index) for index, name in enumerate(step.outputs) if name not in self._places]
        if not new:
            return call
        ((name, index),) = new  # the loss: no op makes more than one number
        return Kept(call, values, name, index if len(step.outputs) > 1 else None)

    def _by_name(self, step: Record) -> Call:
        values, inputs = self._values, step.inputs
        function, out = step.function(self.backend.ops), None
        if step.op in self.backend.ops.honours:
            out = self._buffers(step)

        def several() -> None:
            values.update(results(step, function(*[values[name] for name in inputs], out=out)))

        def single() -> None:
            values[step.outputs[0]] = function(*[values[name] for name in inputs], out=out)

        return single if len(step.outputs) == 1 else several

    def _buffers(self, step: Record) -> Any:
        buffers = tuple(self._places.get(name) for name in step.outputs)
        return buffers if len(buffers) > 1 else buffers[0]

    def _append(self, step: Record, call: Call) -> None:
        self._listed.append(step)
        self._single.append(call)

    def _write(self, buffer: Buffer, keys: dict[str, str], fixed: set[str]) -> None:
        """A call that copies into a buffer, by their keys, the values that the calls before it did not write there."""
        there = fixed.union(*(parts(name) for name in fixed))
        loose = {key: name for name, key in keys.items() if name not in there}
        if loose:
            write = partial(_write, buffer, loose, self._values)
            self._append(Record("copy", tuple(loose.values()), tuple(loose.values())), write)

    # -- binding

    def _bind(self) -> None:
        """Give values their places and bind the ops to them."""
        self._unbound = False
        ops = self.backend.ops
        if not ops.honours:
            return
        targets, wanted = self.network.targets, self.network.outputs.values()
        self._places = {name: self.gradients[key] for name, key in targets.items()}
        shapes = self._shapes()  # before statistics have places: the empty batch must not be remembered
        remembered = self.network.remembered
        self._places |= {name: self.statistics[key] for name, key in remembered.items()}
        whole = ops.linker.whole
        places = place(
            self.records, shapes, ops.honours, elsewhere={*targets, *remembered}, wanted=wanted, scalars=whole
        )
        columns = columns_of(self.records, shapes) if ops.by_columns else set()
        records: list[Record] = self.records
        extended = extend(places, self.records, shapes, columns, self._adjacent)
        if ops.kernels:
            records = join_products(records, extended, self._adjacent)
            records = join_penalties(records, self._constants, self._adjacent)
        self._room = places.layout(extended, self.backend.itemsize).size * self.backend.itemsize
        self.workspace = Workspace(places, self.backend, by_columns=columns, extended=extended)
        self._places |= {name: view for name, view in self.workspace.views.items() if name != "x"}
        self._add_joints(records)
        if "x" in extended:
            self._before.append(self._copy("x", self.workspace.views["x"]))
        if whole:
            self._changing = {name: Changing(make(Moment(0))) for name, make in self._varying}
            self._values |= self._changing
        elif ops.kernels and self._y is not None and prod(self._y.shape) <= SMALL:
            self._copied.add("y")  # so that nothing need be bound anew for the next batch's targets
            flat = self.backend.zeros(prod(self._y.shape), dtype=self._y.dtype)
            self._values["y"] = self.backend.xp.reshape(flat, self._y.shape)
            self._before.append(self._copy("y", self._values["y"]))
        self._link(records, shapes)

    def _shapes(self) -> dict[str, Shape]:
        """Every value's shape. An empty batch shows it: the axis of length 0 is that of the samples."""
        assert self._x is not None
        ops, xp, dtype, device = self.backend.ops, self.backend.xp, self.backend.dtype, self.backend.device
        given = zip(_GIVEN, (self._x, self._y, self._weights), strict=True)
        values = self._values | {name: None if array is None else array[:0, ...] for name, array in given}
        values |= {name: make(Moment(0)) for name, make in self._varying}
        with self.backend.quiet():
            for step in self.records:
                if step.shapes:
                    shapes = [tuple(0 if size is None else size for size in shape) for shape in step.shapes]
                    returned: Any = [xp.zeros(shape, dtype=dtype, device=device) for shape in shapes]
                    returned = returned if len(returned) > 1 else returned[0]
                else:
                    out = self._buffers(step) if step.op in ops.honours else None
                    returned = step.function(ops)(*[values[name] for name in step.inputs], out=out)
                values.update(results(step, returned))
        names = {"x", *(name for step in self.records for name in step.outputs)}
        samples = int(self._x.shape[0])
        return {name: tuple(size or samples for size in _check.shape(values[name])) for name in names}

    def _copy(self, name: str, place: Array) -> tuple[Record, Call]:
        """A call that copies x or y to its place."""

        def copy_x() -> None:
            place[...] = self._x

        def copy_y() -> None:
            place[...] = self._y

        return Record("copy", (name,), (name,)), copy_x if name == "x" else copy_y

    def _add_joints(self, records: Sequence[Record]) -> None:
        """The views that stand behind the joint names in records."""
        assert self.workspace is not None
        for step in records:
            for name in (*step.inputs, *step.outputs):
                first, second = parts(name)
                if second == ONES:
                    self._standing[name] = self.workspace.extended[first]
                elif second:
                    views = self._standing if name in step.inputs else self._places
                    views[name] = self._joint(first, second)
                    self._standing |= {part: self._places[part] for part in (first, second) if part in self._places}
        self._values |= self._standing

    def _adjacent(self, first: str, second: str) -> bool:
        return self._joint(first, second) is not None

    def _joint(self, first: str, second: str) -> Array | None:
        """Two parameters, or the gradients of two, as one view, where one lies directly after the other."""
        if first in self.parameters:
            return self.parameters.joint(first, second)
        targets = self.network.targets
        return self.gradients.joint(targets[first], targets[second]) if {first, second} <= targets.keys() else None


def _write(buffer: Buffer, names: dict[str, str], values: dict[str, Any]) -> None:
    buffer.write({key: values[name] for key, name in names.items()})


def _unready() -> None:
    raise RuntimeError("the plan has no arrays to read")
