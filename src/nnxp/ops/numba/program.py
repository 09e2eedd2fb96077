"""Bound calls as rows of a table, and one compiled function that walks down the table.

A row is the number of a loop, the addresses of its arrays, its sizes and its numbers. Calls that follow one another in
a plan are put into one table, so a whole training step is a single call from Python, and holds no lock on its way.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, groupby
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic, overload

from nnxp._types import Array
from nnxp.ops import Call, Kept, Linker, Number
from nnxp.ops.numba import loops
from nnxp.ops.numba._blas import BLAS, gemm_of, gemv_of

__all__ = ["LOOPS", "Native", "Program", "TableLinker", "address"]

LOOPS = (
    "product", "outer", "times_vector", "fill_rows", "fill_columns", "add_rows", "add_columns",
    "copy", "relu", "relu_backward", "sigmoid", "sigmoid_backward", "tanh_backward", "softmax_rows", "softmax_columns",
    "surprise", "squared_error", "squared_error_backward", "l2", "l2_backward", "sgd", "momentum", "nesterov", "adam",
)  # fmt: skip
"""What a row can ask for; a loop's number is its place here."""

(
    _PRODUCT, _OUTER, _TIMES_VECTOR, _FILL_ROWS, _FILL_COLUMNS, _ADD_ROWS, _ADD_COLUMNS,
    _COPY, _RELU, _RELU_BACKWARD, _SIGMOID, _SIGMOID_BACKWARD, _TANH_BACKWARD, _SOFTMAX_ROWS, _SOFTMAX_COLUMNS,
    _SURPRISE, _SQUARED_ERROR, _SQUARED_ERROR_BACKWARD, _L2, _L2_BACKWARD, _SGD, _MOMENTUM, _NESTEROV, _ADAM,
) = range(len(LOOPS))  # fmt: skip

_ARRAYS, _SIZES, _NUMBERS = 6, 8, 6
_RESULT = _NUMBERS
"""The column behind a row's numbers: a loss is written there."""

_BY_ROWS = 101
"""CBLAS's word for matrices that lie by rows; a matrix by columns is the transpose of one by rows."""


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


def _product(blas: Any, like: Array, a: int, b: int, c: int, s: Array, beta: float) -> None:
    """c = a·b + β·c."""
    raise NotImplementedError


@overload(_product)
def _product_of(blas, like, a, b, c, s, beta):  # type: ignore[no-untyped-def]
    if blas == types.none:
        return lambda blas, like, a, b, c, s, beta: None  # without BLAS no row asks for it
    gemm, real = gemm_of(like.dtype, blas), like.dtype

    def call(blas, like, a, b, c, s, beta):  # type: ignore[no-untyped-def]
        m, n, k, ta, tb, lda, ldb = s[0], s[1], s[2], s[3], s[4], s[5], s[6]
        gemm(_BY_ROWS, ta, tb, m, n, k, real(1), _pointer(a), lda, _pointer(b), ldb, real(beta), _pointer(c), n)

    return call


def _times_vector(blas: Any, like: Array, a: int, b: int, c: int, s: Array, beta: float) -> None:
    """c = a·b + β·c for vectors b and c."""
    raise NotImplementedError


@overload(_times_vector)
def _times_vector_of(blas, like, a, b, c, s, beta):  # type: ignore[no-untyped-def]
    if blas == types.none:
        return lambda blas, like, a, b, c, s, beta: None
    gemv, real = gemv_of(like.dtype, blas), like.dtype

    def call(blas, like, a, b, c, s, beta):  # type: ignore[no-untyped-def]
        m, n, ta, lda = s[0], s[1], s[2], s[3]
        gemv(_BY_ROWS, ta, m, n, real(1), _pointer(a), lda, _pointer(b), 1, real(beta), _pointer(c), 1)

    return call


@njit(nogil=True)
def _line(address, size, like):  # type: ignore[no-untyped-def]
    return carray(_pointer(address), (size,), like.dtype)


@njit(nogil=True)
def _matrix(address, rows, columns, like):  # type: ignore[no-untyped-def]
    return carray(_pointer(address), (rows, columns), like.dtype)


def _compiled(function: Any) -> Any:
    """Compiled at the first call, and kept on disk where a folder for it can be written."""
    compile_ = partial(njit, nogil=True, error_model="numpy")
    try:
        return compile_(cache=True)(function)
    except RuntimeError:  # numba found no such folder
        return compile_()(function)


@_compiled
def run(table, numbers, like, integers, blas):  # type: ignore[no-untyped-def]
    """Do the rows in order. ``like`` and ``integers`` are empty arrays of the types of arrays and of labels."""
    real = like.dtype.type
    for row in range(table.shape[0]):
        loop = table[row, 0]
        a, b, c, d, e, f = (
            table[row, 1], table[row, 2], table[row, 3], table[row, 4], table[row, 5], table[row, 6]
        )  # fmt: skip
        s = table[row, 7:]
        x = numbers[row]
        n, k = s[0], s[1]
        if loop == _PRODUCT:
            _product(blas, like, a, b, c, s, x[0])
        elif loop == _TIMES_VECTOR:
            _times_vector(blas, like, a, b, c, s, x[0])
        elif loop == _OUTER:
            loops.outer(_line(a, n, like), _line(b, k, like), _matrix(c, n, k, like))
        elif loop == _FILL_ROWS:
            loops.fill_rows(_line(a, k, like), _matrix(b, n, k, like))
        elif loop == _FILL_COLUMNS:
            loops.fill_columns(_line(a, n, like), _matrix(b, n, k, like))
        elif loop == _ADD_ROWS:
            loops.add_rows(_matrix(a, n, k, like), _line(b, k, like))
        elif loop == _ADD_COLUMNS:
            loops.add_columns(_matrix(a, n, k, like), _line(b, n, like))
        elif loop == _COPY:
            loops.copy(_line(a, n, like), _line(b, n, like))
        elif loop == _RELU:
            loops.relu(_line(a, n, like))
        elif loop == _RELU_BACKWARD:
            loops.relu_backward(_line(a, n, like), _line(b, n, like))
        elif loop == _SIGMOID:
            loops.sigmoid(_line(a, n, like), real(x[0]))
        elif loop == _SIGMOID_BACKWARD:
            loops.sigmoid_backward(_line(a, n, like), _line(b, n, like))
        elif loop == _TANH_BACKWARD:
            loops.tanh_backward(_line(a, n, like), _line(b, n, like))
        elif loop == _SOFTMAX_ROWS:
            loops.softmax_rows(_matrix(a, n, k, like), _matrix(b, n, k, like), _line(c, n, like), _line(d, n, like))
        elif loop == _SOFTMAX_COLUMNS:
            loops.softmax_columns(_matrix(a, n, k, like), _matrix(b, n, k, like), _line(c, k, like), _line(d, k, like))
        elif loop == _SURPRISE:
            size, samples = s[0], s[1]
            loss = loops.surprise_of_classes(
                _line(a, size, like), _line(b, size, like), _line(c, size, like), _line(d, samples, integers),
                _line(e, samples, like), _line(f, samples, like), s[2], s[3], real(x[0]),
            )  # fmt: skip
            x[_RESULT] = loss
        elif loop == _SQUARED_ERROR:
            x[_RESULT] = loops.squared_error(_line(a, n, like), _line(b, n, like), real(x[0]))
        elif loop == _SQUARED_ERROR_BACKWARD:
            loops.squared_error_backward(_line(a, n, like), _line(b, n, like), real(x[0]))
        elif loop == _L2:
            x[_RESULT] = loops.l2(_line(a, n, like), real(x[0]))
        elif loop == _L2_BACKWARD:
            loops.l2_backward(_line(a, n, like), _line(b, n, like), real(x[0]))
        elif loop == _SGD:
            loops.sgd(_line(a, n, like), _line(b, n, like), real(x[0]))
        elif loop == _MOMENTUM:
            loops.momentum(_line(a, n, like), _line(b, n, like), _line(c, n, like), real(x[0]), real(x[1]))
        elif loop == _NESTEROV:
            loops.nesterov(_line(a, n, like), _line(b, n, like), _line(c, n, like), real(x[0]), real(x[1]))
        elif loop == _ADAM:
            root = x[5] ** 0.5  # as in the NumPy kernel: both corrections move into scalars
            loops.adam(
                _line(a, n, like), _line(b, n, like), _line(c, n, like), _line(d, n, like),
                real(x[1]), real(x[2]), real(1 - x[1]), real(1 - x[2]), real(x[0] * root / x[4]), real(x[3] * root),
            )  # fmt: skip


def address(a: Array) -> int:
    """Where an array begins."""
    return int(a.__array_interface__["data"][0])


class Native:
    """A bound call as rows of a table; it holds its arrays, so that their addresses stay good.

    ``result(loss)`` is what the call returns; the loss is what its last row computes, if it computes one.
    """

    def __init__(self, dtype: Any, result: Callable[[Any], Any]) -> None:
        self.dtype, self.result = np.dtype(dtype), result
        self.rows: list[list[int]] = []
        self.numbers: list[list[float]] = []
        self.changing: list[tuple[int, int, Number]] = []
        self._arrays: dict[int, Array] = {}
        self._alone: Program | None = None

    def add(
        self, loop: str, arrays: Sequence[Array], sizes: Sequence[int], numbers: Sequence[Number | float] = ()
    ) -> "Native":
        """Another row. Arrays have no gaps, and are read in the order of memory."""
        addresses = list(map(address, arrays))
        values = [Number.of(number).value for number in numbers]
        self.changing += [(len(self.rows), i, n) for i, n in enumerate(numbers) if isinstance(n, Number)]
        self.rows.append([LOOPS.index(loop), *_filled(addresses, _ARRAYS), *_filled(sizes, _SIZES)])
        self.numbers.append(_filled(values, _NUMBERS + 1))
        self._arrays |= zip(addresses, arrays, strict=True)
        return self

    def forget(self, start: int) -> None:
        """Hold the array that begins there no longer: somebody else does, or nobody reads it."""
        self._arrays.pop(start, None)

    def __call__(self) -> Any:
        if self._alone is None:
            self._alone = Program([self])
        self._alone()
        return self.result(self._alone.loss(len(self.rows) - 1))


def _filled(values: Sequence[Any], length: int) -> list[Any]:
    return [*values, *[0] * (length - len(values))]


class Program:
    """Native calls in one table; as a call it does them all, and keeps the losses that were asked for."""

    def __init__(self, calls: Sequence[Native], kept: Sequence[Kept | None] = ()) -> None:
        self._calls = calls
        self._table = np.array([row for call in calls for row in call.rows], dtype=np.int64)
        self._numbers = np.array([row for call in calls for row in call.numbers], dtype=np.float64)
        self._real = calls[0].dtype.type
        self._moved: dict[int, Array] = {}  # by address, where an array that was moved stands
        self._types = np.empty(0, dtype=calls[0].dtype), np.empty(0, dtype=np.int64), BLAS
        starts = list(accumulate([len(call.rows) for call in calls], initial=0))
        self._flat, width = self._numbers.reshape(-1), _NUMBERS + 1
        self._changing = [
            ((start + row) * width + column, number)
            for start, call in zip(starts, calls, strict=False)
            for row, column, number in call.changing
        ]
        self._kept = [(end * width - 1, keep) for end, keep in zip(starts[1:], kept, strict=False) if keep is not None]

    def __call__(self) -> None:
        flat = self._flat
        for place, number in self._changing:
            flat[place] = number.value
        run(self._table, self._numbers, *self._types)
        for place, keep in self._kept:
            keep.values[keep.name] = self._real(flat[place])

    def move(self, old: Array, new: Array) -> None:
        """Read the new array in place of the old one, which lies in memory alike."""
        start, there = address(old), address(new)
        if start not in self._moved:
            self._moved[start] = np.flatnonzero(self._table == start)
            for call in self._calls:
                call.forget(start)
        places = self._moved[there] = self._moved.pop(start)
        self._table.reshape(-1)[places] = there

    def loss(self, row: int) -> Any:
        """What a row computed."""
        return self._real(self._numbers[row, _RESULT])


class TableLinker(Linker):
    """Neighbours that are native become one table, whose addresses can be changed."""

    def link(self, calls: Sequence[Call], *, capture: bool = False) -> list[Call]:
        linked: list[Call] = []
        for native, group in groupby(calls, key=lambda call: isinstance(_inner(call), Native)):
            together = list(group)
            if native:
                kept = [call if isinstance(call, Kept) else None for call in together]
                linked.append(Program([_inner(call) for call in together], kept))
            else:
                linked += together
        return linked

    def move(self, held: Sequence[Call], linked: Sequence[Call], pairs: Sequence[tuple[Array, Array]]) -> bool:
        moved = [(old, new) for old, new in pairs if old is not new]
        if not all(isinstance(_inner(call), Native) for call in held) or not all(_alike(*pair) for pair in moved):
            return False
        if any(len({address(array) for array in arrays}) < len(arrays) for arrays in zip(*pairs, strict=True)):
            return False  # two arrays that begin at one address cannot be told apart
        if {address(old) for old, _ in moved} & {address(new) for _, new in moved}:
            return False  # x lies where y lay
        for program in linked:
            if isinstance(program, Program):
                for old, new in moved:
                    program.move(old, new)
        return True

    def stand_in(self, array: Array) -> Array:
        return np.lib.stride_tricks.as_strided(np.empty(1, dtype=array.dtype), array.shape, array.strides)


def _alike(old: Array | None, new: Array) -> bool:
    return old is not None and (old.shape, old.strides, old.dtype) == (new.shape, new.strides, new.dtype)


def _inner(call: Call) -> Any:
    return call.call if isinstance(call, Kept) else call
