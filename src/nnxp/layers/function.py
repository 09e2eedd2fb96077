"""A pair of functions as a layer: the mathematics of an op, tried out before it has a place of its own."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from nnxp import _check
from nnxp._types import Array, Shape
from nnxp.backend import Backend
from nnxp.errors import ConfigurationError, DtypeError, NotBuiltError, ShapeError
from nnxp.layers._recorded import ParameterSpec, RecordedLayer
from nnxp.ops.record import Record

__all__ = ["Lambda"]


class Lambda(RecordedLayer):
    r"""$y = f(x)$, with $dx = f'(x)^\top dy$ by a function of your own; no parameters.

    Both functions take the namespace ``xp`` first, as those of `nnxp.ops.reference` do, so they run on every backend:

    >>> def sine(xp, x):
    ...     return xp.sin(x)
    >>> def sine_backward(xp, dy, x):
    ...     return dy * xp.cos(x)
    >>> layer = Lambda(sine, sine_backward)
    >>> from nnxp.gradcheck import check
    >>> check(layer).ok
    True

    A model with it is saved with the functions' names, if they stand at the top of a module, and loaded with
    ``custom_objects={"sine": sine, "sine_backward": sine_backward}``.

    Parameters
    ----------
    f
        ``f(xp, x[B,…]) -> y[B,…]``, of x's data type. It must not write into x.
    f_backward
        ``f_backward(xp, dy, x) -> dx``, or of ``(xp, dy, y)``: the gradient by x of a loss whose gradient by y is dy.
    reads
        Whether ``f_backward`` gets the input, ``"x"``, or the output, ``"y"``.
    output_shape
        The shape of a y without its batch axis. By default f is asked, with a batch of no samples.
    """

    def __init__(
        self,
        f: Callable[..., Array],
        f_backward: Callable[..., Array],
        *,
        reads: Literal["x", "y"] = "x",
        output_shape: Sequence[int] | None = None,
    ) -> None:
        self.f, self.f_backward = _function("f", "xp, x", f), _function("f_backward", f"xp, dy, {reads}", f_backward)
        self.reads = _check.choice("Lambda", "reads", reads, ("x", "y"))
        self.output_shape = self._given = None if output_shape is None else _shape(output_shape)

    def __str__(self) -> str:
        return f"Lambda({_name(self.f)})"

    def build(self, input_shape: Shape, backend: Backend) -> Shape:
        self._backend = backend  # specify may have to call f
        return super().build(input_shape, backend)

    def specify(self, input_shape: Shape) -> tuple[Shape, dict[str, ParameterSpec]]:
        return self._asked(input_shape) if self._given is None else self._given, {}

    def forward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (Record(self._forward, ("x",), ("y",), ((None, *(self.output_shape or ())),)),)

    def backward_records(self, *, training: bool) -> tuple[Record, ...]:
        return (Record(self._backward, ("dy", self.reads), ("dx",), ((None, *(self.input_shape or ())),)),)

    def _forward(self, x: Array, *, out: Any = None) -> Array:
        y = self.f(self._namespace, x)
        return self._checked(self.f, y, like=x, shape=(x.shape[0], *(self.output_shape or ())))

    def _backward(self, dy: Array, read: Array, *, out: Any = None) -> Array:
        dx = self.f_backward(self._namespace, dy, read)
        return self._checked(self.f_backward, dx, like=dy, shape=(dy.shape[0], *(self.input_shape or ())))

    @property
    def _namespace(self) -> Any:
        if self._backend is None:
            raise NotBuiltError(f"{self} does not know its backend yet; build it, or its model, first.")
        return self._backend.xp

    def _asked(self, input_shape: Shape) -> Shape:
        """The shape of f's result for a batch of no samples."""
        xp = self._namespace
        assert self._backend is not None  # _namespace has checked
        x = xp.zeros((0, *input_shape), dtype=self._backend.dtype, device=self._backend.device)
        try:
            with self._backend.quiet():
                y = self.f(xp, x)
        except Exception as error:
            error.add_note(
                f"{self}: {_name(self.f)} was asked for its output's shape, with x of shape {_check.shape(x)}; if it "
                "cannot take an empty batch, give Lambda(…, output_shape=…)."
            )
            raise
        self._checked(self.f, y, like=x)
        shape = _check.shape(y)
        if not shape or shape[0] != 0:
            raise ShapeError(
                f"{self} expected {_name(self.f)} to keep the batch axis, got shape {shape} for x of shape "
                f"{_check.shape(x)}; the first axis of y counts the samples."
            )
        return shape[1:]

    def _checked(self, function: Callable[..., Array], array: Any, *, like: Array, shape: Shape | None = None) -> Array:
        """What a function returned, if it is an array as it should be."""
        dtype = getattr(array, "dtype", None)
        if dtype != like.dtype:
            wanted, got = f"{type(like).__name__} of {_check.dtype_name(like.dtype)}", type(array).__name__
            got += "" if dtype is None else f" of {_check.dtype_name(dtype)}"
            raise DtypeError(f"{self} expected {_name(function)} to return {wanted}, as it was given, got {got}.")
        if shape is not None and _check.shape(array) != shape:
            remedy = "dx has the shape of x" if function is self.f_backward else "output_shape says otherwise"
            raise ShapeError(
                f"{self} expected {_name(function)} to return shape {shape}, got {_check.shape(array)}; {remedy}."
            )
        return array


def _function(name: str, arguments: str, value: Any) -> Callable[..., Array]:
    if not callable(value):
        raise ConfigurationError(f"Lambda: {name} must be a function {name}({arguments}), got {value!r}.")
    return value  # type: ignore[no-any-return]


def _shape(sizes: Sequence[int]) -> Shape:
    if not isinstance(sizes, Sequence) or isinstance(sizes, str):
        raise ConfigurationError(f"Lambda: output_shape must be a tuple such as (10,), got {sizes!r}.")
    return tuple(_check.positive_int("Lambda", "every size in output_shape", size) for size in sizes)


def _name(function: Callable[..., Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)
