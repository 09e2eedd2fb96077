"""From what is asked for to a report: plain data that a table, a picture and a later comparison are made from."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

from nnxp import _check
from nnxp.bench.contenders import CONTENDERS, Entry, chosen
from nnxp.bench.machine import surroundings
from nnxp.bench.sweeps import SWEEPS, Sweep
from nnxp.bench.workloads import WHAT, WORKLOADS, Workload, named
from nnxp.errors import ConfigurationError, MissingDependencyError

__all__ = ["Report", "Settings", "run"]

Report = dict[str, Any]
Listener = Callable[[Report, str], object]

QUICK = ("W1", "W2", "W4")
SWEEP_ROUNDS = 5


@dataclass(frozen=True)
class Settings:
    """What to measure. Without workloads and sweeps: all workloads, and the sweep over batches."""

    workloads: Sequence[str] | None = None
    sweeps: Sequence[str] | None = None
    what: Sequence[str] = ("step",)
    contenders: Sequence[str] | None = None
    rounds: int | None = None
    """None takes each workload's own: fewer for the slow one and for sweeps."""
    seconds: float | None = None
    """Of a contender in a round."""
    threads: int = 1
    together: bool = False
    """One process for all. It flatters code that allocates at every step; see `nnxp.bench.measuring`."""
    quick: bool = False
    """Few contenders, few rounds."""

    def __post_init__(self) -> None:
        for name, value in (("rounds", self.rounds), ("threads", self.threads)):
            if value is not None:
                _check.positive_int("bench", name, value)
        if self.seconds is not None:
            _check.positive("bench", "seconds", self.seconds)
        if self.together and self.threads > 1:
            raise ConfigurationError("bench: with several threads, each contender needs a process of its own.")
        if hasattr(os, "sched_getaffinity") and self.threads > len(os.sched_getaffinity(0)):
            there = len(os.sched_getaffinity(0))
            raise ConfigurationError(
                f"bench: threads must be at most {there}, the processors here; got {self.threads}."
            )

    def chosen_workloads(self) -> list[Workload]:
        """Each of them for everything that is to be timed."""
        names = self.workloads
        if names is None:
            names = QUICK if self.quick else () if self.sweeps else tuple(WORKLOADS)
        return [named(name, what) for name in names for what in self.what]

    def chosen_sweeps(self) -> list[Sweep]:
        """In the order of `SWEEPS`."""
        names = self.sweeps
        if names is None:
            names = () if self.quick or self.workloads else ("batch",)
        for name in names:
            _check.choice("bench", "a sweep", name, (*SWEEPS, "all"))
        return [sweep for sweep in SWEEPS.values() if sweep.name in names or "all" in names]


def run(
    settings: Settings,
    *,
    entries: Sequence[Entry] = CONTENDERS,
    command: str = "",
    started: Callable[[str], object] = lambda text: None,
    finished: Listener = lambda report, section: None,
) -> Report:
    """Measure, and return the report.

    ``started`` hears what comes next, in words; ``finished`` gets the report so far and the name of a workload or a
    sweep whenever one is complete. Contenders that are missing or fail are in the report with their reasons; those that
    compute something else are listed under ``refused``, and have not been timed.
    """
    _check_surroundings()
    workloads, sweeps = settings.chosen_workloads(), settings.chosen_sweeps()
    asked = chosen(settings.contenders, entries, swept="step" if settings.quick else None)
    report = _new_report(settings, entries, command)
    for workload in workloads:
        able = [entry for entry in asked if settings.contenders or workload.what in entry.does]
        started(f"{workload.key}: {len(able)} contenders")
        _measure_workload(report, workload, able, settings)
        finished(report, workload.key)
    for sweep in sweeps:
        asked = chosen(settings.contenders, entries, swept="fit" if sweep.unit == "epoch" else "step")
        _measure_sweep(report, sweep, asked, settings, started)
        finished(report, sweep.name)
    return report


def _check_surroundings() -> None:
    if "OPENBLAS_CORETYPE" in os.environ:
        raise ConfigurationError(
            f"OPENBLAS_CORETYPE={os.environ['OPENBLAS_CORETYPE']} is set. It makes NumPy's BLAS use that processor's "
            "kernels and leaves PyTorch's alone, so the comparison would not be fair. Unset it and run again."
        )
    if find_spec("threadpoolctl") is None:
        raise MissingDependencyError('threadpoolctl is not installed; pip install "nnxp[bench]"')


def _new_report(settings: Settings, entries: Sequence[Entry], command: str) -> Report:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        **surroundings(settings.threads),
        "separate": not settings.together,
        "pools": [],
        "contenders": {entry.name: {"note": entry.note, "state": entry.missing() or "ready"} for entry in entries},
        "shapes": {},
        "workloads": {},
        "sweeps": {},
        "refused": [],
    }


def _measure_workload(report: Report, workload: Workload, entries: Sequence[Entry], settings: Settings) -> None:
    from nnxp.bench.measuring import Pace, measure
    from nnxp.bench.processes import processes

    rounds = settings.rounds or (5 if settings.quick else workload.rounds)
    seconds = settings.seconds or (0.02 if settings.quick else 0.05)
    pace = Pace(rounds, seconds, memory=not settings.together)
    with processes(entries, settings.threads, together=settings.together) as process_of:
        results = measure(workload, entries, pace, process_of)
    report["shapes"][workload.key] = {
        "title": workload.title,
        "sizes": list(workload.sizes),
        "batch": workload.batch,
        "samples": workload.samples,
        "what": WHAT[workload.what],
    }
    report["workloads"][workload.key] = _entered(report, workload.key, results)


def _measure_sweep(
    report: Report, sweep: Sweep, entries: Sequence[Entry], settings: Settings, started: Callable[[str], object]
) -> None:
    from nnxp.bench.measuring import Pace, measure
    from nnxp.bench.processes import processes

    pace = Pace(settings.rounds or SWEEP_ROUNDS, settings.seconds or 0.03, memory=False)
    section: dict[str, Any] = {"title": sweep.title, "axis": sweep.axis, "unit": sweep.unit, "points": {}}
    report["sweeps"][sweep.name] = section
    with processes(entries, settings.threads, together=settings.together) as process_of:
        for value in sweep.values:
            started(f"{sweep.name} {value}: {len(entries)} contenders")
            workload = sweep.workload(value)
            results = _entered(report, f"{sweep.name} {value}", measure(workload, entries, pace, process_of))
            section["points"][str(value)] = {"steps": sweep.steps(value), "contenders": results}


def _entered(report: Report, key: str, results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The figures, with what does not change from one workload to the next kept once for each contender."""
    for name, figures in results.items():
        if pools := figures.pop("pools", None):
            report["contenders"][name]["pools"] = pools
            if not report["pools"] or name == "nnxp":
                report["pools"] = pools
        if figures.get("refused"):
            report["refused"].append(f"{key}: {name} {figures['reason']}")
    return results
