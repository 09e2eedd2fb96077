"""What all optimizers by gradient share, in a model: parts of a batch, averages, rates by parameter, a factor."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp.callbacks import Callback
from nnxp.errors import BackendError, ConfigurationError, NotBuiltError, OrderError
from nnxp.layers import Dense, Dropout, Layer, ReLU, Sequential, Softmax, Tanh
from nnxp.losses import CategoricalCrossentropy, MeanSquaredError
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
    RandomSearch,
    RMSprop,
)
from nnxp.regularizers import L1, L2
from nnxp.schedules import InverseTimeDecay
from nnxp.training.engine import GRADIENTS, TRAIN
from nnxp.training.parts import parts_of

ROWS, INPUTS, CLASSES = 11, 3, 4

EVERY = [
    SGD(0.1),
    SGD(InverseTimeDecay(0.1, 0.2), momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True),
    Adagrad(0.1),
    Adadelta(1.0),
    RMSprop(0.01),
    Adam(0.01),
    AdamW(0.01, weight_decay=0.1),
    Adamax(0.01),
    NAdam(0.01),
    Lion(0.01, weight_decay=0.1),
]
every = pytest.mark.parametrize("optimizer", EVERY, ids=lambda o: type(o).__name__)


class Scale(Layer):
    """A layer of one's own: y = x · s."""

    def build(self, input_shape, backend):
        self.xp = backend.xp
        self.scale = backend.asarray(np.linspace(0.5, 1.5, input_shape[0]))
        return input_shape

    def forward(self, x, *, training=False):
        self.x = x
        return x * self.scale

    def backward(self, dy):
        self.dscale = self.xp.sum(dy * self.x, axis=0)
        return dy * self.scale

    def parameters(self):
        return {"scale": self.scale}

    def gradients(self):
        return {"scale": self.dscale}


def network() -> list[Layer]:
    first = Dense(8, weight_regularizer=L2(0.02), bias_regularizer=L1(0.01))
    return [Sequential([first, Tanh()]), Dropout(0.4), Scale(), Dense(CLASSES, weight_regularizer=L2(0.01)), Softmax()]


def build(optimizer: Any, backend: Any = "numpy", *, layers: Any = network, **options: Any) -> nnxp.Model:
    loss = options.pop("loss", CategoricalCrossentropy())
    model = nnxp.Model(layers(), loss=loss, optimizer=optimizer, backend=backend, metrics=["accuracy"], **options)
    model.build((INPUTS,))
    return model


def batch(backend: Any = None, rows: int = ROWS, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    x, y = random.standard_normal((rows, INPUTS)), random.integers(0, CLASSES, rows)
    return (x.astype("float32"), y) if backend is None else (backend.asarray(x), backend.asarray(y))


def train(model: nnxp.Model, steps: int = 4, rows: int = ROWS) -> list[float]:
    return [float(model.train_step(*batch(model.backend, rows, seed))) for seed in range(steps)]


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def close(backend: Any) -> dict[str, float]:
    """Sums of a dozen terms in another order, carried on over a few steps."""
    limit = 1e-12 if str(backend.dtype).endswith("float64") else 2e-5
    return {"rtol": limit, "atol": limit}


# -- parts of a batch


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 100])
@pytest.mark.parametrize("rows", [1, 2, 7, 8])
def test_parts_of(rows, count):
    """All samples once and in order, in parts of nearly one size, none empty."""
    parts = parts_of(rows, count)
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(rows))
    sizes = [part.stop - part.start for part in parts]
    assert len(sizes) == min(rows, count)
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("count", [2, 4, 100])
def test_parts_make_the_update_of_the_batch(count, reduction, typed_backend):
    """With masks, penalties, a layer of one's own and a limit on the norm: losses, parameters, moments."""
    loss = CategoricalCrossentropy(reduction=reduction)
    optimizer = Adam(0.01, clip_norm=0.5, epsilon=1e-3)  # a large ε keeps small gradients' rounding small
    whole, parted = (build(o, typed_backend, loss=loss) for o in (optimizer, replace(optimizer, accumulate=count)))
    np.testing.assert_allclose(train(parted), train(whole), **close(typed_backend))
    for key, expected in whole.state_dict().items():
        np.testing.assert_allclose(parted.state_dict()[key], expected, err_msg=key, **close(typed_backend))
    for slot, arrays in whole.engine.slot_state().items():
        for key, expected in arrays.items():
            found = parted.engine.slot_state()[slot][key]
            np.testing.assert_allclose(found, expected, err_msg=f"{slot} {key}", **close(typed_backend))


def test_parts_of_one_size_in_batches_of_several(backend):
    """Each part counts as a share of its own batch; a batch as small as a part is another thing again."""
    whole, parted = (build(SGD(0.1, accumulate=count), backend) for count in (1, 3))
    for seed, rows in enumerate((6, 5, 2, 6, 4, 2)):
        x, y = batch(backend, rows, seed)
        losses = [[float(m.loss_and_gradients(x, y)[0]), float(m.train_step(x, y))] for m in (whole, parted)]
        np.testing.assert_allclose(losses[1], losses[0], **close(backend))
    for key, expected in whole.state_dict().items():
        np.testing.assert_allclose(parted.state_dict()[key], expected, err_msg=key, **close(backend))


@every
def test_parts_with_every_optimizer(optimizer, make_backend):
    """In float64, where the backend has it. Lion takes signs and Adadelta begins at √ε: both see rounding no more."""
    backend = make_backend(dtype="float64")
    whole, parted = build(optimizer, backend), build(replace(optimizer, accumulate=3), backend)
    np.testing.assert_allclose(train(parted), train(whole), rtol=1e-12)
    for key, expected in whole.state_dict().items():
        np.testing.assert_allclose(parted.state_dict()[key], expected, err_msg=key, **close(backend))


def test_results_of_parts(typed_backend):
    """Loss, data loss and predictions are the batch's, from before the update; later steps do not change them."""
    whole, parted = (build(SGD(0.1, accumulate=count), typed_backend) for count in (1, 3))
    x, y = batch(typed_backend)
    host, found = typed_backend.to_numpy, []
    for model in (whole, parted):
        results = model.engine.train(x, y, predictions=True)
        model.train_step(*batch(typed_backend, seed=1))
        found.append(results)
    assert found[0].keys() == found[1].keys() == {"loss", "data_loss", "y_pred"}
    assert float(found[1]["loss"]) > float(found[1]["data_loss"])
    for name, expected in found[0].items():
        if typed_backend.writable and name == "y_pred":
            continue  # of a whole batch they are good until the next run
        np.testing.assert_allclose(host(found[1][name]), host(expected), err_msg=name, **close(typed_backend))
    assert found[1]["y_pred"].dtype == typed_backend.dtype


def test_parts_in_fit(backend):
    """Metrics see all predictions, the ragged last batch (of one sample) too; history and parameters agree."""
    histories = []
    for count in (1, 4):
        model = build(Adam(0.01, accumulate=count), backend)
        histories.append(model.fit(*batch(backend), epochs=3, batch_size=5, progress="off"))
        assert model.step == 9
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, err_msg=name, **close(backend))


def test_a_plain_path_of_parts():
    planned, plain = build(Adam(0.01, accumulate=3)), build(Adam(0.01, accumulate=3))
    plain.engine.planned = False
    np.testing.assert_allclose(train(planned), train(plain), rtol=1e-5)


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@pytest.mark.parametrize("optimizer", [Adam(0.01, accumulate=3), AdamW(0.01, accumulate=3, ema=0.9)], ids=str)
def test_parts_allocate_no_data(kernels, optimizer, allocated):
    """Views, losses and Python's objects; the smallest activations of a part here have 6400 bytes."""
    try:
        backend = nnxp.get_backend("numpy", kernels=kernels)
    except BackendError as error:
        pytest.skip(str(error))
    model = build(optimizer, backend, layers=lambda: [Dense(64), ReLU(), Dense(CLASSES), Softmax()])
    x, y = batch(rows=1200)
    assert allocated(lambda: model.train_step(x, y)) < 6000


def test_parts_take_less_memory():
    whole, parted = build(SGD(0.1)), build(SGD(0.1, accumulate=8))
    x, y = batch(rows=400)
    for model in (whole, parted):
        model.train_step(x, y)
    sizes = [max(p.workspace.nbytes for p in model.engine._plans.values()) for model in (whole, parted)]
    assert sizes[1] < sizes[0] / 6


def test_a_batch_is_known_after_its_first_step():
    """Values are checked when a shape is met for the first time, not in every step."""
    model = build(SGD(0.1, accumulate=3))
    x, y = batch()
    assert not model.engine.seen(x, y)
    model.train_step(x, y)
    assert model.engine.seen(x, y)
    assert not model.engine.seen(x[:4], y[:4])


def test_gradients_of_a_batch_are_those_without_parts(backend):
    """`loss_and_gradients` is about the whole batch, and leaves no trace in the next sum."""
    parted, whole = build(SGD(0.1, accumulate=4), backend), build(SGD(0.1), backend)
    parted.train_step(*batch(backend))
    whole.load_state_dict(parted.state_dict())
    whole.engine.step = parted.step
    loss, gradients = parted.loss_and_gradients(*batch(backend, seed=1))
    expected_loss, expected = whole.loss_and_gradients(*batch(backend, seed=1))
    assert float(loss) == float(expected_loss)
    assert_same(gradients, expected)
    before = parted.state_dict()
    parted.train_step(*batch(backend, seed=1))
    for key, w in parted.state_dict().items():
        np.testing.assert_allclose(w, before[key] - 0.1 * gradients[key], err_msg=key, rtol=1e-5, atol=1e-6)


class Fails(Layer):
    """Raises in its third forward."""

    count = 0

    def forward(self, x, *, training=False):
        self.count += 1
        if self.count == 3:
            raise RuntimeError("third")
        return x

    def backward(self, dy):
        return dy


def test_an_error_in_a_later_part_changes_nothing():
    model = build(SGD(0.1, accumulate=4), layers=lambda: [Dense(CLASSES), Fails(), Softmax()])
    before = model.state_dict()
    with pytest.raises(RuntimeError, match="third"):
        model.train_step(*batch())
    assert_same(model.state_dict(), before)
    assert model.step == 0
    twin = build(SGD(0.1), layers=lambda: [Dense(CLASSES), Softmax()])
    twin.load_state_dict(before)
    assert float(model.train_step(*batch())) == pytest.approx(float(twin.train_step(*batch())), rel=1e-6)


# -- limits on the norm


def test_the_norm_of_each_parameter(typed_backend):
    """Each by itself, where the limit on all together sees their sum."""
    limit, backend = 0.25, typed_backend
    each, together = (build(SGD(1.0, **{name: limit}), backend) for name in ("clip_parameter_norm", "clip_norm"))
    _, gradients = each.loss_and_gradients(*batch(backend))
    norms = {key: np.linalg.norm(g) for key, g in gradients.items()}
    assert min(norms.values()) < limit < max(norms.values())
    for model, norm_of in ((each, norms.get), (together, lambda key: np.linalg.norm(list(norms.values())))):
        before = model.state_dict()
        model.train_step(*batch(backend))
        for key, w in model.state_dict().items():
            step = gradients[key] * min(1, limit / norm_of(key))
            np.testing.assert_allclose(before[key] - w, step, err_msg=key, rtol=0, atol=1e-6)


# -- moving averages


def test_the_average_by_hand(typed_backend):
    """In float64 on the host: avg ← β·avg + (1 - β)·w from zero, divided by what the weights sum to."""
    beta, model = 0.8, build(SGD(0.3, ema=0.8), typed_backend)
    average = dict.fromkeys(model.state_dict(), 0.0)
    for update in range(5):
        model.train_step(*batch(typed_backend, seed=update))
        trained = model.state_dict()
        average = {key: beta * average[key] + (1 - beta) * w.astype("float64") for key, w in trained.items()}
        with model.averaged():
            for key, found in model.state_dict().items():
                expected = average[key] / (1 - beta ** (update + 1))
                np.testing.assert_allclose(found, expected, err_msg=key, **close(typed_backend))
        assert_same(model.state_dict(), trained)
    assert build(SGD(0.3, ema=0.8)).engine.slots.keys() == {"average"}


def test_an_average_does_not_change_training(backend):
    plain, averaging = build(Adam(0.01), backend), build(Adam(0.01, ema=0.9), backend)
    expected, losses = train(plain), []
    for seed in range(4):
        losses.append(float(averaging.train_step(*batch(backend, seed=seed))))
        with averaging.averaged():
            pass
    assert losses == expected
    assert_same(averaging.state_dict(), plain.state_dict())


def test_what_sees_the_average(backend, tmp_path):
    """evaluate, predict, save and layers, as a model does that was given the average."""
    model = build(Adam(0.05, ema=0.5), backend)
    train(model)
    x, y = batch(backend)
    before = backend.to_numpy(model.predict(x))
    with model.averaged():
        state = model.state_dict()
        other = build(SGD(), backend)
        other.load_state_dict(state)
        assert model.evaluate(x, y) == other.evaluate(x, y)
        np.testing.assert_array_equal(backend.to_numpy(model.predict(x)), backend.to_numpy(other.predict(x)))
        np.testing.assert_array_equal(backend.to_numpy(model.layers[2].scale), state["2.scale"])
        assert model.loss_and_gradients(x, y)[1].keys() == state.keys()
        model.save(tmp_path / "m")
    np.testing.assert_array_equal(backend.to_numpy(model.predict(x)), before)
    assert not np.array_equal(state["0.0.weights"], model.state_dict()["0.0.weights"])
    back = nnxp.load(tmp_path / "m", backend=backend, custom_objects={"Scale": Scale})
    assert_same(back.state_dict(), state)


def test_an_error_inside_brings_the_parameters_back(backend):
    model = build(Adam(0.05, ema=0.5), backend)
    train(model)
    trained = model.state_dict()
    with pytest.raises(RuntimeError, match="inside"), model.averaged():
        raise RuntimeError("inside")
    assert_same(model.state_dict(), trained)
    train(model, 1)


INSIDE: dict[str, Callable[[nnxp.Model], Any]] = {
    "training": lambda model: model.train_step(*batch(model.backend)),
    "fit": lambda model: model.fit(*batch(model.backend), progress="off"),
    "load_state_dict": lambda model: model.load_state_dict(model.state_dict()),
    "to": lambda model: model.to("array_api_strict"),
    "averaged": lambda model: model.averaged().__enter__(),
    "optimizer": lambda model: setattr(model, "optimizer", SGD()),
}


@pytest.mark.parametrize("name", INSIDE)
def test_nothing_is_trained_or_changed_inside(name, backend):
    model = build(Adam(0.05, ema=0.5), backend)
    train(model)
    trained, optimizer = model.state_dict(), model.optimizer
    with model.averaged(), pytest.raises(OrderError, match=rf"^{name}: inside `with model\.averaged\(\):`"):
        INSIDE[name](model)
    assert_same(model.state_dict(), trained)
    assert (model.step, model.optimizer) == (4, optimizer)
    INSIDE[name](model)


def test_where_there_is_no_average():
    x, y = batch()
    with pytest.raises(NotBuiltError):
        nnxp.Model([Dense(1)], loss=MeanSquaredError(), optimizer=SGD(ema=0.9)).averaged()
    for optimizer in (Adam(), RandomSearch()):
        model = build(optimizer)
        model.train_step(x, y)
        name = type(optimizer).__name__
        with pytest.raises(ConfigurationError, match=f"averaged: {name} keeps no average"), model.averaged():
            pass
    model = build(Adam(ema=0.9))
    with pytest.raises(OrderError, match="averaged: there was no update yet"), model.averaged():
        pass
    model.train_step(x, y)
    model.optimizer = Adam(ema=0.5)
    with pytest.raises(OrderError, match="averaged: there was no update yet"), model.averaged():
        pass


# -- rates by parameter


@every
def test_rates_of_one_are_no_rates(optimizer, backend):
    plain, rated = build(optimizer, backend), build(replace(optimizer, rates={"0": 1, "2.scale": 1.0}), backend)
    assert train(plain) == train(rated)
    assert_same(plain.state_dict(), rated.state_dict())


@every
def test_what_is_frozen_stays_bit_for_bit(optimizer, backend):
    """Under decay and an average, too. The rest is trained as if the frozen ones were no parameters at all."""
    rates = {"0.0.weights": 0, "2": 0}
    model = build(replace(optimizer, rates=rates, ema=0.9), backend)
    before = model.state_dict()
    train(model)
    for key, w in model.state_dict().items():
        frozen = key in ("0.0.weights", "2.scale")
        assert np.array_equal(w, before[key]) is frozen, key
    for arrays in model.engine.slot_state().values():
        assert arrays.keys() == before.keys()


def test_frozen_gradients_are_not_made(backend):
    """Neither computed nor returned nor seen by the limit on the norm; penalties stay in the loss."""
    rates = {"0.0.weights": 0, "0.0.biases": 0, "2.scale": 0}
    model, free = build(SGD(0.1, rates=rates), backend), build(SGD(0.1), backend)
    x, y = batch(backend)
    loss, gradients = model.loss_and_gradients(x, y)
    expected_loss, expected = free.loss_and_gradients(x, y)
    assert float(loss) == float(expected_loss)
    assert_same(gradients, {key: expected[key] for key in ("3.weights", "3.biases")})
    for mode in (TRAIN, GRADIENTS):
        made = {name for step in model.engine.plan(mode, x, y).records for name in step.outputs}
        assert not made & {"0.0.dweights", "0.0.dbiases", "0.0.dweights.penalized", "0.0.dx", "1.dx", "2.dscale"}
        assert {"3.dweights", "3.dbiases"} <= made
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    limited = build(SGD(1.0, rates=rates, clip_norm=float(norm) / 2), backend)
    before = limited.state_dict()
    limited.train_step(x, y)
    for key, g in gradients.items():
        np.testing.assert_allclose(before[key] - limited.state_dict()[key], g / 2, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "rates", [{"0.weights": 0}, {"0.biases": 0}, {"0": 0}, {"2.weights": 0}, {"0": 0, "2": 0}], ids=str
)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_frozen_parts_of_a_dense_network(rates, accumulate, typed_backend):
    """Where a plan joins weights and biases: the others get the gradients that they always got."""
    layers = lambda: [Dense(8, weight_regularizer=L2(0.1), bias_regularizer=L2(0.1)), ReLU(), Dense(CLASSES), Softmax()]  # noqa: E731
    model = build(SGD(0.5, rates=rates, accumulate=accumulate), typed_backend, layers=layers)
    free = build(SGD(0.5), typed_backend, layers=layers)
    before = model.state_dict()
    for seed in range(3):
        x, y = batch(typed_backend, seed=seed)
        _, expected = free.loss_and_gradients(x, y)
        for key in (key for key in before if any(key == path or key.startswith(path + ".") for path in rates)):
            expected[key] = np.zeros_like(expected[key])
        model.train_step(x, y)
        free.load_state_dict({key: w - 0.5 * expected[key] for key, w in free.state_dict().items()})
        for key, w in model.state_dict().items():
            np.testing.assert_allclose(w, free.state_dict()[key], err_msg=key, **close(typed_backend))


@every
def test_a_rate_is_a_learning_rate(optimizer, make_backend):
    """All parameters at half their rate are a model at half the rate."""
    backend = make_backend(dtype="float64")
    rate = optimizer.learning_rate
    half = replace(
        optimizer, learning_rate=InverseTimeDecay(rate.learning_rate / 2, rate.decay) if callable(rate) else rate / 2
    )
    rated, halved = build(replace(optimizer, rates=dict.fromkeys("023", 0.5)), backend), build(half, backend)
    np.testing.assert_allclose(train(rated), train(halved), rtol=1e-12)
    for key, expected in halved.state_dict().items():
        np.testing.assert_allclose(rated.state_dict()[key], expected, err_msg=key, **close(backend))


def test_a_rate_of_one_beside_others_is_exact(backend):
    """One step: those with rate 1 go the very way that they would go without rates."""
    plain, rated = build(Adam(0.1), backend), build(Adam(0.1, rates={"0": 0.1}), backend)
    for model in (plain, rated):
        train(model, 1)
    found, expected = rated.state_dict(), plain.state_dict()
    assert_same(
        {key: found[key] for key in ("2.scale", "3.weights")}, {k: expected[k] for k in ("2.scale", "3.weights")}
    )
    assert not np.array_equal(found["0.0.weights"], expected["0.0.weights"])


def test_a_network_that_freezes_what_it_learned(backend):
    """The gradients of before are not followed once more by the new optimizer."""
    model = build(SGD(0.1, clip_norm=1.0), backend)
    train(model)
    model.optimizer = SGD(0.1, momentum=0.9, rates={"0": 0}, clip_norm=1.0)
    before = model.state_dict()
    train(model)
    assert np.array_equal(model.state_dict()["0.0.weights"], before["0.0.weights"])
    assert not backend.to_numpy(model.engine.gradients["0.0.weights"]).any()
    assert not model.engine.slot_state()["velocity"]["0.0.weights"].any()
    model.optimizer = SGD(0.1)
    train(model, 1)
    assert not np.array_equal(model.state_dict()["0.0.weights"], before["0.0.weights"])


def test_entries_about_nothing_are_refused_when_the_network_is_known():
    text = r"Adam: rates has an entry '4', .* its parameters are 0\.0\.weights, 0\.0\.biases, 2\.scale, 3\.weights"
    model = nnxp.Model(network(), loss=CategoricalCrossentropy(), optimizer=Adam(rates={"4": 0}))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=text):
            model.build((INPUTS,))
        assert not model.built
    model.optimizer = Adam(0.5)
    model.build((INPUTS,))
    with pytest.raises(ConfigurationError, match=text):
        model.optimizer = Adam(rates={"4": 0})
    assert model.optimizer == Adam(0.5)
    train(model, 1)


def test_profile_of_several_rates(backend):
    """Its table has the steps of the update, and the model is left as it was."""
    model = build(Adam(rates={"0": 0}, ema=0.9, clip_parameter_norm=1.0), backend)
    before = model.state_dict()
    ops = [op.op for op in model.profile(*batch(backend), seconds=0.01).ops]
    assert {"clip_norms", "clone", "adam", "move", "average"} <= set(ops)
    assert_same(model.state_dict(), before)


# -- equivalences


def test_adamw_without_decay_is_adam(backend):
    adam, adamw = build(Adam(0.01), backend), build(AdamW(0.01, weight_decay=0.0), backend)
    assert train(adam) == train(adamw)
    assert_same(adam.state_dict(), adamw.state_dict())


def test_a_penalty_in_gradient_descent_is_a_decay(typed_backend):
    """L2(λ) has the gradient 2λw, so each update is a decay by 2λ and then a step by the data's gradient alone."""
    rate, penalty, backend = 0.1, 0.05, typed_backend
    made = lambda regularizer: lambda: [Dense(CLASSES, weight_regularizer=regularizer), Softmax()]  # noqa: E731
    penalized, plain = (build(SGD(rate), backend, layers=made(kind)) for kind in (L2(penalty), None))
    ops = backend.ops
    for seed in range(4):
        x, y = batch(backend, seed=seed)
        _, gradients = plain.loss_and_gradients(x, y)
        w, g = (backend.asarray(a["0.weights"].ravel()) for a in (plain.state_dict(), gradients))
        decayed = ops.sgd(ops.decay_weights(w, rate, 2 * penalty), g, rate)
        plain.train_step(x, y)
        plain.load_state_dict(plain.state_dict() | {"0.weights": backend.to_numpy(decayed).reshape(INPUTS, CLASSES)})
        penalized.train_step(x, y)
        for key, expected in plain.state_dict().items():
            np.testing.assert_allclose(penalized.state_dict()[key], expected, err_msg=key, **close(backend))


# -- the factor on the rate


def test_a_factor_is_a_factor_on_the_rate(backend):
    """Under a schedule, and changed between two steps."""
    decay = InverseTimeDecay(0.1, 0.5)
    model, other = build(SGD(decay), backend), build(SGD(lambda t: decay(t) * (1 if t < 2 else 0.25)), backend)
    assert (model.learning_rate, model.learning_rate_factor) == (0.1, 1.0)
    train(model, 2)
    model.learning_rate_factor = 0.25
    assert model.learning_rate == decay(2) / 4
    train(other, 2)
    assert train(model) == train(other)
    assert_same(model.state_dict(), other.state_dict())


def test_a_factor_reaches_every_part_of_a_rule(backend):
    """AdamW's decay, with parts and rates."""
    options: dict[str, Any] = {"weight_decay": 0.5, "accumulate": 2, "rates": {"0": 0.5}}
    model, other = build(AdamW(0.1, **options), backend), build(AdamW(0.05, **options), backend)
    model.learning_rate_factor = 0.5
    assert train(model) == train(other)


def test_what_keeps_the_factor(backend):
    """A move and a snapshot; a new optimizer begins with 1."""
    model = build(Adam(0.1), backend)
    train(model, 1)
    model.learning_rate_factor = 0.5
    kept = model.engine.snapshot()
    model.learning_rate_factor = 0.1
    model.engine.snapshot(into=model.engine.snapshot())
    model.engine.restore(kept)
    assert model.learning_rate_factor == 0.5
    assert model.to("numpy").learning_rate_factor == 0.5
    model.optimizer = Adam(0.2)
    assert (model.learning_rate_factor, model.learning_rate) == (1.0, 0.2)
    model.engine.restore(kept) if model.backend is backend else None


def test_a_factor_that_a_callback_chose_outlives_an_error():
    """In the next epoch, of which nothing stays; as its choice of an optimizer does."""

    class Lower(Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.learning_rate_factor *= 0.5

    model = build(SGD(0.1), layers=lambda: [Dense(CLASSES), Fails(), Softmax()])
    with pytest.raises(RuntimeError, match="third"):
        model.fit(*batch(), epochs=5, callbacks=[Lower()], progress="off")
    assert (model.step, model.learning_rate_factor) == (2, 0.25)


@pytest.mark.parametrize("factor", [0, -1, np.nan, "half", None])
def test_bad_factors(factor):
    model = build(SGD(0.1))
    with pytest.raises(ConfigurationError, match="Model: learning_rate_factor must be a positive number, got "):
        model.learning_rate_factor = factor
    assert model.learning_rate_factor == 1.0


def test_no_rate_no_factor():
    model = build(RandomSearch())
    assert model.learning_rate is None
    with pytest.raises(ConfigurationError, match="Model: RandomSearch has no learning rate to multiply"):
        model.learning_rate_factor = 0.5
    with pytest.raises(NotBuiltError):
        _ = nnxp.Model([Dense(1)], loss=MeanSquaredError(), optimizer=SGD()).learning_rate


def test_every_optimizer_by_gradient_is_here():
    public = {getattr(nnxp.optimizers, name) for name in nnxp.optimizers.__all__} - {GradientOptimizer}
    assert {type(optimizer) for optimizer in EVERY} == {k for k in public if issubclass(k, GradientOptimizer)}
