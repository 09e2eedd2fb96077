"""A record is one call of an op, by names; a program is records in order, with what the names stand for.

Layers write themselves into a program (`nnxp.layers`), and `nnxp.training.plan` binds a program to buffers. `run` is
the path without buffers, the one to step through.
"""

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

from nnxp._types import Op
from nnxp.ops import Ops

__all__ = ["Moment", "Program", "Record", "record", "results", "run"]


@dataclass(frozen=True)
class Record:
    """One call: an op's name in the table (or, for a layer of the user's own, a function), and its values by name."""

    op: str | Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: tuple[tuple[int | None, ...], ...] = ()
    """The outputs' shapes, None for the batch axis, where the op is a function that cannot be asked for them."""

    def function(self, ops: Ops) -> Op:
        """The function to call."""
        return getattr(ops, self.op) if isinstance(self.op, str) else self.op

    def renamed(self, name: Callable[[str], str]) -> "Record":
        """The same call with every name passed through ``name``."""
        return replace(self, inputs=tuple(map(name, self.inputs)), outputs=tuple(map(name, self.outputs)))


def record(op: str | Op, inputs: str, outputs: str) -> Record:
    """``record("linear", "x weights biases", "y")``: names are separated by spaces."""
    return Record(op, tuple(inputs.split()), tuple(outputs.split()))


@dataclass(frozen=True)
class Moment:
    """When a program runs: before which update, and how many samples of that update came before this batch."""

    step: int
    offset: int = 0


@dataclass
class Program:
    """Records in order; ``constants`` hold for every run, ``varying`` are functions of the moment.

    ``inputs`` remembers, for each layer's path, which value it read, because backward passes need it again;
    ``remembered`` is what layers remember of a training step: a value's name, and that of the statistic it replaces.
    """

    records: list[Record] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    varying: dict[str, Callable[[Moment], Any]] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    remembered: dict[str, str] = field(default_factory=dict)


def results(record: Record, returned: Any) -> Iterator[tuple[str, Any]]:
    """The outputs' names with the values that the op returned for them."""
    return zip(record.outputs, (returned,) if len(record.outputs) == 1 else returned, strict=True)


def run(records: Iterable[Record], values: MutableMapping[str, Any], ops: Ops) -> None:
    """Call the records in order, each with the values made so far; add what they make to ``values``."""
    for step in records:
        returned = step.function(ops)(*[values[name] for name in step.inputs])
        values.update(results(step, returned))
