"""A layer that is one and the same function in every call, and afterwards what it was before."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nnxp import _check
from nnxp._types import Array, Arrays, Shape
from nnxp.backend import Backend, to_host
from nnxp.errors import ShapeError
from nnxp.layers import Layer
from nnxp.layers._base import join
from nnxp.parameters import Buffer, Layout, Segment

__all__ = ["HeldLayer", "as_it_was"]


class HeldLayer:
    """The layer, built anew in float64 with the parameters that it had; use it inside `as_it_was`."""

    def __init__(self, layer: Layer, shape: Shape, backend: Backend, *, training: bool) -> None:
        self._layer, self._backend, self._training = layer, backend, training
        before = _arrays(layer) if layer.input_shape is not None else {}
        layer.input_shape, layer.output_shape = shape, layer.build(shape, backend)
        self._leaves = list(layer.leaves())
        self._buffers = {
            path: {name: before.get(join(path, name), to_host(a).copy()) for name, a in leaf.buffers().items()}
            for path, leaf in self._leaves
        }
        shapes = [{join(path, n): _check.shape(a) for n, a in leaf.parameters().items()} for path, leaf in self._leaves]
        layout = Layout.of(shapes, backend.itemsize)
        self._parameters, self._gradients = Buffer(layout, backend), Buffer(layout, backend)
        own = {join(path, n): to_host(a) for path, leaf in self._leaves for n, a in leaf.parameters().items()}
        self.parameters: Arrays = {key: np.array(before.get(key, own[key]), np.float64) for key in own}
        self._state = _state(layer)

    def forward(self, points: Arrays) -> Array:
        """The output for ``x`` and parameters by key, all host arrays."""
        _restore(self._state)
        asarray = self._backend.asarray
        self._parameters.write({key: asarray(points[key]) for key in self._parameters})
        for path, leaf in self._leaves:
            names, prefix = tuple(leaf.parameters()), join(path, "")
            leaf.adopt(Segment(self._parameters, prefix, names), Segment(self._gradients, prefix, names))
            leaf.load_buffers({name: asarray(array.copy()) for name, array in self._buffers[path].items()})
        y = self._layer.forward(asarray(points["x"].copy()), training=self._training)
        expected = (points["x"].shape[0], *(self._layer.output_shape or ()))
        if y is None or _check.shape(y) != expected:
            got = "None" if y is None else f"shape {_check.shape(y)}"
            raise ShapeError(f"{self._layer}.forward gave {got}, expected shape {expected}, which build returned.")
        return self._backend.to_numpy(y)

    def backward(self, upstream: Array) -> dict[str, Array | None]:
        """The gradients by ``x`` and by the parameters, after a forward; None where there is none."""
        found: dict[str, Any] = {"x": self._layer.backward(self._backend.asarray(upstream.copy()))}
        for path, leaf in self._leaves:
            gradients = leaf.gradients()
            found |= {join(path, name): gradients.get(name) for name in leaf.parameters()}
        return {key: None if array is None else self._backend.to_numpy(array) for key, array in found.items()}


@contextmanager
def as_it_was(layer: Layer) -> Iterator[None]:
    """Put all attributes of the layer, and of layers that it holds, back in the end."""
    state = _state(layer)
    try:
        yield
    finally:
        _restore(state)


def _state(layer: Layer) -> list[tuple[Layer, dict[str, Any]]]:
    return [(part, _copies(vars(part))) for part in _parts(layer)]


def _restore(state: list[tuple[Layer, dict[str, Any]]]) -> None:
    for part, attributes in state:
        vars(part).clear()
        vars(part).update(_copies(attributes))


def _copies(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes; dictionaries and lists, to which arrays may be written, as copies."""
    return {name: value.copy() if isinstance(value, dict | list) else value for name, value in attributes.items()}


def _parts(layer: Layer) -> Iterator[Layer]:
    yield layer
    for value in vars(layer).values():
        for part in (
            value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else (value,)
        ):
            if isinstance(part, Layer):
                yield from _parts(part)


def _arrays(layer: Layer) -> Arrays:
    """Host copies of parameters and buffers, by key."""
    return {
        join(path, name): np.array(to_host(array))
        for path, leaf in layer.leaves()
        for name, array in {**leaf.parameters(), **leaf.buffers()}.items()
    }
