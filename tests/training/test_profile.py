"""The profile of a step: what it says of each op, and that it leaves no trace."""

import json

import numpy as np
import pytest

import nnxp
from nnxp.errors import ConfigurationError
from nnxp.layers import Dense, Dropout, Layer, ReLU, Softmax
from nnxp.losses import CategoricalCrossentropy
from nnxp.ops import NOT_OPS, UPDATES, Ops
from nnxp.optimizers import SGD, Adam, RandomSearch
from nnxp.regularizers import L2
from nnxp.training.profile import FLOPS, PRODUCTS

BATCH, INPUTS, HIDDEN, CLASSES = 20, 30, 8, 3
PARAMETERS = INPUTS * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES


class Halve(Layer):
    """y = x / 2."""

    def forward(self, x, *, training=False):
        return x / 2

    def backward(self, dy):
        return dy / 2


def build(backend, *extra, optimizer=None):
    chain = [Dense(HIDDEN), ReLU(), *extra, Dense(CLASSES, weight_regularizer=L2(0.1)), Softmax()]
    return nnxp.Model(chain, loss=CategoricalCrossentropy(), optimizer=optimizer or Adam(), backend=backend)


@pytest.fixture
def batch(array):
    random = np.random.default_rng(0)
    return array(random.standard_normal((BATCH, INPUTS)).astype("float32")), array(random.integers(0, CLASSES, BATCH))


def test_floating_point_operations_and_bytes(backend, batch):
    """By hand: 2·B·I·O for each of five products, two bytes counts, and an update of every parameter."""
    found = {(op.op, op.values): op for op in build(backend).profile(*batch, seconds=0.02).ops}
    products = [op for op in found.values() if op.op in PRODUCTS]
    with_ones = [op for op in products if "+" in op.values]  # the row of biases makes a product a little larger
    assert len(products) == 5
    first, second = 2 * BATCH * INPUTS * HIDDEN, 2 * BATCH * HIDDEN * CLASSES
    most = 2 * first + 3 * second + 2 * 2 * BATCH * CLASSES
    assert 2 * first + 3 * second <= sum(op.flops for op in products) <= most
    assert with_ones or sum(op.flops for op in products) == 2 * first + 3 * second
    adam = found["adam", "w, first_moment, second_moment"]
    assert adam.bytes >= 7 * 4 * PARAMETERS
    assert adam.flops >= 14 * PARAMETERS
    gradient = next(op for op in products if op.values.startswith("0.dweights"))
    assert gradient.bytes == 4 * (BATCH * INPUTS + BATCH * HIDDEN + INPUTS * HIDDEN)


def test_floors_are_of_products_and_updates_alone(backend, batch):
    profile = build(backend, Dropout(0.5), optimizer=SGD(0.1, momentum=0.9)).profile(*batch, seconds=0.02)
    for op in profile.ops:
        assert op.seconds > 0
        assert (op.floor > 0) == (op.op in PRODUCTS | UPDATES), op
    assert profile.floor == pytest.approx(sum(op.floor for op in profile.ops))
    assert profile.step > 0


def test_leaves_the_model_as_it_was(donating_backend, batch):
    """Parameters, moments, step and the masks to come: the next steps are those of a model that was never looked at."""
    looked, twin = build(donating_backend, Dropout(0.5)), build(donating_backend, Dropout(0.5))
    for model in (looked, twin):
        model.train_step(*batch)
    looked.profile(*batch, seconds=0.02)
    assert looked.step == twin.step == 1
    host = looked.backend.to_numpy
    for _ in range(2):
        assert host(looked.train_step(*batch)) == host(twin.train_step(*batch))
    for key, expected in twin.state_dict().items():
        np.testing.assert_array_equal(looked.state_dict()[key], expected)


def test_an_own_layer_has_a_line(backend, batch):
    profile = build(backend, Halve()).profile(*batch, seconds=0.02)
    assert [op.op for op in profile.ops].count("own layer") == 2
    assert "own layer" in str(profile)


def test_as_text_and_as_json(batch, backend):
    profile = build(backend).profile(*batch, seconds=0.02)
    header, rule, *rows, _, total, where = str(profile).splitlines()
    assert header.split()[:4] == ["op", "makes", "µs", "share"]
    assert set(rule) == {"-"}
    assert len(rows) == len(profile.ops)
    assert total.startswith("a step: ")
    assert "times the floor of" in total
    assert where == f"{backend.name} on {backend.device}, kernels {backend.kernels}, batch {BATCH}"
    read = json.loads(profile.as_json())
    assert [op["op"] for op in read["ops"]] == [op.op for op in profile.ops]
    assert read["floor"] == profile.floor


def test_every_op_of_a_step_is_counted():
    """An op that is missing in the table would be said to do nothing."""
    silent = {
        *("reshape", "take_rows", "categorical_matches", "binary_matches", "tolerance_matches", "step_backward"),
        *("perturb", "keep_better", "all_finite", "embedding"),
    }
    counted = FLOPS.keys() | PRODUCTS
    ops = set(Ops.__dataclass_fields__) - NOT_OPS
    assert counted & silent == set()
    assert counted | silent == ops


@pytest.mark.parametrize("seconds", [0, -1, "long", float("nan")])
def test_bad_seconds(seconds, batch):
    with pytest.raises(ConfigurationError, match=r"^profile: seconds must be a positive number, got "):
        build("numpy").profile(*batch, seconds=seconds)


def test_without_gradients(batch):
    with pytest.raises(ConfigurationError, match="RandomSearch has no step of gradients"):
        build("numpy", optimizer=RandomSearch()).profile(*batch)
