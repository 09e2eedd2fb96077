"""PyTorch, with its fused Adam: eager, in a CUDA graph, compiled, and compiled in a CUDA graph."""

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from gpu_bench.base import Contender, Task, torch_clock

__all__ = ["Torch"]

WARM_UPS = 3
"""Steps on a side stream before a capture, as PyTorch asks for."""


class Torch(Contender):
    """``mode`` is one of torch.compile, or None; ``graph`` captures the whole step, update included.

    TF32 is PyTorch's own switch; bf16 its autocast, which keeps parameters in float32 and activations in bf16.
    """

    def __init__(self, task: Task, *, graph: bool = False, mode: str | None = None) -> None:
        if mode:
            torch._dynamo.reset()
        self.task, self.device = task, torch.device("cpu" if task.dry else "cuda")
        self.on_gpu = not task.dry
        torch.set_float32_matmul_precision("high" if task.precision == "tf32" else "highest")
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self.x, self.y = (torch.from_numpy(array).to(self.device) for array in task.data())
        sizes = task.workload.sizes
        modules: list[Any] = []
        for i, o in pairwise(sizes):
            modules += [nn.utils.skip_init(nn.Linear, i, o, device=self.device), nn.ReLU()]
        self.network = nn.Sequential(*modules[:-1])
        self.marks = mode is not None and not graph
        self.loss_of = torch.compile(_loss, mode=mode, dynamic=False) if mode else _loss
        rate = task.workload.learning_rate
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=rate, eps=1e-7, fused=True, capturable=graph and self.on_gpu
        )
        self.wants_graph, self.graph, self.loss = graph and self.on_gpu, None, torch.zeros(())

    def reset(self) -> None:
        weights = iter(self.task.weights())
        with torch.no_grad():
            for layer in self.network[::2]:
                layer.weight.copy_(torch.from_numpy(next(weights).copy()).to(self.device).T)
                layer.bias.copy_(torch.from_numpy(next(weights).copy()))
            for state in self.optimizer.state.values():
                for value in state.values():
                    value.zero_()

    def poison(self) -> None:
        """The loss and the gradients of a graph; in eager mode, memory that the next step is likely to get."""
        nan = float("nan")
        if self.graph is not None:
            self.loss.fill_(nan)
            for parameter in self.network.parameters():
                parameter.grad.fill_(nan)
        else:
            width = max(self.task.workload.sizes)
            for _ in range(2):
                torch.full((self.task.workload.batch, width), nan, device=self.device)

    def step(self) -> Any:
        if self.wants_graph and self.graph is None:
            self._capture()
        if self.graph is not None:
            self.graph.replay()
            return self.loss
        return self._eager()

    def _eager(self) -> Any:
        if self.marks:
            torch.compiler.cudagraph_mark_step_begin()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._forward()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _forward(self) -> Any:
        with self._precision():
            return self.loss_of(self.network, self.x, self.y)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.task.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False)

    def _capture(self) -> None:
        """Warm up, capture, and begin anew: the warm-ups have trained."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._eager()
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self._forward()
            loss.backward()
            self.optimizer.step()
        self.graph, self.loss = graph, loss.detach()
        self.reset()

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def clock(self, call: Callable[[], object]) -> float | None:
        return torch_clock(call) if self.on_gpu else None

    def peak_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.on_gpu else None

    def facts(self) -> dict[str, Any]:
        return {"captured": self.graph is not None} if self.wants_graph else {}

    def close(self) -> None:
        self.graph = self.network = self.optimizer = self.loss = self.loss_of = None  # type: ignore[assignment]
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()


def _loss(network: Any, x: Any, y: Any) -> Any:
    return functional.cross_entropy(network(x), y)
