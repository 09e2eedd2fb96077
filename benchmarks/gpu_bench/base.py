"""What a worker asks of a contender on a device."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nnxp.bench.workloads import Workload

__all__ = ["Contender", "Task", "cupy_clock", "host_time", "median", "torch_clock"]


@dataclass(frozen=True)
class Task:
    """What to build: a workload whose data and first weights lie in files, in one precision."""

    workload: Workload
    folder: Path
    precision: str
    dry: bool

    def data(self) -> tuple[Any, Any]:
        """Features and labels, host arrays."""
        return np.load(self.folder / "x.npy"), np.load(self.folder / "y.npy")

    def weights(self) -> list[Any]:
        """w, b, w, b, …, read from the file where they are used."""
        return [np.load(path, mmap_mode="r") for path in sorted(self.folder.glob("w*.npy"))]


class Contender(ABC):
    """A network on a device. ``reset`` must be called before the first step."""

    chunk = 1
    """The fewest steps that can be run."""

    @abstractmethod
    def reset(self) -> None:
        """The first weights, zero moments, step 0; no new memory."""

    @abstractmethod
    def step(self) -> Any:
        """Queue one update; the loss before it, wherever it lies."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait for all that was queued."""

    def poison(self) -> None:  # noqa: B027  not everything can be reached
        """Fill what a step is to write with NaN, as far as it can be reached."""

    def losses(self, steps: int) -> list[float]:
        """The losses of the first steps, each read before the next step begins."""
        self.reset()
        losses = []
        for _ in range(steps):
            self.poison()
            losses.append(float(self.step()))
        return losses

    def train(self, steps: int) -> None:
        """Queue so many updates."""
        for _ in range(steps):
            self.step()

    def clock(self, call: Callable[[], object]) -> float | None:
        """Seconds by the device's events; None where there are none."""
        return None

    def peak_bytes(self) -> int | None:
        """The most that its allocator ever handed out since it was built."""
        return None

    def close(self) -> None:  # noqa: B027  most have nothing of the kind
        """Give back what is not memory."""

    def facts(self) -> dict[str, Any]:
        """What else is to be known of it, after its first steps."""
        return {}

    def digest(self) -> str | None:
        """A digest of its parameters' bits."""
        return None

    def nodes(self) -> list[dict[str, Any]]:
        """What each part of a step takes by itself."""
        return []


def host_time(call: Callable[[], object], synchronize: Callable[[], object]) -> tuple[float, float]:
    """Seconds until everything is queued, and until it is done."""
    synchronize()
    start = perf_counter()
    call()
    queued = perf_counter() - start
    synchronize()
    return queued, perf_counter() - start


def cupy_clock(call: Callable[[], object]) -> float:
    """Seconds between two events on CuPy's current stream."""
    import cupy

    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, stop)) / 1000


def torch_clock(call: Callable[[], object]) -> float:
    """Seconds between two events on PyTorch's current stream."""
    import torch

    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return float(start.elapsed_time(stop)) / 1000


def median(values: Sequence[float]) -> float:
    """The one in the middle."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
