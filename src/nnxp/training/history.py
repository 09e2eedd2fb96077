"""What training printed, kept as numbers."""

__all__ = ["History"]


class History(dict[str, list[float]]):
    """A metric's name to its values, one Python float an epoch: ``history["loss"]``, ``history["val_accuracy"]``."""

    def add(self, logs: dict[str, float]) -> None:
        """Append one epoch."""
        for name, value in logs.items():
            if name not in self:
                self[name] = []
            self[name].append(value)

    @property
    def epochs(self) -> int:
        """How many epochs were finished."""
        return len(self.get("loss", []))
