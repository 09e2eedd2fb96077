"""What a step on a device reads and leaves without the host: the numbers of the next steps, and a place for results.

The learning rate, Adam's corrections, the step that a dropout mask is drawn for, the batch that is next: all are known
some steps ahead. So they are put on the device for many steps at once, a row for each, and the last kernel of a step
makes the next row the current one. Losses are left in a row of an array that is new with each such upload, so they
stay what they are. In between the host does nothing but start steps, and waits for none.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnxp._types import Array
from nnxp.ops import Number

if TYPE_CHECKING:
    from nnxp.ops.cuda.launch import Machine

__all__ = ["HEADER", "ROWS", "Agenda", "Column"]

HEADER = 3
"""Words before the first row, as kernels.cuh has them: row now, columns, address of the results."""

ROWS = 64
"""Steps of which the numbers are uploaded at once."""


class Column(Number):
    """A number of the agenda that is read from something else; ``pace`` is what it grows by in a step."""

    def __init__(self, read: Any, pace: int = 0) -> None:
        self._read, self._pace = read, pace

    @property
    def value(self) -> float:  # type: ignore[override]
        return float(self._read())

    def ahead(self, steps: int) -> float:
        return self.value + self._pace * steps


class Agenda:
    """Rows of numbers on the device, one for each of the next steps; ``results`` 0-d arrays are left in each step."""

    def __init__(
        self,
        machine: "Machine",
        numbers: Sequence[Number],
        *,
        results: int = 0,
        dtype: Any = np.float32,
        rows: int = ROWS,
    ) -> None:
        self._machine, self._numbers = machine, list({id(number): number for number in numbers}.values())
        self._places = {id(number): place for place, number in enumerate(self._numbers)}
        self._results, self._dtype, self._rows = results, dtype, rows
        self.words = machine.xp.zeros(HEADER + rows * len(self._numbers), dtype=np.int64)
        self._expected: list[list[float]] = []
        self._row = 0
        self._chunk: Any = None
        self._at_rest = True  # whether host and device agree on the row; a step that was broken off leaves it open

    def index(self, number: Number) -> int:
        """The column of a number."""
        return self._places[id(number)]

    def prepare(self) -> None:
        """See that the current row holds the numbers of now: mostly it does."""
        now = [number.value for number in self._numbers]
        if not self._at_rest or self._row >= len(self._expected) or self._expected[self._row] != now:
            self._fill(now)

    def start(self) -> None:
        """A step is about to be started."""
        self._at_rest = False

    def advance(self) -> Array:
        """The results of the step that was started; the host follows the device to the next row."""
        row, self._row, self._at_rest = self._row, self._row + 1, True
        return None if self._chunk is None else self._chunk[row]

    def _fill(self, now: list[float]) -> None:
        self._expected, self._row = [now, *self._forecast()], 0
        if self._results:
            self._chunk = self._machine.xp.empty((self._rows, self._results), dtype=self._dtype)
        words = np.zeros(self.words.size, dtype=np.int64)
        chunk = self._machine.address(self._chunk) if self._results else 0
        words[:HEADER] = 0, len(self._numbers), chunk
        filled = np.array(self._expected, dtype=np.float64).reshape(-1).view(np.int64)
        words[HEADER : HEADER + filled.size] = filled
        self._machine.upload(self.words, words)

    def _forecast(self) -> list[list[float]]:
        rows: list[list[float]] = []
        try:
            for steps in range(1, self._rows):
                rows.append([number.ahead(steps) for number in self._numbers])
        except Exception:  # a rate of one's own may not be asked so far ahead; when it is its turn, its error is raised
            pass
        return rows
