"""Callbacks: code of yours that runs between epochs."""

from collections.abc import Mapping
from typing import Any

__all__ = ["Callback"]


class Callback:
    """Override what you need. ``model.stop_training = True`` ends training after the epoch."""

    def on_train_begin(self, model: Any) -> None:
        """Before the first epoch."""

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, Any]) -> None:
        """After epoch ``epoch`` (from 0), with its row of the history; confusion matrices are arrays."""

    def on_train_end(self, model: Any) -> None:
        """After the last epoch; not after an error."""
