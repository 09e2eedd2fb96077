"""What training printed, kept as numbers."""

from collections.abc import Mapping
from typing import Any

__all__ = ["History"]


class History(dict[str, list[Any]]):
    """A metric's name to its values, one Python float an epoch: ``history["loss"]``, ``history["val_accuracy"]``.

    A metric that is an array, such as a confusion matrix, is held as nested lists: a history is plain data.
    """

    def add(self, logs: Mapping[str, Any]) -> None:
        """Append one epoch."""
        for name, value in logs.items():
            if name not in self:
                self[name] = []
            self[name].append(value.tolist() if getattr(value, "ndim", 0) else value)

    @property
    def epochs(self) -> int:
        """How many epochs were finished."""
        return len(self.get("loss", []))
