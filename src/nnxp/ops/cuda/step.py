"""A training step as one thing: links that share an agenda, started one by one or, once captured, all at once.

The first steps run link by link. Then, where a whole plan is made of links, the same launches with the same arguments
are captured, and from there on a step is a single launch of a graph. Both ways give the same bits.
"""

import warnings
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from nnxp._check import one_line
from nnxp._types import Array
from nnxp.errors import PerformanceWarning
from nnxp.ops import Call, Linker, Number
from nnxp.ops.cuda.agenda import Agenda
from nnxp.ops.cuda.fusing import fuse
from nnxp.ops.cuda.kernels import gather_arguments, has_whole_units
from nnxp.ops.cuda.launch import Launch, Link, Machine, Run, blocks_for

__all__ = ["Gather", "Publish", "Step", "StepLinker"]

_WARM_UPS = 2
"""Steps before the capture: what is made at a first call is there then."""

_PUBLISHED = "abcdef"
"""The parameters of the kernel ``publish`` for results."""


class StepLinker(Linker):
    """Neighbours that are links become one step; a plan of links alone becomes a graph."""

    whole = True

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._refusals: list[str] = []

    def link(self, calls: Sequence[Any], *, capture: bool = False) -> list[Call]:
        groups = [(linked, list(group)) for linked, group in groupby(calls, key=lambda call: isinstance(call, Link))]
        whole = capture and len(groups) == 1
        linked: list[Call] = []
        for are_links, group in groups:
            refusals = self._refusals if whole else None
            linked += [Step(self._machine, group, refusals)] if are_links else group
        return linked

    def move(self, held: Sequence[Call], linked: Sequence[Call], pairs: Sequence[tuple[Array, Array]]) -> bool:
        if not all(isinstance(call, Link) for call in held) or not all(_alike(*pair) for pair in pairs):
            return False
        steps = [step for step in linked if isinstance(step, Step)]
        if not all(step.can_move(pairs) for step in steps):
            return False
        for step in steps:
            step.move(pairs)
        return True

    def publish(self, results: dict[str, Array], values: dict[str, Any]) -> Call:
        return Publish(self._machine, results, values)

    def gather(self, arrays: Sequence[Array | None], order: Array, rows: int, stride: int) -> "Gather | None":
        if not all(array is None or has_whole_units(array) for array in arrays):
            return None
        return Gather(self._machine, arrays, order, rows, stride)


def _alike(old: Array | None, new: Array) -> bool:
    return old is not None and (old.shape, old.strides, old.dtype) == (new.shape, new.strides, new.dtype)


class Publish(Link):
    """The end of a step: its 0-d results, each under its name, where no later step writes."""

    def __init__(self, machine: Machine, results: dict[str, Array], values: dict[str, Any]) -> None:
        self.machine, self.result = machine, None
        self.results, self._values = results, values

    def take(self, row: Array) -> None:
        """The results of a step, as the kernel ``publish`` left them."""
        for place, name in enumerate(self.results):
            self._values[name] = row[place, ...]

    def __call__(self) -> None:
        for name, array in self.results.items():
            self._values[name] = self.machine.xp.asarray(array).copy()


class Step:
    """Links in order; as a call it starts them all.

    It is captured where it is given a list of ``refusals`` for all steps of a backend, as long as that is empty.
    """

    def __init__(self, machine: Machine, links: Sequence[Link], refusals: list[str] | None = None) -> None:
        self.machine = machine
        self.links = fuse([part for link in links if not isinstance(link, Publish) for part in link.parts])
        self._publish = next((link for link in links if isinstance(link, Publish)), None)
        self._refusals = refusals
        self._agenda = self._make_agenda()
        self._rooms: dict[int, _Room] = {}
        self._runs: list[Run] = []
        self._done = 0
        self._graph: Run | None = None

    def _make_agenda(self) -> Agenda | None:
        """The agenda of all numbers; the kernel that turns it over becomes the last link."""
        results = list(self._publish.results.values()) if self._publish else []
        numbers = [number for link in self.links for number in link.columns]
        if not numbers and not results:
            return None
        dtype = results[0].dtype if results else "float32"  # of which nothing is written then
        places = [*results, *[None] * (len(_PUBLISHED) - len(results))]
        ends = {"count": len(results), **dict(zip(_PUBLISHED, places, strict=True))}
        self.links.append(Launch(self.machine, "publish", dtype, ends, blocks=1, result=None))
        return Agenda(self.machine, numbers, results=len(results), dtype=dtype)

    def __call__(self) -> None:
        agenda = self._agenda
        for room in self._rooms.values():
            room.fill()
        if agenda is not None:
            agenda.prepare()
            agenda.start()
        if self._graph is not None:
            self._graph()
        else:
            self._one_by_one()
        if agenda is not None:
            row = agenda.advance()
            if self._publish is not None:
                self._publish.take(row)

    @property
    def captured(self) -> bool:
        """Whether it is a single launch by now."""
        return self._graph is not None

    def can_move(self, pairs: Sequence[tuple[Array, Array]]) -> bool:
        """Whether addresses tell the old arrays apart, or need not: those that lie at one place stay together."""
        beside: dict[int, tuple[Array, Array]] = {}
        for place, pair in enumerate(pairs):
            start = self._rooms[place].address if place in self._rooms else self.machine.address(pair[0])
            first = beside.setdefault(start, pair)
            if first is not pair and not all(map(self._same, first, pair)):
                return False
        return True

    def _same(self, one: Array, other: Array) -> bool:
        return _alike(one, other) and self.machine.address(one) == self.machine.address(other)

    def move(self, pairs: Sequence[tuple[Array, Array]]) -> None:
        """Read the second array of each pair in place of the first one, which lies in memory alike.

        A graph holds addresses. So from its first move on, each array is copied to a place of the step's own.
        """
        for place, (old, new) in enumerate(pairs):
            if place in self._rooms:
                self._rooms[place].source = new
            elif old is not new:
                self._rooms[place] = _Room(self.machine, old, new)
                self._runs, self._graph = [], None

    def _one_by_one(self) -> None:
        if not self._runs:
            moved = {room.address: self.machine.address(room.array) for room in self._rooms.values()}
            self._runs = [link.run(self._agenda, moved) for link in self.links]
            self._done = 0
        for run in self._runs:
            run()
        self._done += 1
        if self._done == _WARM_UPS and self._refusals == []:
            self._capture(self._refusals)

    def _capture(self, refusals: list[str]) -> None:
        try:
            self._graph = self.machine.capture(self._runs)
        except Exception as error:  # each library says in its own way that it cannot be captured
            refusals.append(one_line(error))  # so that the next steps need neither try nor say it again
            warnings.warn(
                f"The training step could not be captured as a CUDA graph ({one_line(error)}), so its kernels are "
                "launched one by one: the results are the same, and it is slower. graph=False keeps it from trying.",
                PerformanceWarning,
                stacklevel=2,
            )


class _Room:
    """A place of a step's own for an array that is another one each time."""

    def __init__(self, machine: Machine, old: Array, source: Array) -> None:
        self.address, self.source = machine.address(old), source
        self.array = machine.xp.empty(source.shape, dtype=source.dtype)

    def fill(self) -> None:
        self.array[...] = self.source


class Gather:
    """Rows of resident arrays, in an order that lies on the device: those from `start` on, in arrays of their own.

    From batch to batch the start moves on by the ``stride``.
    """

    def __init__(self, machine: Machine, arrays: Sequence[Array | None], order: Array, rows: int, stride: int) -> None:
        xp = machine.xp
        self.start = start = Number(0)
        start.later = lambda steps: start.value + stride * steps  # without self: data is let go of at once
        sources = [None if a is None else xp.ascontiguousarray(a) for a in arrays]
        self.rows = [None if a is None else xp.empty((rows, *a.shape[1:]), dtype=a.dtype) for a in sources]
        arguments = gather_arguments(sources, self.rows, order, self.start, rows)
        units = sum(arguments[f"{name}_units"] for name in "abc")
        blocks = blocks_for(rows * units, machine.threads)
        self.link = Launch(machine, "gather", "float32", arguments, blocks=blocks, result=None)
