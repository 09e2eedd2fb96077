"""The book's layers. They compute with nnxp's ops; arrays come in and go out as the scripts have them."""

from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Array, Shape
from nnxp._values import numbers
from nnxp.compat.nnfs._arithmetic import current, own
from nnxp.compat.nnfs.datasets import normal
from nnxp.errors import OrderError, ShapeError

__all__ = ["Layer_Dense", "Layer_Dropout", "Layer_Input", "like_output", "seen"]


def seen(owner: object, name: str) -> Any:
    """An attribute that ``forward`` sets; `OrderError` where it did not run yet."""
    try:
        return vars(owner)[name]
    except KeyError:
        what = type(owner).__name__
        raise OrderError(f"{what}.backward needs a forward before it: call forward(inputs) first.") from None


def like_output(owner: object, dvalues: Any) -> Array:
    """The gradient on the current backend; `ShapeError` unless it has the shape of the output."""
    name, output = type(owner).__name__, seen(owner, "output")
    dvalues = own(name, "dvalues", dvalues)
    got, expected = _check.shape(dvalues), _check.shape(output)
    if got != expected:
        raise ShapeError(f"{name} expected dvalues of shape {expected}, like its output, got {got}.")
    return dvalues


class Layer_Dense:
    """``output = inputs·weights + biases``; weights (inputs, neurons) begin at 0.01·N(0, 1), biases (1, neurons) at 0.

    An L2 of λ costs λ·Σw², with gradient 2λw; an L1 of λ costs λ·Σ|w|, with gradient λ·sign(w), which is 0 at 0.
    """

    def __init__(
        self,
        n_inputs: int,
        n_neurons: int,
        weight_regularizer_l1: float = 0,
        weight_regularizer_l2: float = 0,
        bias_regularizer_l1: float = 0,
        bias_regularizer_l2: float = 0,
    ) -> None:
        shape = tuple(
            _check.positive_int("Layer_Dense", name, n)
            for name, n in (("n_inputs", n_inputs), ("n_neurons", n_neurons))
        )
        backend = current()
        self.weights: Array = backend.asarray(0.01 * normal(*shape))
        self.biases: Array = backend.asarray(np.zeros((1, n_neurons)))
        self.weight_regularizer_l1 = _check.non_negative("Layer_Dense", "weight_regularizer_l1", weight_regularizer_l1)
        self.weight_regularizer_l2 = _check.non_negative("Layer_Dense", "weight_regularizer_l2", weight_regularizer_l2)
        self.bias_regularizer_l1 = _check.non_negative("Layer_Dense", "bias_regularizer_l1", bias_regularizer_l1)
        self.bias_regularizer_l2 = _check.non_negative("Layer_Dense", "bias_regularizer_l2", bias_regularizer_l2)

    def forward(self, inputs: Any, training: bool = True) -> None:
        """Set ``output``."""
        inputs = own("Layer_Dense", "inputs", inputs)
        expected = _check.shape(self.weights)[0]
        if inputs.ndim != 2 or inputs.shape[1] != expected:
            got = _check.shape(inputs)
            remedies = {1: "for one sample use [inputs]", 2: "n_inputs is the number of columns"}
            remedy = remedies.get(len(got), "use one row of numbers for each sample")
            raise ShapeError(f"Layer_Dense expected inputs of shape (samples, {expected}), got {got}; {remedy}.")
        self.inputs = inputs
        self.output = current().ops.linear(inputs, self._own("weights"), self._own("biases"))

    def backward(self, dvalues: Any) -> None:
        """Set ``dweights``, ``dbiases`` and ``dinputs``; the regularizers' gradients are in the first two."""
        ops, inputs = current().ops, seen(self, "inputs")
        dvalues = own("Layer_Dense", "dvalues", dvalues)
        weights, biases = self._own("weights"), self._own("biases")
        expected = (inputs.shape[0], _check.shape(weights)[1])
        if _check.shape(dvalues) != expected:
            raise ShapeError(f"Layer_Dense expected dvalues of shape {expected}, got {_check.shape(dvalues)}.")
        dbiases = current().xp.reshape(ops.linear_bias_gradient(dvalues), _check.shape(biases))
        dweights = ops.linear_weight_gradient(inputs, dvalues)
        self.dweights = _penalized(dweights, weights, self.weight_regularizer_l1, self.weight_regularizer_l2)
        self.dbiases = _penalized(dbiases, biases, self.bias_regularizer_l1, self.bias_regularizer_l2)
        self.dinputs = ops.linear_input_gradient(dvalues, weights)

    def get_parameters(self) -> tuple[Array, Array]:
        """The weights and the biases."""
        return self.weights, self.biases

    def set_parameters(self, weights: Any, biases: Any) -> None:
        """Take copies of these as the weights and the biases; their shapes must fit."""
        backend, new = current(), {"weights": weights, "biases": biases}
        arrays = {
            name: backend.asarray(numbers("Layer_Dense", name, a), dtype=backend.dtype) for name, a in new.items()
        }
        for name, array in arrays.items():
            expected = _check.shape(getattr(self, name))
            if _check.shape(array) != expected:
                raise ShapeError(f"Layer_Dense: {name} has shape {expected}, got {_check.shape(array)}.")
        self.weights, self.biases = (backend.xp.asarray(arrays[name], copy=True) for name in ("weights", "biases"))

    def _own(self, name: str) -> Array:
        """A parameter, in the current dtype whatever a script has made of it."""
        backend = current()
        return backend.asarray(numbers("Layer_Dense", name, getattr(self, name)), dtype=backend.dtype)


def _penalized(gradient: Array, w: Array, l1: float, l2: float) -> Array:
    ops = current().ops
    if l1 > 0:
        gradient = ops.l1_backward(gradient, w, l1)
    if l2 > 0:
        gradient = ops.l2_backward(gradient, w, l2)
    return gradient


class _Mask:
    """Which elements are kept, in the place of a stream of random words."""

    def __init__(self, kept: Any) -> None:
        self.kept = kept

    def keep(self, shape: Shape, rate: float) -> Any:
        """The same mask, forward and backward."""
        return self.kept


class Layer_Dropout:
    """In training, each input is 0 with probability ``rate``, and the others are divided by 1 - rate.

    As in the book, the attribute ``rate`` is the share that is kept. The mask is drawn from the legacy stream.
    """

    def __init__(self, rate: float) -> None:
        self.dropped = _check.fraction("Layer_Dropout", "rate", rate)
        self.rate = 1 - self.dropped

    def forward(self, inputs: Any, training: bool = True) -> None:
        """Set ``output``; outside training it is the input."""
        self.inputs = own("Layer_Dropout", "inputs", inputs)
        self._mask: _Mask | None = None
        if not training:
            self.output = self.inputs
            return
        self._mask = _Mask(np.random.binomial(1, self.rate, size=_check.shape(self.inputs)).astype(bool))
        self.output = current().ops.dropout(self.inputs, self.dropped, self._mask)

    def backward(self, dvalues: Any) -> None:
        """Set ``dinputs``, with the mask of the forward pass."""
        dvalues = like_output(self, dvalues)
        self.dinputs = dvalues if self._mask is None else current().ops.dropout(dvalues, self.dropped, self._mask)


class Layer_Input:
    """Hands the data on, as the first layer's ``prev``."""

    def forward(self, inputs: Any, training: bool = True) -> None:
        """Set ``output``."""
        self.output = own("Layer_Input", "inputs", inputs)
