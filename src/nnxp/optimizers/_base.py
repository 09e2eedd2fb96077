"""What optimizers share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass
from math import inf
from numbers import Real
from typing import ClassVar, TypeAlias

from nnxp import _check
from nnxp.errors import ConfigurationError
from nnxp.ops.record import Record, record
from nnxp.optimizers._rates import Rates
from nnxp.schedules import Schedule

__all__ = ["GradientOptimizer", "LearningRate", "Optimizer", "decay"]

LearningRate: TypeAlias = float | Schedule | Callable[[int], float]

_NOT_IN_FORMULAS = {"accumulate"}


class Optimizer(ABC):
    """What all optimizers share: slots of memory, records of one update, and the numbers that these read."""

    slots: ClassVar[tuple[str, ...]] = ()
    """Buffers of the parameters' size that the rule remembers; they begin at zero."""
    needs_gradient: ClassVar[bool] = True
    """Whether an update reads the gradient ``g``. If not, its records make a ``candidate`` from ``w`` and ``noise``,
    drawn from N(0, 1), and the candidate is kept where its loss on the batch is the lower one."""
    accumulate: int = 1
    """How many parts of a batch make its gradient."""

    @property
    def memory(self) -> tuple[str, ...]:
        """All buffers that training changes beside the parameters: the slots, and those of options."""
        return self.slots

    @abstractmethod
    def records(self) -> tuple[Record, ...]:
        """One update, as records over flat buffers and over `scalars`."""

    def constants(self) -> dict[str, float]:
        """The numbers that every update reads: this configuration's own."""
        # as Python's floats, because NumPy's scalars would make float64 of float32 arrays
        numbers = {name: value for name, value in vars(self).items() if name not in _NOT_IN_FORMULAS}
        return {name: float(value) for name, value in numbers.items() if _is_number(value)}

    def varying(self, step: int) -> dict[str, float]:
        """The numbers that update ``step`` reads and the next one reads anew."""
        return {}

    def scalars(self, step: int) -> dict[str, float]:
        """All numbers that the records of update ``step`` read."""
        return self.constants() | self.varying(step)

    def multipliers(self, keys: Collection[str]) -> dict[str, float]:
        """What the learning rate of each of these parameters, which are all that there are, is multiplied by."""
        return dict.fromkeys(keys, 1.0)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class GradientOptimizer(Optimizer):
    r"""What the optimizers that follow the gradient share.

    Parameters
    ----------
    learning_rate
        A positive float, or a function of the step (see `nnxp.schedules`).
    clip_value
        Each element of the gradient is kept within ± this (PyTorch: ``clip_grad_value_``, Keras: ``clipvalue``).
    clip_parameter_norm
        The gradient of each parameter (each tensor) is scaled down to this 2-norm when it is longer (Keras:
        ``clipnorm``; in PyTorch ``clip_grad_norm_`` of one parameter at a time).
    clip_norm
        The gradient of all parameters together is scaled down to this 2-norm when it is longer (PyTorch:
        ``clip_grad_norm_``, Keras: ``global_clipnorm``). Limits that stand together are applied in this order.
    accumulate
        Each batch goes through the network in so many parts of nearly equal size (fewer, if it has fewer samples),
        whose gradients are added up before the one update. It is the update of the whole batch, to rounding, in less
        memory: the loss is divided by the whole batch's divisor, penalties enter once, and Dropout's masks run through
        the batch. Only layers that look at a batch as a whole, as batch normalization does, see the parts.
    ema
        $\beta$ of a moving average of the parameters: after each update $a \leftarrow \beta a + (1 - \beta) w$. It
        begins at zero, and is divided by $1 - \beta^n$ after n updates where it is read: in ``with model.averaged():``.
    rates
        Multipliers of the learning rate, by a parameter's key (``"2.weights"``) or by the path of a layer (``"2"``,
        ``"1.0"``); the longest entry counts, and 1 where there is none. 0 freezes: such parameters stay bit for bit
        what they are, and their gradients are not computed, nor seen by ``clip_norm``.
    """

    learning_rate: LearningRate
    _: KW_ONLY
    clip_value: float | None = None
    clip_parameter_norm: float | None = None
    clip_norm: float | None = None
    accumulate: int = 1
    ema: float | None = None
    rates: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not callable(self.learning_rate):
            _check.positive(name, "learning_rate", self.learning_rate)
        for limit in ("clip_value", "clip_parameter_norm", "clip_norm"):
            if getattr(self, limit) is not None:
                _check.positive(name, limit, getattr(self, limit))
        _check.positive_int(name, "accumulate", self.accumulate)
        if self.ema is not None:
            _check.fraction(name, "ema", self.ema)
        if self.rates is not None:
            object.__setattr__(self, "rates", Rates(name, self.rates))  # the dataclass is frozen

    @property
    def memory(self) -> tuple[str, ...]:
        return self.slots if self.ema is None else (*self.slots, "average")

    def rate(self, step: int) -> float:
        """The learning rate of update ``step``."""
        if not callable(self.learning_rate):
            return float(self.learning_rate)
        rate = self.learning_rate(step)
        if not isinstance(rate, Real) or not 0 <= rate < inf:
            raise ConfigurationError(
                f"{type(self).__name__}: learning_rate gave {rate!r} for step {step}, expected a number of at least 0."
            )
        return float(rate)

    def records(self) -> tuple[Record, ...]:
        """One update, as records over the flat buffers ``w``, ``g`` and `memory`, and over `scalars`.

        Where options ask for them, also over the ``bounds`` of the parameters in the arena, ``rates``, which holds
        each element's multiplier, and ``stepped``, which has room for the parameters of a whole step.
        """
        averages = () if self.ema is None else (record("average", "average w ema", "average"),)
        return (*self._clips(), *self._moves(), *averages)

    def varying(self, step: int) -> dict[str, float]:
        return {"learning_rate": self.rate(step)}

    def multipliers(self, keys: Collection[str]) -> dict[str, float]:
        if not isinstance(self.rates, Rates):
            return super().multipliers(keys)
        self.rates.check(type(self).__name__, keys)
        return {key: self.rates.of(key) for key in keys}

    @abstractmethod
    def _update(self) -> Record:
        """The record that makes the new ``w`` and slots."""

    def _step(self) -> tuple[Record, ...]:
        """The whole rule: `_update`, and what goes before it."""
        return (self._update(),)

    def _clips(self) -> tuple[Record, ...]:
        limits = {
            "clip_value": record("clip_value", "g clip_value", "g"),
            "clip_parameter_norm": record("clip_norms", "g clip_parameter_norm bounds", "g"),
            "clip_norm": record("clip_norm", "g clip_norm", "g"),
        }
        return tuple(clip for limit, clip in limits.items() if getattr(self, limit) is not None)

    def _moves(self) -> tuple[Record, ...]:
        """The rule, or, with several rates, the rule on a copy and then a share of the way there.

        That is a step with another rate, because each rule here goes a way that is linear in the rate.
        """
        if all(rate == 1 for rate in (self.rates or {}).values()):
            return self._step()
        on_copy = (step.renamed(lambda name: "stepped" if name == "w" else name) for step in self._step())
        return (record("clone", "w", "stepped"), *on_copy, record("move", "w stepped rates", "w"))


def decay(weight_decay: float) -> tuple[Record, ...]:
    r"""The record of $w \leftarrow w - \eta \lambda w$, where there is a decay."""
    return (record("decay_weights", "w learning_rate weight_decay", "w"),) if weight_decay else ()
