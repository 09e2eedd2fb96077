"""The harness's side of the contenders' processes."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import Timer
from typing import IO, Any, cast

from nnxp.bench.contenders import Entry
from nnxp.bench.machine import core_set, environment
from nnxp.bench.workloads import Workload

__all__ = ["Failed", "Process", "ProcessOf", "processes"]

PATIENCE = 900.0
"""Seconds for one task; compiling takes a minute at times, and nothing takes this."""
FOLDER = str(Path(__file__).resolve().parents[2])
"""Of this nnxp, in case it is not installed."""
# The processors come first: libraries count them when they are imported.
PROGRAM = """
import os, sys
cores, threads = {cores}, {threads}
if cores:
    os.sched_setaffinity(0, cores)
sys.path.append({folder!r})
from nnxp.bench.worker import serve
serve(threads)
"""


ProcessOf = Callable[[Entry], "Process"]


@contextmanager
def processes(entries: Sequence[Entry], threads: int, *, together: bool = False) -> Iterator[ProcessOf]:
    """A process for each contender, or one for all: started when it is asked for, and gone in the end."""
    with ExitStack() as stack:
        started: dict[str, Process] = {}

        def process_of(entry: Entry) -> Process:
            name = "" if together else entry.name
            if name not in started or started[name].ended:
                variables = {k: v for e in entries for k, v in e.environment.items() if together or e is entry}
                started[name] = Process(threads, variables)
                stack.callback(started[name].end)
            return started[name]

        yield process_of


class Failed(Exception):
    """A contender could not do its task; the message is the reason."""


class Process:
    """A new Python that builds contenders and times them, one task after the other."""

    def __init__(self, threads: int, variables: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
        program = PROGRAM.format(cores=core_set(threads), threads=threads, folder=FOLDER)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **environment(threads), **variables},
            text=True,
            encoding="utf-8",
        )
        self._tasks, self._answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)

    def ask(self, task: str, entry: Entry, workload: Workload, steps: int = 0) -> dict[str, Any]:
        """The answer to a task; raises `Failed` with the contender's reason."""
        line = json.dumps({"task": task, "entry": asdict(entry), "workload": asdict(workload), "steps": steps})
        timer = Timer(PATIENCE, self._process.kill)
        timer.start()
        try:
            self._tasks.write(line + "\n")
            self._tasks.flush()
            answer: dict[str, Any] = json.loads(self._answers.readline())
        except (OSError, ValueError):
            raise Failed(self._last_words()) from None
        finally:
            timer.cancel()
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    @property
    def ended(self) -> bool:
        """Whether it can be asked no more."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Stop it, and forget what it said."""
        self._process.kill()
        self._process.wait()
        for stream in (self._tasks, self._answers, self._errors):
            with suppress(OSError):  # a task that it did not take
                stream.close()

    def _last_words(self) -> str:
        self._process.kill()
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        ended = f"its process was ended by signal {-status}" if status < 0 else f"its process ended with {status}"
        return f"{ended}: {lines[-1]}" if lines else ended
