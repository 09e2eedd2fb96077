"""Where the values of a plan lie: blocks of one buffer, shared by values whose lives do not overlap.

A value of two axes lies by rows, as products like it best, or by columns. By columns, a sum over few classes is a sum
of long columns, and the column of ones that a product with biases wants is simply the next line of memory.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from nnxp._types import Array, Shape
from nnxp.backend import Backend
from nnxp.ops import ELEMENTWISE, VIEWS
from nnxp.ops.record import Record
from nnxp.parameters import Buffer, Layout

__all__ = ["SMALL", "Places", "Workspace", "columns_of", "extend", "place"]

_NARROW = 16
"""Values of at most so many features lie by columns. Inputs as narrow are copied to a place beside a column of ones:
that is cheaper than to add the biases to every output, and to sum the gradient over the batch."""

SMALL = 32_768
"""In a network with narrow inputs, values of at most so many elements lie by columns too, with ones: for them, calls
cost more than arithmetic. Larger products are faster by rows. And so few targets are copied."""


@dataclass
class Places:
    """A block for each value that wants one."""

    blocks: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.blocks

    def add(self, name: str, shape: Shape, block: int | None = None) -> None:
        """Put a value into a block, or into a new one."""
        self.blocks[name] = len(self.blocks) if block is None else block
        self.shapes[name] = shape

    def size(self, name: str) -> int:
        """Elements of a value."""
        return prod(self.shapes[name])

    def layout(self, extended: Collection[str], itemsize: int) -> Layout:
        """The blocks, each as large as the largest of its values; ``extended`` values have a one for each sample."""
        sizes: dict[int, int] = {}
        for name, block in self.blocks.items():
            ones = self.shapes[name][0] if name in extended else 0
            sizes[block] = max(sizes.get(block, 0), self.size(name) + ones)
        return Layout.of([{str(block): (size,)} for block, size in sorted(sizes.items())], itemsize)


class Workspace:
    """The memory behind places, and each value's view of it."""

    def __init__(
        self, places: Places, backend: Backend, *, by_columns: Collection[str] = (), extended: Collection[str] = ()
    ) -> None:
        self._xp = backend.xp
        self.buffer = Buffer(places.layout(extended, backend.itemsize), backend)
        self.views: dict[str, Array] = {}
        self.extended: dict[str, Array] = {}
        for name, shape in places.shapes.items():
            block, size = self.buffer[str(places.blocks[name])], places.size(name)
            if name not in by_columns:
                self.views[name] = self._xp.reshape(block[:size], shape)
                continue
            self.views[name] = self._by_columns(block[:size], shape)
            if name in extended:
                samples, features = shape
                block[size : size + samples] = 1.0
                self.extended[name] = self._by_columns(block[: size + samples], (samples, features + 1))

    def _by_columns(self, block: Array, shape: Shape) -> Array:
        return self._xp.reshape(block, shape[::-1]).T

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return self.buffer.layout.size * self.buffer.backend.itemsize


def place(
    records: Sequence[Record],
    shapes: Mapping[str, Shape],
    placed_ops: Collection[str],
    *,
    elsewhere: Collection[str],
    wanted: Collection[str],
    scalars: bool = False,
) -> Places:
    """Blocks for the outputs of ``placed_ops``, but for those that lie ``elsewhere``; ``wanted`` values live on.

    Single numbers, of no axes, get a block only where ``scalars`` are to have one.
    """
    owner, last_use = _lives(records, wanted)
    places = Places()
    free: list[tuple[int, int]] = []  # (size, block)
    for index, step in enumerate(records):
        owners = dict.fromkeys(owner.get(name, name) for name in step.inputs)
        ending = [(places.size(n), places.blocks[n]) for n in owners if n in places and last_use[n] == index]
        if step.op in ELEMENTWISE:  # such an op may write over an input that nobody reads again, best over the first
            free = ending + free
        for name in step.outputs:
            if step.op not in placed_ops or step.op in VIEWS or name in elsewhere or not (shapes[name] or scalars):
                continue
            fitting = next((entry for entry in free if entry[0] == prod(shapes[name])), None)
            if fitting is not None:
                free.remove(fitting)
            places.add(name, shapes[name], None if fitting is None else fitting[1])
        if step.op not in ELEMENTWISE:
            free += ending
    return places


def _lives(records: Sequence[Record], wanted: Collection[str]) -> tuple[dict[str, str], dict[str, int]]:
    """Whose memory each value may lie in, and the last record that reads that memory.

    What is wanted in the end lives for ever, and so does what a layer of the user's own has seen: it may have kept it.
    """
    owner: dict[str, str] = {}
    last_use: dict[str, int] = {}
    for index, step in enumerate(records):
        for name in (owner.get(name, name) for name in step.inputs):
            last_use[name] = max(last_use.get(name, 0), index if isinstance(step.op, str) else len(records))
        if step.op in VIEWS:
            owner[step.outputs[0]] = owner.get(step.inputs[0], step.inputs[0])
    for name in wanted:
        last_use[owner.get(name, name)] = len(records)
    return owner, last_use


def columns_of(records: Sequence[Record], shapes: Mapping[str, Shape]) -> set[str]:
    """The values that lie by columns. Values of one shape lie alike, so that elementwise ops see one line."""
    viewed = {name for step in records if step.op in VIEWS for name in (*step.inputs, *step.outputs)}
    alike = {shapes[name] for name in viewed if name in shapes}
    narrow_input = prod(shapes["x"][1:]) <= _NARROW

    def by_columns(shape: Shape) -> bool:
        small = narrow_input and shape[0] * shape[1] <= SMALL
        return shape not in alike and (shape[1] <= _NARROW or small)

    return {name for name, shape in shapes.items() if len(shape) == 2 and by_columns(shape)}


def extend(
    places: Places,
    records: Sequence[Record],
    shapes: Mapping[str, Shape],
    columns: Collection[str],
    adjacent: Callable[[str, str], bool],
) -> set[str]:
    """The inputs of dense layers that get a column of ones; x among them gets a place for it."""
    found = set()
    for step in records:
        x, *parameters = step.inputs
        if step.op == "linear" and x in columns and adjacent(*parameters):
            if x == "x" and x not in places and shapes[x][1] <= _NARROW:
                places.add(x, shapes[x])
            if x in places:
                found.add(x)
    return found
