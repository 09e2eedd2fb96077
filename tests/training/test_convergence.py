"""Every optimizer on the same few problems: a quadratic, Rosenbrock's valley, and the spiral of the book."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp import data, optimizers
from nnxp.backend import Backend
from nnxp.layers import Dense, ReLU, Softmax
from nnxp.losses import CategoricalCrossentropy
from nnxp.ops.record import run
from nnxp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    GradientOptimizer,
    Lion,
    NAdam,
    Optimizer,
    RandomSearch,
    RMSprop,
)


@dataclass(frozen=True)
class Row:
    """An optimizer for each problem, at about its best rate, and how far it gets."""

    quadratic: Optimizer
    valley: Optimizer
    spiral: Optimizer | None
    bowl: float = 1e-4
    """Below this the quadratic comes in 300 updates, from 22."""
    bottom: float = 0.05
    """Below this Rosenbrock's function comes in 2000 updates, from 24.2."""
    accuracy: float = 0.6
    """Above this the spiral's accuracy comes in 1000 updates; chance is 1/3, and a straight line gets 0.45."""


ROWS = {
    "SGD": Row(SGD(0.03), SGD(1e-3), SGD(1.0), bottom=0.1, accuracy=0.48),
    "momentum": Row(SGD(0.03, momentum=0.9), SGD(1e-3, momentum=0.9), SGD(0.5, momentum=0.9)),
    "nesterov": Row(SGD(0.03, momentum=0.9, nesterov=True), SGD(1e-3, momentum=0.9, nesterov=True),
                    SGD(0.5, momentum=0.9, nesterov=True), accuracy=0.55),
    "Adagrad": Row(Adagrad(0.3), Adagrad(1.0), Adagrad(0.1)),
    "Adadelta": Row(Adadelta(3.0), Adadelta(1.0), Adadelta(10.0), bottom=0.5),
    "RMSprop": Row(RMSprop(0.01), RMSprop(0.003), RMSprop(0.02), bowl=1e-3),
    "Adam": Row(Adam(0.1), Adam(0.1), Adam(0.03), accuracy=0.8),
    "AdamW": Row(AdamW(0.1, weight_decay=1e-3), AdamW(0.1, weight_decay=1e-3), AdamW(0.03), accuracy=0.8),
    "Adamax": Row(Adamax(0.1), Adamax(0.3), Adamax(0.05), accuracy=0.8),
    "NAdam": Row(NAdam(0.03), NAdam(0.03), NAdam(0.03), accuracy=0.7),
    "Lion": Row(Lion(0.01), Lion(0.003), Lion(0.01)),
    "RandomSearch": Row(RandomSearch(0.05), RandomSearch(0.05), None, bowl=0.05),
}  # fmt: skip

rows = pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))

CURVATURES = np.array([1.0, 3.0, 10.0, 30.0])


def quadratic(w: np.ndarray) -> tuple[float, np.ndarray]:
    """Four directions, the steepest thirty times as steep as the flattest: value and gradient."""
    return float(0.5 * np.sum(CURVATURES * w**2)), CURVATURES * w


def rosenbrock(w: np.ndarray) -> tuple[float, np.ndarray]:
    """A curved valley, whose bottom (1, 1) is far along it. Source: Rosenbrock (The Computer Journal 3, 1960)."""
    x, y = w
    value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
    return float(value), np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])


def descend(optimizer: Optimizer, problem: Any, start: list[float], steps: int, backend: Backend) -> float:
    """The value that is reached from a start in so many updates by the optimizer's records."""
    random, ops = np.random.default_rng(0), backend.ops
    zero = backend.asarray(np.zeros(len(start)))
    state = {"w": backend.asarray(np.array(start)), **dict.fromkeys(optimizer.memory, zero)}

    def at(w: Any) -> tuple[float, Any]:
        value, slope = problem(backend.to_numpy(w).astype("float64"))
        return value, backend.asarray(slope)

    for step in range(steps):
        value, slope = at(state["w"])
        values = state | {"g": slope} | optimizer.scalars(step)
        if not optimizer.needs_gradient:
            values["noise"] = backend.asarray(random.standard_normal(len(start)))
        run(optimizer.records(), values, ops)
        if not optimizer.needs_gradient:
            losses = (backend.asarray(np.array(loss)) for loss in (value, at(values["candidate"])[0]))
            values["w"] = ops.keep_better(state["w"], values["candidate"], *losses)
        state = {name: values[name] for name in state}
    return at(state["w"])[0]


@rows
def test_a_quadratic(row, backend):
    assert descend(row.quadratic, quadratic, [1.0, -1.0, 1.0, -1.0], 300, backend) < row.bowl


@rows
def test_rosenbrocks_valley(row):
    """In float64, so that the same way is gone everywhere."""
    backend = nnxp.get_backend("numpy", dtype="float64", kernels="reference")
    assert descend(row.valley, rosenbrock, [-1.2, 1.0], 2000, backend) < row.bottom


@pytest.mark.parametrize(
    "row", [row for row in ROWS.values() if row.spiral], ids=[n for n, r in ROWS.items() if r.spiral]
)
def test_the_spiral(row):
    """No straight line parts its arms: an accuracy above 0.45 is learned by the hidden layer."""
    model = nnxp.Model(
        [Dense(64), ReLU(), Dense(3), Softmax()],
        loss=CategoricalCrossentropy(),
        optimizer=row.spiral,
        metrics=["accuracy"],
        backend=nnxp.get_backend("numpy", dtype="float64"),
    )
    model.fit(*data.spiral(), epochs=1000, progress="off")
    assert model.evaluate(*data.spiral())["accuracy"] > row.accuracy


def test_every_optimizer_is_in_the_table():
    public = {getattr(optimizers, name) for name in optimizers.__all__} - {Optimizer, GradientOptimizer}
    assert {type(row.quadratic) for row in ROWS.values()} == public
    for row in ROWS.values():
        assert len({type(o) for o in (row.quadratic, row.valley, row.spiral) if o is not None}) == 1
