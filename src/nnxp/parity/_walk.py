"""Op by op: each record of a training step on every backend, with the first backend's own inputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnxp._types import Array, Arrays
from nnxp.backend import Backend, Purpose, to_host
from nnxp.errors import ConfigurationError
from nnxp.ops.record import Moment, Record, results
from nnxp.parity._measure import Difference, measure
from nnxp.training import Model
from nnxp.training.engine import TRAIN_WITH_METRICS, TRY_WITH_METRICS

__all__ = ["Found", "State", "Walk"]


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


class Walk:
    """Steps through the training program of models that differ in nothing but the backend; the first is the standard.

    The program is the plain one: no op is fused, nothing is planned. Fused ops follow, with the same inputs.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models
        gradients = models[0].optimizer.needs_gradient
        mode = TRAIN_WITH_METRICS if gradients else TRY_WITH_METRICS
        self._networks = [model.engine.network(mode, fused=False) for model in models]
        plain = self._networks[0].program.records
        fused = models[0].engine.network(mode, fused=True).program.records
        self._fused = [step for step in fused if isinstance(step.op, str) and step not in plain]
        self._gradients = self._networks[0].gradients
        if len({tuple(map(_name, network.program.records)) for network in self._networks}) > 1:
            raise ConfigurationError(
                "parity: model_factory made other layers for another backend; it must make the same network each time."
            )

    def step(self, state: State, x: Array, y: Array) -> Iterator[Found]:
        """Every op of one update from this state on one batch of the standard's arrays; no model is left as it was."""
        for model in self._models:
            state.put(model)
        model, engine = self._models[0], self._models[0].engine
        program = self._networks[0].program
        values: dict[str, Any] = {"x": x, "y": y, **program.constants, **engine.parameters}
        values["divisor"] = engine.loss.divisor((x.shape[0], *engine.output_shape))
        values |= {name: make(Moment(state.step)) for name, make in program.varying.items()}
        for records in zip(*(network.program.records for network in self._networks), strict=True):
            yield from self._compare(records, values, state.step)
        for record in self._fused:
            yield from self._compare([record] * len(self._models), dict(values), state.step)
        engine.gradients.write({key: values[name] for key, name in self._gradients.items()})
        yield from self._update(model, state.step)

    def _update(self, model: Model, step: int) -> Iterator[Found]:
        update, backend = model.engine.update, model.backend
        update.prepare(step)
        values: dict[str, Any] = {}
        for record in update.records:
            values |= {name: update.value(name) for name in record.inputs if name not in values and name != "noise"}
            if "noise" in record.inputs:
                draw = backend.rng.generator(Purpose.USER, step=step).standard_normal(values["w"].shape)
                values["noise"] = backend.asarray(draw)
            yield from self._compare([record] * len(self._models), values, step)

    def _compare(self, records: Sequence[Record], values: dict[str, Any], step: int) -> Iterator[Found]:
        """Run one call on every backend; the standard's results join the values."""
        standard, *others = self._models
        record, op = records[0], _name(records[0])
        arguments = [values[name] for name in record.inputs]
        with standard.backend.quiet():
            made = dict(results(record, record.function(standard.backend.ops)(*arguments)))
        values |= made
        inputs, expected = list(map(_to_host, arguments)), list(map(_to_host, made.values()))
        for index, (model, other) in enumerate(zip(others, records[1:], strict=True)):
            with model.backend.quiet():
                returned = other.function(model.backend.ops)(*[_moved(model.backend, value) for value in inputs])
            found = [_to_host(value) for _, value in results(other, returned)]
            for name, difference in zip(record.outputs, measure(op, inputs, expected, found), strict=True):
                yield Found(index, op, name, step, difference)


def _name(record: Record) -> str:
    return record.op if isinstance(record.op, str) else "own layer"


def _to_host(value: Any) -> Any:
    """A host copy of an array; anything else, such as a number or a stream of random words, as it is."""
    return to_host(value).copy() if hasattr(value, "dtype") else value


def _moved(backend: Backend, value: Any) -> Any:
    """A host array on the backend, for itself alone."""
    if not isinstance(value, np.ndarray):
        return value
    return backend.asarray(value.copy(), dtype=backend.dtype if value.dtype.kind == "f" else backend.integer_dtype)
