"""One workload, measured: memory, then correctness, then time in rounds.

Every contender has a process of its own, as it has with its user: in a shared heap, code that allocates at every step
is flattered once somebody else has freed larger arrays, and with several threads pools disturb each other. The rounds
take turns all the same, each led by another contender, so that all see the same machine. Every round starts from the
first weights, so that nobody is timed on a network that has stopped learning.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.bench.book import Book
from nnxp.bench.contenders import Entry
from nnxp.bench.processes import Failed, ProcessOf
from nnxp.bench.workloads import Workload

__all__ = ["CHECKED_STEPS", "TOLERANCE", "Pace", "measure"]

CHECKED_STEPS = 20
TOLERANCE = 1e-3
"""Relative difference of a loss from that of the book's code in float64, at the worst of the checked steps."""
GUESS, FEWEST_STEPS, MOST_STEPS = 3, 2, 300
"""Steps: to learn how long one takes, and in a round."""

Run = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Pace:
    """How long to measure, and whether each contender's memory is its own."""

    rounds: int
    seconds: float
    memory: bool


@dataclass
class _Turn:
    """A contender that takes part, and what it has done so far."""

    entry: Entry
    ask: Run
    facts: dict[str, Any] = field(default_factory=dict)
    steps: int = GUESS
    microseconds: list[float] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether it takes part no more."""
        return "reason" in self.facts

    def attempt(self, do: Callable[["_Turn"], object]) -> None:
        """Do something, unless it has failed before; a failure is a reason, and the others go on."""
        if not self.failed:
            try:
                do(self)
            except Failed as failure:
                self.facts["reason"] = str(failure)


def measure(
    workload: Workload, entries: Sequence[Entry], pace: Pace, process_of: ProcessOf
) -> dict[str, dict[str, Any]]:
    """The figures of each contender by its name; ``reason`` says why one has none."""
    turns = [_Turn(entry, _asker(entry, workload, process_of)) for entry in entries]
    exact = _Exact(workload)
    for turn in turns:
        turn.attempt(lambda turn: _begin(turn, workload, exact, pace))
    for turn in _in_turns([turn for turn in turns if not turn.failed], pace.rounds):
        turn.attempt(lambda turn: turn.microseconds.append(turn.ask("time", turn.steps)["us"]))
    return {turn.entry.name: turn.facts | _figures(turn) for turn in turns}


def _begin(turn: _Turn, workload: Workload, exact: "_Exact", pace: Pace) -> None:
    """Memory, correctness and the number of steps in a round; raises `Failed` for one that must not be timed."""
    if reason := turn.entry.missing():
        raise Failed(reason)
    if workload.what not in turn.entry.does:
        raise Failed(f"not made for {workload.what}")
    prepared = turn.ask("prepare")
    if pace.memory and prepared["peak_mib"] is not None:
        turn.facts["peak_mib"] = prepared["peak_mib"]
    turn.facts["pools"] = prepared["pools"]
    if losses := turn.ask("losses", CHECKED_STEPS, one_batch=True)["losses"]:
        error = _error(np.asarray(losses), exact.losses(turn.entry))
        turn.facts |= {"loss_error": error, "checked_steps": len(losses)}
        if not error <= TOLERANCE:
            turn.facts["refused"] = True
            raise Failed(f"computes something else: its loss is off by {error:.1e}, allowed is {TOLERANCE:.0e}")
    guess = turn.ask("time", workload.whole(GUESS))["us"]
    turn.steps = workload.whole(int(min(max(pace.seconds * 1e6 / guess, FEWEST_STEPS), MOST_STEPS)))


class _Exact:
    """The losses of the book's code in float64, computed once for each of the two kinds of comparison."""

    def __init__(self, workload: Workload) -> None:
        asks = workload.what in ("predict", "evaluate")
        # An answer has no penalty, and only the first weights.
        self.workload = replace(workload, what="step", batches=1, l2=0.0 if asks else workload.l2)
        self.steps = 1 if asks else CHECKED_STEPS
        self.known: dict[tuple[float, bool], Array] = {}

    def losses(self, entry: Entry) -> Array:
        workload = self.workload if entry.penalised else replace(self.workload, l2=0.0)
        key = workload.l2, entry.early_epsilon
        if key not in self.known:
            book = Book(workload, dtype="float64", early_epsilon=entry.early_epsilon)
            self.known[key] = np.asarray(book.losses(self.steps))
        return self.known[key]


def _error(losses: Array, exact: Array) -> float:
    exact = exact[: len(losses)]
    return float(np.max(np.abs(losses - exact) / np.abs(exact)))


def _asker(entry: Entry, workload: Workload, process_of: ProcessOf) -> Run:
    workload = workload if entry.penalised else replace(workload, l2=0.0)

    def ask(task: str, steps: int = 0, *, one_batch: bool = False) -> dict[str, Any]:
        return process_of(entry).ask(task, entry, workload.one_batch if one_batch else workload, steps)

    return ask


def _in_turns(turns: Sequence[_Turn], rounds: int) -> Iterator[_Turn]:
    """Everybody once a round, each round led by another one."""
    for number in range(rounds):
        first = number % len(turns) if turns else 0
        yield from (*turns[first:], *turns[:first])


def _figures(turn: _Turn) -> dict[str, Any]:
    times = turn.microseconds
    if turn.failed:
        return {}
    low, _, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return {
        "median_us": statistics.median(times),
        "quartiles_us": [low, high],
        "minimum_us": min(times),
        "rounds": len(times),
        "steps_per_round": turn.steps,
    }
