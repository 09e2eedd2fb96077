"""Records over weights and biases together: joined only where memory and rates allow it, and equal to the two apart."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp.layers import Dense, Layer, ReLU, Sequential, Softmax, Tanh
from nnxp.losses import CategoricalCrossentropy, MeanSquaredError
from nnxp.ops.record import Record, record
from nnxp.optimizers import SGD, Adam
from nnxp.regularizers import L1, L1L2, L2
from nnxp.training.engine import GRADIENTS
from nnxp.training.joined import ONES, join_penalties, join_products, parts
from nnxp.training.program import write

W, B, DW, DB = "0.weights", "0.biases", "0.dweights", "0.dbiases"
LINEAR = record("linear", f"x {W} {B}", "y")
BIAS = record("linear_bias_gradient", "dy", DB)
WEIGHT = record("linear_weight_gradient", "x dy", DW)
INPUT = record("linear_input_gradient", f"dy {W}", "dx")
TANH = record("tanh", "y", "z")


def adjacent(first: str, second: str) -> bool:
    """As in the arena: a layer's biases lie directly behind its weights, and so do their gradients."""
    return first.endswith("weights") and second == first.replace("weights", "biases")


def apart(first: str, second: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("name", "found"),
    [("x", ("x", "")), ("x + 1", ("x", ONES)), (f"{W} + {B}", (W, B)), ("0.dy.penalized", ("0.dy.penalized", ""))],
)
def test_parts(name, found):
    assert parts(name) == found


class TestProducts:
    def test_joined(self):
        """[x 1]·[w; b], and both gradients at once, weights first; what stands around them stays, in order."""
        joined = join_products([LINEAR, TANH, BIAS, WEIGHT, INPUT], {"x"}, adjacent)
        assert joined == [
            Record("matmul", ("x + 1", f"{W} + {B}"), ("y",)),
            TANH,
            Record("linear_weight_gradient", ("x + 1", "dy"), (f"{DW} + {DB}",)),
            INPUT,
        ]

    @pytest.mark.parametrize(("extended", "test"), [({"x"}, apart), (set(), adjacent), ({"dy", "y", "z"}, adjacent)])
    def test_not_joined(self, extended, test):
        records = [LINEAR, TANH, BIAS, WEIGHT, INPUT]
        assert join_products(records, extended, test) == records

    def test_gradients_of_two_layers_are_not_joined(self):
        other = record("linear_weight_gradient", "x dy", "1.dweights")
        assert join_products([BIAS, other], {"x"}, adjacent) == [BIAS, other]

    def test_gradients_that_are_not_neighbours_are_not_joined(self):
        assert join_products([BIAS, TANH, WEIGHT], {"x"}, adjacent) == [BIAS, TANH, WEIGHT]

    def test_each_by_its_own_input(self):
        """The second layer's input has no ones."""
        second = record("linear", "z 2.weights 2.biases", "p")
        joined = join_products([LINEAR, TANH, second], {"x"}, adjacent)
        assert [step.op for step in joined] == ["matmul", "tanh", "linear"]

    def test_of_nothing(self):
        assert join_products([], {"x"}, adjacent) == []


def penalty(kind: str, index: int, key: str, gradient: str) -> list[Record]:
    before = "data_loss" if index == 0 else f"loss.{index - 1}"
    return [
        record(kind, f"{key} rate.{index}", f"penalty.{index}"),
        record("add", f"{before} penalty.{index}", f"loss.{index}"),
        record(f"{kind}_backward", f"{gradient} {key} rate.{index}", f"{gradient}.penalized"),
    ]


class TestPenalties:
    @pytest.mark.parametrize("kind", ["l1", "l2"])
    def test_joined(self, kind):
        records = [TANH, *penalty(kind, 0, W, DW), *penalty(kind, 1, B, DB)]
        assert join_penalties(records, {"rate.0": 0.1, "rate.1": 0.1}, adjacent) == [
            TANH,
            Record(kind, (f"{W} + {B}", "rate.0"), ("penalty.0",)),
            Record("add", ("data_loss", "penalty.0"), ("loss.1",)),
            Record(
                f"{kind}_backward",
                (f"{DW} + {DB}", f"{W} + {B}", "rate.0"),
                (f"{DW}.penalized + {DB}.penalized",),
            ),
        ]

    def test_unequal_rates(self):
        records = [*penalty("l2", 0, W, DW), *penalty("l2", 1, B, DB)]
        assert join_penalties(records, {"rate.0": 0.1, "rate.1": 0.2}, adjacent) == records

    def test_unequal_kinds(self):
        records = [*penalty("l2", 0, W, DW), *penalty("l1", 1, B, DB)]
        assert join_penalties(records, {"rate.0": 0.1, "rate.1": 0.1}, adjacent) == records

    @pytest.mark.parametrize(("first", "second"), [(W, "2.biases"), (W, "2.weights"), (B, W)])
    def test_of_what_is_not_adjacent(self, first, second):
        records = [*penalty("l2", 0, first, "d1"), *penalty("l2", 1, second, "d2")]
        assert join_penalties(records, {"rate.0": 0.1, "rate.1": 0.1}, adjacent) == records
        assert join_penalties(records, {"rate.0": 0.1, "rate.1": 0.1}, apart) == records

    def test_two_layers(self):
        records = [
            *penalty("l2", 0, W, DW),
            *penalty("l2", 1, B, DB),
            *penalty("l2", 2, "2.weights", "2.dweights"),
            *penalty("l2", 3, "2.biases", "2.dbiases"),
        ]
        joined = join_penalties(records, dict.fromkeys((f"rate.{i}" for i in range(4)), 0.1), adjacent)
        assert [step.op for step in joined] == ["l2", "add", "l2_backward"] * 2
        assert joined[4].inputs[0] == joined[1].outputs[0]  # the sum goes on from the sum

    def test_values_without_gradients_stay(self):
        records = [*penalty("l2", 0, W, DW)[:2], *penalty("l2", 1, B, DB)[:2]] * 2
        assert join_penalties(records, {"rate.0": 0.1, "rate.1": 0.1}, adjacent) == records


# -- in plans


def model(layers: list[Layer], inputs: int, *, planned: bool = True, **options: Any) -> nnxp.Model:
    options = {"loss": MeanSquaredError(), "optimizer": SGD(0.05), "backend": "numpy"} | options
    made = nnxp.Model(layers, **options)
    made.build((inputs,))
    made.engine.planned = planned
    return made


def ops_bound(monkeypatch: pytest.MonkeyPatch, layers: list[Layer], inputs: int, rows: int = 8) -> list[str]:
    """The ops of a training plan in order, as they are linked, with joint names in brackets."""
    from nnxp.training.plan import Plan

    linked: list[list[Record]] = []
    link = Plan._link

    def noting(plan: Plan, records: list[Record], *rest: Any) -> None:
        linked.append(list(records))
        link(plan, records, *rest)

    monkeypatch.setattr(Plan, "_link", noting)
    made = model(layers, inputs, backend=nnxp.get_backend("numpy", kernels="numpy"))
    x, y = np.ones((rows, inputs), np.float32), np.ones((rows, *made.output_shape), np.float32)
    made.train_step(x, y)
    return [step.op for step in linked[-1] if step.op not in ("squared_error", "squared_error_backward")]


NARROW = ["matmul", "linear_weight_gradient"]
WIDE = ["linear", "linear_bias_gradient", "linear_weight_gradient"]
SLOPES = ["l2", "add", "l2_backward"]


@pytest.mark.parametrize(
    ("layers", "inputs", "found"),
    [
        (lambda: [Dense(3)], 4, NARROW),
        (lambda: [Dense(3)], 16, NARROW),
        (lambda: [Dense(3)], 17, WIDE),
        (lambda: [Dense(3, weight_regularizer=L2(0.1), bias_regularizer=L2(0.1))], 4, NARROW + SLOPES),
        (lambda: [Dense(3, weight_regularizer=L2(0.1), bias_regularizer=L2(0.1))], 40, WIDE + SLOPES),
        (lambda: [Dense(3, weight_regularizer=L2(0.1), bias_regularizer=L2(0.2))], 4, NARROW + SLOPES * 2),
        (lambda: [Dense(3, weight_regularizer=L2(0.1))], 4, NARROW + SLOPES),
        (lambda: [Dense(3, bias_regularizer=L2(0.1))], 4, NARROW + SLOPES),
        (
            lambda: [Dense(3, weight_regularizer=L2(0.1), bias_regularizer=L1(0.1))],
            4,
            [*NARROW, *SLOPES, "l1", "add", "l1_backward"],
        ),
    ],
)
def test_what_a_plan_joins(layers, inputs, found, monkeypatch):
    assert ops_bound(monkeypatch, layers(), inputs) == found


def _l2(a: float, b: float) -> dict[str, Any]:
    return {"weight_regularizer": L2(a), "bias_regularizer": L2(b)}


PENALTIES: dict[str, Callable[[], list[Layer]]] = {
    "equal": lambda: [Dense(5, **_l2(0.1, 0.1)), Tanh(), Dense(3, **_l2(0.1, 0.1))],
    "unequal": lambda: [Dense(5, **_l2(0.1, 0.3)), Tanh(), Dense(3, **_l2(0.2, 0.05))],
    "of one only": lambda: [Dense(5, weight_regularizer=L2(0.1)), Tanh(), Dense(3, bias_regularizer=L1(0.1))],
    "l1": lambda: [Dense(5, weight_regularizer=L1(0.1), bias_regularizer=L1(0.1)), Tanh(), Dense(3)],
    "pairs": lambda: [Dense(5, weight_regularizer=L1L2(0.1, 0.2), bias_regularizer=L1L2(0.1, 0.2)), Tanh(), Dense(3)],
    "unequal pairs": lambda: [Dense(5, weight_regularizer=L1L2(0.1, 0.2), bias_regularizer=L1L2(0.1, 0.3)), Dense(3)],
    "crossed": lambda: [Dense(5, weight_regularizer=L1L2(0.1, 0.2), bias_regularizer=L1L2(0.2, 0.1)), Dense(3)],
    "kinds": lambda: [Dense(5, weight_regularizer=L2(0.1), bias_regularizer=L1(0.1)), Tanh(), Dense(3)],
    "a pair and a single one": lambda: [
        Dense(5, weight_regularizer=L1L2(0.1, 0.2), bias_regularizer=L2(0.2)),
        Dense(3, weight_regularizer=L1(0.1), bias_regularizer=L1L2(0.1, 0.2)),
    ],
    "nested": lambda: [Sequential([Dense(5, **_l2(0.1, 0.1))]), Sequential([ReLU(), Dense(3, **_l2(0.2, 0.2))])],
}


@pytest.mark.parametrize("kernels", ["numpy", "auto"])
@pytest.mark.parametrize("inputs", [4, 40])
@pytest.mark.parametrize("name", PENALTIES)
def test_values_are_those_of_the_two_apart(name, inputs, kernels, random):
    """The loss, each gradient and the parameters after steps with penalties of all kinds, in float64."""
    x, y = random.standard_normal((9, inputs)), random.standard_normal((9, 3))
    backend = nnxp.get_backend("numpy", dtype="float64", kernels=kernels)
    found = []
    for planned in (True, False):
        made = model(PENALTIES[name](), inputs, planned=planned, backend=backend)
        made.load_state_dict({k: np.random.default_rng(1).normal(size=a.shape) for k, a in made.state_dict().items()})
        seen: list[Any] = []
        for _ in range(3):
            loss, gradients = made.loss_and_gradients(x, y)
            seen += [float(loss), *gradients.values(), float(made.train_step(x, y))]
        found.append(seen + list(made.state_dict().values()))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)  # a few thousand ULP: three steps, sums of 40 terms


@pytest.mark.parametrize("inputs", [1, 2, 16])
def test_the_column_of_ones_stays_ones(inputs, random):
    """After many steps, on batches of several sizes, and beside values that are not numbers."""
    layers = [Dense(24, **_l2(0.1, 0.1)), ReLU(), Dense(12), Tanh(), Dense(3), Softmax()]
    made = model(layers, inputs, loss=CategoricalCrossentropy(), optimizer=Adam(0.01))
    x, y = random.standard_normal((50, inputs)).astype(np.float32), random.integers(0, 3, 50)
    for size in (50, 7, 50, 1, 50) * 4:
        made.train_step(x[:size], y[:size])
    made.engine.run(GRADIENTS, np.full_like(x, np.nan), y)
    workspaces = [plan.workspace for plan in made.engine._plans.values()]
    assert len(workspaces) == 4
    for workspace in workspaces:
        assert workspace.extended.keys() == {"x", "1.y", "3.y"}
        for name, extended in workspace.extended.items():
            np.testing.assert_array_equal(extended[:, -1], 1.0, err_msg=name)
            assert np.shares_memory(extended, workspace.views[name])
            np.testing.assert_array_equal(extended[:, :-1], workspace.views[name])


def test_a_network_is_written_without_joint_names():
    """Joining is for memory: the program that a reader steps through names each value by itself."""
    made = model([Dense(3, **_l2(0.1, 0.1))], 2)
    network = write(made.root, made.loss, GRADIENTS, fused=True)
    names = {name for step in network.program.records for name in (*step.inputs, *step.outputs)}
    assert not any(parts(name)[1] for name in names)
