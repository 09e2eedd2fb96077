"""The book's optimizers. What they remember is kept here, not on the layers, so that another one can take over."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from nnxp import _check
from nnxp._types import Array
from nnxp.compat.nnfs._arithmetic import current, own
from nnxp.errors import ConfigurationError, OrderError
from nnxp.schedules import InverseTimeDecay

__all__ = ["Optimizer_Adagrad", "Optimizer_Adam", "Optimizer_RMSprop", "Optimizer_SGD"]


class Optimizer(ABC):
    """Call ``pre_update_params()``, ``update_params(layer)`` for each layer, ``post_update_params()``."""

    slots: ClassVar[tuple[str, ...]] = ()
    """What is remembered for each parameter, by nnxp's name for it."""

    def __init__(self, learning_rate: float, decay: float) -> None:
        owner = type(self).__name__
        self.learning_rate = _check.positive(owner, "learning_rate", learning_rate)
        self.decay = _check.non_negative(owner, "decay", decay)
        self.current_learning_rate = self.learning_rate
        self.iterations = 0
        self.memory: dict[Any, dict[str, tuple[Array, ...]]] = {}

    def pre_update_params(self) -> None:
        """Lower the learning rate: η / (1 + decay·iterations)."""
        if self.decay:
            self.current_learning_rate = InverseTimeDecay(self.learning_rate, self.decay)(self.iterations)

    def update_params(self, layer: Any) -> None:
        """Move the layer's weights and biases along their gradients."""
        if isinstance(layer, type) or not hasattr(layer, "weights"):
            raise ConfigurationError(f"{type(self).__name__} updates a layer with weights and biases, got {layer!r}.")
        memory = self.memory.setdefault(layer, {})
        for name in ("weights", "biases"):
            w, g = own(type(self).__name__, name, getattr(layer, name)), getattr(layer, "d" + name, None)
            if g is None:
                raise OrderError(f"{type(self).__name__} needs {name}' gradients: call the layer's backward first.")
            slots = memory.get(name) or tuple(current().xp.zeros_like(w) for _ in self.slots)
            updated = self.update(w, own(type(self).__name__, "d" + name, g), *slots)
            setattr(layer, name, current().asarray(updated[0]))  # in the parameters' type, whatever the gradient's
            memory[name] = updated[1:]

    def post_update_params(self) -> None:
        """Count the update."""
        self.iterations += 1

    @abstractmethod
    def update(self, w: Array, g: Array, *slots: Array) -> tuple[Array, ...]:
        """The new parameter and what is remembered of it."""


class Optimizer_SGD(Optimizer):
    """Gradient descent, with momentum if wanted."""

    def __init__(self, learning_rate: float = 1.0, decay: float = 0.0, momentum: float = 0.0) -> None:
        super().__init__(learning_rate, decay)
        self.momentum = _check.fraction("Optimizer_SGD", "momentum", momentum)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]  # without momentum there is nothing to remember
        """``velocity``, where there is momentum."""
        return ("velocity",) if self.momentum else ()

    def update(self, w: Array, g: Array, *slots: Array) -> tuple[Array, ...]:
        ops = current().ops
        if not slots:
            return (ops.sgd(w, g, self.current_learning_rate),)
        return tuple(ops.momentum(w, g, *slots, self.current_learning_rate, self.momentum))


class Optimizer_Adagrad(Optimizer):
    """Steps that shrink as gradients add up."""

    slots = ("squared_sum",)

    def __init__(self, learning_rate: float = 1.0, decay: float = 0.0, epsilon: float = 1e-7) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = _check.positive("Optimizer_Adagrad", "epsilon", epsilon)

    def update(self, w: Array, g: Array, *slots: Array) -> tuple[Array, ...]:
        return tuple(current().ops.adagrad(w, g, *slots, self.current_learning_rate, self.epsilon))


class Optimizer_RMSprop(Optimizer):
    """Steps in units of the recent gradients' size."""

    slots = ("squared_average",)

    def __init__(
        self, learning_rate: float = 0.001, decay: float = 0.0, epsilon: float = 1e-7, rho: float = 0.9
    ) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = _check.positive("Optimizer_RMSprop", "epsilon", epsilon)
        self.rho = _check.fraction("Optimizer_RMSprop", "rho", rho)

    def update(self, w: Array, g: Array, *slots: Array) -> tuple[Array, ...]:
        return tuple(current().ops.rmsprop(w, g, *slots, self.current_learning_rate, self.rho, self.epsilon))


class Optimizer_Adam(Optimizer):
    """Moving averages of the gradient and of its square, both corrected for their start at zero."""

    slots = ("first_moment", "second_moment")

    def __init__(
        self,
        learning_rate: float = 0.001,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
    ) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = _check.positive("Optimizer_Adam", "epsilon", epsilon)
        self.beta_1 = _check.fraction("Optimizer_Adam", "beta_1", beta_1)
        self.beta_2 = _check.fraction("Optimizer_Adam", "beta_2", beta_2)

    def update(self, w: Array, g: Array, *slots: Array) -> tuple[Array, ...]:
        t = self.iterations + 1
        betas = (self.beta_1, self.beta_2)
        corrections = (1 - self.beta_1**t, 1 - self.beta_2**t)
        rate, adam = self.current_learning_rate, current().ops.adam
        return tuple(adam(w, g, *slots, rate, *betas, self.epsilon, *corrections))
