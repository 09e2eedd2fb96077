"""What a layer is: something that is built once, runs forward, and gives gradients backward.

Derive from `Layer` for a layer of your own: write ``forward`` and ``backward``, and ``build`` if it has parameters. The
built-in layers derive from `RecordedLayer`: they state their steps as records, which the plan binds to buffers.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from math import prod
from typing import Any, ClassVar, Literal, TypeAlias

from nnxp import _check
from nnxp._types import Array, Arrays, Shape
from nnxp.backend import Backend
from nnxp.errors import ConfigurationError, DtypeError, NotBuiltError, ShapeError
from nnxp.ops.record import Program, Record
from nnxp.parameters import Segment
from nnxp.regularizers import Regularizer

__all__ = ["Layer", "Outputs", "join"]

Outputs: TypeAlias = Literal["probabilities", "scores", "its input", "anything"]
"""What a layer makes: probabilities; scores, which are none; its input again, but for its shape or scale; or anything:
nobody can say, as with a layer of the user's own."""


def join(path: str, name: object) -> str:
    """``join("1", "weights")`` is ``"1.weights"``; an empty path adds nothing."""
    return f"{path}.{name}" if path else str(name)


class Layer(ABC):
    """A layer. Shapes are without the batch axis; an instance belongs to one model.

    A layer of your own with one parameter, a factor for each feature:

    >>> class Scale(Layer):
    ...     def build(self, input_shape, backend):
    ...         self.xp = backend.xp
    ...         self.factor = self.xp.ones(input_shape, dtype=backend.dtype, device=backend.device)
    ...         return input_shape
    ...
    ...     def forward(self, x, *, training=False):
    ...         self.x = x
    ...         return x * self.factor
    ...
    ...     def backward(self, dy):
    ...         self.d_factor = self.xp.sum(dy * self.x, axis=0)
    ...         return dy * self.factor
    ...
    ...     def parameters(self):
    ...         return {"factor": self.factor}
    ...
    ...     def gradients(self):
    ...         return {"factor": self.d_factor}
    """

    input_shape: Shape | None = None
    output_shape: Shape | None = None
    in_model: bool = False
    index_limit: int | None = None
    """For a layer that reads indices: how many there are. Its x is integers from 0 to one less, not real numbers."""

    makes: ClassVar[Outputs] = "anything"
    """Whether a cross-entropy of probabilities may stand behind it; behind "scores" a model refuses one."""

    def build(self, input_shape: Shape, backend: Backend) -> Shape:
        """Make the parameters for inputs of this shape, on this backend; return the output's shape."""
        return input_shape

    @abstractmethod
    def forward(self, x: Array, *, training: bool = False) -> Array:
        """``x[B,…] -> y[B,…]``; keep what `backward` needs."""

    @abstractmethod
    def backward(self, dy: Array) -> Array:
        """``dy[B,…] -> dx[B,…]`` of the last forward; set the gradients of the parameters."""

    def parameters(self) -> Arrays:
        """What is trained, by name."""
        return {}

    def gradients(self) -> Arrays:
        """The loss's derivative by each parameter, after `backward`, by the same names."""
        return {}

    def buffers(self) -> Arrays:
        """What is remembered and not trained, by name."""
        return {}

    def regularizers(self) -> dict[str, Regularizer]:
        """Penalties by the name of the parameter."""
        return {}

    def leaves(self, path: str = "") -> Iterator[tuple[str, "Layer"]]:
        """The layers without children, with their paths, in order."""
        yield path, self

    def check_input(self, x: Array) -> None:
        """Raise unless x has the shape that this layer was built for."""
        if self.input_shape is None:
            raise NotBuiltError(f"{self} has no parameters yet; call build(input_shape, backend), or build its model.")
        got = _check.shape(x)
        if len(got) != len(self.input_shape) + 1 or got[1:] != self.input_shape:
            raise ShapeError(f"{self} expected x of shape {batch_of(self.input_shape)}, got {got}{self._remedy(got)}.")

    def trace(self, program: Program, path: str, x: str, *, training: bool) -> str:
        """Write the forward pass into a program; return the name of the output."""
        y = join(path, "y")
        shapes = ((None, *(self.output_shape or ())),)
        program.records.append(Record(partial(_opaque_forward, self, training), (x,), (y,), shapes))
        return y

    def trace_backward(self, program: Program, path: str, dy: str, *, training: bool) -> str:
        """Write the backward pass into a program; return the name of the input's gradient."""
        parameters = self.parameters()
        dx, names = join(path, "dx"), tuple(parameters)
        outputs = (dx, *(join(path, "d" + name) for name in names))
        shapes = ((None, *(self.input_shape or ())), *map(_check.shape, parameters.values()))
        program.records.append(Record(partial(_opaque_backward, self, names), (dy,), outputs, shapes))
        return dx

    def adopt(self, parameters: Segment, gradients: Segment) -> None:
        """Keep the parameters in a model's arena from now on; called again whenever its arrays are replaced."""
        for name in parameters:
            put(self, self.parameters, name, parameters[name])

    def load_buffers(self, values: Mapping[str, Array]) -> None:
        """Take these arrays as the buffers."""
        for name, value in values.items():
            put(self, self.buffers, name, value)

    def __str__(self) -> str:
        return f"{type(self).__name__}()"

    def _remedy(self, got: Shape) -> str:
        expected = self.input_shape or ()
        if got == expected:
            return "; for one sample use x[None]"
        if got[1:] == expected[:-1] and expected[-1:] == (1,):
            return "; use x[..., None]"
        if len(got) > 2 and len(expected) == 1:
            features = prod(got[1:])
            other = "" if features == expected[0] else f", in a network built for {features} features"
            return "; put Flatten() before it" + other
        return ""


def batch_of(shape: Shape) -> str:
    """A shape with its batch axis, as errors print it: ``(batch, 784)``."""
    return "(" + ", ".join(["batch", *map(str, shape)]) + ")"


def put(layer: Layer, arrays: Any, name: str, value: Array) -> None:
    """Make ``arrays()[name]`` be ``value``, where that dictionary shows attributes of the layer or is kept by it."""
    current = arrays()[name]
    if current is value:
        return
    for attribute, held in vars(layer).items():
        if held is current:
            setattr(layer, attribute, value)
    if arrays()[name] is not value:
        arrays()[name] = value
    if arrays()[name] is not value:
        raise ConfigurationError(
            f"{layer}: {arrays.__name__}()[{name!r}] must be an attribute of the layer, or an entry of a "
            "dictionary that it keeps, so "
            f"that a model can replace the array; store it as self.{name}."
        )


def _opaque_forward(layer: Layer, training: bool, x: Array, *, out: Any = None) -> Array:
    y = layer.forward(x, training=training)
    _check_shape(layer, "forward", y, (x.shape[0], *(layer.output_shape or ())), "the shape that build returned")
    if layer.index_limit is None:
        _check_dtype(layer, "forward", y, x)
    return y


def _opaque_backward(layer: Layer, names: tuple[str, ...], dy: Array, *, out: Any = None) -> Any:
    dx = layer.backward(dy)
    _check_shape(layer, "backward", dx, (dy.shape[0], *(layer.input_shape or ())), "the shape of its input")
    _check_dtype(layer, "backward", dx, dy)
    if not names:
        return dx
    parameters, gradients = layer.parameters(), layer.gradients()
    for name in names:
        if name not in gradients:
            raise ConfigurationError(
                f"{layer}.gradients() lacks {name!r}; it has {sorted(gradients)}. Set it in backward."
            )
        what = f"gradients()[{name!r}]"
        _check_shape(layer, what, gradients[name], _check.shape(parameters[name]), "the shape of the parameter")
        _check_dtype(layer, what, gradients[name], dy)
    return (dx, *(gradients[name] for name in names))


def _check_dtype(layer: Layer, what: str, array: Any, like: Array) -> None:
    """Another type would be read wrongly by what comes next, which may work on bare memory."""
    if getattr(array, "dtype", None) != like.dtype:
        wanted, got = _check.dtype_name(like.dtype), _check.dtype_name(getattr(array, "dtype", type(array)))
        raise DtypeError(
            f"{layer}.{what} gave {got}, expected {wanted}, the type of its input; keep arrays in that type."
        )


def _check_shape(layer: Layer, what: str, array: Any, expected: Shape, why: str) -> None:
    got = tuple(getattr(array, "shape", ()))
    if got != tuple(expected) or array is None:
        found = f"shape {got}" if array is not None else "None"
        raise ShapeError(f"{layer}.{what} gave {found}, expected shape {tuple(expected)}, {why}.")
