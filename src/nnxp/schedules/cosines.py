"""Rates that follow half a wave of a cosine: level at both ends, and fastest in the middle."""

from dataclasses import dataclass
from math import cos, pi

from nnxp import _check
from nnxp.errors import ConfigurationError
from nnxp.schedules._base import Schedule

__all__ = ["CosineDecay", "CosineRestarts", "OneCycle"]


@dataclass(frozen=True)
class CosineDecay(Schedule):
    r"""$\eta_t = m + (\eta - m)\,(1 + \cos(\pi t / T)) / 2$ until step T, then the ``minimum`` m.

    Keras's class of this name gives the minimum as a share ``alpha`` of the rate. PyTorch's CosineAnnealingLR agrees
    until T, and rises again behind it.

    Source: Loshchilov & Hutter, *SGDR* (ICLR 2017), equation 5, one period of it.

    >>> rate = CosineDecay(0.5, steps=100)
    >>> rate(0), round(rate(50), 12), rate(100), rate(101)
    (0.5, 0.25, 0.0, 0.0)
    """

    learning_rate: float
    steps: int
    minimum: float = 0.0

    def __post_init__(self) -> None:
        _check_fall("CosineDecay", self.learning_rate, self.steps, self.minimum)

    def __call__(self, step: int) -> float:
        return _between(self.learning_rate, self.minimum, min(step, self.steps) / self.steps)


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    r"""Cosine decays one after the other: the i-th takes $T_i = T f^i$ steps and begins at $m + (\eta - m)\, d^i$.

    ``steps`` T is the first period, ``factor`` f its growth, ``decay`` d that of the peaks above the ``minimum`` m, to
    which each period falls. The paper keeps d = 1 and doubles the periods.

    Keras's CosineDecayRestarts is the same (``t_mul``, ``m_mul``, and the minimum as a share ``alpha`` of the rate).
    PyTorch's CosineAnnealingWarmRestarts takes whole factors only, and has no d.

    Source: Loshchilov & Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts* (ICLR 2017), equation 5.

    >>> rate = CosineRestarts(0.5, steps=100, decay=0.5)
    >>> rate(0), rate(100), round(rate(200), 12), rate(300)
    (0.5, 0.25, 0.125, 0.125)
    """

    learning_rate: float
    steps: int
    factor: float = 2.0
    decay: float = 1.0
    minimum: float = 0.0

    def __post_init__(self) -> None:
        name = "CosineRestarts"
        _check_fall(name, self.learning_rate, self.steps, self.minimum)
        if _check.finite(name, "factor", self.factor) < 1:
            raise ConfigurationError(f"{name}: factor must be at least 1, or the periods end, got {self.factor!r}.")
        _check.up_to_one(name, "decay", self.decay)

    def __call__(self, step: int) -> float:
        period, done, length = self._period(step)
        peak = self.minimum + (self.learning_rate - self.minimum) * self.decay**period
        return _between(peak, self.minimum, done / length)

    def _period(self, step: int) -> tuple[int, float, float]:
        """The number of the period, the steps that it has done, and its length."""
        period, done, length = 0, float(step), float(self.steps)
        if self.factor == 1:
            return int(done // length), done % length, length
        while done >= length:
            period, done, length = period + 1, done - length, length * self.factor
        return period, done, length


@dataclass(frozen=True)
class OneCycle(Schedule):
    r"""A rise to the ``peak`` and a longer fall, by halves of cosines: from start·peak at step 0 over the peak at
    rise·steps to end·peak at ``steps``.

    ``rise``, ``start`` and ``end`` are shares; the fall ends far below the start. Smith rises and falls along straight
    lines, by equal numbers of steps, and then lowers the rate once more; the cosines and the defaults are PyTorch's
    (``pct_start``, ``div_factor`` = 1 / start, and ``final_div_factor`` = start / end).

    PyTorch's OneCycleLR counts to the last update instead: it reaches the peak at rise·N − 1 and the end at N − 1, so
    its ``total_steps`` N is one more than ``steps`` here. It moves the momentum against the rate, and refuses a step
    beyond N. Keras has no such schedule.

    Source: Smith & Topin, *Super-Convergence* (2017, arXiv:1708.07120).

    >>> rate = OneCycle(1.0, steps=100)
    >>> rate(0), rate(30), rate(100)
    (0.04, 1.0, 4e-06)
    """

    peak: float
    steps: int
    rise: float = 0.3
    start: float = 0.04
    end: float = 4e-6

    def __post_init__(self) -> None:
        _check.positive("OneCycle", "peak", self.peak)
        _check.positive_int("OneCycle", "steps", self.steps)
        for name in ("rise", "start", "end"):
            _check.fraction("OneCycle", name, getattr(self, name))

    def __call__(self, step: int) -> float:
        top = self.rise * self.steps
        if step < top:
            return _between(self.start * self.peak, self.peak, step / top)
        return _between(self.peak, self.end * self.peak, (min(step, self.steps) - top) / (self.steps - top))


def _between(first: float, last: float, done: float) -> float:
    r"""From ``first`` at 0 to ``last`` at 1, along half a cosine."""
    share = (1 + cos(pi * done)) / 2  # exactly 1 and 0 at the ends
    return float(share * first + (1 - share) * last)


def _check_fall(name: str, learning_rate: float, steps: int, minimum: float) -> None:
    _check.positive(name, "learning_rate", learning_rate)
    _check.positive_int(name, "steps", steps)
    if _check.non_negative(name, "minimum", minimum) > learning_rate:
        raise ConfigurationError(f"{name}: minimum must not be above learning_rate {learning_rate!r}, got {minimum!r}.")
