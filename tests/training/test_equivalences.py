"""Two ways to write one training: the same numbers, on every backend; in float64 where it has that, else in float32."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp.backend import Backend
from nnxp.layers import Dense, Dropout, Layer, Linear, ReLU, Residual, Sequential, Sigmoid, Softmax, Tanh
from nnxp.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanSquaredError
from nnxp.ops.record import run
from nnxp.optimizers import SGD, Adam, AdamW, Optimizer
from nnxp.regularizers import L1, L2
from nnxp.training.engine import GRADIENTS
from nnxp.training.program import write

ROWS, FEATURES, CLASSES = 12, 5, 3


@pytest.fixture
def exact(make_backend: Callable[..., Backend]) -> Backend:
    """The tested library, in the widest type that it has."""
    try:
        return make_backend(dtype="float64")
    except (pytest.skip.Exception, nnxp.errors.NnxpError):
        return make_backend()


def tolerance(backend: Backend) -> float:
    """Relative, to the largest element: some hundred roundings."""
    return 512 * float(backend.xp.finfo(backend.dtype).eps)


def data(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    return random.standard_normal((rows, FEATURES)), random.integers(0, CLASSES, rows)


def classifier() -> list[Layer]:
    return [Dense(6), Tanh(), Dense(CLASSES), Softmax()]


def model(
    backend: Backend,
    layers: list[Layer] | None = None,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
) -> nnxp.Model:
    made = nnxp.Model(
        layers or classifier(),
        loss=loss or CategoricalCrossentropy(),
        optimizer=optimizer or SGD(0.3, momentum=0.5),
        backend=backend,
    )
    made.build((FEATURES,))
    return made


def assert_close(found: Any, expected: Any, backend: Backend, name: str = "") -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, name
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=tolerance(backend) * max(np.abs(expected).max(), 1e-3), err_msg=name
    )


def assert_same_state(one: nnxp.Model, other: nnxp.Model, *, exactly: bool = False) -> None:
    """The parameters in their order; a chain in a chain calls them otherwise."""
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        if exactly:
            np.testing.assert_array_equal(a, b, err_msg=name)
        else:
            assert_close(a, b, one.backend, name)


def assert_trains_alike(one: nnxp.Model, other: nnxp.Model, *, steps: int = 5, exactly: bool = False) -> None:
    """On the same batches: losses and parameters after each step."""
    x, y = data()
    before = one.state_dict()
    for _ in range(steps):
        a, b = float(one.train_step(x, y)), float(other.train_step(x, y))
        assert a == b if exactly else a == pytest.approx(b, rel=tolerance(one.backend))
        assert_same_state(one, other, exactly=exactly)
    assert any((a != before[name]).any() for name, a in one.state_dict().items())


@pytest.mark.parametrize("penalty", [L1(0.1), L2(0.1)], ids=str)
@pytest.mark.parametrize("planned", [True, False])
def test_a_regularizer_is_a_penalty_in_the_loss(exact, planned, penalty):
    """By hand: the loss has λ·Σ|w| or λ·Σw² more, and the gradients λ·sign w or 2·λ·w; of the penalized ones alone."""
    layers = [Dense(6, weight_regularizer=penalty), Tanh(), Dense(CLASSES, bias_regularizer=penalty), Softmax()]
    plain, penalized = model(exact), model(exact, layers)
    for one in (plain, penalized):
        one.engine.planned = planned
    state = {name: a + 0.25 for name, a in plain.state_dict().items()}  # biases that are not 0
    for one in (plain, penalized):
        one.load_state_dict(state)
    (loss, gradients), (total, found) = (one.loss_and_gradients(*data()) for one in (plain, penalized))
    size, slope = (np.abs, np.sign) if isinstance(penalty, L1) else (np.square, lambda w: 2 * w)
    expected = float(loss)
    for name, gradient in gradients.items():
        w = state[name] if name in ("0.weights", "2.biases") else np.zeros(1)
        expected += 0.1 * float(np.sum(size(w)))
        assert_close(found[name], gradient + 0.1 * slope(w), exact, name)
    assert float(total) == pytest.approx(expected, rel=tolerance(exact))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_fused_is_unfused(exact, head, weighted):
    """The program with a head's fused op and the one without, record by record; weights of samples allow no fusion."""
    x, labels = data()
    loss: Loss = CategoricalCrossentropy() if head == "softmax" else BinaryCrossentropy()
    y = labels if head == "softmax" else np.eye(CLASSES)[labels]
    network = model(exact, [Dense(CLASSES), Softmax() if head == "softmax" else Sigmoid()], loss=loss)
    values = {"x": exact.asarray(x, dtype=exact.dtype), "sample_weight": exact.asarray(labels + 0.5, dtype=exact.dtype)}
    values["y"] = loss.check(y, (ROWS, CLASSES), exact, values=True)
    values |= {name: exact.asarray(a, dtype=exact.dtype) for name, a in network.state_dict().items()}
    values |= loss.constants((ROWS, CLASSES))
    results, ops = [], []
    for fused in (True, False):
        written = write(network.engine.root, loss, GRADIENTS, fused=fused, weighted=weighted)
        here = dict(values)
        run(written.program.records, here, exact.ops)
        names = [written.outputs["loss"], *(written.gradients[name] for name in sorted(written.gradients))]
        results.append([exact.to_numpy(here[name]) for name in names])
        ops.append({record.op for record in written.program.records})
    for one, other in zip(*results, strict=True):
        assert_close(one, other, exact)
    assert any(op.startswith(f"{head}_") and op.endswith("crossentropy") for op in ops[0]) == (not weighted)
    assert not any(op.startswith(f"{head}_") and op.endswith("crossentropy") for op in ops[1])


@pytest.mark.parametrize("parts", [2, 3, 5])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_parts_add_up_to_the_batch(exact, reduction, parts):
    """Also where the parts are not of one size, with penalties, which count once."""
    made = []
    for accumulate in (1, parts):
        layers = [Dense(6, weight_regularizer=L2(0.05)), Tanh(), Dense(CLASSES), Softmax()]
        optimizer = SGD(0.1, momentum=0.5, accumulate=accumulate)
        made.append(model(exact, layers, loss=CategoricalCrossentropy(reduction=reduction), optimizer=optimizer))
    assert_trains_alike(*made)


def test_planned_is_unplanned(exact):
    """Ten steps with dropout: the same masks, and so the same numbers."""
    made = [model(exact, [Dense(8), ReLU(), Dropout(0.4), Dense(CLASSES), Softmax()]) for _ in range(2)]
    made[1].engine.planned = False
    assert_trains_alike(*made, steps=10)


def test_a_chain_in_a_chain_is_the_flat_one(exact):
    """Bit for bit: first values, masks, and each step."""
    flat = [Dense(8), Dropout(0.3), Tanh(), Dense(6), Dropout(0.5), Dense(CLASSES), Softmax()]
    nested = [
        Dense(8),
        Sequential([Dropout(0.3), Sequential([Tanh(), Dense(6)]), Dropout(0.5)]),
        Sequential([Dense(CLASSES), Softmax()]),
    ]
    one, other = model(exact, flat), model(exact, nested)
    assert_same_state(one, other, exactly=True)
    assert_trains_alike(one, other, steps=10, exactly=True)
    x = np.ones((4, FEATURES))
    masks = []
    for made in (one, other):
        chain = made.engine.root
        masks.append(exact.to_numpy(chain.forward(exact.asarray(x, dtype=exact.dtype), training=True)))
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("planned", [True, False])
def test_a_sample_of_weight_2_is_the_sample_twice(exact, planned):
    """In sums, because a mean divides by the number of samples."""
    x, y = data(6)
    weights = np.array([1.0, 2.0, 0.0, 1.0, 3.0, 1.0])
    times = weights.astype(int)
    one, other = (model(exact, loss=CategoricalCrossentropy(reduction="sum"), optimizer=Adam(0.01)) for _ in "12")
    for made in (one, other):
        made.engine.planned = planned
    for _ in range(4):
        a = float(one.train_step(x, y, sample_weight=weights))
        b = float(other.train_step(np.repeat(x, times, axis=0), np.repeat(y, times)))
        assert a == pytest.approx(b, rel=tolerance(exact))
    _, found = one.loss_and_gradients(x, y, sample_weight=weights)
    _, expected = other.loss_and_gradients(np.repeat(x, times, axis=0), np.repeat(y, times))
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=100 * tolerance(exact), err_msg=name)


def test_decay_of_0_is_none(exact):
    """Bit for bit."""
    one, other = (model(exact, optimizer=each) for each in (Adam(0.01), AdamW(0.01, weight_decay=0.0)))
    assert_trains_alike(one, other, exactly=True)


@pytest.mark.parametrize("planned", [True, False])
def test_a_residual_of_nothing_is_the_identity(exact, planned):
    """f = 0: values and gradients go through unchanged, and only f's last layer learns."""
    layers = [Dense(6), Residual([Dense(4), Tanh(), Dense(6)]), Dense(2)]
    one = model(exact, layers, loss=MeanSquaredError())
    other = model(exact, [Dense(6), Linear(), Dense(2)], loss=MeanSquaredError())
    for made in (one, other):
        made.engine.planned = planned
    state = one.state_dict()
    state |= {name: np.zeros_like(state[name]) for name in ("1.2.weights", "1.2.biases")}
    one.load_state_dict(state)
    other.load_state_dict({name: a for name, a in state.items() if not name.startswith("1.")})
    x, y = data()
    y = np.eye(CLASSES)[y][:, :2]
    np.testing.assert_array_equal(one.predict(x), other.predict(x))
    (a, found), (b, expected) = (made.loss_and_gradients(x, y) for made in (one, other))
    assert float(a) == float(b)
    for name, gradient in expected.items():
        assert_close(found[name], gradient, exact, name)
    for name in ("1.0.weights", "1.0.biases"):
        np.testing.assert_array_equal(found[name], 0)
    assert np.abs(found["1.2.weights"]).max() > 0
