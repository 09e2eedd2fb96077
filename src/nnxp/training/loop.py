"""The loop: epochs, batches, and what is measured on the way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from nnxp._types import Array
from nnxp.backend import Purpose
from nnxp.errors import TrainingError
from nnxp.metrics import Metric
from nnxp.training.callbacks import Callback
from nnxp.training.engine import EVALUATE, Engine
from nnxp.training.history import History
from nnxp.training.interrupt import Interrupt, deferred_interrupt
from nnxp.training.progress import Progress

__all__ = ["Fit", "evaluate", "slices"]


def slices(samples: int, batch_size: int | None) -> list[slice]:
    """The batches of an epoch; the last one takes what is left."""
    size = batch_size or samples
    return [slice(start, min(start + size, samples)) for start in range(0, samples, size)]


@dataclass
class _Tally:
    """Losses and metrics of several batches. Everything stays on the device until `read`."""

    engine: Engine
    metrics: Sequence[Metric]
    losses: list[Array] = field(default_factory=list)
    data_losses: list[Array] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    counts: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, results: dict[str, Any], y: Array) -> None:
        self.losses.append(results["loss"])
        self.data_losses.append(results["data_loss"])
        self.sizes.append(int(y.shape[0]))
        for metric in self.metrics:
            self.counts.append(metric.counts(self.engine.backend.ops, results["y_pred"], y))

    def read(self, *, penalty_once: bool) -> dict[str, float]:
        """The numbers of all batches together: metrics from added counts, losses by the loss's reduction."""
        read = self.engine.backend.read
        data_losses = read(self.data_losses)
        losses = read(self.losses) if self.losses[0] is not self.data_losses[0] else data_losses
        total, mean = sum(self.sizes), self.engine.loss.reduction == "mean"
        weights = [size / total if mean else 1.0 for size in self.sizes]
        data_loss = sum(w * value for w, value in zip(weights, data_losses, strict=True))
        loss = sum(w * value for w, value in zip(weights, losses, strict=True))
        if penalty_once:
            loss = data_loss + (losses[0] - data_losses[0])
        logs = {"loss": loss, "data_loss": data_loss}
        for index, metric in enumerate(self.metrics):
            rows = self.counts[index :: len(self.metrics)]
            logs[metric.name] = metric.result([self._sum(column) for column in zip(*rows, strict=True)])
        return logs

    def _sum(self, column: tuple[Any, ...]) -> float:
        if isinstance(column[0], int):
            return float(sum(column))
        return sum(self.engine.backend.read(list(column)))


def evaluate(engine: Engine, metrics: Sequence[Metric], x: Array, y: Array, batch_size: int | None) -> dict[str, float]:
    """Loss and metrics of a data set, whatever the batches: the penalty counts once."""
    tally = _Tally(engine, metrics)
    for part in slices(x.shape[0], batch_size):
        tally.add(engine.run(EVALUATE, x[part, ...], y[part, ...]), y[part, ...])
    return tally.read(penalty_once=True)


@dataclass
class Fit:
    """One call of ``fit``: data that was checked, and how to go through it."""

    model: Any
    engine: Engine
    metrics: Sequence[Metric]
    x: Array
    y: Array
    validation: tuple[Array, Array] | None
    epochs: int
    batch_size: int | None
    shuffle: bool
    callbacks: Sequence[Callback]
    history: History = field(default_factory=History)

    def run(self, progress: Progress) -> History:
        """Train; on Ctrl-C or any error, put the engine back to the last finished epoch and raise."""
        kept = self.engine.snapshot()
        self.model.stop_training = False
        try:
            with self.engine.backend.quiet(), deferred_interrupt() as interrupt, progress:
                for callback in self.callbacks:
                    callback.on_train_begin(self.model)
                for epoch in range(self.epochs):
                    logs = self._epoch(epoch, progress, interrupt)
                    kept = self.engine.snapshot(into=kept)
                    self.history.add(logs)
                    progress.epoch_done(epoch, logs)
                    for callback in self.callbacks:
                        callback.on_epoch_end(self.model, epoch, logs)
                    if self.engine.optimizer is not kept.optimizer:  # a callback's choice outlives an interrupt
                        kept = self.engine.snapshot()
                    interrupt.raise_if_requested()
                    if self.model.stop_training:
                        break
        except BaseException:
            self.engine.restore(kept)
            raise
        for callback in self.callbacks:
            callback.on_train_end(self.model)
        return self.history

    def _epoch(self, epoch: int, progress: Progress, interrupt: Interrupt) -> dict[str, float]:
        tally = _Tally(self.engine, self.metrics)
        for x, y in self._batches():
            tally.add(self.engine.train(x, y, predictions=bool(self.metrics)), y)
            progress.batch_done()
            interrupt.raise_if_requested()
        logs = tally.read(penalty_once=False)
        if not isfinite(logs["loss"]) or not self.engine.all_finite():
            raise TrainingError(self._diverged(epoch, logs["loss"]))
        if self.validation is not None:
            validation = evaluate(self.engine, self.metrics, *self.validation, self.batch_size)
            logs |= {"val_" + name: value for name, value in validation.items()}
        return logs

    def _batches(self) -> Iterator[tuple[Array, Array]]:
        parts = slices(self.x.shape[0], self.batch_size)
        if not (self.shuffle and self.batch_size):
            yield from ((self.x[part, ...], self.y[part, ...]) for part in parts)
            return
        backend = self.engine.backend
        order = backend.rng.generator(Purpose.SHUFFLE, step=self.engine.step).permutation(self.x.shape[0])
        order = backend.asarray(order, dtype=backend.integer_dtype)
        take = backend.ops.take_rows
        yield from ((take(self.x, order[part]), take(self.y, order[part])) for part in parts)

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
