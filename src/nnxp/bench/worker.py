"""The life of a contender's process: a line of JSON with a task comes in, a line with the answer goes out."""

import gc
import json
import os
import sys
from collections.abc import Callable
from time import perf_counter, sleep
from typing import Any

from threadpoolctl import threadpool_info, threadpool_limits

from nnxp._check import one_line
from nnxp.bench.contenders import Entry
from nnxp.bench.machine import peak_mib
from nnxp.bench.workloads import Workload

__all__ = ["serve"]

STEPS_OF_PEAK = 3
WARM_UP_STEPS = 5
SECONDS_TO_SLEEP = 0.3
"""Pools of threads spin for a while after their work; the next contender waits until they sleep."""
POOL = ("user_api", "internal_api", "version", "architecture", "threading_layer", "num_threads")


def serve(threads: int) -> None:
    """Answer until there are no more lines. What libraries print goes to standard error, out of the answers' way."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer = _answer(json.loads(line), threads)
        except Exception as error:  # whatever a peer raises is the reason why it does not take part
            answer = {"error": f"{type(error).__name__}: {one_line(error)}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(task: dict[str, Any], threads: int) -> dict[str, Any]:
    entry, workload = Entry(**task["entry"]), Workload(**task["workload"] | {"sizes": tuple(task["workload"]["sizes"])})
    contender = entry.make(workload)
    with threadpool_limits(threads):  # once everything is imported: it sees what is there
        return TASKS[task["task"]](contender, workload, task["steps"], threads)


def _prepare(contender: Any, workload: Workload, steps: int, threads: int) -> dict[str, Any]:
    """The first task of a process: what its memory came to, and which pools it has."""
    contender.train(workload.whole(STEPS_OF_PEAK))
    peak = peak_mib()
    return {"peak_mib": peak, "pools": [{key: pool[key] for key in POOL if key in pool} for pool in threadpool_info()]}


def _losses(contender: Any, workload: Workload, steps: int, threads: int) -> dict[str, Any]:
    return {"losses": contender.losses(steps)}


def _time(contender: Any, workload: Workload, steps: int, threads: int) -> dict[str, Any]:
    """Microseconds per step from the first weights on, after a few steps that are not counted."""
    contender.train(workload.whole(min(WARM_UP_STEPS, steps)))
    gc.collect()
    start = perf_counter()
    contender.train(steps)
    microseconds = (perf_counter() - start) / steps * 1e6
    if threads > 1:
        sleep(SECONDS_TO_SLEEP)
    return {"us": microseconds}


TASKS: dict[str, Callable[[Any, Workload, int, int], dict[str, Any]]] = {
    "prepare": _prepare,
    "losses": _losses,
    "time": _time,
}
