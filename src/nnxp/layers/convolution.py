"""A layer in which every output sees a small window of an image, through the same weights everywhere."""

from typing import Any, ClassVar

from nnxp import _check
from nnxp._types import Shape
from nnxp.initializers import GlorotUniform, Initializer, Zeros
from nnxp.layers._base import Outputs
from nnxp.layers._recorded import Parameter, ParameterSpec, RecordedLayer
from nnxp.layers._windows import check_padding, times, windows_of
from nnxp.ops.record import Record, record
from nnxp.regularizers import Regularizer

__all__ = ["Conv2D"]

_GLOROT, _ZEROS = GlorotUniform(), Zeros()


class Conv2D(RecordedLayer):
    r"""``x[B,H,W,C] -> y[B,h,w,O]``: the windows of x, each as a row p of a matrix, in $y = p w + b$, with
    ``weights[kh,kw,C,O]`` and ``biases[O]``.

    Backward: $db = \sum dy$, $dw = p^\top dy$, and the rows of $dp = dy\, w^\top$ are added where the windows were.
    The weights are not turned around (it is a cross-correlation). Source: LeCun et al. (Proc. IEEE 86, 1998).

    Parameters
    ----------
    filters
        O, the number of channels of the output.
    kernel_size
        (kh, kw), the window's height and width; a single number stands for both.
    strides
        How far one window is from the next, down and across.
    padding
        ``"valid"``: windows stay on the image, so $h = \lfloor (H - kh) / stride \rfloor + 1$. ``"same"``: the image
        gets margins of zeros, so that $h = \lceil H / stride \rceil$. A number, or two: so wide margins above and
        below, left and right.
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
        filters: int,
        kernel_size: int | tuple[int, int],
        *,
        strides: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = "valid",
        weight_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
        weight_initializer: Initializer = _GLOROT,
        bias_initializer: Initializer = _ZEROS,
    ) -> None:
        self.filters = _check.positive_int("Conv2D", "filters", filters)
        self.kernel_size = _check.pair("Conv2D", "kernel_size", kernel_size)
        self.strides = _check.pair("Conv2D", "strides", strides)
        self.padding = check_padding("Conv2D", padding)
        self.weight_regularizer = _check.instance(
            "Conv2D", "weight_regularizer", weight_regularizer, Regularizer, none=True
        )
        self.bias_regularizer = _check.instance("Conv2D", "bias_regularizer", bias_regularizer, Regularizer, none=True)
        self.weight_initializer = _check.instance("Conv2D", "weight_initializer", weight_initializer, Initializer)
        self.bias_initializer = _check.instance("Conv2D", "bias_initializer", bias_initializer, Initializer)

    def __str__(self) -> str:
        return f"Conv2D({self.filters}, {times(self.kernel_size)})"

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        size = windows_of(self, input_shape, "kernel_size", self.kernel_size, self.strides, self.padding)
        return (*size, self.filters), {
            "weights": ParameterSpec((*self.kernel_size, input_shape[2], self.filters), self.weight_initializer),
            "biases": ParameterSpec((self.filters,), self.bias_initializer),
        }

    def regularizers(self) -> dict[str, Regularizer]:
        both = {"weights": self.weight_regularizer, "biases": self.bias_regularizer}
        return {name: penalty for name, penalty in both.items() if penalty is not None}

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("conv2d", "x weights biases strides padding", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (
            record("conv2d_bias_gradient", "dy", "dbiases"),
            record("conv2d_weight_gradient", "x dy kernel_size strides padding", "dweights"),
            record("conv2d_input_gradient", "dy weights size strides padding", "dx"),
        )

    def constants(self) -> dict[str, Any]:
        size = (self.input_shape or ())[:2]
        return {"kernel_size": self.kernel_size, "strides": self.strides, "padding": self.padding, "size": size}
