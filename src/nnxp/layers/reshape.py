"""The same numbers in another shape."""

from collections.abc import Sequence
from math import prod
from numbers import Integral
from typing import Any, ClassVar

from nnxp._types import Shape
from nnxp.errors import ConfigurationError, ShapeError
from nnxp.layers._base import Outputs, batch_of
from nnxp.layers._recorded import ParameterSpec, RecordedLayer
from nnxp.ops.record import Record, record

__all__ = ["Flatten", "Reshape"]


class _Reshaping(RecordedLayer):
    """Inputs of one shape to outputs of another one."""

    makes: ClassVar[Outputs] = "its input"

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("reshape", "x output_shape", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("reshape", "dy input_shape", "dx"),)

    def constants(self) -> dict[str, Any]:
        return {"input_shape": self.input_shape, "output_shape": self.output_shape}


class Flatten(_Reshaping):
    """``x[B,H,W,C] -> y[B,H·W·C]``: all axes but the first become one, the last varying fastest."""

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        return (prod(input_shape),), {}


class Reshape(_Reshaping):
    """``x[B,…] -> y[B,*target_shape]``: the same numbers in another shape, the last axis varying fastest in both.

    Parameters
    ----------
    target_shape
        The output's shape, without the batch axis. One length may be -1: what is left for it.
    """

    def __init__(self, target_shape: Sequence[int]) -> None:
        lengths = tuple(target_shape) if isinstance(target_shape, list | tuple) else ()
        if not lengths or not all(map(_is_length, lengths)) or lengths.count(-1) > 1:
            raise ConfigurationError(
                "Reshape: target_shape must be whole numbers of at least 1, one of them perhaps -1, such as "
                f"(28, 28, 1), got {target_shape!r}."
            )
        self.target_shape = tuple(map(int, lengths))

    def __str__(self) -> str:
        return f"Reshape({self.target_shape})"

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        size, known = prod(input_shape), prod(length for length in self.target_shape if length > 0)
        shape = tuple(size // known if length < 0 else length for length in self.target_shape)
        if prod(shape) != size:
            raise ShapeError(
                f"{self} cannot hold the {size} numbers of a sample, got x of shape {batch_of(input_shape)}; the "
                "lengths must multiply to as many."
            )
        return shape, {}


def _is_length(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and (value == -1 or int(value) >= 1)
