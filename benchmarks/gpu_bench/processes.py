"""The processes that contenders live in, seen from outside."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Timer
from typing import IO, Any, cast

from nnxp.bench.processes import Failed

__all__ = ["Failed", "Process"]

HERE = Path(__file__).resolve().parents[1]
FOLDERS = [str(HERE), str(HERE.parent / "src")]
PROGRAM = f"import sys; sys.path[:0] = {FOLDERS!r}; from gpu_bench.worker import serve; serve()"

PATIENCE = 240
"""Seconds for one task; a contender that hangs is not waited for any longer."""


class Process:
    """A Python of its own. A task is `send`'s, its answer `receive`'s, so that several can work at the same time."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **variables},
            text=True,
            encoding="utf-8",
        )
        self._tasks, self._answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)

    def send(self, task: str, **details: Any) -> None:
        """Set it to work."""
        try:
            self._tasks.write(json.dumps({"task": task, **details}) + "\n")
            self._tasks.flush()
        except OSError:
            raise Failed(self._last_words()) from None

    def receive(
        self, heard: Callable[[dict[str, Any]], object] = lambda part: None, patience: float = PATIENCE
    ) -> dict[str, Any]:
        """The whole answer; ``heard`` gets its parts as they come. Raises `Failed` with the reason."""
        timer, found = Timer(patience, self._process.kill), {}
        timer.start()
        try:
            while True:
                answer = json.loads(self._answers.readline())
                if "more" not in answer:
                    break
                found |= answer["more"]
                heard(answer["more"])
        except (OSError, ValueError):
            late = f" (it was given {patience:.0f} s)" if timer.finished.is_set() else ""
            raise Failed(self._last_words() + late) from None
        finally:
            timer.cancel()
        if "error" in answer:
            raise Failed(answer["error"])
        return found

    def ask(self, task: str, **details: Any) -> dict[str, Any]:
        """A task, and its answer."""
        self.send(task, **details)
        return self.receive()

    @property
    def ended(self) -> bool:
        """Whether it can be asked no more."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._tasks, self._answers, self._errors):
            try:
                stream.close()
            except OSError:  # a task that it did not take
                continue

    def _last_words(self) -> str:
        self._process.kill()
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        ended = f"its process was ended by signal {-status}" if status < 0 else f"its process ended with {status}"
        return f"{ended}: {lines[-1]}" if lines else ended
