"""The comparison: the same training on several backends."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Array, Arrays
from nnxp.backend import Backend, get_backend, to_host
from nnxp.errors import ConfigurationError
from nnxp.parity._measure import Difference
from nnxp.parity._paths import LOSS, Path, Yardstick
from nnxp.parity._report import Comparison, OpParity, Parity
from nnxp.parity._walk import Found, State, Walk, jolted_step
from nnxp.training import Model
from nnxp.training.door import convert_features

__all__ = ["compare"]

_JOLTED = 2
_JOLT = 1 / 8
"""The share of what rounding allows that it has in practice: a sum of K terms then errs by √K roundings."""
_CHAOS = 0.01
"""Where the yardstick is longer, every path is as good as another."""

ModelFactory = Callable[[Backend], Model]


def compare(
    model_factory: ModelFactory,
    x: Any,
    y: Any,
    *,
    backends: Sequence[str | Backend],
    steps: int = 10,
    dtype: str | None = None,
    seed: int | None = None,
    batch_size: int | None = None,
) -> Parity:
    """Run the same training on two or more backends, and say how far they part; the first one is the standard.

    What is compared, and how tolerances come about, is told in `nnxp.parity`.

    Parameters
    ----------
    model_factory
        ``model_factory(backend)`` makes a new model on that backend, the same network each time.
    x, y
        Data as for `Model.fit`. Batches are taken in order, and from the beginning again.
    backends
        Names (with the reference kernels), ``"NAME/KERNELS"`` such as ``"numpy/numba"``, or `Backend` objects.
    steps
        Updates.
    dtype, seed
        Of the backends that are given by name (default: float32 and 0).
    batch_size
        Samples an update; None takes all.

    Raises
    ------
    BackendError
        A backend cannot be used here.
    ConfigurationError
        There is nothing to compare: fewer than two backends, two data types, or a factory that makes other networks.
    """
    steps = _check.positive_int("parity.compare", "steps", steps)
    found = _backends(backends, dtype or "float32", seed or 0)
    names = [backend if isinstance(backend, str) else f"{backend.name}/{backend.kernels}" for backend in backends]
    batches = _Batches(x, y, batch_size)
    # For each backend a model that trains and one that is led from op to op, and two that are jolted.
    models, probes = ([_model(model_factory, backend, batches) for backend in found] for _ in range(2))
    jolted = [_model(model_factory, found[0], batches) for _ in range(_JOLTED)]
    _check_alike(models, names)
    run = _Run(models, probes, jolted, batches)
    for step in range(steps):
        run.step(step)
    comparisons = tuple(
        Comparison(name, str(backend.device), tally.rows, tuple(path.worst.values()), tally.first, path.first)
        for name, backend, tally, path in zip(names[1:], found[1:], run.tallies, run.paths, strict=True)
    )
    size = min(len(batches.x), batch_size or len(batches.x))
    where = str(found[0].device)
    type_name = _check.dtype_name(found[0].dtype)
    return Parity(names[0], where, type_name, steps, size, run.yardstick.parameters, run.chaotic_from, comparisons)


class _Run:
    """All models in step."""

    def __init__(
        self, models: Sequence[Model], probes: Sequence[Model], jolted: Sequence[Model], batches: "_Batches"
    ) -> None:
        self._models, self._jolted, self._batches = models, jolted, batches
        self._walk, self._probes = Walk(probes), probes
        self.yardstick = Yardstick(float(np.finfo(_check.dtype_name(models[0].backend.dtype)).eps))
        self.chaotic_from: int | None = None
        self.tallies, self.paths = [_Tally() for _ in models[1:]], [Path() for _ in models[1:]]
        standard = models[0].state_dict()
        for path, model in zip(self.paths, models[1:], strict=True):
            path.begin(standard, model.state_dict())

    def step(self, step: int) -> None:
        """One update: op by op from the standard's state, then everybody on their own."""
        for found in self._walk.step(State.of(self._models[0]), *self._batches.of(self._probes[0], step)):
            self.tallies[found.backend].add(found)
        standard = self._train(self._models[0], step)
        if self.chaotic_from is None:
            self._measure(step, standard)

    def _measure(self, step: int, standard: Arrays) -> None:
        """Let the others make the same step, and compare while there is something to compare with."""
        self.yardstick.look(standard)
        for number, model in enumerate(self._jolted):
            self.yardstick.widen(standard, self._jolted_step(model, number, step))
        if self.yardstick.parameters > _CHAOS:
            self.chaotic_from = step + 1
            return
        for path, model in zip(self.paths, self._models[1:], strict=True):
            path.add(step + 1, standard, self._train(model, step), self.yardstick)

    def _jolted_step(self, model: Model, number: int, step: int) -> Arrays:
        """The same with jolts; what takes its choices by comparing losses is not jolted."""
        if not model.optimizer.needs_gradient:
            return self._train(model, step)
        loss = jolted_step(model, *self._batches.of(model, step), number=number, share=_JOLT)
        return {LOSS: loss, **model.state_dict()}

    def _train(self, model: Model, step: int) -> Arrays:
        """One update; its loss and the new parameters, on the host."""
        with model.backend.quiet():
            loss = model.engine.train(*self._batches.of(model, step))["loss"]
        return {LOSS: to_host(loss).copy(), **model.state_dict()}


class _Tally:
    """What was found of each op on one backend."""

    def __init__(self) -> None:
        self._worst: dict[str, Found] = {}
        self._calls: dict[str, int] = {}
        self._ulp: dict[str, float] = {}
        self._first: Found | None = None

    def add(self, found: Found) -> None:
        """Another result of an op."""
        op, difference = found.op, found.difference
        self._calls[op] = self._calls.get(op, 0) + 1
        if difference.ulp is not None:
            self._ulp[op] = max(difference.ulp, self._ulp.get(op, 0.0))
        if op not in self._worst or difference.share > self._worst[op].difference.share:
            self._worst[op] = found
        if self._first is None and difference.share > 1:
            self._first = found

    @property
    def rows(self) -> tuple[OpParity, ...]:
        """A row for each op, in the order of the program."""
        return tuple(self._row(found, found.difference) for found in self._worst.values())

    @property
    def first(self) -> OpParity | None:
        """The first op that went beyond what rounding allows."""
        return None if self._first is None else self._row(self._first, self._first.difference)

    def _row(self, found: Found, of: Difference) -> OpParity:
        return OpParity(
            op=found.op,
            results=self._calls[found.op],
            share=of.share,
            ulp=self._ulp.get(found.op),
            value=found.value,
            step=found.step + 1,
            place=of.place,
            standard=of.standard,
            found=of.found,
            note=of.note,
        )


class _Batches:
    """The data's batches in order, over and over."""

    def __init__(self, x: Any, y: Any, batch_size: int | None) -> None:
        self.x, self.y = to_host(x), to_host(y)
        size = len(self.x) if batch_size is None else _check.positive_int("parity.compare", "batch_size", batch_size)
        self._parts = [slice(start, start + size) for start in range(0, len(self.x), size)]

    def of(self, model: Model, step: int) -> tuple[Array, Array]:
        """The batch of a step, as the model's own arrays."""
        part = self._parts[step % len(self._parts)]
        owner = next(leaf for _, leaf in model.root.leaves())
        x, _ = convert_features(self.x[part], owner, model.backend, model.input_scaling, warn=False)
        return x, model.loss.check(self.y[part], (x.shape[0], *model.output_shape), model.backend, values=True)


def _backends(backends: Sequence[str | Backend], dtype: str, seed: int) -> list[Backend]:
    if isinstance(backends, str | Backend) or len(backends) < 2:
        raise ConfigurationError(
            f'parity.compare: backends must be two or more, such as ("numpy", "torch"), got {backends!r}.'
        )
    return list(_named(backends, dtype, seed))


def _named(backends: Sequence[str | Backend], dtype: str, seed: int) -> Iterator[Backend]:
    for backend in backends:
        if isinstance(backend, str):
            name, _, kernels = backend.partition("/")
            yield get_backend(name, dtype=dtype, seed=seed, kernels=kernels or "reference")
        else:
            yield get_backend(backend)


def _model(model_factory: ModelFactory, backend: Backend, batches: _Batches) -> Model:
    model = model_factory(backend)
    if not isinstance(model, Model):
        raise ConfigurationError(f"parity.compare: model_factory must return a nnxp.Model, got {model!r}.")
    if model.backend.ops is not backend.ops or model.backend.dtype != backend.dtype:
        raise ConfigurationError(
            f"parity.compare: model_factory returned a model on {model.backend}, expected {backend}; give the model "
            "the backend that the factory gets: Model(…, backend=backend)."
        )
    model.build(batches.x.shape[1:])
    return model


def _check_alike(models: Sequence[Model], names: Sequence[str]) -> None:
    shapes = [{key: array.shape for key, array in model.state_dict().items()} for model in models]
    types = [_check.dtype_name(model.backend.dtype) for model in models]
    for name, own, type_name in zip(names[1:], shapes[1:], types[1:], strict=True):
        if own != shapes[0]:
            raise ConfigurationError(
                f"parity.compare: on {name} model_factory made parameters {own}, on {names[0]} {shapes[0]}; it must "
                "make the same network each time."
            )
        if type_name != types[0]:
            raise ConfigurationError(
                f"parity.compare: {names[0]} computes in {types[0]} and {name} in {type_name}; give both one dtype."
            )
