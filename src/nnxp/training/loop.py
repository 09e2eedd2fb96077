"""The loop: epochs, batches, and what is measured on the way."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, prod
from types import MappingProxyType
from typing import Any

from nnxp._types import Array, Shape
from nnxp.backend import Backend, Purpose
from nnxp.errors import TrainingError
from nnxp.metrics import Metric
from nnxp.metrics._base import Counting, columns_of, kept
from nnxp.ops import Call
from nnxp.training.callbacks import Callback
from nnxp.training.engine import EVALUATE, Counts, Engine
from nnxp.training.history import History
from nnxp.training.interrupt import Interrupt, deferred_interrupt
from nnxp.training.parts import Data, part_of
from nnxp.training.progress import Progress

__all__ = ["Batches", "Fit", "evaluate", "slices"]


def slices(samples: int, batch_size: int | None) -> list[slice]:
    """The batches of an epoch; the last one takes what is left."""
    size = batch_size or samples
    return [slice(start, min(start + size, samples)) for start in range(0, samples, size)]


class _Tally:
    """Losses and metrics of several batches. Everything stays on the device until `read`."""

    def __init__(self, engine: Engine, metrics: Sequence[Metric]) -> None:
        self.engine, self.metrics = engine, metrics
        self._losses: list[tuple[Array, Array]] = []
        self._sizes: list[int] = []
        self._counts: list[list[tuple[Any, ...]]] = [[] for _ in metrics]

    def add(self, results: dict[str, Any], y: Array, within: Mapping[int, Counting] = MappingProxyType({})) -> None:
        """The results of a batch; ``within`` are the metrics, by place, that were counted within its step."""
        self._losses.append((results["loss"], results["data_loss"]))
        self._sizes.append(y.shape[0])
        backend = self.engine.backend
        for index, (metric, counts) in enumerate(zip(self.metrics, self._counts, strict=True)):
            if index in within:
                counts.append((results[_count(index)], within[index].total))
            else:
                counts.append(kept(metric.counts(backend.ops, results["y_pred"], y), backend))

    def read(self, *, penalty_once: bool) -> dict[str, Any]:
        """The numbers of all batches together: metrics from merged counts, losses by the loss's reduction."""
        backend = self.engine.backend
        read = backend.adapter.read
        if len(self._losses) == 1:
            loss, data_loss = read(self._losses[0])
        else:
            numbers = read([number for column in zip(*self._losses, strict=True) for number in column])  # at once
            losses, data_losses = numbers[: len(self._losses)], numbers[len(self._losses) :]
            loss, data_loss = self._together(losses), self._together(data_losses)
            if penalty_once:
                loss = data_loss + (losses[0] - data_losses[0])
        logs = {"loss": loss, "data_loss": data_loss}
        for metric, counts in zip(self.metrics, self._counts, strict=True):
            logs[metric.name] = metric.result(metric.merge(columns_of(counts, backend)))
        return logs

    def _together(self, losses: list[float]) -> float:
        if self.engine.loss.reduction != "mean":
            return sum(losses)
        total = sum(self._sizes)
        return sum(size / total * value for size, value in zip(self._sizes, losses, strict=True))


_MOST_WITHIN = 4
"""Metrics that a step counts by itself, beside its two losses."""


def _count(index: int) -> str:
    """What a step calls the count of the metric at this place."""
    return f"count.{index}"


def evaluate(engine: Engine, metrics: Sequence[Metric], data: Data, batch_size: int | None) -> dict[str, Any]:
    """Loss and metrics of a data set, whatever the batches: the penalty counts once."""
    tally = _Tally(engine, metrics)
    for part in slices(data[0].shape[0], batch_size):
        x, y, weights = part_of(data, part)
        tally.add(engine.run(EVALUATE, x, y, weights), y)
    engine.release(EVALUATE)
    return tally.read(penalty_once=True)


class Batches:
    """The batches of each epoch. Shuffled ones are gathered into the same memory each time, where a kernel does it."""

    def __init__(self, engine: Engine, data: Data, batch_size: int | None, *, shuffle: bool) -> None:
        self._engine, self._data = engine, data
        self._parts = slices(data[0].shape[0], batch_size)
        self._shuffle = shuffle and batch_size is not None
        self._fixed = [data] if len(self._parts) == 1 else [part_of(data, part) for part in self._parts]
        self._buffers: dict[int, list[Array | None]] = {}
        self._gathers = self._resident()

    def of_epoch(self) -> Iterable[tuple[Data, Call | None]]:
        """The batches in their order, or in a new one; with the call that gathers it, where that is the step's."""
        if self._gathers:
            return self._gathered()
        return ((data, None) for data in (self._shuffled() if self._shuffle else self._fixed))

    def _shuffled(self) -> Iterator[Data]:
        order = self._new_order()
        for part in self._parts:
            room = self._room(part.stop - part.start)
            x, y, weights = map(self._take, self._data, (order[part],) * len(room), room)
            yield x, y, weights

    def _gathered(self) -> Iterator[tuple[Data, Call]]:
        if self._shuffle:
            self._order[...] = self._new_order()
        for part in self._parts:
            gather = self._gathers[part.stop - part.start]
            gather.start.value = part.start
            x, y, weights = gather.rows
            yield (x, y, weights), gather.link

    def _new_order(self) -> Array:
        backend, samples = self._engine.backend, self._data[0].shape[0]
        order = backend.rng.generator(Purpose.SHUFFLE, step=self._engine.step).permutation(samples)
        return backend.asarray(order, dtype=backend.integer_dtype)

    def _resident(self) -> dict[int, Any]:
        """Gathers by their number of rows, where a step gathers its batch from the data by itself."""
        backend, samples = self._engine.backend, self._data[0].shape[0]
        if len(self._parts) == 1 or not backend.ops.linker.whole:
            return {}
        self._order = backend.xp.arange(samples, dtype=backend.integer_dtype, device=backend.device)
        sizes = {part.stop - part.start for part in self._parts}
        gather, size = backend.ops.linker.gather, self._parts[0].stop
        gathers = {rows: gather(self._data, self._order, rows, size) for rows in sizes}
        return {} if None in gathers.values() else gathers

    def _take(self, array: Array | None, rows: Array, buffer: Array | None) -> Array:
        return None if array is None else self._engine.backend.ops.take_rows(array, rows, out=buffer)

    def _room(self, rows: int) -> list[Array | None]:
        if rows not in self._buffers:
            self._buffers[rows] = [_like(array, rows, self._engine.backend) for array in self._data]
        return self._buffers[rows]


def _like(a: Array | None, rows: int, backend: Backend) -> Array | None:
    """An array of so many rows like those of a; None where nothing writes into it."""
    if a is None or "take_rows" not in backend.ops.honours:
        return None
    shape = (rows, *a.shape[1:])
    return backend.xp.reshape(backend.zeros(prod(shape), dtype=a.dtype), shape)


@dataclass
class Fit:
    """One call of ``fit``: data that was checked, and how to go through it."""

    model: Any
    engine: Engine
    metrics: Sequence[Metric]
    data: Data
    validation: Data | None
    epochs: int
    batch_size: int | None
    shuffle: bool
    callbacks: Sequence[Callback]
    history: History = field(default_factory=History)
    _counted: dict[Shape, tuple[Mapping[int, Counting], Counts]] = field(default_factory=dict, init=False)

    def run(self, progress: Progress) -> History:
        """Train; on Ctrl-C or any error, put the engine back to the last finished epoch and raise."""
        kept = self.engine.snapshot()
        self.model.stop_training = False
        try:
            with self.engine.backend.quiet(), deferred_interrupt() as interrupt, progress:
                for callback in self.callbacks:
                    callback.on_train_begin(self.model)
                batches = Batches(self.engine, self.data, self.batch_size, shuffle=self.shuffle)
                for epoch in range(self.epochs):
                    logs = self._epoch(epoch, batches, progress, interrupt)
                    kept = self.engine.snapshot(into=kept)
                    self.history.add(logs)
                    progress.epoch_done(epoch, logs)
                    for callback in self.callbacks:
                        callback.on_epoch_end(self.model, epoch, logs)
                    if self.engine.optimizer is not kept.optimizer:  # a callback's choice outlives an interrupt
                        kept = self.engine.snapshot()
                    kept.rate_factor = self.engine.rate_factor  # and so does its rate
                    interrupt.raise_if_requested()
                    if self.model.stop_training:
                        break
        except BaseException:
            self.engine.restore(kept)
            raise
        finally:
            self.engine.release()
        for callback in self.callbacks:
            callback.on_train_end(self.model)
        return self.history

    def _epoch(self, epoch: int, batches: Batches, progress: Progress, interrupt: Interrupt) -> dict[str, Any]:
        tally, engine = _Tally(self.engine, self.metrics), self.engine
        for (x, y, weights), source in batches.of_epoch():
            within, counts = self._within(y.shape)
            predictions = len(within) < len(self.metrics)
            results = engine.train(x, y, weights, predictions=predictions, source=source, counts=counts)
            tally.add(results, y, within)
            progress.batch_done()
            interrupt.raise_if_requested()
        logs = tally.read(penalty_once=False)
        if not isfinite(logs["loss"]) or not engine.all_finite():
            raise TrainingError(self._diverged(epoch, logs["loss"]))
        if self.validation is not None:
            validation = evaluate(engine, self.metrics, self.validation, self.batch_size)
            logs |= {"val_" + name: value for name, value in validation.items()}
        return logs

    def _within(self, targets: Shape) -> tuple[Mapping[int, Counting], Counts]:
        """The metrics, by place, that a training step counts by itself, for targets of a shape; and what it is told."""
        if targets not in self._counted:
            predicted = (targets[0], *self.engine.output_shape)
            first = enumerate(self.metrics[:_MOST_WITHIN] if self.engine.counts_within else ())
            found = {index: metric.counting(predicted, targets) for index, metric in first}
            within = {index: counting for index, counting in found.items() if counting is not None}
            self._counted[targets] = within, tuple((_count(i), c.op, c.numbers) for i, c in within.items())
        return self._counted[targets]

    def _diverged(self, epoch: int, loss: float) -> str:
        what = "a parameter is not a finite number" if isfinite(loss) else f"the loss is {loss}"
        back = f"as it was after epoch {epoch}" if epoch else "as it was before training"
        rate = self.engine.learning_rate()
        remedy = (
            "Scale the inputs."
            if rate is None
            else f"Lower the learning rate (now {rate:g}), scale the inputs, or clip the gradients (clip_norm=1.0)."
        )
        return f"Training diverged in epoch {epoch + 1}: {what}. The model is {back}. {remedy}"
