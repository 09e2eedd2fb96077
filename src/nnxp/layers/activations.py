"""Activations as layers: no parameters, one op forward and one backward, which reads the output."""

from typing import ClassVar

from nnxp.layers._recorded import RecordedLayer
from nnxp.ops.record import Record, record

__all__ = ["Linear", "ReLU", "Sigmoid", "Softmax", "Step", "Tanh"]


class _Activation(RecordedLayer):
    """``op`` forward, ``op + "_backward"`` backward."""

    op: ClassVar[str]

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record(self.op, "x", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record(self.op + "_backward", "dy y", "dx"),)


class ReLU(_Activation):
    r"""$y = \max(x, 0)$; its derivative at 0 is taken as 0. Source: Nair & Hinton (ICML 2010)."""

    op = "relu"


class Sigmoid(_Activation):
    r"""$y = 1 / (1 + e^{-x})$, with $dx = dy \cdot y (1 - y)$."""

    op = "sigmoid"


class Tanh(_Activation):
    r"""$y = \tanh x$, with $dx = dy \cdot (1 - y^2)$."""

    op = "tanh"


class Softmax(_Activation):
    r"""$y_k = e^{x_k} / \sum_j e^{x_j}$ over the last axis, with $dx = y \cdot (dy - \sum_j dy_j y_j)$."""

    op = "softmax"


class Step(_Activation):
    r"""$y = 1$ where $x > 0$, else 0: the perceptron's threshold. Its gradient is 0: layers in front never learn."""

    op = "step"


class Linear(RecordedLayer):
    """$y = x$: the activation of a regression's output, said aloud. It costs nothing."""
