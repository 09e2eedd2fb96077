"""What all schedules share."""

from abc import ABC, abstractmethod

__all__ = ["Schedule"]


class Schedule(ABC):
    """Immutable configuration; calling it with a step gives that update's learning rate."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The learning rate of update ``step``."""
