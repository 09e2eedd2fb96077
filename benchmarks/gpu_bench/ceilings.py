"""What the device can do: bytes copied, products, and the gap between dependent nodes of a graph."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gpu_bench.base import host_time, median

__all__ = ["of_cupy", "of_torch"]

GIB, SIDE, NODES = 4, 8192, (100, 1100)
"""Of a copy; of a product; in the two graphs whose difference is taken."""

Figure = dict[str, Any]
Clock = Callable[[Callable[[], object]], float]


def of_cupy(dry: bool) -> Iterator[tuple[str, Figure]]:
    """Through nnxp's own machine: CuPy's copy, cublasLt's products, CuPy's graphs."""
    from nnxp import get_backend
    from nnxp.ops.cuda.gemm import Addresses, Epilogue, forward

    machines = {
        precision: get_backend("numpy" if dry else "cupy", kernels="cuda", precision=precision).ops.linker._machine
        for precision in ("float32", "tf32", "bf16")
    }
    machine = machines["float32"]
    xp, clock = machine.xp, _host if dry else _cupy_clock
    count = 1 << 20 if dry else GIB << 28
    source = xp.asarray(_random(1 << 18 if dry else 1 << 26))
    source = xp.tile(source, count // source.size)
    target = xp.full_like(source, float("nan"))
    yield "copy", _rate(clock, lambda: xp.copyto(target, source), 2 * source.nbytes, bool((target == source).all))
    assert bool((target == source).all())
    del source, target
    side = 64 if dry else SIDE
    a, b = (xp.asarray(_random(side * side)).reshape(side, side) for _ in range(2))
    d = xp.empty_like(a)
    for precision, each in machines.items():
        product = forward(side, side, side, epilogue=Epilogue.DEFAULT, precision=precision)
        run = each.product(product, Addresses(each.address(b), each.address(a), each.address(d)))
        if run is None:
            yield f"{precision} cublasLt", {"reason": "no algorithm"}
            continue
        d[...] = float("nan")
        figure = _rate(clock, run, 2 * side**3)
        yield f"{precision} cublasLt", figure | {"error": _product_error(xp, a, b, d)}
    yield from _gaps(machine, clock)


def _gaps(machine: Any, clock: Clock) -> Iterator[tuple[str, Figure]]:
    """Microseconds: of an empty node that waits for the one before it; of a graph of one node; of a launch without."""
    xp = machine.xp
    words = machine.xp.zeros(64, dtype=np.int64)
    argument, nothing = np.uint64(machine.address(words)), np.uint64(0)
    kernel = machine.kernel("publish", "float32")
    arguments = (argument, np.int32(0), nothing, nothing, nothing, nothing)

    def node() -> None:
        kernel(1, 32, arguments)

    few, many = (machine.capture([node] * count) for count in NODES)
    one = machine.capture([node])
    for graph in (few, many, one):
        graph()
    times = [median([clock(graph) for _ in range(7)]) for graph in (few, many)]
    yield "node gap", {"us": (times[1] - times[0]) / (NODES[1] - NODES[0]) * 1e6}
    for name, call in (("graph launch", one), ("kernel launch", node)):
        yield name, {"us": median([clock(lambda c=call: [c() for _ in range(200)]) for _ in range(7)]) / 200 * 1e6}
    assert int(xp.max(words)) > 0  # publish counts its calls: they ran


def of_torch(dry: bool) -> Iterator[tuple[str, Figure]]:
    """PyTorch's copy and products, bf16 from bf16 matrices as well."""
    import torch

    device, clock = ("cpu", _host) if dry else ("cuda", _torch_clock)
    source = torch.randn(1 << 18 if dry else GIB << 28, device=device)
    target = torch.full_like(source, float("nan"))
    yield "copy torch", _rate(clock, lambda: target.copy_(source), 2 * source.nbytes)
    assert bool((target == source).all())
    del source, target
    side = 64 if dry else SIDE
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    for precision in ("float32", "tf32", "bf16"):
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        left, right = a.to(kind), b.to(kind)
        d = torch.full_like(left, float("nan"))
        figure = _rate(clock, lambda: torch.mm(left, right, out=d), 2 * side**3)  # noqa: B023  it is called at once
        yield f"{precision} torch", figure | {"error": _product_error(torch, a, b, d)}


def _rate(clock: Clock, call: Callable[[], object], amount: float, *_: Any) -> Figure:
    """Bytes or FLOP a second: the median of rounds, each of some calls."""
    for _ in range(3):
        call()
    repeats = 5
    seconds = [clock(lambda: [call() for _ in range(repeats)]) / repeats for _ in range(7)]
    return {"per_second": amount / median(seconds), "best_per_second": amount / min(seconds), "seconds": seconds}


def _product_error(xp: Any, a: Any, b: Any, d: Any) -> float:
    """‖d - a·b‖ / ‖a·b‖ over some of the rows, in float64."""
    rows = [np.asarray(r.get() if hasattr(r, "get") else r.cpu() if hasattr(r, "cpu") else r, np.float64) for r in (a[:4], b)]
    found = d[:4].float() if hasattr(d, "float") else d[:4]
    found = np.asarray(found.get() if hasattr(found, "get") else found.cpu() if hasattr(found, "cpu") else found)
    exact = rows[0] @ rows[1]
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def _random(count: int) -> Any:
    return np.random.default_rng(0).standard_normal(count, dtype=np.float32)


def _host(call: Callable[[], object]) -> float:
    return host_time(call, lambda: None)[1]


def _cupy_clock(call: Callable[[], object]) -> float:
    import cupy

    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, stop)) / 1000


def _torch_clock(call: Callable[[], object]) -> float:
    import torch

    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return float(start.elapsed_time(stop)) / 1000
