"""A gentle beginning."""

from collections.abc import Callable
from dataclasses import dataclass

from nnxp import _check
from nnxp.errors import ConfigurationError
from nnxp.schedules._base import Schedule

__all__ = ["LinearWarmup"]


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    r"""$\eta_t = s + (r_0 - s)\, t / T$ until step T, then $r_{t-T}$: a straight rise in front of the schedule r.

    ``schedule`` may be a plain rate; it begins at its own step 0 when the ``steps`` T of the rise are over. From a
    ``start`` s of 0 the very first update moves nothing.

    PyTorch builds this of a LinearLR, whose start is a share of the rate and above 0, and a SequentialLR. Keras's
    CosineDecay has a rise of this kind of its own (``warmup_steps``), and its ``warmup_target`` is our r₀.

    Source: Goyal et al., *Accurate, Large Minibatch SGD* (2017, arXiv:1706.02677), section 2.2.

    >>> from nnxp.schedules import StepDecay
    >>> rate = LinearWarmup(StepDecay(0.4, every=10, factor=0.5), steps=4)
    >>> [rate(step) for step in (0, 1, 4, 13, 14)]
    [0.0, 0.1, 0.4, 0.4, 0.2]
    """

    schedule: float | Schedule | Callable[[int], float]
    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.schedule, type):
            raise ConfigurationError(
                f"LinearWarmup: schedule must be an object such as schedules.CosineDecay(0.1, 1000), got the class "
                f"{self.schedule.__name__}."
            )
        if not callable(self.schedule):
            _check.positive("LinearWarmup", "schedule", self.schedule)
        _check.positive_int("LinearWarmup", "steps", self.steps)
        _check.non_negative("LinearWarmup", "start", self.start)

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self._behind(step - self.steps)
        return float(self.start + (self._behind(0) - self.start) * (step / self.steps))

    def _behind(self, step: int) -> float:
        """The rate of the schedule behind the rise."""
        return float(self.schedule(step) if callable(self.schedule) else self.schedule)
