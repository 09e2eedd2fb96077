"""The book's losses: ``forward`` gives one loss a sample, ``calculate`` their mean, ``backward`` the gradient."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

from nnxp import _check
from nnxp._targets import class_targets, probability_targets, real_targets
from nnxp._types import Array
from nnxp.compat.nnfs._activations import Activation_Softmax
from nnxp.compat.nnfs._arithmetic import current, host_scalar, own, typed
from nnxp.errors import DataError, OrderError, ShapeError
from nnxp.ops.reference import losses

__all__ = [
    "Activation_Softmax_Loss_CategoricalCrossentropy",
    "Loss",
    "Loss_BinaryCrossentropy",
    "Loss_CategoricalCrossentropy",
    "Loss_MeanAbsoluteError",
    "Loss_MeanSquaredError",
]


class Loss(ABC):
    """What all losses share: means over samples, sums over a pass, and the layers' penalties."""

    op: ClassVar[str]

    def __init__(self) -> None:
        self.trainable_layers: Sequence[Any] = ()
        self.new_pass()

    @abstractmethod
    def forward(self, y_pred: Any, y_true: Any) -> Array:
        """One loss for each sample."""

    def targets(self, y_true: Any, y_pred: Array) -> Array:
        """The targets as the ops read them; raises on bad ones. A script's own loss needs none of this."""
        return own(type(self).__name__, "y_true", y_true)

    def backward(self, dvalues: Any, y_true: Any) -> None:
        """Set ``dinputs``: the derivative of the mean loss by the predictions ``dvalues``."""
        dvalues = own(type(self).__name__, "dvalues", dvalues)
        y_true = self.targets(y_true, dvalues)
        self.dinputs = getattr(current().ops, self.op + "_backward")(dvalues, y_true, self._divisor(dvalues))

    def calculate(self, output: Any, y: Any, *, include_regularization: bool = False) -> Any:
        """The mean loss, as a NumPy scalar; with ``include_regularization`` a pair of it and the penalties' sum."""
        sample_losses = self.forward(output, y)
        if not sample_losses.shape[0]:
            raise DataError(f"{type(self).__name__} expected at least one sample, got none: the data is empty.")
        xp = current().xp
        self.accumulated_sum += host_scalar(xp.sum(sample_losses))
        self.accumulated_count += int(sample_losses.shape[0])
        data_loss = host_scalar(xp.mean(sample_losses))
        return (data_loss, self.regularization_loss()) if include_regularization else data_loss

    def calculate_accumulated(self, *, include_regularization: bool = False) -> Any:
        """The mean loss of all samples since `new_pass`; with ``include_regularization`` a pair, as in `calculate`."""
        if not self.accumulated_count:
            raise OrderError(f"{type(self).__name__}: nothing was calculated since new_pass(); call calculate first.")
        data_loss = self.accumulated_sum / self.accumulated_count
        return (data_loss, self.regularization_loss()) if include_regularization else data_loss

    def new_pass(self) -> None:
        """Begin to count samples anew."""
        self.accumulated_sum: Any = 0
        self.accumulated_count = 0

    def remember_trainable_layers(self, trainable_layers: Sequence[Any]) -> None:
        """The layers whose penalties belong to this loss."""
        self.trainable_layers = trainable_layers

    def regularization_loss(self, layer: Any = None) -> Any:
        """The penalty of a layer or, without one, of all layers that `remember_trainable_layers` was given."""
        layers = self.trainable_layers if layer is None else (layer,)
        return sum((_penalty(layer) for layer in layers), start=0)

    def _divisor(self, y_pred: Array) -> float:
        return float(prod(_check.shape(y_pred)))


def _penalty(layer: Any) -> Any:
    """λ₁·Σ|w| + λ₂·Σw², of the weights and of the biases."""
    ops, total = current().ops, 0
    for parameter, prefix in (("weights", "weight"), ("biases", "bias")):
        for op in ("l1", "l2"):
            rate = getattr(layer, f"{prefix}_regularizer_{op}", 0)
            if rate > 0:
                w = own("regularization_loss", parameter, getattr(layer, parameter))
                total += host_scalar(getattr(ops, op)(w, rate))
    return total


class Loss_CategoricalCrossentropy(Loss):
    """-log of the probability of the right class; labels are class numbers or one-hot rows. p is clipped to 1e-7."""

    op = "categorical_crossentropy"

    def forward(self, y_pred: Any, y_true: Any) -> Array:
        y_pred = own(type(self).__name__, "y_pred", y_pred)
        return losses.categorical_surprises(current().xp, y_pred, self.targets(y_true, y_pred))

    def targets(self, y_true: Any, y_pred: Array) -> Array:
        return class_targets(type(self).__name__, y_true, _check.shape(y_pred), typed(y_pred), values=True)

    def _divisor(self, y_pred: Array) -> float:
        return float(y_pred.shape[0])


class _Elementwise(Loss):
    """A loss of each output, and its mean over a sample's outputs."""

    errors: ClassVar[Any]
    check: ClassVar[Any]

    def forward(self, y_pred: Any, y_true: Any) -> Array:
        y_pred = own(type(self).__name__, "y_pred", y_pred)
        xp = current().xp
        return xp.mean(type(self).errors(xp, y_pred, self.targets(y_true, y_pred)), axis=-1)

    def targets(self, y_true: Any, y_pred: Array) -> Array:
        name = type(self).__name__
        if y_pred.ndim < 2:
            got = _check.shape(y_pred)
            raise ShapeError(f"{name} expected predictions of shape (samples, outputs), got {got}; use a column.")
        y_true = own(name, "y_true", y_true)
        return type(self).check(name, y_true, _check.shape(y_pred), typed(y_true), values=True)


class Loss_BinaryCrossentropy(_Elementwise):
    """-(y·log p + (1 - y)·log(1 - p)) for outputs that are each a yes or a no. p is clipped to 1e-7."""

    op = "binary_crossentropy"
    errors = staticmethod(losses.binary_surprises)
    check = staticmethod(probability_targets)


class Loss_MeanSquaredError(_Elementwise):
    """(p - y)²."""

    op = "squared_error"
    errors = staticmethod(losses.squared_errors)
    check = staticmethod(real_targets)


class Loss_MeanAbsoluteError(_Elementwise):
    """|p - y|, with gradient sign(p - y)."""

    op = "absolute_error"
    errors = staticmethod(losses.absolute_errors)
    check = staticmethod(real_targets)


class Activation_Softmax_Loss_CategoricalCrossentropy:
    """Softmax and its cross-entropy together: backward is (p - y) / samples, from the probabilities ``dvalues``."""

    def __init__(self) -> None:
        self.activation = Activation_Softmax()
        self.loss = Loss_CategoricalCrossentropy()

    def forward(self, inputs: Any, y_true: Any) -> Any:
        """Set ``output`` and return the mean loss."""
        self.activation.forward(inputs)
        self.output = self.activation.output
        return self.loss.calculate(self.output, y_true)

    def backward(self, dvalues: Any, y_true: Any) -> None:
        """Set ``dinputs``, the derivative of the mean loss by the softmax's inputs."""
        p = own(type(self).__name__, "dvalues", dvalues)
        y_true = self.loss.targets(y_true, p)
        self.dinputs = losses.probabilities_minus_targets(current().xp, p, y_true, float(p.shape[0]))
