"""The arena: one flat buffer for each kind of state (parameters, gradients, optimizer slots), and named views into it.

A layer's arrays lie together, in the order in which it names them (``biases`` directly after ``weights``), and each
layer begins on a 64-byte boundary. So one optimizer call covers the network, and a flat buffer is the unit of
checkpoint.

Where arrays are writable, views share memory with the flat buffer for ever. Where they are immutable, the flat array is
replaced and the views are sliced again. Readers always go through `Buffer` or `Segment`, so they never see a stale
view.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

from nnxp._types import Array, Arrays, Shape
from nnxp.backend import Backend

__all__ = ["Buffer", "Layout", "Segment"]

_BOUNDARY = 64


@dataclass(frozen=True)
class _Place:
    start: int
    stop: int
    shape: Shape


@dataclass(frozen=True)
class Layout:
    """Where each named array lies in a flat buffer of ``size`` elements."""

    places: Mapping[str, _Place]
    size: int

    @classmethod
    def of(cls, groups: Sequence[Mapping[str, Shape]], itemsize: int) -> "Layout":
        """Lay out groups of shapes: without gaps inside a group, and each group on a 64-byte boundary."""
        step = _BOUNDARY // itemsize
        places: dict[str, _Place] = {}
        end = 0
        for group in groups:
            for name, shape in group.items():
                start, end = end, end + prod(shape)
                places[name] = _Place(start, end, shape)
            end = -(-end // step) * step
        return cls(MappingProxyType(places), end)

    @property
    def count(self) -> int:
        """How many elements belong to arrays; the rest is padding, and stays zero."""
        return sum(place.stop - place.start for place in self.places.values())

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """Where each array begins and ends, in order."""
        return tuple((place.start, place.stop) for place in self.places.values())


class Buffer(Mapping[str, Array]):
    """A flat array and its views by name. Padding is zero, and every update keeps it so."""

    def __init__(self, layout: Layout, backend: Backend) -> None:
        self.layout = layout
        self.backend = backend
        self.flat = backend.zeros(layout.size)
        self._views = self._slice()

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def write(self, values: Mapping[str, Array]) -> None:
        """Copy arrays of this backend into the views that they name."""
        if self.backend.writable:
            for name, value in values.items():
                view = self._views[name]
                if view is not value:
                    view[...] = value
        else:
            self._assemble({**self._views, **values})

    def joint(self, first: str, second: str) -> Array | None:
        """``[w; b]`` as one matrix, where the row b lies directly after the matrix w; else None."""
        places = self.layout.places
        if first not in places or second not in places:
            return None
        w, b = places[first], places[second]
        if w.stop != b.start or len(w.shape) != 2 or b.shape != w.shape[1:]:
            return None
        return self.backend.xp.reshape(self.flat[w.start : b.stop], (w.shape[0] + 1, w.shape[1]))

    def replace(self, flat: Array) -> None:
        """Take ``flat`` as the new contents; a buffer's own array is already there."""
        if flat is self.flat:
            return
        if self.backend.writable:
            self.flat[...] = flat
        else:
            self.flat = flat
            self._views = self._slice()

    def add(self, flat: Array) -> None:
        """Add to the contents, in place where that can be."""
        if self.backend.writable:
            self.flat += flat
        else:
            self.replace(self.flat + flat)

    def copy(self) -> Array:
        """The contents as an array that later updates do not change."""
        return self.backend.xp.asarray(self.flat, copy=True)

    def _slice(self) -> Arrays:
        reshape = self.backend.xp.reshape
        return {name: reshape(self.flat[p.start : p.stop], p.shape) for name, p in self.layout.places.items()}

    def _assemble(self, values: Mapping[str, Array]) -> None:
        xp, pieces, end = self.backend.xp, [], 0
        for name, place in self.layout.places.items():
            if place.start > end:
                pieces.append(self.flat[end : place.start])
            pieces.append(xp.reshape(values[name], (-1,)))
            end = place.stop
        self.replace(xp.concat([*pieces, self.flat[end:]]))


@dataclass(frozen=True)
class Segment(Mapping[str, Array]):
    """One layer's share of a buffer: its arrays by the names that the layer uses."""

    buffer: Buffer
    prefix: str
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> Array:
        return self.buffer[self.prefix + name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def write(self, values: Mapping[str, Array]) -> None:
        """Copy arrays into this share."""
        self.buffer.write({self.prefix + name: value for name, value in values.items()})
