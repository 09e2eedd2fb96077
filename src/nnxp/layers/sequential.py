"""Layers one after another, as one layer."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nnxp._types import Array, Arrays, Shape
from nnxp.backend import Backend
from nnxp.errors import ConfigurationError, NnxpError
from nnxp.layers._base import Layer, join
from nnxp.ops.record import Program

__all__ = ["Sequential"]


class Sequential(Layer):
    """A chain. Inside another chain it is the same network as the flat one, down to the random numbers."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        if isinstance(layers, Layer) or not isinstance(layers, Iterable):
            raise ConfigurationError(f"layers must be a list of layers, got {layers!s}; write [layers.Dense(3), …].")
        self.layers = tuple(layers)
        for layer in self.layers:
            if not isinstance(layer, Layer):
                got = f"the class {layer.__name__}" if isinstance(layer, type) else repr(layer)
                raise ConfigurationError(f"layers must be objects that derive from nnxp.layers.Layer, got {got}.")
        if not self.layers:
            raise ConfigurationError("layers is empty; a network needs at least one layer, such as layers.Dense(3).")
        if len({id(leaf) for _, leaf in self.leaves()}) < sum(1 for _ in self.leaves()):
            raise ConfigurationError(
                "The same layer object stands in the network twice; make one object for each place."
            )

    def __str__(self) -> str:
        count = len(self.layers)
        return f"{type(self).__name__}({count} layer{'s' * (count > 1)})"

    def leaves(self, path: str = "") -> Iterator[tuple[str, Layer]]:
        for index, layer in enumerate(self.layers):
            yield from layer.leaves(join(path, index))

    def build(self, input_shape: Shape, backend: Backend) -> Shape:
        shape, leaf = input_shape, backend.rng.layer
        for index, layer in enumerate(self.layers):
            try:
                layer.input_shape, shape = shape, _shape_of(layer, layer.build(shape, backend.for_layer(leaf)))
                layer.output_shape = shape
            except NnxpError as error:
                error.add_note(f"in layer {index} of the network")
                raise
            leaf += sum(1 for _ in layer.leaves())
        self.input_shape, self.output_shape = input_shape, shape
        return shape

    def forward(self, x: Array, *, training: bool = False) -> Array:
        for layer in self.layers:
            x = layer.forward(x, training=training)
        return x

    def backward(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    def parameters(self) -> Arrays:
        return {join(path, name): array for path, leaf in self.leaves() for name, array in leaf.parameters().items()}

    def gradients(self) -> Arrays:
        return {join(path, name): array for path, leaf in self.leaves() for name, array in leaf.gradients().items()}

    def buffers(self) -> Arrays:
        return {join(path, name): array for path, leaf in self.leaves() for name, array in leaf.buffers().items()}

    def trace(self, program: Program, path: str, x: str, *, training: bool) -> str:
        for index, layer in enumerate(self.layers):
            x = layer.trace(program, join(path, index), x, training=training)
        return x

    def trace_backward(self, program: Program, path: str, dy: str, *, training: bool) -> str:
        for index, layer in reversed(list(enumerate(self.layers))):
            dy = layer.trace_backward(program, join(path, index), dy, training=training)
        return dy


def _shape_of(layer: Layer, built: Any) -> Shape:
    if not isinstance(built, tuple) or not all(isinstance(size, int) for size in built):
        raise ConfigurationError(f"{layer}.build returned {built!r}, expected the output's shape, such as (64,).")
    return built
