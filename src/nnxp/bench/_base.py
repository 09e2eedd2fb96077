"""What the harness asks of a contender."""

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["Contender", "Stepwise"]


class Contender(ABC):
    """A network that is made from a `Workload`: its data, and weights that it draws and lets go."""

    @abstractmethod
    def losses(self, steps: int) -> list[float]:
        """The loss before each of the first steps, penalties included.

        Fewer than ``steps`` where only the first ones can be compared, none where nothing is learned.
        """

    @abstractmethod
    def train(self, steps: int) -> None:
        """What is timed, so many times over; all of it is done on return."""


class Stepwise(Contender):
    """A contender whose steps are calls."""

    @abstractmethod
    def step(self) -> Any:
        """One update on the batch; the loss before it, wherever it lies."""

    def penalty(self) -> float:
        """What `step` leaves out of the loss."""
        return 0.0

    def losses(self, steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            penalty = self.penalty()
            losses.append(float(self.step()) + penalty)
        return losses

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
