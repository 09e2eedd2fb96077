"""Layers that state their steps as records: what all built-in layers are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

from nnxp import _check
from nnxp._types import Array, Arrays, Shape
from nnxp.backend import Backend, Purpose
from nnxp.errors import NotBuiltError, OrderError, ShapeError
from nnxp.initializers import Initializer
from nnxp.layers._base import Layer, join
from nnxp.ops.record import Moment, Program, Record, run
from nnxp.parameters import Buffer, Layout, Segment

__all__ = ["Parameter", "ParameterSpec", "RecordedLayer"]


@dataclass(frozen=True)
class ParameterSpec:
    """What a parameter will be, before anything is allocated."""

    shape: Shape
    initializer: Initializer


class Parameter:
    """An attribute that reads a view into the arena; assigning to it copies *into* the view."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, layer: None, owner: type) -> "Parameter": ...
    @overload
    def __get__(self, layer: "RecordedLayer", owner: type) -> Array: ...
    def __get__(self, layer: "RecordedLayer | None", owner: type) -> Any:
        return self if layer is None else layer.segment()[self.name]

    def __set__(self, layer: "RecordedLayer", value: Any) -> None:
        segment = layer.segment()
        backend, view = segment.buffer.backend, segment[self.name]
        value = backend.asarray(value, dtype=backend.dtype)
        if _check.shape(value) != _check.shape(view):
            raise ShapeError(
                f"{layer}: {self.name} has shape {_check.shape(view)}, got {_check.shape(value)}; "
                "transpose it, or build the layer for that shape."
            )
        segment.write({self.name: value})


class RecordedLayer(Layer):
    """A layer that is only names, shapes and records.

    Records use local names: ``x``, ``y``, ``dy``, ``dx``; a parameter's name and, for its gradient, the same with ``d``
    in front; a statistic's name and, for what it is after a training step, the same with ``next_`` in front; and the
    names of `constants` and `varying`. Without records the layer is the identity.
    """

    _parameters: Segment | None = None
    _gradients: Segment | None = None
    _statistics: Segment | None = None
    _cache: dict[str, Any] | None = None
    _backend: Backend | None = None
    _step: int = 0

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        """The output's shape and the parameters for inputs of this shape; allocates nothing."""
        return input_shape, {}

    def statistics(self, input_shape: Shape) -> dict[str, ParameterSpec]:
        """What the layer remembers from one training step to the next without learning it, such as running means."""
        return {}

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        """The steps from ``x`` to ``y``."""
        return ()

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        """The steps from ``dy`` to ``dx`` and the parameters' gradients."""
        return ()

    def constants(self) -> dict[str, Any]:
        """Numbers that the records read."""
        return {}

    def varying(self) -> dict[str, Callable[[Moment], Any]]:
        """What the records read and each update makes anew."""
        return {}

    def build(self, input_shape: Shape, backend: Backend) -> Shape:
        output_shape, specs = self.specify(input_shape)
        self._parameters = _begin(specs, backend)
        self._gradients = Segment(Buffer(self._parameters.buffer.layout, backend), "", tuple(specs))
        self._statistics = _begin(self.statistics(input_shape), backend)
        self._backend, self.input_shape, self.output_shape = backend, input_shape, output_shape
        return output_shape

    def segment(self) -> Segment:
        """The parameters' place in the arena."""
        if self._parameters is None:
            raise NotBuiltError(f"{self} has no parameters yet; call build(input_shape, backend), or build its model.")
        return self._parameters

    def adopt(self, parameters: Segment, gradients: Segment) -> None:
        self._parameters, self._gradients = parameters, gradients
        self._backend = parameters.buffer.backend

    def adopt_statistics(self, statistics: Segment) -> None:
        """Keep the statistics in a model's buffer from now on."""
        self._statistics = statistics

    def parameters(self) -> Arrays:
        return dict(self.segment())

    def gradients(self) -> Arrays:
        self.segment()
        return dict(self._gradients or {})

    def buffers(self) -> Arrays:
        return dict(self._statistics or {})

    def load_buffers(self, values: Mapping[str, Array]) -> None:
        if self._statistics:
            self._statistics.write(values)

    def forward(self, x: Array, *, training: bool = False) -> Array:
        self.segment()
        self.check_input(x)
        moment = Moment(self._step)
        values = {"x": x, **self.parameters(), **self.buffers(), **self.constants()}
        values |= {name: make(moment) for name, make in self.varying().items()}
        values["y"] = x
        run(self.forward_records(training=training), values, self._ops)
        self._cache = values | {"training": training}
        if training and self._statistics:
            self._statistics.write({name: values["next_" + name] for name in self._statistics})
        self._step += training
        return values["y"]

    def backward(self, dy: Array) -> Array:
        if self._cache is None:
            raise OrderError(
                f"{self}.backward needs a forward before it: call forward(x, training=True), then backward(dy)."
            )
        values, self._cache = self._cache | {"dy": dy, "dx": dy}, None
        run(self.backward_records(training=values["training"]), values, self._ops)
        if self._gradients:
            self._gradients.write({name: values["d" + name] for name in self._gradients})
        return values["dx"]

    @property
    def _ops(self) -> Any:
        assert self._backend is not None  # segment() has checked
        return self._backend.ops

    def trace(self, program: Program, path: str, x: str, *, training: bool) -> str:
        records = self.forward_records(training=training)
        name = partial(_global, path, {"x": x})
        program.inputs[path] = x
        program.records += [step.renamed(name) for step in records]
        program.constants |= {name(key): value for key, value in self.constants().items()}
        program.varying |= {name(key): make for key, make in self.varying().items()}
        if training:
            program.remembered |= {name("next_" + key): name(key) for key in self.buffers()}
        return name("y") if records else x

    def trace_backward(self, program: Program, path: str, dy: str, *, training: bool) -> str:
        records = self.backward_records(training=training)
        name = partial(_global, path, {"x": program.inputs[path], "dy": dy})
        program.records += [step.renamed(name) for step in records]
        return name("dx") if records else dy


def _begin(specs: dict[str, ParameterSpec], backend: Backend) -> Segment:
    """Arrays with their initial values, in a buffer of their own."""
    layout = Layout.of([{name: spec.shape for name, spec in specs.items()}], backend.itemsize)
    segment = Segment(Buffer(layout, backend), "", tuple(specs))
    draws = {
        name: spec.initializer.sample(spec.shape, backend.rng.generator(Purpose.INITIALIZE, item=item))
        for item, (name, spec) in enumerate(specs.items())
    }
    segment.write({name: backend.asarray(draw, dtype=backend.dtype) for name, draw in draws.items()})
    return segment


def _global(path: str, given: dict[str, str], local: str) -> str:
    return given.get(local) or join(path, local)
