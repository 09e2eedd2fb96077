"""The life of a contender's process: a line of JSON with a task comes in, lines with answers go out."""

import gc
import json
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

from gpu_bench.base import Contender, Task, host_time
from nnxp._check import one_line
from nnxp.bench.workloads import Workload

__all__ = ["serve"]

WARM_UPS = 3
"""Steps before a clock starts."""


def serve() -> None:
    """Answer until there are no more lines. What libraries print goes to standard error, out of the answers' way."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = _Worker()
    for line in sys.stdin:
        try:
            for answer in worker.answer(json.loads(line)):
                print(json.dumps({"more": answer}), file=answers, flush=True)
            end: dict[str, Any] = {"done": True}
        except Exception as error:  # whatever a library raises is the reason why it does not take part
            end = {"error": f"{type(error).__name__}: {one_line(error)}"}
        print(json.dumps(end), file=answers, flush=True)


class _Worker:
    """Holds one contender at a time."""

    def __init__(self) -> None:
        self._held: Contender | None = None

    def answer(self, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The parts of an answer, each as soon as it is known."""
        return getattr(self, task.pop("task"))(**task)

    @property
    def contender(self) -> Contender:
        assert self._held is not None
        return self._held

    def build(
        self, path: str, options: dict[str, Any], workload: dict[str, Any], folder: str, precision: str, dry: bool
    ) -> Iterator[dict[str, Any]]:
        """Import it, build it, run its first steps: what is made once is there then."""
        list(self.release())
        start = perf_counter()
        module, _, name = path.partition(":")
        task = Task(Workload(**workload | {"sizes": tuple(workload["sizes"])}), Path(folder), precision, dry)
        self._held = contender = getattr(import_module(module), name)(task, **options)
        contender.reset()
        contender.train(self._whole(WARM_UPS))
        contender.synchronize()
        yield {"built_in_s": perf_counter() - start}

    def losses(self, steps: int) -> Iterator[dict[str, Any]]:
        """The first losses, twice: a race seldom gives the same bits."""
        contender = self.contender
        first = contender.losses(steps)
        found = {"losses": first, "digest": contender.digest()}
        yield found | {"repeats": contender.losses(steps) == first, "peak_bytes": contender.peak_bytes()}
        yield contender.facts()

    def time(self, steps: int) -> Iterator[dict[str, Any]]:
        """Microseconds a step, from the first weights on: by events, by the host's clock, and until all is queued."""
        contender, steps = self.contender, self._whole(steps)
        contender.reset()
        contender.train(self._whole(min(steps, WARM_UPS)))
        gc.collect()
        contender.synchronize()
        host: list[float] = []
        by_events = contender.clock(lambda: host.extend(_seconds_to_queue(contender, steps)))
        if by_events is None:
            queued, wall = host_time(lambda: contender.train(steps), contender.synchronize)
        else:
            queued, wall = host[0], perf_counter() - host[1]
        loss = float(contender.step())
        times = {"events": by_events, "wall": wall, "queued": queued}
        yield {f"{name}_us": None if t is None else t / steps * 1e6 for name, t in times.items()} | {
            "steps": steps,
            "finite": isfinite(loss),
        }

    def nodes(self) -> Iterator[dict[str, Any]]:
        """What each part of a step takes by itself."""
        yield {"node_times": self.contender.nodes()}

    def exact(self, workload: dict[str, Any], folder: str, steps: int, library: str) -> Iterator[dict[str, Any]]:
        """The losses in float64, by NumPy or CuPy."""
        from gpu_bench.exact import exact_losses

        task = Task(Workload(**workload | {"sizes": tuple(workload["sizes"])}), Path(folder), "float64", False)
        xp, rate = import_module(library), task.workload.learning_rate
        yield {"losses": exact_losses(xp, *task.data(), task.weights(), learning_rate=rate, steps=steps)}
        if library == "cupy":
            xp.get_default_memory_pool().free_all_blocks()

    def ceilings(self, library: str, dry: bool) -> Iterator[dict[str, Any]]:
        """One after the other."""
        module = import_module("gpu_bench.ceilings")
        for name, figure in getattr(module, f"of_{library}")(dry):
            yield {name: figure}
        list(self.release())

    def release(self) -> Iterator[dict[str, Any]]:
        """Give the contender's memory back to the device."""
        if self._held is not None:
            self._held.close()
        self._held = None
        gc.collect()
        if "cupy" in sys.modules:
            sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
        if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
            sys.modules["torch"].cuda.empty_cache()
        yield {}

    def _whole(self, steps: int) -> int:
        """So many steps that they are whole chunks."""
        chunk = self.contender.chunk
        return -(-steps // chunk) * chunk


def _seconds_to_queue(contender: Contender, steps: int) -> tuple[float, float]:
    """How long that took, and when it began."""
    start = perf_counter()
    contender.train(steps)
    return perf_counter() - start, start
