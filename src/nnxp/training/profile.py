"""Where the time of a training step goes: each op of the plan beside what its mathematics costs at least."""

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import prod
from time import perf_counter
from typing import Any

from nnxp._types import Array, Shape
from nnxp.backend import Backend
from nnxp.ops import UPDATES, Call
from nnxp.ops.record import Record
from nnxp.training.engine import TRAIN, Engine

__all__ = ["OpTime", "Profile"]

PRODUCTS = {
    "conv2d",
    "conv2d_input_gradient",
    "conv2d_weight_gradient",
    "linear",
    "linear_input_gradient",
    "linear_weight_gradient",
    "matmul",
}
"""Ops whose floor is a bare product."""

FLOPS = {
    "absolute_error": 3,
    "absolute_error_backward": 3,
    "absolute_error_rows": 3,
    "adadelta": 14,
    "adagrad": 7,
    "adam": 14,
    "adamax": 10,
    "add": 1,
    "average": 3,
    "average_pool2d": 1,
    "average_pool2d_backward": 1,
    "batch_norm": 8,
    "batch_norm_backward": 14,
    "binary_crossentropy": 6,
    "binary_crossentropy_backward": 5,
    "binary_crossentropy_from_logits": 7,
    "binary_crossentropy_from_logits_backward": 5,
    "binary_crossentropy_from_logits_rows": 7,
    "binary_crossentropy_rows": 6,
    "categorical_crossentropy": 3,
    "categorical_crossentropy_backward": 2,
    "categorical_crossentropy_from_logits": 6,
    "categorical_crossentropy_from_logits_backward": 6,
    "categorical_crossentropy_from_logits_rows": 6,
    "categorical_crossentropy_rows": 3,
    "clip_norm": 3,
    "clip_norms": 3,
    "clip_value": 2,
    "conv2d_bias_gradient": 1,
    "decay_weights": 2,
    "dropout": 2,
    "elu": 3,
    "elu_backward": 3,
    "embedding_gradient": 1,
    "fixed_norm": 4,
    "fixed_norm_backward": 6,
    "gelu": 26,
    "gelu_backward": 30,
    "gelu_tanh": 9,
    "gelu_tanh_backward": 17,
    "global_average_pool": 1,
    "global_average_pool_backward": 1,
    "hard_sigmoid": 4,
    "hard_sigmoid_backward": 3,
    "hard_tanh": 2,
    "hard_tanh_backward": 2,
    "hinge": 6,
    "hinge_backward": 5,
    "hinge_rows": 6,
    "huber": 7,
    "huber_backward": 4,
    "huber_rows": 7,
    "kl_divergence": 6,
    "kl_divergence_backward": 2,
    "kl_divergence_from_logits": 9,
    "kl_divergence_from_logits_backward": 6,
    "kl_divergence_from_logits_rows": 9,
    "kl_divergence_rows": 6,
    "l1": 2,
    "l1_backward": 3,
    "l2": 2,
    "l2_backward": 2,
    "layer_norm": 8,
    "layer_norm_backward": 14,
    "leaky_relu": 2,
    "leaky_relu_backward": 2,
    "linear_bias_gradient": 1,
    "lion": 9,
    "log_cosh": 8,
    "log_cosh_backward": 3,
    "log_cosh_rows": 8,
    "log_softmax": 5,
    "log_softmax_backward": 4,
    "max_pool2d": 1,
    "max_pool2d_backward": 1,
    "mish": 6,
    "mish_backward": 16,
    "momentum": 4,
    "move": 3,
    "moving_average": 3,
    "nadam": 15,
    "nesterov": 6,
    "relu": 1,
    "relu_backward": 1,
    "rms_norm": 5,
    "rms_norm_backward": 9,
    "rmsprop": 9,
    "scale_rows": 1,
    "selu": 4,
    "selu_backward": 3,
    "sgd": 2,
    "sigmoid": 4,
    "sigmoid_backward": 3,
    "sigmoid_binary_crossentropy": 12,
    "silu": 5,
    "silu_backward": 8,
    "soft_targets": 3,
    "softmax": 5,
    "softmax_backward": 4,
    "softmax_categorical_crossentropy": 9,
    "softplus": 4,
    "softplus_backward": 4,
    "softsign": 3,
    "softsign_backward": 5,
    "squared_error": 3,
    "squared_error_backward": 2,
    "squared_error_rows": 3,
    "step": 1,
    "tanh": 1,
    "tanh_backward": 3,
    "weighted_binary_crossentropy": 7,
    "weighted_binary_crossentropy_backward": 6,
    "weighted_binary_crossentropy_from_logits": 10,
    "weighted_binary_crossentropy_from_logits_backward": 8,
    "weighted_binary_crossentropy_from_logits_rows": 10,
    "weighted_binary_crossentropy_rows": 7,
    "weighted_sum": 2,
}
"""Operations for each element of the largest array of an op, an exponential, a root or a division counted as one."""


_HEADER = ("op", "makes", "µs", "share", "MFLOP", "GFLOP/s", "MB", "GB/s", "floor µs", "floor share")
_WIDEST = 34


@dataclass(frozen=True)
class OpTime:
    """One op of a plan: medians over many steps."""

    op: str
    values: str
    """What it makes, by its names in the program: ``2.y``, ``0.dweights + 0.dbiases``."""
    seconds: float
    flops: int
    bytes: int
    """What it reads and writes, each array once."""
    floor: float
    """Seconds of the bare product, or of one pass over the arena for an update; 0 for everything else."""


@dataclass(frozen=True)
class Profile:
    """A table of a step, op by op; `step` is the time of whole steps, in which compiled ops are joined."""

    ops: tuple[OpTime, ...]
    step: float
    where: str

    @property
    def floor(self) -> float:
        """Seconds of all products and of the pass over the arena."""
        return sum(op.floor for op in self.ops)

    def as_json(self) -> str:
        """The same numbers for a program to read."""
        return json.dumps(asdict(self) | {"floor": self.floor})

    def __str__(self) -> str:
        rows = [_HEADER, *(self._row(op) for op in self.ops)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                c.ljust(w) if place < 2 else c.rjust(w) for place, (c, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *(line.rstrip() for line in lines[1:]), rule, self._total(), self.where])

    def _row(self, op: OpTime) -> tuple[str, ...]:
        rate = 1e-9 / op.seconds
        return (
            op.op,
            op.values if len(op.values) <= _WIDEST else op.values[: _WIDEST - 2] + " …",
            f"{op.seconds * 1e6:.1f}",
            f"{op.seconds / self._sum:.0%}",
            f"{op.flops * 1e-6:.3f}",
            f"{op.flops * rate:.1f}",
            f"{op.bytes * 1e-6:.3f}",
            f"{op.bytes * rate:.1f}",
            f"{op.floor * 1e6:.1f}" if op.floor else "",
            f"{op.floor / op.seconds:.0%}" if op.floor else "",
        )

    def _total(self) -> str:
        step, floor = f"{self.step * 1e6:.1f} µs", f"{self.floor * 1e6:.1f} µs"
        against = f"{self.step / self.floor:.2f} times the floor of {floor}" if self.floor else "no floor"
        return f"a step: {step}, {against}; its ops one at a time: {self._sum * 1e6:.1f} µs"

    __repr__ = __str__

    @property
    def _sum(self) -> float:
        return sum(op.seconds for op in self.ops)


def profile(engine: Engine, x: Array, y: Array, *, seconds: float) -> Profile:
    """Measure training steps on one batch for about so long; the engine is left as it was."""
    kept, backend = engine.snapshot(), engine.backend
    try:
        with backend.quiet():
            step = _Clock(backend).median(lambda: engine.train(x, y), seconds / 3)
            ops = _one_by_one(engine, x, y, seconds / 3)
            floors = _Floors(engine, seconds / 3)
            plan = engine.plan(TRAIN, x, y)
            timed = tuple(
                OpTime(
                    record.op if isinstance(record.op, str) else "own layer",
                    ", ".join(record.outputs),
                    time,
                    _flops(record, plan.shape),
                    _bytes(record, plan.shape, backend.itemsize),
                    floors.of(record, plan.shape),
                )
                for record, time in ops
            )
    finally:
        engine.restore(kept)
        engine.release(TRAIN)
    return Profile(timed, step, f"{backend.name} on {backend.device}, kernels {backend.kernels}, batch {x.shape[0]}")


class _Clock:
    """Medians of repeated calls; on a device each is waited for."""

    def __init__(self, backend: Backend) -> None:
        self._wait = backend.synchronize
        self.cost = 0.0
        self.cost = self.median(lambda: None, 0.002)

    def once(self, call: Callable[[], Any]) -> float:
        """Seconds of one call, without those of looking at the clock."""
        start = perf_counter()
        call()
        self._wait()
        return max(perf_counter() - start - self.cost, 1e-9)

    def median(self, call: Callable[[], Any], seconds: float) -> float:
        """The median of calls that go on for so long, at least five, after two that do not count."""
        call(), call()
        times: list[float] = []
        end = perf_counter() + seconds
        while len(times) < _LEAST or perf_counter() < end:
            times.append(self.once(call))
        return statistics.median(times)


_LEAST = 5


def _one_by_one(engine: Engine, x: Array, y: Array, seconds: float) -> list[tuple[Record, float]]:
    """The calls of a training step with their medians."""
    clock, plan = _Clock(engine.backend), engine.plan(TRAIN, x, y)
    rounds: list[list[float]] = []
    end = perf_counter() + seconds
    while len(rounds) < _LEAST or perf_counter() < end:
        steps = plan.one_by_one(x, y, engine.step)
        rounds.append([clock.once(call) for _, call in steps])
        engine.step += 1
    medians = map(statistics.median, zip(*rounds, strict=True))
    return [(record, median) for (record, _), median in zip(steps, medians, strict=True)]


def _flops(record: Record, shape: Callable[[str], Shape]) -> int:
    if record.op in PRODUCTS:
        op, a, b = _product(record, shape)
        return 2 * prod(a) * b[0 if op == "linear_input_gradient" else 1]
    return FLOPS.get(str(record.op), 0) * max(prod(shape(name)) for name in record.inputs)


def _product(record: Record, shape: Callable[[str], Shape]) -> tuple[str, Shape, Shape]:
    """The product that an op makes, as an op of matrices, and their shapes. Windows of images are rows."""
    a, b, y = (shape(name) for name in (*record.inputs[:2], record.outputs[0]))
    if record.op == "conv2d":
        return "matmul", (prod(y[:3]), prod(b[:3])), _matrix(b)
    if record.op == "conv2d_weight_gradient":
        return "linear_weight_gradient", (prod(b[:3]), prod(y[:3])), _matrix(b)
    if record.op == "conv2d_input_gradient":
        return "linear_input_gradient", _matrix(a), _matrix(b)
    return "matmul" if record.op == "linear" else str(record.op), a, b


def _matrix(shape: Shape) -> Shape:
    return prod(shape[:-1]), shape[-1]


def _bytes(record: Record, shape: Callable[[str], Shape], itemsize: int) -> int:
    return itemsize * sum(prod(shape(name)) for name in (*record.inputs, *record.outputs))


class _Floors:
    """What products and updates take at least here: measured with arrays of their shapes, in ready memory."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._backend, self._clock = engine.backend, _Clock(engine.backend)
        self._seconds = seconds / 20
        self._known: dict[Any, float] = {}

    def of(self, record: Record, shape: Callable[[str], Shape]) -> float:
        """Seconds; 0 for what is neither a product nor an update."""
        if record.op in PRODUCTS:
            op, a, b = _product(record, shape)
            return self._of((op, a, b), lambda: self._product(op, a, b))
        if record.op in UPDATES:
            arrays = [name for name in (*record.inputs, *record.outputs) if shape(name)]
            size = shape(record.outputs[0])[0]
            return len(arrays) / 2 * self._of(("copy", size), lambda: self._copy(size))
        return 0.0

    def _of(self, key: Any, make: Callable[[], Call]) -> float:
        if key not in self._known:
            self._known[key] = self._clock.median(make(), self._seconds)
        return self._known[key]

    def _product(self, op: str, a: Shape, b: Shape) -> Call:
        ops = self._backend.ops
        c = (a[op == "linear_weight_gradient"], b[op != "linear_input_gradient"])
        arrays, out = [self._array(a), self._array(b)], self._array(c) if op in ops.honours else None
        return ops.kernels[op](*arrays, out=out) if op in ops.kernels else lambda: getattr(ops, op)(*arrays)

    def _copy(self, size: int) -> Call:
        source, target, xp = self._array((size,)), self._array((size,)), self._backend.xp
        if not self._backend.writable:
            return lambda: xp.asarray(source, copy=True)

        def copy() -> None:
            target[...] = source

        return copy

    def _array(self, shape: Shape) -> Array:
        """Numbers that are neither zero nor denormal."""
        xp = self._backend.xp
        return xp.reshape(self._backend.zeros(prod(shape)) + 0.5, shape)
