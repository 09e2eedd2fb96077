"""A training step taken apart: its records one by one, on one backend or on all from the same inputs.

The program is the plain one: nothing is fused, nothing is planned, every result is a new array.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnxp._types import Array, Arrays
from nnxp.backend import Backend, Purpose, Rng, to_host
from nnxp.errors import ConfigurationError
from nnxp.losses import on_backend
from nnxp.ops.record import Moment, Record, results
from nnxp.parity._bounds import allowed
from nnxp.parity._measure import Difference, measure
from nnxp.training import Model
from nnxp.training.engine import TRAIN_WITH_METRICS, TRY_WITH_METRICS, Snapshot
from nnxp.training.program import Network

__all__ = ["Found", "State", "Walk", "calls", "jolted_step"]

Values = dict[str, Any]


@dataclass(frozen=True)
class State:
    """Where a training stands, on the host."""

    parameters: Arrays
    slots: Mapping[str, Arrays]
    step: int

    @classmethod
    def of(cls, model: Model) -> "State":
        """A copy of a model's state."""
        return cls(model.state_dict(), model.engine.slot_state(), model.step)

    def put(self, model: Model) -> None:
        """Bring a model into this state."""
        model.load_state_dict(self.parameters)
        model.engine.load_slot_state(self.slots)
        model.engine.step = self.step


@dataclass(frozen=True)
class Found:
    """What one call of an op gave on one backend, beside the standard."""

    backend: int
    """The place of the backend among the others."""
    op: str
    value: str
    """The result's name in the program."""
    step: int
    difference: Difference


def network_of(model: Model, *, fused: bool = False) -> Network:
    """The training program of a model."""
    gradients = model.optimizer.needs_gradient
    return model.engine.network(TRAIN_WITH_METRICS if gradients else TRY_WITH_METRICS, fused=fused)


def calls(model: Model, x: Array, y: Array) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Each record of an update in turn, with the values that it reads by name, also those of the optimizer.

    x and y are arrays of the model's backend. Whoever asks puts the results among the values before asking for the next
    record. Nothing but the gradients' buffer is changed. An optimizer that takes a batch in parts is refused.
    """
    check_walkable(model)
    engine, network = model.engine, network_of(model)
    program = network.program
    values: Values = {"x": x, "y": y, **program.constants, **engine.parameters, **engine.statistics}
    values |= on_backend(engine.loss.constants((x.shape[0], *engine.output_shape)), engine.backend)
    values |= {name: make(Moment(model.step)) for name, make in program.varying.items()}
    for record in program.records:
        yield record, values
    engine.gradients.write({key: values[name] for key, name in network.gradients.items()})
    engine.update.prepare(model.step)
    values["w"] = engine.update.value("w")
    noise = model.backend.rng.generator(Purpose.USER, step=model.step).standard_normal(values["w"].shape)
    values["noise"] = model.backend.asarray(noise)  # for a random search
    for record in engine.update.records:
        values |= {name: engine.update.value(name) for name in record.inputs if name not in values}
        yield record, values


def check_walkable(model: Model) -> None:
    """Raise where a step is no single program."""
    optimizer = model.optimizer
    if optimizer.accumulate > 1:
        raise ConfigurationError(
            f"parity: {type(optimizer).__name__} has accumulate={optimizer.accumulate}, so it trains on each batch in "
            "parts, and ops are compared on whole batches; leave accumulate out, and give smaller batches instead."
        )


class Walk:
    """The steps of models that differ in nothing but the backend; the first is the standard."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models
        check_walkable(models[0])
        programs = [network_of(model).program.records for model in models]
        self._opaque = [[record for record in records if not isinstance(record.op, str)] for records in programs]
        plain = programs[0]
        fused = network_of(models[0], fused=True).program.records
        self._fused = [record for record in fused if isinstance(record.op, str) and record not in plain]
        if len({tuple(map(_name, records)) for records in programs}) > 1:
            raise ConfigurationError(
                "parity.compare: model_factory made other layers for another backend; it must make the same network "
                "each time."
            )

    def step(self, state: State, x: Array, y: Array) -> Iterator[Found]:
        """Every op of one update from this state, on one batch of the standard's arrays: first the plain program, then
        the fused ops that stand for parts of it. No model is left as it was.
        """
        for model in self._models:
            state.put(model)
        opaque = map(list, zip(*self._opaque, strict=True))
        fused = {id(record): record for record in self._fused}
        for record, values in calls(self._models[0], x, y):
            own = [record] * len(self._models) if isinstance(record.op, str) else next(opaque)
            yield from self._compare(own, values, state.step)
            for key, other in list(fused.items()):
                if values.keys() >= {*other.inputs, *other.outputs}:
                    yield from self._compare([fused.pop(key)] * len(self._models), dict(values), state.step)

    def _compare(self, records: Sequence[Record], values: Values, step: int) -> Iterator[Found]:
        """Run one call on every backend; the standard's results join the values."""
        standard, *others = self._models
        op, arguments = _name(records[0]), [values[name] for name in records[0].inputs]
        made = _run(records[0], standard.backend, arguments)
        values |= made
        inputs, expected = list(map(_on_host, arguments)), list(map(_on_host, made.values()))
        limits = allowed(op, expected, inputs)
        for index, (model, record) in enumerate(zip(others, records[1:], strict=True)):
            returned = _run(record, model.backend, [_moved(model.backend, value) for value in inputs])
            found = list(map(_on_host, returned.values()))
            for name, difference in zip(records[0].outputs, measure(op, expected, found, limits), strict=True):
                yield Found(index, op, name, step, difference)


def jolted_step(model: Model, x: Array, y: Array, *, number: int, share: float) -> Array:
    """One update in which every op's result is moved, at random, by up to a share of what rounding allows; its loss.

    The random numbers are a function of ``number`` and the step.
    """
    engine, backend = model.engine, model.backend
    random = Rng(number).generator(Purpose.USER, step=model.step)
    values: Values = {}
    for record, values in calls(model, x, y):
        arguments = [values[name] for name in record.inputs]
        made = _run(record, backend, arguments)
        expected = list(map(_on_host, made.values()))
        limits = allowed(_name(record), expected, list(map(_on_host, arguments)))
        for name, result, limit in zip(made, expected, limits, strict=True):
            moved = result + share * limit * random.uniform(-1, 1, result.shape) if result.dtype.kind == "f" else result
            values[name] = backend.asarray(moved)
    network = network_of(model)
    loss = _on_host(values[network.outputs["loss"]])
    engine.statistics.write({key: values[name] for name, key in network.remembered.items()})
    flats = {name: values[name] for name in ("w", *engine.slots)}
    start, factor = engine.optimizer_start, engine.rate_factor
    engine.restore(Snapshot(flats, engine.remembered(), model.step + 1, engine.optimizer, start, factor))
    return loss


def _run(record: Record, backend: Backend, arguments: Sequence[Any]) -> Values:
    with backend.quiet():
        return dict(results(record, record.function(backend.ops)(*arguments)))


def _name(record: Record) -> str:
    return record.op if isinstance(record.op, str) else "own layer"


def _on_host(value: Any) -> Any:
    """A host copy of an array; anything else, such as a number or a stream of random words, as it is."""
    return to_host(value).copy() if hasattr(value, "dtype") else value


def _moved(backend: Backend, value: Any) -> Any:
    """A host array on the backend, for itself alone."""
    if not isinstance(value, np.ndarray):
        return value
    return backend.asarray(value.copy(), dtype=backend.dtype if value.dtype.kind == "f" else backend.integer_dtype)
