"""What layers with windows over images have in common: the padding, the output's size, and errors about shapes."""

from typing import TYPE_CHECKING, Any

from nnxp._types import Shape
from nnxp.errors import ConfigurationError, ShapeError
from nnxp.layers._base import Layer, batch_of

if TYPE_CHECKING:
    from nnxp.ops.reference.windows import Padding

__all__ = ["check_padding", "times", "windows_of"]


def check_padding(owner: str, value: Any) -> "Padding":
    """``value`` as ``"valid"``, ``"same"`` or two numbers of rows and columns; a single number stands for both."""
    if value in ("valid", "same"):
        return str(value)
    both = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(both) != 2 or any(type(n) is not int or n < 0 for n in both):
        raise ConfigurationError(
            f"{owner}: padding must be 'valid', 'same', a whole number of at least 0, or two of them, got {value!r}."
        )
    return both


def times(pair: tuple[int, int]) -> str:
    """``3x3``."""
    return f"{pair[0]}x{pair[1]}"


def windows_of(
    layer: Layer, input_shape: Shape, name: str, window: tuple[int, int], strides: tuple[int, int], padding: "Padding"
) -> tuple[int, int]:
    """(h, w): how many windows fit on such images; ``name`` is the layer's word for the window."""
    if len(input_shape) != 3:
        remedies = {
            1: "; put Reshape((height, width, channels)) before it",
            2: "; for images without channels use x[..., None]",
        }
        raise ShapeError(
            f"{layer} expected x of shape (batch, height, width, channels), got {batch_of(input_shape)}"
            f"{remedies.get(len(input_shape), '')}."
        )
    from nnxp.ops.reference.windows import grid  # importing nnxp does not wait for the mathematics

    (h, *_), (w, *_) = grid(input_shape[:2], window, strides, padding)
    if h < 1 or w < 1:
        raise ShapeError(
            f"{layer} has windows of {times(window)}, which do not fit on x of shape {batch_of(input_shape)}; use a "
            f"smaller {name}, or padding='same'."
        )
    return h, w
