"""What is timed on a GPU, and the least that a step of it must do.

**Counts.** B samples, layers of i inputs and o outputs, P parameters; float32 numbers of 4 bytes throughout, because
nnxp, PyTorch and JAX all keep parameters and moments in float32, whatever their products are made in.

| operation | FLOP | bytes |
|---|---|---|
| y = x·w + b, ReLU in passing | 2Bio | 4(Bi + io + o + Bo) |
| loss: dz of z and labels | – | 4·2Bo + 8B |
| dw = xᵀ·dy, db in passing | 2Bio | 4(Bi + Bo + io + o) |
| dx = dy·wᵀ, masked in passing by x (not for the first layer) | 2Bio | 4(Bo + io + 2Bi) |
| Adam | – | 28P: reads w, g, m, v, writes w, m, v |

Each operation reads its inputs once and writes its results once. Two floors follow, of ceilings that were measured:

- ``floor``: max(Σ FLOP / rate, Σ bytes / bandwidth). Arithmetic and memory overlap perfectly.
- ``stages``: Σ max(FLOP / rate, bytes / bandwidth) over the operations. One after the other, as everybody does it.

Neither counts launches, which rule small networks; and small networks stay in the L2 cache, whose bandwidth is higher
than that of the copy, so theirs is no strict bound.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from nnxp.bench.workloads import WORKLOADS as ON_CPU
from nnxp.bench.workloads import Workload

__all__ = ["ASSUMED", "CHECKED", "PRECISIONS", "TINY", "WORKLOADS", "Operation", "floors", "held_bytes", "operations"]

PRECISIONS = ("float32", "tf32", "bf16")

WORKLOADS = {
    "W2": replace(ON_CPU["W2"], batches=1),
    "W3": replace(ON_CPU["W3"], batches=1),
    "W3L": Workload("W3L", "wide, large batch", (1024, 4096, 4096, 1000), 8192, "images", learning_rate=3e-5),
    "W5": Workload("W5", "large", (4096, 16384, 16384, 4096), 16384, "images", learning_rate=1e-5),
}

TINY = {
    "W2": replace(WORKLOADS["W2"], sizes=(24, 16, 16, 10), batch=16, learning_rate=1e-3),
    "W3": replace(WORKLOADS["W3"], sizes=(16, 32, 32, 20), batch=8, learning_rate=1e-3),
    "W3L": replace(WORKLOADS["W3L"], sizes=(16, 32, 32, 20), batch=64, learning_rate=1e-3),
    "W5": replace(WORKLOADS["W5"], sizes=(32, 48, 48, 32), batch=64, learning_rate=1e-3),
}
"""The same networks in small, to try the script itself."""

CHECKED = {"W2": 20, "W3": 10, "W3L": 5, "W5": 4}
"""Steps whose losses are compared with float64."""

ASSUMED = {"copy": 4.3e12, "float32": 55e12, "tf32": 395e12, "bf16": 790e12}
"""Bytes and FLOP per second of an H200 where a ceiling was not measured; float32 and TF32 are estimates."""


@dataclass(frozen=True)
class Operation:
    """A part of a step, and the least that it must do."""

    name: str
    flop: int
    bytes: int


def operations(workload: Workload) -> Iterator[Operation]:
    """The parts of one training step, in their order."""
    batch, layers = workload.batch, list(zip(workload.sizes[:-1], workload.sizes[1:], strict=True))
    for i, o in layers:
        yield Operation(f"forward {i}x{o}", 2 * batch * i * o, 4 * (batch * i + i * o + o + batch * o))
    yield Operation("loss", 0, 8 * batch * workload.sizes[-1] + 8 * batch)
    for index, (i, o) in reversed(list(enumerate(layers))):
        yield Operation(f"dw {i}x{o}", 2 * batch * i * o, 4 * (batch * i + batch * o + i * o + o))
        if index:
            yield Operation(f"dx {i}x{o}", 2 * batch * i * o, 4 * (batch * o + i * o + 2 * batch * i))
    yield Operation("adam", 0, 28 * parameters(workload))


def parameters(workload: Workload) -> int:
    """How many there are."""
    return sum((i + 1) * o for i, o in zip(workload.sizes[:-1], workload.sizes[1:], strict=True))


def floors(workload: Workload, precision: str, ceilings: Mapping[str, float]) -> dict[str, float]:
    """Microseconds that no step can be expected to beat; see above. ``ceilings`` are bytes and FLOP per second."""
    rate, bandwidth, parts = ceilings[precision], ceilings["copy"], list(operations(workload))
    arithmetic, memory = sum(part.flop for part in parts) / rate, sum(part.bytes for part in parts) / bandwidth
    stages = sum(max(part.flop / rate, part.bytes / bandwidth) for part in parts)
    return {
        "arithmetic_us": arithmetic * 1e6,
        "memory_us": memory * 1e6,
        "floor_us": max(arithmetic, memory) * 1e6,
        "stages_us": stages * 1e6,
    }


def held_bytes(workload: Workload) -> int:
    """A generous guess of what a contender holds: parameters, gradients, moments; activations and their gradients."""
    return 4 * (5 * parameters(workload) + 5 * workload.batch * sum(workload.sizes)) + (1 << 30)
