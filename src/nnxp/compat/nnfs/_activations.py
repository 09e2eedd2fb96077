"""The book's activations: ``forward`` sets ``output``, ``backward`` sets ``dinputs``."""

from typing import Any, ClassVar

from nnxp._types import Array
from nnxp.compat.nnfs._arithmetic import current, own
from nnxp.compat.nnfs._layers import like_output

__all__ = ["Activation_Linear", "Activation_ReLU", "Activation_Sigmoid", "Activation_Softmax"]


class _Activation:
    op: ClassVar[str]

    def forward(self, inputs: Any, training: bool = True) -> None:
        """Set ``output``."""
        self.inputs = own(type(self).__name__, "inputs", inputs)
        self.output = getattr(current().ops, self.op)(self.inputs)

    def backward(self, dvalues: Any) -> None:
        """Set ``dinputs``."""
        dvalues = like_output(self, dvalues)
        self.dinputs = getattr(current().ops, self.op + "_backward")(dvalues, self.output)

    def predictions(self, outputs: Array) -> Array:
        """What the outputs say: here, themselves."""
        return outputs


class Activation_ReLU(_Activation):
    """max(0, inputs)."""

    op = "relu"


class Activation_Softmax(_Activation):
    """Probabilities of the classes; backward in closed form, y·(g - Σ g·y), for all samples at once."""

    op = "softmax"

    def predictions(self, outputs: Array) -> Array:
        """The class of each sample."""
        return current().xp.argmax(own("Activation_Softmax", "outputs", outputs), axis=1)


class Activation_Sigmoid(_Activation):
    """1 / (1 + e^-inputs)."""

    op = "sigmoid"

    def predictions(self, outputs: Array) -> Array:
        """1 where the output is above 0.5, else 0."""
        xp = current().xp
        return xp.astype(own("Activation_Sigmoid", "outputs", outputs) > 0.5, current().integer_dtype)


class Activation_Linear(_Activation):
    """The inputs."""

    def forward(self, inputs: Any, training: bool = True) -> None:
        self.inputs = self.output = own("Activation_Linear", "inputs", inputs)

    def backward(self, dvalues: Any) -> None:
        self.dinputs = like_output(self, dvalues)
