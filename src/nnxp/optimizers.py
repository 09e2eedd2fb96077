r"""Optimizers: what they are called, what they remember, and which op makes the update.

An optimizer is immutable configuration. Its state lies in the arena, one slot per name in ``slots``, so a model can be
saved, moved and resumed without asking the optimizer. ``learning_rate`` is a float or a schedule; steps count from 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import ClassVar

from nnxp import _check
from nnxp.ops.record import Record, record
from nnxp.schedules import Schedule

__all__ = ["SGD", "Adagrad", "Adam", "GradientOptimizer", "Optimizer", "RMSprop", "RandomSearch"]


class Optimizer(ABC):
    """What all optimizers share: slots of memory, records of one update, and the numbers that these read."""

    slots: ClassVar[tuple[str, ...]] = ()
    """Buffers of the parameters' size that an update remembers; they begin at zero."""
    needs_gradient: ClassVar[bool] = True
    """Whether an update reads the gradient ``g``. If not, its records make a ``candidate`` from ``w`` and ``noise``,
    drawn from N(0, 1), and the candidate is kept where its loss on the batch is the lower one."""

    @abstractmethod
    def records(self) -> tuple[Record, ...]:
        """One update, as records over flat buffers and over `scalars`."""

    def constants(self) -> dict[str, float]:
        """The numbers that every update reads: this configuration's own."""
        # as Python's floats, because NumPy's scalars would make float64 of float32 arrays
        return {name: float(value) for name, value in vars(self).items() if _is_number(value)}

    def varying(self, step: int) -> dict[str, float]:
        """The numbers that update ``step`` reads and the next one reads anew."""
        return {}

    def scalars(self, step: int) -> dict[str, float]:
        """All numbers that the records of update ``step`` read."""
        return self.constants() | self.varying(step)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class GradientOptimizer(Optimizer):
    """What the optimizers that follow the gradient share.

    Parameters
    ----------
    learning_rate
        A positive float, or a function of the step (see `nnxp.schedules`).
    clip_value
        Each element of the gradient is kept within ± this.
    clip_norm
        The gradient of all parameters together is scaled down to this 2-norm when it is longer.
    """

    learning_rate: float | Schedule | Callable[[int], float]
    _: KW_ONLY
    clip_value: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not callable(self.learning_rate):
            _check.positive(name, "learning_rate", self.learning_rate)
        for limit in ("clip_value", "clip_norm"):
            if getattr(self, limit) is not None:
                _check.positive(name, limit, getattr(self, limit))

    def rate(self, step: int) -> float:
        """The learning rate of update ``step``."""
        return float(self.learning_rate(step)) if callable(self.learning_rate) else float(self.learning_rate)

    def records(self) -> tuple[Record, ...]:
        """One update, as records over the flat buffers ``w``, ``g`` and the slots, and over `scalars`."""
        clips = []
        if self.clip_value is not None:
            clips.append(record("clip_value", "g clip_value", "g"))
        if self.clip_norm is not None:
            clips.append(record("clip_norm", "g clip_norm", "g"))
        return (*clips, self._update())

    def varying(self, step: int) -> dict[str, float]:
        return {"learning_rate": self.rate(step)}

    @abstractmethod
    def _update(self) -> Record:
        """The record that makes the new ``w`` and slots."""


@dataclass(frozen=True)
class SGD(GradientOptimizer):
    r"""Gradient descent: $w \leftarrow w - \eta g$, with momentum $v \leftarrow \mu v - \eta g$, $w \leftarrow w + v$.

    The learning rate stands inside v, as in Sutskever et al. (ICML 2013) and Keras; PyTorch keeps it outside, which
    differs while the rate changes. ``nesterov=True`` looks ahead: $w \leftarrow w + \mu v - \eta g$.
    """

    learning_rate: float | Schedule | Callable[[int], float] = 0.01
    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.fraction("SGD", "momentum", self.momentum)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]  # without momentum there is nothing to remember
        """``velocity``, where there is momentum."""
        return ("velocity",) if self.momentum else ()

    def _update(self) -> Record:
        if not self.momentum:
            return record("sgd", "w g learning_rate", "w")
        rule = "nesterov" if self.nesterov else "momentum"
        return record(rule, "w g velocity learning_rate momentum", "w velocity")


@dataclass(frozen=True)
class Adagrad(GradientOptimizer):
    r"""Steps that shrink as gradients add up: $c \leftarrow c + g^2$; $w \leftarrow w - \eta g / (\sqrt c + \epsilon)$.

    Source: Duchi, Hazan & Singer (JMLR 12, 2011). c begins at 0, as in PyTorch and in *Neural Networks from Scratch*
    (Keras: 0.1), and $\epsilon$ is outside the root, as in PyTorch (Keras: inside).
    """

    learning_rate: float | Schedule | Callable[[int], float] = 0.01
    _: KW_ONLY
    epsilon: float = 1e-7

    slots: ClassVar[tuple[str, ...]] = ("squared_sum",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.positive("Adagrad", "epsilon", self.epsilon)

    def _update(self) -> Record:
        return record("adagrad", "w g squared_sum learning_rate epsilon", "w squared_sum")


@dataclass(frozen=True)
class RMSprop(GradientOptimizer):
    r"""Steps in units of the recent gradients' size: $c \leftarrow \rho c + (1 - \rho) g^2$;
    $w \leftarrow w - \eta g / (\sqrt c + \epsilon)$.

    Source: Tieleman & Hinton, lecture 6.5 (2012). $\rho$ is 0.9 as there and in Keras (PyTorch: 0.99, called alpha);
    $\epsilon$ is outside the root, as in PyTorch (Keras: inside).
    """

    learning_rate: float | Schedule | Callable[[int], float] = 0.001
    _: KW_ONLY
    rho: float = 0.9
    epsilon: float = 1e-7

    slots: ClassVar[tuple[str, ...]] = ("squared_average",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.fraction("RMSprop", "rho", self.rho)
        _check.positive("RMSprop", "epsilon", self.epsilon)

    def _update(self) -> Record:
        return record("rmsprop", "w g squared_average learning_rate rho epsilon", "w squared_average")


@dataclass(frozen=True)
class Adam(GradientOptimizer):
    r"""Adaptive moments: $w \leftarrow w - \eta\,\hat m / (\sqrt{\hat v} + \epsilon)$.

    $\hat m = m / (1 - \beta_1^{t+1})$ and $\hat v = v / (1 - \beta_2^{t+1})$ are moving averages of $g$ and $g^2$,
    corrected for their start at zero. Source: Kingma & Ba (ICLR 2015), algorithm 1. $\epsilon$ is outside the root and
    added to the corrected root, as in the paper and PyTorch; the default 1e-7 is that of Keras and of *Neural Networks
    from Scratch* (PyTorch and the paper: 1e-8).
    """

    learning_rate: float | Schedule | Callable[[int], float] = 0.001
    _: KW_ONLY
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.fraction("Adam", "beta_1", self.beta_1)
        _check.fraction("Adam", "beta_2", self.beta_2)
        _check.positive("Adam", "epsilon", self.epsilon)

    def _update(self) -> Record:
        return record(
            "adam",
            "w g first_moment second_moment learning_rate beta_1 beta_2 epsilon correction_1 correction_2",
            "w first_moment second_moment",
        )

    def varying(self, step: int) -> dict[str, float]:
        return {
            "learning_rate": self.rate(step),
            "correction_1": 1 - float(self.beta_1) ** (step + 1),
            "correction_2": 1 - float(self.beta_2) ** (step + 1),
        }


@dataclass(frozen=True)
class RandomSearch(Optimizer):
    r"""Learning without a gradient: try $w + s \cdot N(0, 1)$, and keep it where its loss is lower.

    Both losses are taken on the batch of the update, so mini-batches are compared fairly; the better parameters are
    chosen on the device, without a word to the host. The noise of an update is a function of the seed, the step and
    the parameter, the same on every backend. It finds little in many dimensions: that is what it is here to show.
    Source: Kinsley & Kukieła, *Neural Networks from Scratch in Python*, chapter 6.
    """

    scale: float = 0.05

    needs_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check.positive("RandomSearch", "scale", self.scale)

    def records(self) -> tuple[Record, ...]:
        return (record("perturb", "w noise scale", "candidate"),)
