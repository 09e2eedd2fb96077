"""Callbacks that watch one number: when it no longer improves, they lower the rate or end training."""

from collections.abc import Mapping
from math import inf
from typing import Any

from nnxp import _check
from nnxp.errors import ConfigurationError
from nnxp.training.callbacks import Callback
from nnxp.training.engine import Snapshot

__all__ = ["EarlyStopping", "ReduceOnPlateau"]


class _Watch:
    """The best value of a number so far, and for how many epochs it was not beaten."""

    def __init__(self, owner: str, monitor: str, minimum_delta: float, mode: str) -> None:
        self.owner, self.monitor = owner, monitor
        self.delta = _check.non_negative(owner, "minimum_delta", minimum_delta)
        self.sign = {"min": 1, "max": -1}[_check.choice(owner, "mode", mode, ("min", "max"))]
        self.best, self.waited = inf, 0

    def start(self) -> None:
        """Forget everything."""
        self.best, self.waited = inf, 0

    def improved(self, logs: Mapping[str, float]) -> bool:
        """Whether this epoch was the best, by more than the least difference that counts. NaN never is."""
        if self.monitor not in logs:
            raise ConfigurationError(
                f"{self.owner}: there is no {self.monitor!r} to monitor; the epoch logged {', '.join(logs)}. Names "
                "with val_ need validation_data."
            )
        value = self.sign * logs[self.monitor]
        better = value < self.best - self.delta
        if better:
            self.best = value
        self.waited = 0 if better else self.waited + 1
        return better


class ReduceOnPlateau(Callback):
    """Multiply the learning rate by ``factor`` when a number was not beaten for more than ``patience`` epochs.

    What changes is ``model.learning_rate_factor``, so a schedule goes on under it, and it is saved with the model. What
    was watched is not: each ``fit`` begins to watch anew.

    Parameters
    ----------
    monitor
        A name of the history: ``"val_loss"``, ``"loss"``, ``"val_accuracy"``, …
    factor
        In (0, 1).
    patience
        Epochs that may pass without a better value. As in PyTorch: with 10, the eleventh such epoch lowers the rate
        (Keras: the tenth).
    minimum_delta
        By how much a value must be better to count: a difference, as in Keras (PyTorch: by default a share).
    cooldown
        Epochs after a reduction that are not counted.
    minimum_rate
        No rate is made lower than this.
    mode
        ``"min"`` where lower is better, ``"max"`` where higher is.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        minimum_delta: float = 1e-4,
        cooldown: int = 0,
        minimum_rate: float = 0.0,
        mode: str = "min",
    ) -> None:
        name = "ReduceOnPlateau"
        self._watch = _Watch(name, monitor, minimum_delta, mode)
        self.factor = _check.positive(name, "factor", factor)
        if self.factor >= 1:
            raise ConfigurationError(f"{name}: factor must be below 1, because it lowers the rate, got {factor!r}.")
        self.patience = _check.non_negative_int(name, "patience", patience)
        self.cooldown = _check.non_negative_int(name, "cooldown", cooldown)
        self.minimum_rate = _check.non_negative(name, "minimum_rate", minimum_rate)
        self._resting = 0

    def on_train_begin(self, model: Any) -> None:
        if model.learning_rate is None:
            raise ConfigurationError(f"ReduceOnPlateau: {type(model.optimizer).__name__} has no learning rate.")
        self._watch.start()
        self._resting = 0

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        self._watch.improved(logs)
        if self._resting:
            self._resting -= 1
            self._watch.waited = 0
        if self._watch.waited > self.patience:
            self._lower(model)
            self._resting, self._watch.waited = self.cooldown, 0

    def _lower(self, model: Any) -> None:
        rate = model.learning_rate
        lower = max(rate * self.factor, self.minimum_rate)
        if lower < rate:
            model.learning_rate_factor *= lower / rate


class EarlyStopping(Callback):
    """End training when a number was not beaten for ``patience`` epochs.

    Parameters
    ----------
    monitor
        A name of the history: ``"val_loss"``, ``"loss"``, ``"val_accuracy"``, …
    patience
        Epochs without a better value after which training ends, at least 1.
    minimum_delta
        By how much a value must be better to count.
    mode
        ``"min"`` where lower is better, ``"max"`` where higher is.
    restore_best
        Whether the model is put back to its best epoch at the end, also where all epochs were made: parameters, the
        optimizer's memory and the number of updates, so training can go on from there. The history keeps all epochs.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 10,
        minimum_delta: float = 0.0,
        mode: str = "min",
        restore_best: bool = True,
    ) -> None:
        self._watch = _Watch("EarlyStopping", monitor, minimum_delta, mode)
        self.patience = _check.positive_int("EarlyStopping", "patience", patience)
        self.restore_best = _check.flag("EarlyStopping", "restore_best", restore_best)
        self._best: Snapshot | None = None

    def on_train_begin(self, model: Any) -> None:
        self._watch.start()
        self._best = None

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        if self._watch.improved(logs) and self.restore_best:
            self._best = model.engine.snapshot(into=self._best)
        if self._watch.waited >= self.patience:
            model.stop_training = True

    def on_train_end(self, model: Any) -> None:
        if self._best is not None:
            model.engine.restore(self._best)
        self._best = None
