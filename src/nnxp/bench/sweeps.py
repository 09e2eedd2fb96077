"""How time grows with one size: nets like W2, of other batches, widths, depths and amounts of data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nnxp.bench.workloads import WORKLOADS, Workload

__all__ = ["SWEEPS", "Sweep"]

_W2 = WORKLOADS["W2"]
_INPUTS, _WIDTH, *_, _CLASSES = _W2.sizes


@dataclass(frozen=True)
class Sweep:
    """Workloads that differ in one number."""

    name: str
    title: str
    axis: str
    values: Sequence[int]
    workload: Callable[[int], Workload]
    unit: str = "step"
    """What a time is of: a step, or an epoch of fit."""

    def steps(self, value: int) -> int:
        """Steps in the unit."""
        return self.workload(value).steps_at_once


def _batch(batch: int) -> Workload:
    return replace(_W2, batch=batch)


def _width(width: int) -> Workload:
    # The wider or deeper, the slower it must learn for float32 and float64 to stay together.
    rate = _W2.learning_rate * min(1.0, _WIDTH / width)
    return replace(_W2, sizes=(_INPUTS, width, width, _CLASSES), learning_rate=rate)


def _depth(hidden: int) -> Workload:
    rate = _W2.learning_rate * min(1.0, 2 / hidden)
    return replace(_W2, sizes=(_INPUTS, *[_WIDTH] * hidden, _CLASSES), learning_rate=rate)


def _data(samples: int) -> Workload:
    return replace(_W2, what="fit", batches=samples // _W2.batch)


_NET = "-".join(map(str, _W2.sizes))

SWEEPS = {
    sweep.name: sweep
    for sweep in (
        Sweep("batch", f"{_NET}", "samples in a batch", tuple(2**k for k in range(5, 13)), _batch),
        Sweep("width", f"{_INPUTS}-n-n-{_CLASSES}, batch {_W2.batch}", "n", tuple(2**k for k in range(5, 12)), _width),
        Sweep(
            "depth",
            f"n hidden layers of {_WIDTH}, batch {_W2.batch}",
            "n",
            tuple(range(1, 9)),
            _depth,
        ),
        Sweep(
            "data",
            f"{_NET}, batch {_W2.batch}: fit",
            "samples",
            tuple(2**k for k in range(8, 15, 2)),
            _data,
            unit="epoch",
        ),
    )
}
"""By name."""
