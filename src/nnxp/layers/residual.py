"""A branch whose result is added to what went in."""

from collections.abc import Sequence

from nnxp._types import Array, Shape
from nnxp.backend import Backend
from nnxp.errors import ShapeError
from nnxp.layers._base import Layer, batch_of, join
from nnxp.layers.sequential import Sequential
from nnxp.ops import Ops
from nnxp.ops.record import Program, Record

__all__ = ["Residual"]


class Residual(Sequential):
    r"""``x[B,…] -> y[B,…]``: $y = x + f(x)$, with $dx = dy + f'(x)^\top dy$.

    The gradient reaches what is in front whole, and f only has to learn what x lacks: so networks can be deep.
    Source: He et al. (CVPR 2016).

    >>> from nnxp.layers import Dense, ReLU
    >>> block = Residual([Dense(8), ReLU(), Dense(4)])  # for inputs of 4 features

    Parameters
    ----------
    layers
        f: a list of layers, or one layer. It must end in the shape that it begins with.
    """

    _ops: Ops

    def __init__(self, layers: Sequence[Layer] | Layer) -> None:
        super().__init__([layers] if isinstance(layers, Layer) else layers)

    def build(self, input_shape: Shape, backend: Backend) -> Shape:
        shape = super().build(input_shape, backend)
        if shape != input_shape:
            raise ShapeError(
                f"{self} expected its layers to end in the shape of x, {batch_of(input_shape)}, to add them up, got "
                f"{batch_of(shape)}; end it with a layer that brings that shape back."
            )
        self._ops = backend.ops
        return shape

    def forward(self, x: Array, *, training: bool = False) -> Array:
        return self._ops.add(super().forward(x, training=training), x)

    def backward(self, dy: Array) -> Array:
        return self._ops.add(super().backward(dy), dy)

    def trace(self, program: Program, path: str, x: str, *, training: bool) -> str:
        branch, y = super().trace(program, path, x, training=training), join(path, "y")
        program.records.append(Record("add", (branch, x), (y,)))
        return y

    def trace_backward(self, program: Program, path: str, dy: str, *, training: bool) -> str:
        branch, dx = super().trace_backward(program, path, dy, training=training), join(path, "dx")
        program.records.append(Record("add", (branch, dy), (dx,)))
        return dx
