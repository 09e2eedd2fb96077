"""Rates that stay, and rates that fall."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nnxp import _check
from nnxp.errors import ConfigurationError
from nnxp.schedules._base import Schedule

__all__ = ["Constant", "ExponentialDecay", "InverseTimeDecay", "PiecewiseConstant", "PolynomialDecay", "StepDecay"]


@dataclass(frozen=True)
class Constant(Schedule):
    r"""$\eta_t = \eta$: what a plain number says too, for where a schedule is asked for.

    >>> Constant(0.1)(1000)
    0.1
    """

    learning_rate: float

    def __post_init__(self) -> None:
        _check.positive("Constant", "learning_rate", self.learning_rate)

    def __call__(self, step: int) -> float:
        return float(self.learning_rate)


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    r"""$\eta_t = \eta / (1 + d\,t)$: the ``decay`` of the book *Neural Networks from Scratch*.

    Keras's class of this name divides t by ``decay_steps`` first; PyTorch has none.

    >>> rate = InverseTimeDecay(0.02, decay=0.01)
    >>> rate(0), rate(100)
    (0.02, 0.01)
    """

    learning_rate: float
    decay: float

    def __post_init__(self) -> None:
        _check.positive("InverseTimeDecay", "learning_rate", self.learning_rate)
        _check.non_negative("InverseTimeDecay", "decay", self.decay)

    def __call__(self, step: int) -> float:
        return float(self.learning_rate * (1.0 / (1.0 + self.decay * step)))


@dataclass(frozen=True)
class StepDecay(Schedule):
    r"""$\eta_t = \eta\, f^{\lfloor t / n \rfloor}$: times the ``factor`` f after ``every`` n updates.

    PyTorch's StepLR, with ``gamma`` for f; Keras's ExponentialDecay with ``staircase=True``.

    >>> rate = StepDecay(0.4, every=100, factor=0.5)
    >>> rate(99), rate(100), rate(200)
    (0.4, 0.2, 0.1)
    """

    learning_rate: float
    every: int
    factor: float

    def __post_init__(self) -> None:
        _check.positive("StepDecay", "learning_rate", self.learning_rate)
        _check.positive_int("StepDecay", "every", self.every)
        _check.up_to_one("StepDecay", "factor", self.factor)

    def __call__(self, step: int) -> float:
        return float(self.learning_rate * self.factor ** (step // self.every))


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    r"""$\eta_t = r_i$ for $b_i \le t < b_{i+1}$: ``boundaries`` b are the steps at which the rate changes.

    There is one rate more than boundaries: the first is for the steps before them. PyTorch's MultiStepLR changes at the
    same step, by a factor; Keras's PiecewiseConstantDecay changes one step later: its boundary is the last step of the
    rate before.

    >>> rate = PiecewiseConstant([100, 200], [0.1, 0.05, 0.01])
    >>> rate(99), rate(100), rate(1000)
    (0.1, 0.05, 0.01)
    """

    boundaries: Sequence[int]
    rates: Sequence[float]

    def __post_init__(self) -> None:
        name = "PiecewiseConstant"
        for field in ("boundaries", "rates"):
            if not isinstance(getattr(self, field), list | tuple):
                raise ConfigurationError(f"{name}: {field} must be a list of numbers, got {getattr(self, field)!r}.")
        boundaries = tuple(_check.positive_int(name, "each of boundaries", b) for b in self.boundaries)
        rates = tuple(_check.non_negative(name, "each of rates", rate) for rate in self.rates)
        if len(rates) != len(boundaries) + 1:
            raise ConfigurationError(
                f"{name}: rates must be one more than boundaries, got {len(rates)} rates for {len(boundaries)} "
                "boundaries."
            )
        if any(after <= before for before, after in pairwise(boundaries)):
            raise ConfigurationError(f"{name}: boundaries must rise from one to the next, got {list(boundaries)}.")
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "rates", rates)

    def __call__(self, step: int) -> float:
        return self.rates[sum(step >= boundary for boundary in self.boundaries)]


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    r"""$\eta_t = \eta\, f^{t / n}$: by the ``factor`` f in ``every`` n updates, a little in each.

    Keras's class of this name, with ``decay_rate`` for f and ``decay_steps`` for n. PyTorch's ExponentialLR has n = 1.

    >>> rate = ExponentialDecay(0.4, factor=0.25, every=100)
    >>> rate(0), rate(50), rate(100)
    (0.4, 0.2, 0.1)
    """

    learning_rate: float
    factor: float
    every: int = 1

    def __post_init__(self) -> None:
        _check.positive("ExponentialDecay", "learning_rate", self.learning_rate)
        _check.up_to_one("ExponentialDecay", "factor", self.factor)
        _check.positive_int("ExponentialDecay", "every", self.every)

    def __call__(self, step: int) -> float:
        return float(self.learning_rate * self.factor ** (step / self.every))


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    r"""$\eta_t = e + (\eta - e)(1 - t/T)^p$ until step T, then ``end`` e: by default a straight line to 0.

    Keras's class of this name has an end of 1e-4 by default, and can begin anew (``cycle=True``); PyTorch's
    PolynomialLR always ends at 0.

    >>> rate = PolynomialDecay(0.5, steps=100, end=0.25)
    >>> rate(0), rate(50), rate(100), rate(101)
    (0.5, 0.375, 0.25, 0.25)
    """

    learning_rate: float
    steps: int
    end: float = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        _check.positive("PolynomialDecay", "learning_rate", self.learning_rate)
        _check.positive_int("PolynomialDecay", "steps", self.steps)
        _check.non_negative("PolynomialDecay", "end", self.end)
        _check.positive("PolynomialDecay", "power", self.power)

    def __call__(self, step: int) -> float:
        left = 1 - min(step, self.steps) / self.steps
        return float(self.end + (self.learning_rate - self.end) * left**self.power)
