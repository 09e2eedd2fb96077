"""A network on a backend: its arena, its plans and its update. It takes arrays that were checked at the door."""

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from nnxp import _check
from nnxp._types import Array, Arrays, Shape
from nnxp.backend import Backend, Purpose
from nnxp.errors import OrderError
from nnxp.layers import Layer, RecordedLayer
from nnxp.layers._base import join
from nnxp.losses import Loss, on_backend
from nnxp.ops import Call
from nnxp.ops.record import run
from nnxp.optimizers import GradientOptimizer, Optimizer
from nnxp.parameters import Buffer, Layout, Segment
from nnxp.training.memory import Need
from nnxp.training.parts import Data, add_results, part_of, parts_of
from nnxp.training.plan import Plan
from nnxp.training.program import Mode, Network, write
from nnxp.training.update import Update

__all__ = ["Counts", "Engine", "Snapshot"]

_PLANS = 16
"""Plans that are kept; the one not used for longest goes first, with its workspace."""

TRAIN = Mode(training=True, loss=True, gradients=True, predictions=False, update=True, remembers=True)
TRAIN_WITH_METRICS = Mode(training=True, loss=True, gradients=True, predictions=True, update=True, remembers=True)
GRADIENTS = Mode(training=True, loss=True, gradients=True, predictions=False)
TRY = Mode(training=True, loss=True, gradients=False, predictions=False, remembers=True)
TRY_WITH_METRICS = Mode(training=True, loss=True, gradients=False, predictions=True, remembers=True)
EVALUATE = Mode(training=False, loss=True, gradients=False, predictions=True)
PREDICT = Mode(training=False, loss=False, gradients=False, predictions=True)
FIRST_PART = Mode(training=True, loss=True, gradients=True, predictions=False, remembers=True)
FIRST_PART_WITH_METRICS = replace(FIRST_PART, predictions=True)
LATER_PART = replace(FIRST_PART, penalties=False)
LATER_PART_WITH_METRICS = replace(LATER_PART, predictions=True)
STILL_GRADIENTS = Mode(training=False, loss=True, gradients=True, predictions=False)


Counts: TypeAlias = tuple[tuple[str, str, tuple[float, ...]], ...]
"""What a training step counts: see `nnxp.training.program.Mode`."""


def _part_key(mode: Mode, data: Data, part: slice) -> tuple[Any, ...]:
    """Where the plan of a batch's part is kept: not where that of a batch of the part's size is."""
    (x, y, sample_weight), rows = data, part.stop - part.start
    return mode, (rows, *x.shape[1:]), (rows, *y.shape[1:]), sample_weight is None, x.shape[0]


@dataclass
class Remembered:
    """What layers remember without training it: the statistics, and the buffers of the user's own layers by path."""

    statistics: Array
    buffers: dict[str, Arrays]


@dataclass
class Snapshot:
    """What training changes, as it was: flat buffers, what layers remember, the number of updates, the optimizer."""

    flats: dict[str, Array]
    remembered: Remembered
    step: int
    optimizer: Optimizer
    optimizer_start: int
    rate_factor: float


class Engine:
    """Built once for an input shape."""

    def __init__(self, root: Layer, loss: Loss, optimizer: Optimizer, backend: Backend, input_shape: Shape) -> None:
        self.root, self.loss, self.backend = root, loss, backend
        self.input_shape = input_shape
        self.output_shape = root.build(input_shape, backend)
        self.step = 0
        self.planned = True
        self._graph = True
        self.averaged = False  # whether the parameters are their moving average at the moment
        self._leaves = list(root.leaves())
        # a leaf that never says what it remembers does not: most have nothing, and are not asked in every epoch
        own = [(path, leaf) for path, leaf in self._leaves if not isinstance(leaf, RecordedLayer)]
        self._remembering = [(path, leaf) for path, leaf in own if type(leaf).buffers is not Layer.buffers]
        values = {path: leaf.parameters() for path, leaf in self._leaves}
        remembered = {path: leaf.buffers() for path, leaf in self._leaves if isinstance(leaf, RecordedLayer)}
        layout = _layout(values, backend)
        self.parameters, self.gradients = Buffer(layout, backend), Buffer(layout, backend)
        self.statistics = Buffer(_layout(remembered, backend), backend)
        self._scratch = backend.ops.scratch()
        kernel = backend.ops.kernels.get("all_finite")
        self._all_finite = (
            kernel(self.parameters.flat) if kernel else lambda: backend.ops.all_finite(self.parameters.flat)
        )
        self._plans: OrderedDict[Any, Plan] = OrderedDict()
        self._modes: dict[tuple[Mode, Counts], Mode] = {}
        self._need: Need | None = None
        self.use(optimizer)
        self.parameters.write(_flat(values))
        self.statistics.write(_flat(remembered))
        self._hand_out(self._leaves)

    def use(self, optimizer: Optimizer) -> None:
        """Update with this optimizer from now on: its slots are zero, and it counts its steps from here."""
        multipliers = optimizer.multipliers(self.parameters)
        layout, backend = self.parameters.layout, self.backend
        self.optimizer = optimizer
        self.frozen = frozenset(key for key, multiplier in multipliers.items() if multiplier == 0)
        self.gradients.replace(backend.zeros(layout.size))  # nothing will write those of what is frozen
        self._sum = Buffer(layout, backend) if optimizer.accumulate > 1 else None
        self.slots = {name: Buffer(layout, backend) for name in optimizer.memory}
        self._trained = {"w": self.parameters, **self.slots}  # what an update changes, as optimizers call it
        buffers = self._trained | {"g": self.gradients}
        self._update = Update(optimizer, buffers, self.backend, self._scratch, start=self.step)
        self._forget_plans()

    def _forget_plans(self) -> None:
        self._plans.clear()
        self._recent: tuple[Any, ...] | None = None
        self._current: Plan | None = None

    # -- running

    def train(
        self,
        x: Array,
        y: Array,
        sample_weight: Array | None = None,
        *,
        predictions: bool = False,
        source: Call | None = None,
        counts: Counts = (),
    ) -> dict[str, Any]:
        """One update on one batch; returns ``loss``, ``data_loss`` and perhaps ``y_pred``, from before the update.

        ``source`` puts the batch into the arrays; ``counts`` are made within the step, where it `counts_within`.
        """
        if self.averaged:
            self.require_own_parameters("training")
        if source is not None and not self._in_one:
            source()
        if not self.optimizer.needs_gradient:
            results = self._search(TRY_WITH_METRICS if predictions else TRY, x, y, sample_weight)
        elif self._sum is None:
            results = self.run(self._training_mode(predictions, counts), x, y, sample_weight, source)
            self._tell_layers()
        else:
            results = self._train_in_parts((x, y, sample_weight), self._sum, predictions=predictions)
            self._tell_layers()
        self.step += 1
        return results

    @property
    def _in_one(self) -> bool:
        """Whether an update is one run of one plan."""
        return self.optimizer.needs_gradient and self._sum is None

    @property
    def counts_within(self) -> bool:
        """Whether a training step counts for metrics by itself."""
        return self._in_one and self.backend.ops.linker.whole

    def _training_mode(self, predictions: bool, counts: Counts) -> Mode:
        mode = TRAIN_WITH_METRICS if predictions else TRAIN
        if not counts:
            return mode
        if (mode, counts) not in self._modes:
            self._modes[mode, counts] = replace(mode, counts=counts)
        return self._modes[mode, counts]

    def _train_in_parts(self, data: Data, total: Buffer, *, predictions: bool) -> dict[str, Any]:
        """One update by the gradients of a batch's parts, added up in ``total``."""
        made = []
        for part in parts_of(data[0].shape[0], self.optimizer.accumulate):
            made.append(self._run_part(data, part, predictions=predictions))
            if part.start:
                total.add(self.gradients.flat)
            else:
                total.replace(self.gradients.flat)
        self.gradients.replace(total.flat)
        self._update.run(self.step)
        return add_results(made, self.backend.xp)

    def _run_part(self, data: Data, part: slice, *, predictions: bool) -> dict[str, Any]:
        """Gradients of one part, as a share of the whole batch: the first part has the penalties."""
        first, later = (FIRST_PART, LATER_PART)
        if predictions:
            first, later = FIRST_PART_WITH_METRICS, LATER_PART_WITH_METRICS
        plan = self._find(_part_key(later if part.start else first, data, part), data[0])
        x, y, sample_weight = part_of(data, part)
        try:
            results = plan.run(x, y, self.step, sample_weight, part.start)
        except BaseException as error:
            self._give_up(plan, error)
            raise
        if predictions:  # which lie where the next part's will
            results["y_pred"] = self.backend.xp.asarray(results["y_pred"], copy=True)
        return results

    def run(
        self,
        mode: Mode,
        x: Array,
        y: Array | None = None,
        sample_weight: Array | None = None,
        source: Call | None = None,
    ) -> dict[str, Any]:
        """Run the plan of a mode; gradients, where it makes them, are left in `gradients`."""
        key = (mode, x.shape, None if y is None else y.shape, sample_weight is None)
        if key != self._recent or self._current is None:
            self._current = self._find(key, x)
            self._recent = key
        try:
            return self._current.run(x, y, self.step, sample_weight, source=source)
        except BaseException as error:
            self._give_up(self._current, error)
            raise

    def _give_up(self, plan: Plan, error: BaseException) -> None:
        """Forget a plan that failed, which may be half bound; where memory ran out, all plans, for they hold some."""
        if self.backend.adapter.shortage(error) is None:
            self._plans = OrderedDict((key, kept) for key, kept in self._plans.items() if kept is not plan)
            self._recent = self._current = None
            return
        with suppress(Exception):  # the estimate runs a batch of no rows, for which there may be no room either
            self._need = plan.need()
        self._forget_plans()

    def forget(self) -> Need | None:
        """Give back the memory of all plans; what the latest took that did not find room."""
        need, self._need = self._need, None
        self._forget_plans()
        return need

    def release(self, mode: Mode | None = None) -> None:
        """Let plans (of one mode) go of the arrays that they were given last."""
        for key, plan in self._plans.items():
            if mode is None or key[0] is mode:
                plan.release()

    def seen(self, x: Array, y: Array, sample_weight: Array | None = None) -> bool:
        """Whether a training plan for arrays like these is there already."""
        if self._sum is not None:
            first, *_ = parts_of(x.shape[0], self.optimizer.accumulate)
            return _part_key(FIRST_PART, (x, y, sample_weight), first) in self._plans
        mode = TRAIN if self.optimizer.needs_gradient else TRY
        return (mode, x.shape, y.shape, sample_weight is None) in self._plans

    def network(self, mode: Mode, *, fused: bool, weighted: bool = False) -> Network:
        """The program of a mode."""
        return write(self.root, self.loss, mode, fused=fused, weighted=weighted, frozen=self.frozen)

    def plan(self, mode: Mode, x: Array, y: Array) -> Plan:
        """The plan of a mode for arrays of these shapes."""
        return self._find((mode, x.shape, y.shape, True), x)

    def _find(self, key: tuple[Any, ...], x: Array) -> Plan:
        """The plan for a mode, the shapes of x and y (these also tell the kinds of targets apart), and no weights.

        The loss is divided as that of the batch x, of which the shapes may be a part's.
        """
        plan = self._plans.get(key)
        if plan is None:
            mode: Mode = key[0]
            constants = self.loss.constants((x.shape[0], *self.output_shape)) if mode.loss else {}
            plan = Plan(
                self.network(mode, fused=self.planned, weighted=not key[3]),
                self.backend,
                self.parameters,
                self.gradients,
                self.statistics,
                constants=on_backend(constants, self.backend),
                buffers=self.planned,
                update=self._update if mode.update else None,
                scratch=self._scratch,
                capture=self.graph and mode.update,
            )
            self._plans[key] = plan
            if len(self._plans) > _PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return plan

    def _search(self, mode: Mode, x: Array, y: Array, sample_weight: Array | None) -> dict[str, Any]:
        """One update without gradients; returns the results of the parameters before it."""
        ops, w, noise = self.backend.ops, self.parameters.copy(), Buffer(self.parameters.layout, self.backend)
        noise.write(self._noise())
        values = {"w": w, "noise": noise.flat, **self.optimizer.scalars(self.step - self.optimizer_start)}
        run(self.optimizer.records(), values, ops)
        candidate, remembered = values["candidate"], self.remembered()
        self.replace_parameters(candidate)
        try:
            candidate_loss = self.run(TRY, x, y, sample_weight)["loss"]
        finally:  # neither an error nor what layers remember of the candidate leaves a trace
            self.replace_parameters(w)
            self.remember(remembered)
        results = self.run(mode, x, y, sample_weight)  # after the candidate's run, which may use the same workspace
        self.replace_parameters(ops.keep_better(w, candidate, results["loss"], candidate_loss))
        return results

    def _noise(self) -> Arrays:
        """A draw from N(0, 1) for each parameter, for this step."""
        rng, asarray = self.backend.rng, self.backend.asarray
        draws = {
            key: rng.generator(Purpose.SEARCH, step=self.step, item=item).standard_normal(place.shape)
            for item, (key, place) in enumerate(self.parameters.layout.places.items())
        }
        return {key: asarray(draw, dtype=self.backend.dtype) for key, draw in draws.items()}

    def replace_parameters(self, flat: Array) -> None:
        """Take ``flat`` as the parameters."""
        self.parameters.replace(flat)
        self._tell_layers()

    def _tell_layers(self) -> None:
        """Where arrays are immutable, an update makes new ones: layers that hold them by themselves must be told."""
        if not self.backend.writable:
            self._hand_out([(path, leaf) for path, leaf in self._leaves if not isinstance(leaf, RecordedLayer)])

    @property
    def graph(self) -> bool:
        """Whether training steps may be captured as graphs, where the device has them."""
        return self._graph

    @graph.setter
    def graph(self, graph: bool) -> None:
        if graph != self._graph:
            self._graph = graph
            self._forget_plans()

    @property
    def update(self) -> Update:
        """The optimizer's records, bound to the arena."""
        return self._update

    @property
    def optimizer_start(self) -> int:
        """The step at which the optimizer began to count."""
        return self._update.start

    @optimizer_start.setter
    def optimizer_start(self, step: int) -> None:
        self._update.start = step

    @property
    def rate_factor(self) -> float:
        """A factor on the optimizer's learning rate, for callbacks to lower; a new optimizer begins with 1."""
        return self._update.factor

    @rate_factor.setter
    def rate_factor(self, factor: float) -> None:
        self._update.factor = factor

    def learning_rate(self) -> float | None:
        """The rate of the next update; None where there is no such thing."""
        optimizer = self.optimizer
        if not isinstance(optimizer, GradientOptimizer):
            return None
        return optimizer.rate(self.step - self.optimizer_start) * self.rate_factor

    def require_own_parameters(self, what: str) -> None:
        """Raise while the parameters are their moving average."""
        if self.averaged:
            raise OrderError(
                f"{what}: inside `with model.averaged():` the parameters are their moving average, and are put back "
                "at its end; do this outside of it."
            )

    def all_finite(self) -> bool:
        """Whether all parameters are finite numbers."""
        return bool(self._all_finite())

    # -- state

    def _hand_out(self, leaves: list[tuple[str, Layer]]) -> None:
        for path, leaf in leaves:
            names, prefix = tuple(leaf.parameters()), join(path, "")
            leaf.adopt(Segment(self.parameters, prefix, names), Segment(self.gradients, prefix, names))
            if isinstance(leaf, RecordedLayer):
                leaf.adopt_statistics(Segment(self.statistics, prefix, tuple(leaf.buffers())))

    def remembered(self) -> Remembered:
        """Copies of what layers remember without training it."""
        copy = self.backend.xp.asarray
        own = {path: {n: copy(a, copy=True) for n, a in leaf.buffers().items()} for path, leaf in self._remembering}
        return Remembered(self.statistics.copy(), own)

    def remember(self, remembered: Remembered) -> None:
        """Let layers remember this."""
        self.statistics.replace(remembered.statistics)
        for path, leaf in self._remembering:
            leaf.load_buffers(remembered.buffers[path])

    def snapshot(self, into: Snapshot | None = None) -> Snapshot:
        """A copy of what training changes; ``into`` lends its memory, and is what comes back."""
        if into is None or into.optimizer is not self.optimizer or not self.backend.writable:
            flats = {name: buffer.copy() for name, buffer in self._trained.items()}
            start, factor = self.optimizer_start, self.rate_factor
            return Snapshot(flats, self.remembered(), self.step, self.optimizer, start, factor)
        for flat, buffer in zip(into.flats.values(), self._trained.values(), strict=True):
            flat[...] = buffer.flat
        if self._remembering or self.statistics:
            into.remembered = self.remembered()
        into.step, into.optimizer_start, into.rate_factor = self.step, self._update.start, self._update.factor
        return into

    def restore(self, snapshot: Snapshot) -> None:
        """Put everything back to the snapshot."""
        if snapshot.optimizer is not self.optimizer:
            self.use(snapshot.optimizer)
        for name, buffer in self._trained.items():
            buffer.replace(snapshot.flats[name])
        self.remember(snapshot.remembered)
        self._hand_out(self._leaves)
        self.step, self.optimizer_start = snapshot.step, snapshot.optimizer_start
        self.rate_factor = snapshot.rate_factor

    def state(self) -> Arrays:
        """Host copies of parameters and of what layers remember, by key."""
        to_numpy = self.backend.to_numpy
        state = {}
        for path, leaf in self._leaves:
            for name, array in {**leaf.parameters(), **leaf.buffers()}.items():
                state[join(path, name)] = to_numpy(array)
        return state

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take checked host arrays as parameters and as what layers remember."""
        values = {key: self.backend.asarray(array, dtype=self.backend.dtype) for key, array in state.items()}
        self.parameters.write({key: values[key] for key in self.parameters})
        for path, leaf in self._leaves:
            leaf.load_buffers({name: values[join(path, name)] for name in leaf.buffers()})
        self._hand_out(self._leaves)

    def slot_state(self) -> dict[str, Arrays]:
        """Host copies of the optimizer's slots, by slot and key."""
        return {
            slot: {key: self.backend.to_numpy(a) for key, a in buffer.items()} for slot, buffer in self.slots.items()
        }

    def load_slot_state(self, state: Mapping[str, Mapping[str, Array]]) -> None:
        """Take host arrays as the optimizer's slots."""
        for slot, arrays in state.items():
            self.slots[slot].write({k: self.backend.asarray(a, dtype=self.backend.dtype) for k, a in arrays.items()})


def _layout(arrays: Mapping[str, Arrays], backend: Backend) -> Layout:
    """The layout of arrays by path and name: each path a group."""
    return Layout.of(
        [{join(path, n): _check.shape(a) for n, a in group.items()} for path, group in arrays.items()],
        backend.itemsize,
    )


def _flat(arrays: Mapping[str, Arrays]) -> Arrays:
    return {join(path, n): a for path, group in arrays.items() for n, a in group.items()}
