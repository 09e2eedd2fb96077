"""Kernels bound to arrays and numbers, and what runs them."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nnxp._types import Array
from nnxp.errors import BackendError
from nnxp.ops import Number
from nnxp.ops.cuda.agenda import Agenda
from nnxp.ops.cuda.gemm import Addresses, Product

__all__ = [
    "REAL",
    "SOURCE",
    "WARP",
    "Chain",
    "Launch",
    "Link",
    "Machine",
    "Multiplication",
    "Run",
    "blocks_for",
    "nvrtc_options",
    "signatures",
]

SOURCE = Path(__file__).with_name("kernels.cuh")
"""The one CUDA source."""

REAL = {"float32": "float", "float64": "double"}
"""What the source's ``REAL`` is, for each type that it is compiled for."""

WARP = 32
"""Threads of a warp: a block has whole ones, and kernels of rows give one to each row."""

Run = Callable[[], None]
"""Work that is ready to be queued: everything about it is settled, and nothing is allocated."""

_MOST_BLOCKS = 2048
"""Blocks of a launch; the kernels loop, so more would bring nothing on any GPU of today."""

_SCALARS = {
    "int": np.int32,
    "integer": np.int64,
    "word": np.uint64,
    "double": np.float64,
}


class Machine(Protocol):
    """Where kernels run: a GPU, or the host in its place."""

    xp: Any
    threads: int
    """Threads of a block."""
    precision: str
    """How products of float32 are made: ``"float32"``, ``"tf32"`` or ``"bf16"``."""
    counts: Counter[str]
    """What was asked of the device so far: each ``kernel``, ``product``, ``graph`` and ``upload``."""

    def kernel(self, name: str, dtype: str) -> Callable[[int, int, tuple[Any, ...]], None]:
        """``call(blocks, threads, arguments)`` queues a kernel; the arguments are NumPy scalars of its C types."""

    def address(self, array: Array) -> int:
        """Where an array begins."""

    def upload(self, array: Array, values: Array) -> None:
        """Queue a copy of host values, which may change as soon as this returns."""

    def product(self, product: Product, addresses: Addresses) -> Run | None:
        """A matrix product of arrays at these addresses; None where this machine cannot do it with its epilogue."""

    def capture(self, runs: Iterable[Run]) -> Run:
        """One call that repeats them all, in order."""


def nvrtc_options(dtype: str) -> tuple[str, ...]:
    """How NVRTC is told to compile the source for a type."""
    return "--std=c++17", f"-DREAL={REAL[dtype]}"


@cache
def signatures(source: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """The kernels of a source: for each parameter its C type and its name."""
    plain = re.sub(r"//[^\n]*", "", source)
    found = re.findall(r"^KERNEL (\w+)\(([^)]*)\)", plain, flags=re.MULTILINE)
    return {name: tuple(map(_parameter, parameters.split(","))) for name, parameters in found}


def _parameter(text: str) -> tuple[str, str]:
    kind, name = re.fullmatch(r"\s*(?:const )?(\w+\*?) (\w+)\s*", text).groups()  # type: ignore[union-attr]
    return kind, name


@cache
def _of_kernel(name: str) -> tuple[tuple[str, str], ...]:
    return signatures(SOURCE.read_text(encoding="utf-8"))[name]


def blocks_for(size: int, threads: int) -> int:
    """Blocks for so many elements; one at least, because a sum of nothing is to be written, too."""
    return max(1, min(-(-size // threads), _MOST_BLOCKS))


class Link:
    """A part of a step: a bound call that a `Step` can join with its neighbours. By itself it can be called, too."""

    machine: Machine
    result: Any
    """What the call returns."""
    _alone: tuple[Agenda | None, Run] | None = None

    @property
    def columns(self) -> list[Number]:
        """Its numbers that change from step to step."""
        return []

    @property
    def parts(self) -> "list[Link]":
        """What it is made of."""
        return [self]

    def run(self, agenda: Agenda | None, moved: Mapping[int, int]) -> Run:
        """The work, with its numbers in an agenda, and with some arrays ``moved`` from one address to another."""
        raise NotImplementedError

    def __call__(self) -> Any:
        if self._alone is None:
            agenda = Agenda(self.machine, self.columns, rows=1) if self.columns else None
            self._alone = agenda, self.run(agenda, {})
        agenda, run = self._alone
        if agenda is not None:
            agenda.prepare()
        run()
        return self.result


class Launch(Link):
    """A kernel with its arguments by name: arrays, numbers, None for a null pointer, and for a column of the agenda the
    number that changes."""

    def __init__(
        self, machine: Machine, kernel: str, dtype: Any, arguments: dict[str, Any], *, blocks: int, result: Any
    ) -> None:
        self.machine, self.kernel, self.dtype = machine, kernel, np.dtype(dtype).name
        self.arguments, self.blocks, self.result = arguments, blocks, result

    @property
    def columns(self) -> list[Number]:
        return [value for value in self.arguments.values() if isinstance(value, Number)]

    def run(self, agenda: Agenda | None, moved: Mapping[int, int]) -> Run:
        call = self.machine.kernel(self.kernel, self.dtype)
        arguments = tuple(self._argument(kind, name, agenda, moved) for kind, name in _of_kernel(self.kernel))
        blocks, threads = self.blocks, self.machine.threads
        return lambda: call(blocks, threads, arguments)

    def _argument(self, kind: str, name: str, agenda: Agenda | None, moved: Mapping[int, int]) -> Any:
        if name == "agenda":
            assert agenda is not None
            return np.uint64(self.machine.address(agenda.words))
        value = self.arguments[name]
        if kind.endswith("*"):
            start = 0 if value is None else self.machine.address(value)
            return np.uint64(moved.get(start, start))
        if isinstance(value, Number):
            assert agenda is not None
            value = agenda.index(value)
        return _SCALARS[kind](value)


class Multiplication(Link):
    """A matrix product with its arrays: ``d`` is made of ``a`` and ``b``; the epilogue reads ``bias``, or writes its
    gradient there."""

    def __init__(self, machine: Machine, product: Product, a: Array, b: Array, d: Array, bias: Array = None) -> None:
        self.machine, self.product = machine, product
        self.a, self.b, self.d, self.bias = a, b, d, bias
        self.result = d

    def supported(self) -> bool:
        """Whether the machine has an algorithm for it."""
        return self.machine.product(self.product, self._addresses({})) is not None

    def _addresses(self, moved: Mapping[int, int]) -> Addresses:
        arrays = (self.a, self.b, self.d, self.bias)
        starts = [0 if array is None else self.machine.address(array) for array in arrays]
        return Addresses(*(moved.get(start, start) for start in starts))

    def run(self, agenda: Agenda | None, moved: Mapping[int, int]) -> Run:
        run = self.machine.product(self.product, self._addresses(moved))
        if run is None:
            raise BackendError(f"cublasLt has no algorithm for {self.product} at this alignment.")
        return run


class Chain(Link):
    """Several links that make one op."""

    def __init__(self, machine: Machine, parts: list[Link], result: Any) -> None:
        self.machine, self._parts, self.result = machine, parts, result

    @property
    def parts(self) -> list[Link]:
        return self._parts

    @property
    def columns(self) -> list[Number]:
        return [number for part in self._parts for number in part.columns]

    def run(self, agenda: Agenda | None, moved: Mapping[int, int]) -> Run:
        runs = [part.run(agenda, moved) for part in self._parts]

        def run() -> None:
            for each in runs:
                each()

        return run
