"""What the device can do: bytes copied, products, and the gap between dependent nodes of a graph."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from gpu_bench.base import cupy_clock, host_time, median, torch_clock
from gpu_bench.workloads import PRECISIONS

__all__ = ["of_cupy", "of_torch"]

GIB, SIDE, NODES, REPEATS = 4, 8192, (100, 1100), 5
"""Of a copy; of a product; in the two graphs whose difference is taken; calls in a round."""

Figure = dict[str, Any]
Clock = Callable[[Callable[[], object]], float]


def of_cupy(dry: bool) -> Iterator[tuple[str, Figure]]:
    """Through nnxp's own machine: CuPy's copy, cublasLt's products, CuPy's graphs."""
    from nnxp import get_backend
    from nnxp.ops.cuda.gemm import Addresses, Epilogue, forward

    machine = get_backend("numpy" if dry else "cupy", kernels="cuda").ops.linker._machine
    xp, clock = machine.xp, _host if dry else cupy_clock
    count = 1 << 20 if dry else GIB << 28
    source = xp.asarray(_random(1 << 18 if dry else 1 << 26))
    source = xp.tile(source, count // source.size)
    target = xp.full_like(source, float("nan"))
    figure = _rate(clock, partial(xp.copyto, target, source), 2 * source.nbytes)
    yield "copy", figure | {"right": bool((target == source).all())}
    del source, target
    side = 64 if dry else SIDE
    a, b = (xp.asarray(_random(side * side)).reshape(side, side) for _ in range(2))
    d = xp.empty_like(a)
    addresses = Addresses(machine.address(b), machine.address(a), machine.address(d))
    for precision in PRECISIONS:
        run = machine.product(forward(side, side, side, epilogue=Epilogue.DEFAULT, precision=precision), addresses)
        if run is None:
            yield f"{precision} cublasLt", {"reason": "no algorithm"}
            continue
        d[...] = float("nan")
        figure = _rate(clock, run, 2 * side**3)
        yield f"{precision} cublasLt", figure | {"error": _product_error(a, b, d)}
    yield from _gaps(machine, clock)


def _gaps(machine: Any, clock: Clock) -> Iterator[tuple[str, Figure]]:
    """Microseconds: of an empty node that waits for the one before it; of a graph of one node; of a launch without."""
    from nnxp.ops.cuda.launch import SOURCE, signatures

    words = machine.xp.zeros(64, dtype=np.int64)
    kernel = machine.kernel("publish", "float32")  # of no results: it counts its calls, each after the one before it
    known = {"agenda": np.uint64(machine.address(words)), "count": np.int32(0)}
    parameters = signatures(SOURCE.read_text(encoding="utf-8"))["publish"]
    arguments = tuple(known.get(name, np.uint64(0)) for _, name in parameters)

    def node() -> None:
        kernel(1, 32, arguments)

    few, many = (machine.capture([node] * count) for count in NODES)
    one = machine.capture([node])
    for graph in (few, many, one):
        graph()
    times = [median([clock(graph) for _ in range(7)]) for graph in (few, many)]
    yield "node gap", {"us": (times[1] - times[0]) / (NODES[1] - NODES[0]) * 1e6}
    for name, call in (("graph launch", one), ("kernel launch", node)):
        times = [clock(partial(_repeat, call, 200)) for _ in range(7)]
        yield name, {"us": median(times) / 200 * 1e6}
    calls = int(words[0])
    yield "nodes that ran", {"count": calls, "right": calls == 8 * sum(NODES) + 1 + 2 * 7 * 200}


def of_torch(dry: bool) -> Iterator[tuple[str, Figure]]:
    """PyTorch's copy and products, bf16 from bf16 matrices as well."""
    import torch

    device, clock = ("cpu", _host) if dry else ("cuda", torch_clock)
    source = torch.randn(1 << 18 if dry else GIB << 28, device=device)
    target = torch.full_like(source, float("nan"))
    figure = _rate(clock, partial(target.copy_, source), 2 * source.nbytes)
    yield "copy torch", figure | {"right": bool((target == source).all())}
    del source, target
    side = 64 if dry else SIDE
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    for precision in PRECISIONS:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        left, right = a.to(kind), b.to(kind)
        d = torch.full_like(left, float("nan"))
        figure = _rate(clock, partial(torch.mm, left, right, out=d), 2 * side**3)
        yield f"{precision} torch", figure | {"error": _product_error(a, b, d)}


def _repeat(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        call()


def _rate(clock: Clock, call: Callable[[], object], amount: float) -> Figure:
    """Bytes or FLOP a second: the median of rounds, each of some calls."""
    _repeat(call, 3)
    seconds = [clock(partial(_repeat, call, REPEATS)) / REPEATS for _ in range(7)]
    return {"per_second": amount / median(seconds), "best_per_second": amount / min(seconds), "seconds": seconds}


def _product_error(a: Any, b: Any, d: Any) -> float:
    """‖d - a·b‖ / ‖a·b‖ over the first rows, in float64."""
    exact = _on_host(a[:4]) @ _on_host(b)
    return float(np.linalg.norm(_on_host(d[:4]) - exact) / np.linalg.norm(exact))


def _on_host(array: Any) -> Any:
    """CuPy's arrays have ``get``, PyTorch's have ``cpu``; NumPy knows no bf16."""
    if hasattr(array, "get"):
        array = array.get()
    elif hasattr(array, "cpu"):
        array = array.float().cpu()
    return np.asarray(array, np.float64)


def _random(count: int) -> Any:
    return np.random.default_rng(0).standard_normal(count, dtype=np.float32)


def _host(call: Callable[[], object]) -> float:
    return host_time(call, lambda: None)[1]
