r"""Losses: each one consistent pair of a value and its gradient, with one reduction.

``reduction="mean"`` divides by the number of elements (categorical: of samples), ``"sum"`` does not divide. Sample
weights multiply each sample's share and do not change the divisor, as in Keras, so batches add up to the whole
(scikit-learn and PyTorch's class weights divide by the sum of weights).

Where a network ends in the matching Softmax or Sigmoid, training computes value and gradient from that head's *input*,
so nothing is clipped and nothing overflows; the same follows from ``from_logits=True`` on a network without a head.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np

from nnxp import _check
from nnxp._targets import class_targets, probability_targets, real_targets, sample_weights
from nnxp._types import Array, Shape
from nnxp.backend import Backend, backend_of
from nnxp.errors import ConfigurationError
from nnxp.ops.record import Record, record, run

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
]

Reduction = Literal["mean", "sum"]


@dataclass(frozen=True)
class Loss(ABC):
    """Immutable configuration; the records name the ops that compute it."""

    _: KW_ONLY
    reduction: Reduction = "mean"

    targets: ClassVar[Literal["classes", "binary", "real"]]
    """What y holds; it decides what ``"accuracy"`` means."""

    def __post_init__(self) -> None:
        _check.choice(type(self).__name__, "reduction", self.reduction, ("mean", "sum"))

    @property
    def head(self) -> str | None:
        """The layer that makes what this loss expects, where it expects probabilities."""
        return None

    @property
    def reads_logits(self) -> bool:
        """Whether predictions are logits, of which the loss makes probabilities."""
        return False

    @property
    def threshold(self) -> float:
        """What an output must be above to say yes, where targets are binary."""
        return 0.5

    @property
    @abstractmethod
    def op(self) -> str:
        """The op of the value; ``_backward`` behind it names the gradient's, ``_rows`` that of one number a sample."""

    @abstractmethod
    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        """The targets as the ops read them; ``expected`` is the predictions' shape. Raises on bad ones."""

    def divisor(self, shape: Shape) -> float:
        """What the sum over predictions of this shape is divided by."""
        return float(max(self._count(shape), 1)) if self.reduction == "mean" else 1.0

    def constants(self, shape: Shape) -> dict[str, Any]:
        """What the records read beside predictions and targets, for predictions of this shape; tuples become arrays."""
        return {"divisor": self.divisor(shape)} | self._options(shape)

    def target_records(self) -> tuple[Record, ...]:
        """What is done to ``y`` first."""
        return ()

    def value_records(self, *, weighted: bool = False) -> tuple[Record, ...]:
        """From ``y_pred`` and the targets, and perhaps ``sample_weight``, to ``data_loss``."""
        inputs = " ".join(("y_pred", self._y, *self._options_read))
        if not weighted:
            return (record(self.op, f"{inputs} divisor", "data_loss"),)
        total = record("weighted_sum", "losses sample_weight divisor", "data_loss")
        return record(f"{self.op}_rows", inputs, "losses"), total

    def gradient_records(self, *, weighted: bool = False) -> tuple[Record, ...]:
        """The same to ``dy_pred``."""
        inputs = " ".join(("y_pred", self._y, *self._options_read, "divisor"))
        if not weighted:
            return (record(f"{self.op}_backward", inputs, "dy_pred"),)
        scaled = record("scale_rows", "dy_unweighted sample_weight", "dy_pred")
        return record(f"{self.op}_backward", inputs, "dy_unweighted"), scaled

    def value(self, y_pred: Array, y: Any, *, sample_weight: Any = None) -> Array:
        """The loss, as a 0-d array on the predictions' device."""
        return self._run(self.value_records(weighted=sample_weight is not None), y_pred, y, sample_weight)["data_loss"]

    def gradient(self, y_pred: Array, y: Any, *, sample_weight: Any = None) -> Array:
        """The derivative of `value` by ``y_pred``."""
        return self._run(self.gradient_records(weighted=sample_weight is not None), y_pred, y, sample_weight)["dy_pred"]

    def _run(self, records: tuple[Record, ...], y_pred: Array, y: Any, sample_weight: Any) -> dict[str, Any]:
        backend = backend_of(y_pred)
        y_pred = backend.asarray(y_pred)
        shape = _check.shape(y_pred)
        values = {"y_pred": y_pred, "y": self.check(y, shape, backend, values=True)}
        if sample_weight is not None:
            values["sample_weight"] = sample_weights(sample_weight, shape[0], backend, values=True)
        values |= on_backend(self.constants(shape), backend)
        run([*self.target_records(), *records], values, backend.ops)
        return values

    @property
    def _y(self) -> str:
        """The name of the targets that the loss reads."""
        return self.target_records()[-1].outputs[0] if self.target_records() else "y"

    @property
    def _options_read(self) -> tuple[str, ...]:
        """The names of the numbers that the op reads between the targets and the divisor."""
        return ()

    def _options(self, shape: Shape) -> dict[str, Any]:
        return {}

    def _count(self, shape: Shape) -> int:
        return prod(shape)


def on_backend(constants: dict[str, Any], backend: Backend) -> dict[str, Any]:
    """Constants with their tuples as arrays of the backend's dtype."""
    return {
        name: backend.asarray(np.asarray(value, dtype=np.float64), dtype=backend.dtype)
        if isinstance(value, tuple)
        else value
        for name, value in constants.items()
    }


@dataclass(frozen=True)
class _OfProbabilities(Loss):
    """A loss of probabilities, or, ``from_logits``, of the logits that a head would make them of."""

    _: KW_ONLY
    from_logits: bool = False

    probabilities_of: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.flag(type(self).__name__, "from_logits", self.from_logits)

    @property
    def head(self) -> str | None:
        return None if self.from_logits else self.probabilities_of

    @property
    def reads_logits(self) -> bool:
        return self.from_logits


@dataclass(frozen=True)
class CategoricalCrossentropy(_OfProbabilities):
    r"""$-\sum_{bk} t_{bk} \log p_{bk} / B$ for class indices ``y[B]`` or probabilities ``y[B,K]``.

    The targets are $t_k = w_k ((1 - s)\, y_k + s / K)$: y itself without class weights w and label smoothing s. With
    ``from_logits=True`` predictions are logits z and $p = \mathrm{softmax}(z)$. Probabilities that did not come from a
    Softmax head are clipped to [1e-7, 1 - 1e-7] in value and gradient.

    Parameters
    ----------
    label_smoothing
        s, the share of the target that is spread over all classes, in [0, 1). Source: Szegedy et al. (CVPR 2016).
    class_weights
        w, one number a class, for classes that are rarer or matter more. The mean divides by the number of samples B
        (PyTorch: by the sum of the samples' weights); smoothing comes before the weights, as in PyTorch.
    """

    _: KW_ONLY
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None

    targets: ClassVar[Literal["classes"]] = "classes"
    probabilities_of: ClassVar[str] = "Softmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.fraction("CategoricalCrossentropy", "label_smoothing", self.label_smoothing)
        if self.class_weights is not None:
            weights = _check.numbers("CategoricalCrossentropy", "class_weights", self.class_weights)
            object.__setattr__(self, "class_weights", weights)

    @property
    def op(self) -> str:
        return "categorical_crossentropy_from_logits" if self.from_logits else "categorical_crossentropy"

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return class_targets("CategoricalCrossentropy", y, expected, backend, values=values)

    def target_records(self) -> tuple[Record, ...]:
        if self.class_weights is None and not self.label_smoothing:
            return ()
        return (record("soft_targets", "y class_weights label_smoothing", "soft_y"),)

    def _options(self, shape: Shape) -> dict[str, Any]:
        if not self.target_records():
            return {}
        weights = self.class_weights or (1.0,) * shape[1]
        if len(weights) != shape[1]:
            raise ConfigurationError(
                f"CategoricalCrossentropy: {len(weights)} class_weights for {shape[1]} classes; give one for each."
            )
        return {"class_weights": weights, "label_smoothing": float(self.label_smoothing)}

    def _count(self, shape: Shape) -> int:
        return shape[0]


@dataclass(frozen=True)
class KLDivergence(_OfProbabilities):
    r"""$\sum_{bk} y_{bk} \log(y_{bk} / p_{bk}) / B$ for probabilities ``y[B,K]`` (or class indices ``y[B]``).

    How far p is from y: the cross-entropy less the entropy of y, so 0 where the two agree. "mean" divides by the number
    of samples (PyTorch: ``reduction="batchmean"``, and it reads log p). With ``from_logits=True``
    $p = \mathrm{softmax}(z)$. Probabilities that did not come from a Softmax head are clipped to [1e-7, 1 - 1e-7].
    Source: Kullback & Leibler (1951).
    """

    targets: ClassVar[Literal["classes"]] = "classes"
    probabilities_of: ClassVar[str] = "Softmax"

    @property
    def op(self) -> str:
        return "kl_divergence_from_logits" if self.from_logits else "kl_divergence"

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return class_targets("KLDivergence", y, expected, backend, values=values)

    def _count(self, shape: Shape) -> int:
        return shape[0]


@dataclass(frozen=True)
class BinaryCrossentropy(_OfProbabilities):
    r"""$-\sum (r y \log p + (1 - y) \log(1 - p)) / N$ for targets in [0, 1], each output a yes or no of its own.

    With ``from_logits=True`` predictions are logits z and $p = \sigma(z)$. Probabilities that did not come from a
    Sigmoid head are clipped to [1e-7, 1 - 1e-7] in value and gradient.

    Parameters
    ----------
    positive_weight
        r, how much more a missed yes costs than a false one; one number, or one for each output (PyTorch's
        ``pos_weight``).
    """

    _: KW_ONLY
    positive_weight: float | Sequence[float] | None = None

    targets: ClassVar[Literal["binary"]] = "binary"
    probabilities_of: ClassVar[str] = "Sigmoid"

    def __post_init__(self) -> None:
        super().__post_init__()
        weight = self.positive_weight
        if isinstance(weight, Sequence) or hasattr(weight, "__len__"):
            weight = _check.numbers("BinaryCrossentropy", "positive_weight", weight)
        elif weight is not None:
            weight = _check.non_negative("BinaryCrossentropy", "positive_weight", weight)
        object.__setattr__(self, "positive_weight", weight)

    @property
    def op(self) -> str:
        name = "binary_crossentropy" if self.positive_weight is None else "weighted_binary_crossentropy"
        return f"{name}_from_logits" if self.from_logits else name

    @property
    def threshold(self) -> float:
        return 0.0 if self.from_logits else 0.5  # σ(0) is ½

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return probability_targets("BinaryCrossentropy", y, expected, backend, values=values)

    @property
    def _options_read(self) -> tuple[str, ...]:
        return () if self.positive_weight is None else ("positive_weight",)

    def _options(self, shape: Shape) -> dict[str, Any]:
        weight = self.positive_weight
        if isinstance(weight, tuple) and (len(shape) < 2 or len(weight) != shape[-1]):
            raise ConfigurationError(
                f"BinaryCrossentropy: {len(weight)} numbers in positive_weight for outputs of shape {shape[1:]}; give "
                "one for each output."
            )
        return {} if weight is None else {"positive_weight": weight}


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    r"""$\sum (p - y)^2 / N$.

    >>> loss = MeanSquaredError()
    >>> float(loss.value([[1.0], [2.0]], [[3.0], [2.0]]))
    2.0
    >>> loss.gradient([[1.0], [2.0]], [[3.0], [2.0]]).tolist()
    [[-2.0], [0.0]]
    """

    targets: ClassVar[Literal["real"]] = "real"
    op = "squared_error"

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return real_targets("MeanSquaredError", y, expected, backend, values=values)


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    r"""$\sum |p - y| / N$; the gradient is 0 where p = y."""

    targets: ClassVar[Literal["real"]] = "real"
    op = "absolute_error"

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return real_targets("MeanAbsoluteError", y, expected, backend, values=values)


@dataclass(frozen=True)
class Huber(Loss):
    r"""$\sum h_\delta(p - y) / N$: $e^2 / 2$ where $|e| \le \delta$, else $\delta (|e| - \delta / 2)$.

    Squares near the target, and no more than lines for outliers. As in Keras and PyTorch's ``HuberLoss`` (its
    ``SmoothL1Loss`` divides by $\delta$). Source: Huber (1964).
    """

    _: KW_ONLY
    delta: float = 1.0

    targets: ClassVar[Literal["real"]] = "real"
    op = "huber"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.positive("Huber", "delta", self.delta)

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return real_targets("Huber", y, expected, backend, values=values)

    @property
    def _options_read(self) -> tuple[str, ...]:
        return ("delta",)

    def _options(self, shape: Shape) -> dict[str, Any]:
        return {"delta": float(self.delta)}


@dataclass(frozen=True)
class LogCosh(Loss):
    r"""$\sum \log\cosh(p - y) / N$: a smooth kin of `Huber`, with the gradient $\tanh(p - y) / N$."""

    targets: ClassVar[Literal["real"]] = "real"
    op = "log_cosh"

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return real_targets("LogCosh", y, expected, backend, values=values)


@dataclass(frozen=True)
class Hinge(Loss):
    r"""$\sum \max(0, 1 - t p) / N$ with $t = 2 y - 1$, for targets y of 0 or 1 and outputs of any size.

    The support-vector machine's: what is right by a margin of 1 costs nothing. Above 0 an output says yes; Keras
    converts labels in the same way, scikit-learn takes any two. Source: Cortes & Vapnik (1995).
    """

    targets: ClassVar[Literal["binary"]] = "binary"
    op = "hinge"
    threshold = 0.0

    def check(self, y: Any, expected: Shape, backend: Backend, *, values: bool) -> Array:
        return probability_targets("Hinge", y, expected, backend, values=values)
