"""Layers that make images smaller: a window of an image becomes one number, channel by channel."""

from typing import Any, ClassVar

from nnxp import _check
from nnxp._types import Shape
from nnxp.errors import ConfigurationError, ShapeError
from nnxp.layers._base import Outputs, batch_of
from nnxp.layers._recorded import ParameterSpec, RecordedLayer
from nnxp.layers._windows import check_padding, times, windows_of
from nnxp.ops.record import Record, record

__all__ = ["AveragePool2D", "GlobalAveragePool1D", "GlobalAveragePool2D", "MaxPool2D"]


class _Pool2D(RecordedLayer):
    makes: ClassVar[Outputs] = "its input"

    def __init__(
        self,
        pool_size: int | tuple[int, int] = 2,
        *,
        strides: int | tuple[int, int] | None = None,
        padding: str | int | tuple[int, int] = "valid",
    ) -> None:
        owner = type(self).__name__
        self.pool_size = _check.pair(owner, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else _check.pair(owner, "strides", strides)
        self.padding = check_padding(owner, padding)
        margins = (0, 0) if isinstance(self.padding, str) else self.padding
        if any(margin >= length for margin, length in zip(margins, self.pool_size, strict=True)):
            raise ConfigurationError(
                f"{owner}: padding must be smaller than pool_size {self.pool_size}, so that every window has a part of "
                f"the image, got {padding!r}."
            )

    def __str__(self) -> str:
        return f"{type(self).__name__}({times(self.pool_size)})"

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        size = windows_of(self, input_shape, "pool_size", self.pool_size, self.strides, self.padding)
        return (*size, input_shape[2]), {}

    def constants(self) -> dict[str, Any]:
        size = (self.input_shape or ())[:2]
        return {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding, "size": size}


class MaxPool2D(_Pool2D):
    """``x[B,H,W,C] -> y[B,h,w,C]``: the largest element of each window, in each channel.

    Backward: the gradient goes to that element, the first one in the order of rows where several are equal.

    Parameters
    ----------
    pool_size
        The window's height and width; a single number stands for both.
    strides
        How far one window is from the next, down and across; by default they touch.
    padding
        As for `Conv2D`; what is in the margins is never the largest.
    """

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("max_pool2d", "x pool_size strides padding", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("max_pool2d_backward", "dy x y pool_size strides padding", "dx"),)


class AveragePool2D(_Pool2D):
    """``x[B,H,W,C] -> y[B,h,w,C]``: the mean of each window, in each channel.

    Backward: each element gets its share of the gradient of every window that it was in.

    Parameters
    ----------
    pool_size
        The window's height and width; a single number stands for both.
    strides
        How far one window is from the next, down and across; by default they touch.
    padding
        As for `Conv2D`; the mean is over the elements on the image, so the margins do not count (as in Keras; PyTorch
        counts them as zeros by default).
    """

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("average_pool2d", "x pool_size strides padding", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("average_pool2d_backward", "dy size pool_size strides padding", "dx"),)


class _GlobalAveragePool(RecordedLayer):
    makes: ClassVar[Outputs] = "its input"

    axes: tuple[str, ...]

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        if len(input_shape) != len(self.axes) + 1:
            expected = ", ".join(("batch", *self.axes, "channels"))
            raise ShapeError(f"{self} expected x of shape ({expected}), got {batch_of(input_shape)}.")
        return input_shape[-1:], {}

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("global_average_pool", "x", "y"),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (record("global_average_pool_backward", "dy size", "dx"),)

    def constants(self) -> dict[str, Any]:
        return {"size": (self.input_shape or ())[:-1]}


class GlobalAveragePool2D(_GlobalAveragePool):
    """``x[B,H,W,C] -> y[B,C]``: the mean of each channel. Source: Lin et al. (ICLR 2014), section 3.2."""

    axes = ("height", "width")


class GlobalAveragePool1D(_GlobalAveragePool):
    """``x[B,T,C] -> y[B,C]``: the mean over the T tokens of a sequence."""

    axes = ("tokens",)
