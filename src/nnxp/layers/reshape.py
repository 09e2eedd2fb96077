"""The same numbers in another shape."""

from math import prod
from typing import Any, ClassVar

from nnxp._types import Shape
from nnxp.layers._base import Outputs
from nnxp.layers._recorded import ParameterSpec, RecordedLayer
from nnxp.ops.record import Record, record

__all__ = ["Flatten"]


class Flatten(RecordedLayer):
    """``x[B,H,W,C] -> y[B,H·W·C]``: all axes but the first become one, the last varying fastest."""

    makes: ClassVar[Outputs] = "its input"

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        return (prod(input_shape),), {}

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("reshape", "x output_shape", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("reshape", "dy input_shape", "dx"),)

    def constants(self) -> dict[str, Any]:
        return {"input_shape": self.input_shape, "output_shape": self.output_shape}
