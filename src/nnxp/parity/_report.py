"""What was found: plain values that print as a table."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

__all__ = ["Comparison", "OpParity", "Parity", "ValueParity"]

_FAR = 1e6
_OP_HEADER = ("op by op, from equal inputs", "results", "ULP", "share of allowed", "worst in")
_VALUE_HEADER = ("step by step, on its own path", "difference", "relative", "ULP", "share of yardstick", "worst after")


@dataclass(frozen=True)
class OpParity:
    """One op on one backend: the largest figures of all its results, and where it was worst."""

    op: str
    results: int
    share: float
    """Of what rounding allows; above 1 it is another op."""
    ulp: float | None
    """None where terms cancel."""
    value: str
    """The worst result's name in the program, such as ``0.dweights``."""
    step: int
    """From 1."""
    place: tuple[int, ...]
    standard: float
    found: float
    note: str = ""


@dataclass(frozen=True)
class ValueParity:
    """The loss or a parameter on one backend, after the step in which it was worst; step 0 is before the first."""

    value: str
    step: int
    share: float
    """Of the yardstick: above 1 it is another path."""
    absolute: float
    """The largest difference of an element."""
    relative: float
    """The norm of all differences, in units of the tensor's norm."""
    ulp: float
    """The largest difference, in units of the last place of the tensor's largest element."""


@dataclass(frozen=True)
class Comparison:
    """One backend beside the standard."""

    backend: str
    device: str
    ops: tuple[OpParity, ...]
    values: tuple[ValueParity, ...]
    first_op: OpParity | None
    """The first op that parts by more than rounding."""
    first_value: ValueParity | None
    """The first parameter, or the loss, whose path parts by more than the yardstick."""

    @property
    def ok(self) -> bool:
        """Whether both questions are answered by yes."""
        return self.first_op is None and self.first_value is None

    @property
    def worst_op(self) -> OpParity:
        """The op with the largest share."""
        return max(self.ops, key=lambda row: row.share)

    @property
    def worst_value(self) -> ValueParity:
        """The value with the largest share."""
        return max(self.values, key=lambda row: row.share)


@dataclass(frozen=True)
class Parity:
    """The result of `nnxp.parity.compare`: ``print`` it, ask ``ok``, or read its parts."""

    standard: str
    device: str
    dtype: str
    steps: int
    batch: int
    yardstick: float
    """How far rounding alone led in the end, in units of the parameters' size."""
    chaotic_from: int | None
    """The step from which on that was more than 1 %, so that paths were compared no longer."""
    comparisons: tuple[Comparison, ...]

    @property
    def ok(self) -> bool:
        """Whether all backends are the same as the standard, but for rounding."""
        return all(comparison.ok for comparison in self.comparisons)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A line for each backend."""
        return tuple(_verdict(self, comparison) for comparison in self.comparisons)

    @property
    def tables(self) -> str:
        """All figures."""
        return "\n\n".join("\n".join(self._table(comparison)) for comparison in self.comparisons)

    def as_json(self) -> str:
        """The same for a program to read; what is not finite is null."""
        return json.dumps(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        plain = _plain(asdict(self))
        for entry, comparison, verdict in zip(plain["comparisons"], self.comparisons, self.verdicts, strict=True):
            entry |= {"ok": comparison.ok, "verdict": verdict}
        return {"ok": self.ok, **plain}

    def __str__(self) -> str:
        return "\n\n".join([self.tables, "\n".join(self.verdicts)])

    def _table(self, of: Comparison) -> Iterator[str]:
        yield f"{of.backend} ({of.device}) beside {self.standard} ({self.device}), {self.dtype}"
        yield ""
        yield from _aligned([_OP_HEADER, *map(_op_cells, of.ops)])
        yield ""
        yield from _aligned([_VALUE_HEADER, *map(_value_cells, of.values)])
        if self.chaotic_from is not None:
            where = f"From step {self.chaotic_from} on"
            yield f"{where}, rounding alone moves the parameters by more than 1 %: paths are compared up to there."


def _op_cells(row: OpParity) -> tuple[str, ...]:
    ulp = "" if row.ulp is None else f"{row.ulp:.3g}"
    return (row.op, str(row.results), ulp, _share(row.share), f"{row.value}, step {row.step}" if row.share else "")


def _value_cells(row: ValueParity) -> tuple[str, ...]:
    if not row.share:
        return row.value, "0", "0", "0", _share(row.share), ""
    figures = f"{row.absolute:.1e}", f"{row.relative:.1e}", f"{row.ulp:.3g}"
    return (row.value, *figures, _share(row.share), f"step {row.step}")


def _share(share: float) -> str:
    text = "0" if not share else f"{share:.3f}" if share < 10 else f"{share:.2g}"
    return f"! {text}" if share > 1 else text


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    for index, row in enumerate(rows):
        cells = [c.ljust(w) if i in (0, last) else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        yield "  ".join(cells).rstrip()
        if index == 0:
            yield "-" * (sum(widths) + 2 * last)


def _verdict(result: Parity, of: Comparison) -> str:
    who = f"{of.backend} parts from {result.standard}"
    if of.first_op is not None:
        return f"{who} {_op_place(of.first_op)}"
    if of.first_value is not None:
        return f"{who} {_value_place(of.first_value)}"
    op, value, same = of.worst_op, of.worst_value, f"{of.backend} is the same as {result.standard}"
    steps = result.steps if result.chaotic_from is None else result.chaotic_from - 1
    count = f"{steps} step{'s' * (steps != 1)}"
    if not op.share and not value.share:
        return f"{same}, to the last bit of {count}."
    return (
        f"{same}: op by op within {op.share:.2f} of what rounding allows ({op.op}), after {count} within "
        f"{value.share:.2f} of the yardstick ({value.value})."
    )


def _op_place(row: OpParity) -> str:
    what = f"{row.op} makes {row.value}"
    if row.note:
        return f"in step {row.step}, where {what} with {row.note}."
    place = f" at {list(row.place)}" if row.place else ""
    return (
        f"in step {row.step}, where {what} = {row.found:.9g} instead of {row.standard:.9g}{place}, "
        f"{_times(row.share)} what rounding allows; the inputs were equal."
    )


def _value_place(row: ValueParity) -> str:
    if not row.step:
        return (
            f"before the first step: the initial {row.value} differ by {row.absolute:.2g}; set a seed in the factory."
        )
    return (
        f"in step {row.step}, op by op they are the same: {row.value} differs by {row.absolute:.2g}, "
        f"{_times(row.share)} the yardstick; look at how the backend keeps its state."
    )


def _times(share: float) -> str:
    return f"{share:.3g} times" if share < _FAR else "far beyond"


def _plain(value: Any) -> Any:
    """JSON has no infinity and no NaN."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
