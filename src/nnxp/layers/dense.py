"""A layer in which every output sees every input."""

from typing import ClassVar

from nnxp import _check
from nnxp._types import Shape
from nnxp.errors import ShapeError
from nnxp.initializers import GlorotUniform, Initializer, Zeros
from nnxp.layers._base import Outputs, batch_of
from nnxp.layers._recorded import Parameter, ParameterSpec, RecordedLayer
from nnxp.ops.record import Record, record
from nnxp.regularizers import Regularizer

__all__ = ["Dense"]

_GLOROT, _ZEROS = GlorotUniform(), Zeros()


class Dense(RecordedLayer):
    r"""``x[B,I] -> y[B,O]``: $y = x w + b$, with ``weights[I,O]`` and ``biases[O]``.

    Backward: $db = \sum_b dy$, $dw = x^\top dy$, $dx = dy\, w^\top$.

    Parameters
    ----------
    units
        O, the number of outputs.
    input_size
        I, if it should be known before data is; a model whose first layer has it is built at once.
    weight_regularizer, bias_regularizer
        Penalties (see `nnxp.regularizers`).
    weight_initializer, bias_initializer
        Where training starts: Glorot uniform and zeros.
    """

    makes: ClassVar[Outputs] = "scores"

    weights = Parameter()
    biases = Parameter()

    def __init__(
        self,
        units: int,
        *,
        input_size: int | None = None,
        weight_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
        weight_initializer: Initializer = _GLOROT,
        bias_initializer: Initializer = _ZEROS,
    ) -> None:
        self.units = _check.positive_int("Dense", "units", units)
        self.input_size = None if input_size is None else _check.positive_int("Dense", "input_size", input_size)
        self.weight_regularizer = _check.instance(
            "Dense", "weight_regularizer", weight_regularizer, Regularizer, none=True
        )
        self.bias_regularizer = _check.instance("Dense", "bias_regularizer", bias_regularizer, Regularizer, none=True)
        self.weight_initializer = _check.instance("Dense", "weight_initializer", weight_initializer, Initializer)
        self.bias_initializer = _check.instance("Dense", "bias_initializer", bias_initializer, Initializer)

    def __str__(self) -> str:
        return f"Dense({self.units})"

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        wanted = "features" if self.input_size is None else str(self.input_size)
        if len(input_shape) != 1 or self.input_size not in (None, input_shape[0]):
            remedy = "; put Flatten() before it" if len(input_shape) > 1 else "" if input_shape else "; use x[:, None]"
            raise ShapeError(f"{self} expected x of shape (batch, {wanted}), got {batch_of(input_shape)}{remedy}.")
        return (self.units,), {
            "weights": ParameterSpec((input_shape[0], self.units), self.weight_initializer),
            "biases": ParameterSpec((self.units,), self.bias_initializer),
        }

    def regularizers(self) -> dict[str, Regularizer]:
        both = {"weights": self.weight_regularizer, "biases": self.bias_regularizer}
        return {name: penalty for name, penalty in both.items() if penalty is not None}

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("linear", "x weights biases", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (
            record("linear_bias_gradient", "dy", "dbiases"),
            record("linear_weight_gradient", "x dy", "dweights"),
            record("linear_input_gradient", "dy weights", "dx"),
        )
