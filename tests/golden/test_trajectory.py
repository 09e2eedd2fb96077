"""Four small trainings whose every number was stored once: the same numbers on every backend and every machine.

``trajectory.npz`` was written by ``tools/make_trajectory.py`` with the reference on NumPy. Initial parameters are equal
to the last bit. Ops are run from the stored inputs, and held to what rounding allows (`nnxp.parity`). Whole runs are
held to tolerances relative to the largest element: in float64, 1e-11 after 200 steps, where NumPy's kernels, numba's,
PyTorch and JAX are within 2e-13; in float32, 1e-5 after 10 steps, where they are within 6e-7.
"""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnxp import parity

TOOLS = Path(__file__).parents[2] / "tools"
TOLERANCE = {"float32": 1e-5, "float64": 1e-11}
NETWORKS = ["classes", "yes_or_no", "regression", "images"]

pytestmark = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture
def tool(monkeypatch):
    """What wrote the file: networks, batches, steps."""
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("make_trajectory")


@pytest.fixture
def stored(tool):
    return tool.load()


class Golden:
    """The stored numbers of one training, and the training on another backend."""

    def __init__(self, tool, stored, name, backend):
        self.tool, self.name = tool, name
        self.backend = replace(backend, rng=replace(backend.rng, seed=11))
        self.dtype = str(backend.dtype).rsplit(".", 1)[-1]
        prefix = f"{name}.{self.dtype}."
        self.arrays = {key.removeprefix(prefix): array for key, array in stored.items() if key.startswith(prefix)}
        self.x, self.y = stored[f"{name}.x"], stored[f"{name}.y"]
        self.model = tool.model_of(name, self.backend)

    def part(self, prefix):
        prefix += "."
        return {key.removeprefix(prefix): a for key, a in self.arrays.items() if key.startswith(prefix)}

    def check_run(self):
        """Train as the stored run did, and compare."""
        batches = [self.tool.batch(step) for step in range(len(self.arrays["losses"]))]
        losses = [float(self.model.train_step(self.x[part], self.y[part])) for part in batches]
        self.assert_close("losses", np.asarray(losses), self.arrays["losses"])
        found, final = self.model.state_dict(), self.part("final")
        for slot, arrays in self.model.engine.slot_state().items():
            found |= {f"{slot}.{key}": array for key, array in arrays.items()}
        assert found.keys() == final.keys()
        for key, array in final.items():
            self.assert_close(key, found[key], array)

    def assert_close(self, what, found, expected):
        error = np.max(np.abs(found.astype(np.float64) - expected)) / np.max(np.abs(expected))
        assert error <= TOLERANCE[self.dtype], f"{what} is off by {error:.2e} of its largest element"

    def check_ops(self):
        """Run each op of the stored step from the stored inputs; the names of all."""
        model, backend, tool = self.model, self.backend, self.tool
        before = self.part("before")
        model.load_state_dict({key: before.pop(key) for key in model.state_dict()})
        slots = {slot: {} for slot in model.engine.slots}
        for key, array in before.items():
            slot, _, parameter = key.partition(".")
            slots[slot][parameter] = array
        model.engine.load_slot_state(slots)
        model.engine.step = tool.TAKEN_APART
        x, y = (backend.asarray(a[tool.batch(tool.TAKEN_APART)]) for a in (self.x, self.y))
        names = []
        for number, (step, values) in enumerate(parity.calls(model, x, y)):
            arguments = [values[key] for key in step.inputs]
            returned = getattr(backend.ops, step.op)(*arguments)
            found = [backend.to_numpy(a) for a in (returned if isinstance(returned, tuple) else (returned,))]
            expected = [self.arrays[f"op.{number}.{step.op}.{key}"] for key in step.outputs]
            inputs = [backend.to_numpy(a) if hasattr(a, "dtype") else a for a in arguments]
            limits = parity.allowed(step.op, expected, inputs)
            for key, result in zip(step.outputs, parity.measure(step.op, expected, found, limits), strict=True):
                assert result.share <= 1, f"{step.op} ({key}): {result}"
            values.update(zip(step.outputs, map(backend.asarray, expected), strict=True))
            names.append(step.op)
        assert len(names) == max(int(key.split(".")[1]) for key in self.arrays if key.startswith("op.")) + 1
        return names


@pytest.fixture
def golden(tool, stored, name, typed_backend):
    return Golden(tool, stored, name, typed_backend)


def test_initial_parameters_to_the_last_bit(golden):
    for key, array in golden.part("initial").items():
        np.testing.assert_array_equal(golden.model.state_dict()[key], array)


def test_each_op_from_stored_inputs(golden):
    names = golden.check_ops()
    assert {"linear", "linear_bias_gradient", "linear_weight_gradient", "linear_input_gradient"} <= set(names)
    if golden.name == "images":
        ends = ("conv2d", "gelu", "max_pool2d", "batch_norm", "layer_norm")
        assert {name for op in ends for name in (op, f"{op}_backward")} - {"conv2d_backward"} <= set(names)
        assert {"soft_targets", "moving_average", "clip_norms", "decay_weights", "adam"} <= set(names)


def test_the_whole_run(golden):
    golden.check_run()


def test_a_changed_formula_is_seen(golden, tool, stored, name):
    """Adam's ε inside the root, momentum's rate outside the velocity; a gradient that is off by a thousandth."""
    backend = golden.backend

    def adam(w, g, m, v, rate, beta_1, beta_2, epsilon, correction_1, correction_2, *, out=None):
        m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * (g * g)
        return w - rate * (m / correction_1) / backend.xp.sqrt(v / correction_2 + epsilon), m, v

    def momentum(w, g, v, rate, momentum, *, out=None):
        v = momentum * v - g
        return w + rate * v, v

    op = golden.model.optimizer.records()[-1].op
    ops = backend.ops
    for changed in (
        {op: adam if op == "adam" else momentum},
        {"linear_weight_gradient": lambda x, dy, out=None: ops.linear_weight_gradient(x, dy) * (1 + 1e-3)},
    ):
        kernels = {key: kernel for key, kernel in ops.kernels.items() if key not in changed}
        honours = ops.honours - changed.keys()
        wrong = replace(backend, ops=replace(ops, kernels=kernels, honours=honours, **changed))
        for check in (Golden.check_ops, Golden.check_run):
            with pytest.raises(AssertionError, match=r"share=|is off by"):
                check(Golden(tool, stored, name, wrong))
