"""From what is asked for to a report, which is written to its file after every measurement."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from gpu_bench.entries import ENTRIES, Entry
from gpu_bench.processes import Failed, Process
from gpu_bench.workloads import ASSUMED, CHECKED, PRECISIONS, TINY, WORKLOADS, floors, held_bytes
from nnxp.bench.machine import surroundings
from nnxp.bench.workloads import Workload

__all__ = ["Run", "Settings"]

TOLERANCE = {"float32": 1e-3, "tf32": 0.01, "bf16": 0.05}
"""The largest difference of a loss from float64, as a share of what the losses fall by in the checked steps.

Twice the learning rate, or an update too few, is off by a fifth of it and more; rounding to bf16 moved it by 0.1 % on a
CPU. The difference as a share of the loss stands in the report, too.
"""
GUESS, FEWEST, MOST = 3, 2, 2000
"""Steps: to learn how long one takes, and in a round."""
SLOW, SLOW_ROUNDS = 50_000, 3
"""Steps of so many microseconds get no more rounds than that: they vary little, and a GPU's time is short."""
SHARE = 0.85
"""Of a GPU's memory, for all contenders that are there at the same time."""
WAYS = {"W2": ("numpy",), "W3": ("numpy", "cupy"), "W3L": ("cupy",), "W5": ("cupy",)}
"""Who computes the float64 losses: NumPy, but for those that would take it minutes. At W3, both are seen to agree."""
QUERY = (
    "name,driver_version,memory.total,memory.used,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.draw,"
    "power.limit,temperature.gpu,pstate,compute_mode"
)

Report = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    output: Path
    workloads: Sequence[str] = tuple(WORKLOADS)
    precisions: Sequence[str] = PRECISIONS
    contenders: Sequence[str] | None = None
    seconds: float = 0.2
    """Of a contender in a round."""
    rounds: int = 7
    budget: float = 0.0
    """Seconds after which nothing new is begun; 0: none."""
    ceilings: bool = True
    nodes: bool = True
    dry: bool = False


@dataclass
class _Turn:
    """A contender that takes part in one comparison."""

    entry: Entry
    facts: dict[str, Any]
    steps: int = GUESS
    rounds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return "reason" in self.facts


class Run:
    """One call of the script."""

    def __init__(self, settings: Settings, entries: Sequence[Entry] = ENTRIES, command: str = "") -> None:
        self.settings, self._began = settings, monotonic()
        named = settings.contenders
        self._entries = [entry for entry in entries if (entry.name in named if named else entry.asked)]
        self._processes: dict[str, Process] = {}
        self.report: Report = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "dry_run": settings.dry,
            "finished": False,
            **surroundings(os.cpu_count() or 1),
            "packages": _packages(),
            "device": [],
            "contenders": {entry.name: entry.note for entry in self._entries},
            "tolerance": TOLERANCE,
            "ceilings": {},
            "exact": {},
            "shapes": {},
            "workloads": {},
            "refused": [],
        }

    def run(self) -> Report:
        """Measure, as far as the time goes."""
        self._read_device("at the beginning")
        try:
            with tempfile.TemporaryDirectory() as scratch:
                if self.settings.ceilings:
                    self._ceilings()
                for name in self.settings.workloads:
                    self._workload(name, Path(scratch))
            self.report["finished"] = True
        finally:
            self._read_device("at the end")
            for process in self._processes.values():
                process.end()
            self.save()
        return self.report

    def save(self) -> None:
        """The whole report, in a file that is never half-written."""
        path = self.settings.output
        self.report["seconds"] = round(monotonic() - self._began, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps(self.report, indent=1) + "\n")
        new.replace(path)

    @property
    def _out_of_time(self) -> bool:
        return 0 < self.settings.budget < monotonic() - self._began

    def _say(self, text: str) -> None:
        print(f"[{monotonic() - self._began:6.1f} s] {text}", file=sys.stderr, flush=True)

    def _read_device(self, when: str) -> None:
        """What the card says of itself; nothing is ever set."""
        self.report["device"].append({"when": when, "seconds": round(monotonic() - self._began, 1), **_device()})
        self.save()

    # -- processes

    def _process(self, name: str, entry: Entry | None = None) -> Process:
        if name not in self._processes or self._processes[name].ended:
            variables = dict(entry.environment) if entry else {}
            if self.settings.dry:
                variables |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
            self._processes[name] = Process(variables)
        return self._processes[name]

    def _end(self, name: str) -> None:
        if name in self._processes:
            self._processes.pop(name).end()

    # -- ceilings

    def _ceilings(self) -> None:
        for library in ("cupy", "torch"):
            if self._out_of_time:
                self.report["ceilings"][library] = {"reason": self._no_time()}
                continue
            self._say(f"ceilings through {library}")
            process = self._process(f"ceilings {library}")
            try:
                process.send("ceilings", library=library, dry=self.settings.dry)
                process.receive(self._heard)
            except Failed as failure:
                self.report["ceilings"][library] = {"reason": str(failure)}
            self._end(f"ceilings {library}")
        self._read_device("after the ceilings")

    def _heard(self, part: dict[str, Any]) -> None:
        self.report["ceilings"] |= part
        self.save()

    def _known_ceilings(self) -> tuple[dict[str, float], list[str]]:
        """The best figure of each kind, and the kinds that had to be assumed."""
        best, assumed = dict(ASSUMED), []
        for kind in ASSUMED:
            measured = [
                figure["per_second"]
                for name, figure in self.report["ceilings"].items()
                if name.partition(" ")[0] == kind and "per_second" in figure
            ]
            if measured:
                best[kind] = max(measured)
            else:
                assumed.append(kind)
        return best, assumed

    # -- workloads

    def _workload(self, name: str, scratch: Path) -> None:
        workload = (TINY if self.settings.dry else WORKLOADS)[name]
        results = self.report["workloads"].setdefault(name, {})
        shape = {"title": workload.title, "sizes": list(workload.sizes), "batch": workload.batch}
        self.report["shapes"][name] = shape | {"learning_rate": workload.learning_rate}
        if self._out_of_time:
            results["reason"] = self._no_time()
            self.save()
            return
        with _drawn(workload, scratch / name) as folder:
            exact = self._exact(name, workload, folder)
            for precision in self.settings.precisions:
                best, assumed = self._known_ceilings()
                section = floors(workload, precision, best) | {"assumed_ceilings": assumed, "contenders": {}}
                results[precision] = section
                turns = [self._turn(entry, name, section) for entry in self._entries]
                for group in self._groups([turn for turn in turns if not turn.failed], workload):
                    self._compare(group, name, workload, precision, folder, exact)
                _compare_bits(section["contenders"])
                self._read_device(f"after {name} {precision}")

    def _turn(self, entry: Entry, name: str, section: Report) -> _Turn:
        reason = entry.missing(self.settings.dry)
        if entry.only and name not in entry.only:
            reason = f"made for {', '.join(entry.only)} only"
        facts = section["contenders"][entry.name] = {"reason": reason} if reason else {}
        return _Turn(entry, facts)

    def _exact(self, name: str, workload: Workload, folder: Path) -> list[float]:
        """The losses in float64, or none."""
        ways = ["numpy"] if self.settings.dry else WAYS[name]
        found: dict[str, Any] = {}
        for library in ways:
            self._say(f"{name}: losses in float64 by {library}")
            try:
                details = {"workload": asdict(workload), "folder": str(folder), "steps": CHECKED[name]}
                found[library] = self._process("exact").ask("exact", library=library, **details)["losses"]
            except Failed as failure:
                found[library] = {"reason": str(failure)}
        self._end("exact")
        self.report["exact"][name] = found
        self.save()
        return found[ways[0]] if isinstance(found[ways[0]], list) else []

    def _groups(self, turns: Sequence[_Turn], workload: Workload) -> Iterator[list[_Turn]]:
        """Contenders that fit the memory together."""
        total = self.report["device"][-1].get("memory_bytes")
        size = max(1, len(turns) if total is None else int(SHARE * total // held_bytes(workload)))
        for first in range(0, len(turns), size):
            yield list(turns[first : first + size])

    def _compare(
        self, turns: list[_Turn], name: str, workload: Workload, precision: str, folder: Path, exact: list[float]
    ) -> None:
        """Build, check, time in rounds that take turns, and give the memory back."""
        self._say(f"{name} {precision}: {', '.join(turn.entry.name for turn in turns)}")
        details = {
            "workload": asdict(workload),
            "folder": str(folder),
            "precision": precision,
            "dry": self.settings.dry,
        }
        self._build(turns, details)
        for turn in turns:
            self._attempt(turn, lambda turn: self._check(turn, name, precision, exact))
        for number in range(self.settings.rounds):
            if self._out_of_time and number:  # one round is had of what was built
                break
            first = number % len(turns)
            for turn in (*turns[first:], *turns[:first]):
                self._attempt(turn, self._time)
        for turn in turns:
            if self.settings.nodes and turn.entry.name == "nnxp" and not self._out_of_time:
                self._attempt(turn, lambda turn: turn.facts.update(self._process(turn.entry.name).ask("nodes")))
            if not turn.failed and not turn.rounds:
                turn.facts["reason"] = self._no_time()
            if turn.entry.fresh:
                self._end(turn.entry.name)
            elif turn.entry.name in self._processes and not self._processes[turn.entry.name].ended:
                with suppress(Failed):
                    self._process(turn.entry.name).ask("release")
        self.save()

    def _build(self, turns: Sequence[_Turn], details: dict[str, Any]) -> None:
        """Those that time algorithms one by one, then the others at the same time: most of it is compiling."""
        for alone in (True, False):
            sent = []
            for turn in turns:
                if turn.entry.alone is not alone:
                    continue
                if self._out_of_time:
                    turn.facts["reason"] = self._no_time()
                    continue
                self._attempt(turn, lambda turn: self._send_build(turn, details))
                sent.append(turn)
                if alone:
                    self._attempt(turn, self._receive_build)
            for turn in sent if not alone else ():
                self._attempt(turn, self._receive_build)

    def _send_build(self, turn: _Turn, details: dict[str, Any]) -> None:
        entry = turn.entry
        self._process(entry.name, entry).send("build", path=entry.path, options=dict(entry.options), **details)

    def _receive_build(self, turn: _Turn) -> None:
        turn.facts |= self._process(turn.entry.name).receive()

    def _check(self, turn: _Turn, name: str, precision: str, exact: list[float]) -> None:
        answer = self._process(turn.entry.name).ask("losses", steps=CHECKED[name])
        turn.facts |= answer
        if not exact:
            raise Failed("not timed: there are no float64 losses to check it against")
        found, known = np.asarray(answer["losses"]), np.asarray(exact)
        difference = float(np.max(np.abs(found - known)))
        turn.facts["loss_error"] = float(np.max(np.abs(found - known) / known))
        turn.facts["progress_error"] = error = difference / float(np.ptp(known))
        if not error <= TOLERANCE[precision]:
            self.report["refused"].append(f"{name} {precision}: {turn.entry.name}")
            turn.facts["refused"] = True
            raise Failed(f"computes something else: off by {error:.1e} of the progress, allowed {TOLERANCE[precision]}")
        guess = self._process(turn.entry.name).ask("time", steps=GUESS)
        turn.steps = int(min(max(self.settings.seconds * 1e6 / guess["wall_us"], FEWEST), MOST))

    def _time(self, turn: _Turn) -> None:
        if turn.rounds and (self._out_of_time or self._has_enough(turn)):
            return
        answer = self._process(turn.entry.name).ask("time", steps=turn.steps)
        if not answer["finite"]:
            raise Failed("its loss was no finite number after the timed steps")
        turn.rounds.append(answer)
        turn.facts |= _figures(turn.rounds)
        self.save()

    def _has_enough(self, turn: _Turn) -> bool:
        return len(turn.rounds) >= SLOW_ROUNDS and turn.facts["median_us"] > SLOW

    def _attempt(self, turn: _Turn, do: Any) -> None:
        """Do something, unless it has failed before; a failure is a reason, and the others go on."""
        if not turn.failed:
            try:
                do(turn)
            except Failed as failure:
                turn.facts["reason"] = str(failure)
            self.save()

    def _no_time(self) -> str:
        return f"no time left: the budget was {self.settings.budget:.0f} s"


def _figures(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians and quartiles of the rounds; by the device's events where it has them."""
    by = "events" if rounds[0]["events_us"] is not None else "wall"
    times = [answer[f"{by}_us"] for answer in rounds]
    low, _, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return {
        "clock": "device events" if by == "events" else "host, until all is done",
        "median_us": statistics.median(times),
        "quartiles_us": [low, high],
        "minimum_us": min(times),
        "wall_us": statistics.median(answer["wall_us"] for answer in rounds),
        "queued_us": statistics.median(answer["queued_us"] for answer in rounds),
        "rounds_us": times,
        "steps_per_round": rounds[0]["steps"],
    }


def _compare_bits(contenders: dict[str, Any]) -> None:
    """Whether the graph gives the bits that its kernels give one by one."""
    captured, eager = contenders.get("nnxp", {}), contenders.get("nnxp-eager", {})
    if "digest" in captured and "digest" in eager:
        same = (captured["losses"], captured["digest"]) == (eager["losses"], eager["digest"])
        captured["same_bits_as_eager"] = same


@contextmanager
def _drawn(workload: Workload, folder: Path) -> Iterator[Path]:
    """Data and first weights as files, drawn once for all processes; gone afterwards, as they are large."""
    folder.mkdir()
    x, y = workload.data()
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    for index, (w, b) in enumerate(workload.weights()):
        np.save(folder / f"w{index}-0.npy", w)
        np.save(folder / f"w{index}-1.npy", b)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _packages() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    names = ("cupy-cuda13x", "cupy-cuda12x", "torch", "triton", "jax", "jax-cuda13-plugin", "jax-cuda12-plugin")
    for package in (*names, "nvidia-cublas", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "cuda-pathfinder"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _device() -> dict[str, Any]:
    """The first GPU's own words, or why there are none."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return {"reason": f"nvidia-smi: {error}"}
    values = dict(zip(QUERY.split(","), done.stdout.splitlines()[0].split(", "), strict=False))
    with suppress(ValueError):
        values["memory_bytes"] = float(values["memory.total"]) * 2**20  # type: ignore[assignment]
    return values
