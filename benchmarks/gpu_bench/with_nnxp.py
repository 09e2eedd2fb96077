"""nnxp on CuPy: a `Model` as a user writes it, on arrays that lie on the device."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

from gpu_bench.base import Contender, Task, cupy_clock, host_time, median
from nnxp import Model, get_backend, layers, losses, optimizers
from nnxp.errors import PerformanceWarning
from nnxp.ops.cuda.launch import Multiplication
from nnxp.ops.cuda.step import Step
from nnxp.training.loop import Batches

__all__ = ["Nnxp", "NnxpGather"]

REPEATS = 50
"""Of a node, in a graph of its own, to time it."""


class Nnxp(Contender):
    """``graph`` says whether the step may be captured; without kernels it is the reference on CuPy."""

    def __init__(self, task: Task, *, graph: bool = True, kernels: str = "cuda") -> None:
        self.task, self.dry = task, task.dry
        self.device = None if self.dry else _Cupy()
        library = "numpy" if self.dry else "cupy"
        self.warned: list[str] = []
        warnings.simplefilter("always", PerformanceWarning)
        warnings.showwarning = lambda message, *_: self.warned.append(str(message))  # type: ignore[assignment]
        self.backend = get_backend(library, kernels=kernels, precision=task.precision)
        self.machine = getattr(self.backend.ops.linker, "_machine", None)
        self.model = self._model()
        self.model.engine.graph = graph
        x, y = task.data()
        self.x, self.y = self.backend.asarray(x), self.backend.asarray(y, dtype=self.backend.integer_dtype)

    def _model(self) -> Model:
        chain: list[Any] = []
        for size in self.task.workload.sizes[1:]:
            chain += [layers.Dense(size), layers.ReLU()]
        chain[-1] = layers.Softmax()
        model = Model(
            chain,
            loss=losses.CategoricalCrossentropy(),
            optimizer=optimizers.Adam(learning_rate=self.task.workload.learning_rate),
            backend=self.backend,
        )
        model.build(self.task.workload.sizes[:1])
        return model

    def reset(self) -> None:
        engine, weights = self.model.engine, self.task.weights()
        dense = [layer for layer in self.model.layers if isinstance(layer, layers.Dense)]
        for layer, w, b in zip(dense, weights[::2], weights[1::2], strict=True):
            layer.weights, layer.biases = w, b
        for slot in engine.slots.values():
            slot.flat[...] = 0
        engine.step = 0

    def poison(self) -> None:
        """Gradients and the whole workspace; not the rows of results, which are new memory."""
        engine = self.model.engine
        for name in engine.gradients:
            engine.gradients[name][...] = float("nan")
        plan = getattr(engine, "_current", None)
        workspace = getattr(plan, "workspace", None)
        for view in workspace.views.values() if workspace else ():
            view[...] = float("nan")

    def step(self) -> Any:
        return self.model.train_step(self.x, self.y)

    def train(self, steps: int) -> None:
        train_step, x, y = self.model.train_step, self.x, self.y
        for _ in range(steps):
            train_step(x, y)

    def synchronize(self) -> None:
        self.backend.synchronize()

    def clock(self, call: Callable[[], object]) -> float | None:
        return cupy_clock(call) if self.device else None

    def peak_bytes(self) -> int | None:
        return self.device.peak() if self.device else None

    def close(self) -> None:
        if self.device:
            self.device.close()

    def facts(self) -> dict[str, Any]:
        """Whether the step is one graph, and what one step asks of the device."""
        facts: dict[str, Any] = {"captured": self._captured(), "warnings": self.warned}
        if self.machine is not None:
            facts["without_products"] = getattr(self.machine, "without_products", "")
            facts["cublaslt"] = getattr(getattr(self.machine, "_lt", None), "version", None)
            before = Counter(self.machine.counts)
            self.step()
            facts["asked_per_step"] = dict(Counter(self.machine.counts) - before)
            steps = [call for call in self._calls() if isinstance(call, Step)]
            facts["nodes"] = sum(len(step.links) for step in steps)
            facts["products"] = sum(isinstance(link, Multiplication) for step in steps for link in step.links)
        return facts

    def _calls(self) -> list[Any]:
        return list(self.model.engine._current._calls)

    def _captured(self) -> bool:
        calls = self._calls()
        return len(calls) == 1 and isinstance(calls[0], Step) and calls[0].captured

    def digest(self) -> str | None:
        flat = self.backend.to_numpy(self.model.engine.parameters.flat)
        return hashlib.blake2b(flat.tobytes(), digest_size=16).hexdigest()

    def nodes(self) -> list[dict[str, Any]]:
        """Each link of the step, repeated in a graph of its own: its arrays lie in the cache as far as they fit."""
        found = []
        for step in (call for call in self._calls() if isinstance(call, Step)):
            if step._agenda is not None:
                step._agenda.prepare()  # a row that is there
            for link in step.links:
                kernel = getattr(link, "kernel", None)
                if kernel == "publish":  # it would go to a row that is not there
                    continue
                run = link.run(step._agenda, {})
                graph = self.machine.capture([run] * REPEATS)
                graph()
                times = [self._seconds(graph) / REPEATS * 1e6 for _ in range(5)]
                found.append({"node": kernel or _name(link), "us": median(times)})
        return found

    def _seconds(self, call: Callable[[], object]) -> float:
        return cupy_clock(call) if self.device else host_time(call, self.synchronize)[1]


class NnxpGather(Nnxp):
    """The batch is gathered within the step from data that holds it several times, as in `fit`."""

    TIMES = 16

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        xp, batch = self.backend.xp, task.workload.batch
        data = (xp.concat([self.x] * self.TIMES), xp.concat([self.y] * self.TIMES), None)
        self.batches = Batches(self.model.engine, data, batch, shuffle=False)
        self.x = self.y = None
        self.coming: list[Any] = []

    def step(self) -> Any:
        # lazily: who yields a batch says where it begins at the same moment
        item = next(self.coming, None) if self.coming else None
        if item is None:
            self.coming = iter(self.batches.of_epoch())
            item = next(self.coming)
        (x, y, weights), source = item
        return self.model.engine.train(x, y, weights, source=source)["loss"]

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.step()


def _name(link: Any) -> str:
    product = link.product
    return f"product {product.m}x{product.n}x{product.k} {product.epilogue.name}"


class _Cupy:
    """The peak of what CuPy's pool hands out, until it is asked for: watching it costs time."""

    def __init__(self) -> None:
        import cupy

        self._held, self._peak, outer = 0, 0, self

        class Watch(cupy.cuda.MemoryHook):
            name = "nnxp-benchmark"

            def malloc_postprocess(self, **facts: Any) -> None:
                outer._held += facts["mem_size"]
                outer._peak = max(outer._peak, outer._held)

            def free_postprocess(self, **facts: Any) -> None:
                outer._held -= facts["mem_size"]

        self._hook: Any = Watch()
        self._hook.__enter__()

    def close(self) -> None:
        if self._hook is not None:
            self._hook.__exit__(None, None, None)
            self._hook = None

    def peak(self) -> int:
        self.close()
        return self._peak
