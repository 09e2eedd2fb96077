"""The update behind a plan: the optimizer's records on the arena, in every step with that step's numbers."""

from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp.backend import Backend
from nnxp.layers import Dense, ReLU, Tanh
from nnxp.losses import MeanSquaredError
from nnxp.ops.record import run
from nnxp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    NAdam,
    Optimizer,
    RandomSearch,
    RMSprop,
)
from nnxp.parameters import Buffer, Layout
from nnxp.schedules import InverseTimeDecay
from nnxp.training.update import Update

LAYOUT = Layout.of([{"0.weights": (5, 4), "0.biases": (4,)}, {"2.weights": (4, 3), "2.biases": (3,)}], 4)
DECAY = InverseTimeDecay(0.1, 0.5)
OPTIMIZERS = [
    SGD(0.1),
    SGD(DECAY),
    SGD(DECAY, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True, clip_value=0.5),
    Adagrad(DECAY, clip_norm=0.5),
    RMSprop(DECAY, rho=0.8),
    Adam(DECAY),
    Adam(0.1, beta_1=0.5, beta_2=0.75, clip_value=0.5, clip_norm=1.0),
    Adadelta(DECAY),
    AdamW(DECAY, weight_decay=0.1, clip_parameter_norm=0.5),
    Adamax(DECAY),
    NAdam(DECAY),
    Lion(0.1, ema=0.8),
    AdamW(0.1, rates={"0": 0.5, "2.weights": 0}, ema=0.5),
]
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)


def buffers(optimizer: Optimizer, backend: Backend) -> dict[str, Buffer]:
    """Parameters, gradients and slots; padding is zero."""
    made = {name: Buffer(LAYOUT, backend) for name in ("w", "g", *optimizer.memory)}
    random = np.random.default_rng(0)
    for name in ("w", "g"):
        made[name].write({key: backend.asarray(random.normal(size=a.shape)) for key, a in made[name].items()})
    return made


def further(update: Update) -> dict[str, Any]:
    """What records read beside buffers and scalars."""
    return {"bounds": LAYOUT.bounds, "rates": update.array("rates")}


def new_gradient(made: dict[str, Buffer], backend: Backend, step: int) -> None:
    random = np.random.default_rng(step)
    made["g"].write({key: backend.asarray(random.normal(size=a.shape)) for key, a in made["g"].items()})


@pytest.mark.parametrize("start", [0, 5])
@optimizers
def test_calls_are_the_records(optimizer, start, backend):
    """Five updates, from any step on: the parameters and slots of the optimizer's records, run by name."""
    mine, theirs = buffers(optimizer, backend), buffers(optimizer, backend)
    update = Update(optimizer, mine, backend, backend.ops.scratch(), start=start)
    for step in range(5):
        new_gradient(mine, backend, step)
        new_gradient(theirs, backend, step)
        update.prepare(start + step)
        for call in update.calls:
            call()
        values: dict[str, Any] = {name: buffer.flat for name, buffer in theirs.items()} | optimizer.scalars(step)
        values |= further(update)
        run(optimizer.records(), values, backend.ops)
        for name, buffer in theirs.items():
            buffer.replace(values[name])
    host = backend.to_numpy
    for name in ("w", *optimizer.memory):
        # bound to numbers that change, or called with floats: the same operations, and in compiled loops perhaps not
        np.testing.assert_allclose(host(mine[name].flat), host(theirs[name].flat), rtol=1e-5, atol=1e-6, err_msg=name)


@optimizers
def test_views_stay_and_padding_is_zero(optimizer, backend):
    made = buffers(optimizer, backend)
    update = Update(optimizer, made, backend, backend.ops.scratch(), start=0)
    flats = {name: buffer.flat for name, buffer in made.items()}
    for step in range(3):
        update.prepare(step)
        for call in update.calls:
            call()
    for name, buffer in made.items():
        if backend.writable:
            assert buffer.flat is flats[name]
        flat, used = backend.to_numpy(buffer.flat), np.zeros(LAYOUT.size, bool)
        for key, place in LAYOUT.places.items():
            used[place.start : place.stop] = True
            np.testing.assert_array_equal(backend.to_numpy(buffer[key]).ravel(), flat[place.start : place.stop])
        assert not flat[~used].any()


@optimizers
def test_the_gradient_is_clipped_and_else_left_alone(optimizer, backend):
    made = buffers(optimizer, backend)
    before = backend.to_numpy(made["g"].flat)
    update = Update(optimizer, made, backend, backend.ops.scratch(), start=0)
    update.prepare(0)
    for call in update.calls:
        call()
    after = backend.to_numpy(made["g"].flat)
    limits = optimizer.clip_value, optimizer.clip_norm
    if optimizer.clip_parameter_norm is not None:
        for start, stop in LAYOUT.bounds:
            assert np.linalg.norm(after[start:stop]) <= optimizer.clip_parameter_norm * (1 + 1e-6)
    elif limits == (None, None):
        np.testing.assert_array_equal(after, before)
    else:
        assert np.abs(after).max() <= (limits[0] or np.inf) * (1 + 1e-6)
        assert np.linalg.norm(after) <= (limits[1] or np.inf) * (1 + 1e-6)


def test_an_arena_of_nothing(backend):
    """A network without parameters can be trained, in vain."""
    made = {name: Buffer(Layout.of([{}], 4), backend) for name in ("w", "g", "first_moment", "second_moment")}
    update = Update(Adam(0.1, clip_norm=1.0), made, backend, backend.ops.scratch(), start=0)
    update.prepare(0)
    for call in update.calls:
        call()


# -- in a model


def trained(optimizer: Optimizer, steps: int, *, planned: bool = True, **options: Any) -> nnxp.Model:
    model = nnxp.Model([Dense(6), Tanh(), Dense(2)], loss=MeanSquaredError(), optimizer=optimizer, **options)
    model.build((3,))
    model.engine.planned = planned
    random = np.random.default_rng(0)
    x, y = random.standard_normal((8, 3)), random.standard_normal((8, 2))
    model.data = x.astype(np.float32), y.astype(np.float32)
    for _ in range(steps):
        model.train_step(*model.data)
    return model


def assert_equal(first: nnxp.Model, second: nnxp.Model) -> None:
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # a few ULP a step, ten steps


@optimizers
def test_the_update_uses_the_gradient_of_its_own_step(optimizer):
    """Gradients are made, then clipped, then followed: those that `loss_and_gradients` says before the step."""
    model = trained(optimizer, 2)
    before = model.state_dict()
    slots = {name: np.array(buffer.flat) for name, buffer in model.engine.slots.items()}
    _, gradients = model.loss_and_gradients(*model.data)
    flat = np.array(model.engine.gradients.flat)
    values: dict[str, Any] = {"w": np.array(model.engine.parameters.flat), "g": flat, **slots, **optimizer.scalars(2)}
    bounds = model.engine.parameters.layout.bounds
    values |= {"bounds": bounds, "rates": model.engine._update.array("rates")}
    run(optimizer.records(), values, nnxp.get_backend("numpy", kernels="reference").ops)
    model.train_step(*model.data)
    np.testing.assert_allclose(model.engine.parameters.flat, values["w"], rtol=1e-5, atol=1e-6)
    assert gradients.keys() == before.keys() - model.engine.frozen


def test_the_rate_is_asked_in_every_step():
    asked = []

    def rate(step: int) -> float:
        asked.append(step)
        return 0.1 / (step + 1)

    trained(SGD(rate), 4)
    assert [step for step in asked if step][-3:] == [1, 2, 3]
    assert sorted(set(asked)) == [0, 1, 2, 3]


def test_a_new_optimizer_starts_afresh():
    """Its own slots and its own step 0; plans that were bound to the old one are not used again."""
    model, other = trained(Adam(0.05), 3), trained(SGD(0.1), 0)
    other.load_state_dict(model.state_dict())
    optimizer = SGD(InverseTimeDecay(0.1, 1.0), momentum=0.5)
    model.optimizer = optimizer
    other.optimizer = optimizer
    for _ in range(3):
        model.train_step(*model.data)
        other.train_step(*model.data)
    assert_equal(model, other)
    assert model.engine.learning_rate() == pytest.approx(0.1 / 4)


def test_the_same_optimizer_again_starts_afresh():
    optimizer = Adam(0.05)
    model, other = trained(optimizer, 3), trained(optimizer, 0)
    other.load_state_dict(model.state_dict())
    model.optimizer = optimizer
    model.train_step(*model.data)
    other.train_step(*model.data)
    assert_equal(model, other)


@optimizers
def test_a_snapshot_brings_everything_back(optimizer):
    model = trained(optimizer, 3)
    kept = model.engine.snapshot()
    first = [float(model.train_step(*model.data)) for _ in range(3)]
    model.engine.restore(kept)
    assert [float(model.train_step(*model.data)) for _ in range(3)] == first


def test_a_snapshot_of_another_optimizer_brings_that_back():
    model = trained(Adam(0.05), 3)
    kept = model.engine.snapshot()
    first = [float(model.train_step(*model.data)) for _ in range(3)]
    model.optimizer = SGD(0.5)
    model.train_step(*model.data)
    model.engine.restore(kept)
    assert [float(model.train_step(*model.data)) for _ in range(3)] == first


@optimizers
def test_as_the_plain_path(optimizer):
    assert_equal(trained(optimizer, 10), trained(optimizer, 10, planned=False))


@pytest.mark.parametrize("kernels", ["reference", "numpy", "auto"])
@optimizers
def test_as_the_reference(optimizer, kernels):
    backend, plain = (nnxp.get_backend("numpy", kernels=k) for k in (kernels, "reference"))
    assert_equal(trained(optimizer, 10, backend=backend), trained(optimizer, 10, backend=plain, planned=False))


def test_a_search_has_no_update_behind_its_plans():
    """Its candidates are tried by plans that change nothing."""
    model = trained(RandomSearch(0.1), 0)
    before = float(model.evaluate(*model.data)["loss"])
    losses = [float(model.train_step(*model.data)) for _ in range(20)]
    assert losses[0] == pytest.approx(before, rel=1e-6)
    assert losses == sorted(losses, reverse=True)
    assert model.step == 20


def test_asking_for_gradients_updates_nothing():
    model = trained(Adam(0.05, clip_norm=0.01), 2)
    before = model.state_dict()
    found = [model.loss_and_gradients(*model.data)[1] for _ in range(2)]
    for a, b in zip(model.state_dict().values(), before.values(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(found[0].values(), found[1].values(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.sqrt(sum((a**2).sum() for a in found[0].values())) > 0.01  # unclipped: clipping is the update's


def test_layers_hold_what_the_update_made(backend):
    """Also where arrays are immutable and an update makes new ones."""
    first = Dense(4)
    layers = [first, ReLU(), Dense(2)]
    model = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD(0.1), backend=backend)
    x, y = backend.asarray(np.ones((3, 2))), backend.asarray(np.zeros((3, 2)))
    for _ in range(3):
        model.train_step(x, y)
        state = model.state_dict()
        np.testing.assert_array_equal(backend.to_numpy(first.weights), state["0.weights"])
        np.testing.assert_array_equal(backend.to_numpy(model.engine.parameters["0.biases"]), state["0.biases"])
