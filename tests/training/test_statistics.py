"""Running statistics: what BatchNorm remembers of training steps, and that nothing else touches it."""

import os
import signal

import numpy as np
import pytest

import nnxp
from nnxp.callbacks import Callback
from nnxp.errors import ConfigurationError, NotBuiltError, ShapeError, TrainingError
from nnxp.layers import BatchNorm, Dense, Dropout, Flatten, Layer, LayerNorm, RMSNorm, Sequential, Tanh
from nnxp.losses import MeanSquaredError
from nnxp.optimizers import SGD, Adam, RandomSearch
from nnxp.schedules import InverseTimeDecay

ROWS, BATCH, INPUTS = 10, 4, 3
PARTS = [slice(0, 4), slice(4, 8), slice(8, 10)]
MEANS, DEVIATIONS = np.array([3.0, -1.0, 0.5]), np.array([2.0, 0.5, 1.0])


@pytest.fixture
def features():
    return (np.random.default_rng(4).standard_normal((ROWS, INPUTS)) * DEVIATIONS + MEANS).astype(np.float32)


@pytest.fixture
def x(array, features):
    return array(features)


@pytest.fixture
def y(array):
    return array(np.random.default_rng(5).standard_normal((ROWS, 3)))


def network(backend, *, optimizer=None, layers=None, planned=True, **options):
    """A norm that sees the data, and one that sees what is learned."""
    layers = layers or [BatchNorm(momentum=0.8), Dense(4), Sequential([BatchNorm(), Tanh()]), Dropout(0.3), Dense(3)]
    optimizer = optimizer or SGD(InverseTimeDecay(0.05, 0.1), momentum=0.9)
    model = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=optimizer, backend=backend, **options)
    model.build((INPUTS,))
    model.engine.planned = planned
    return model


def fit(model, x, y, epochs, **options):
    return model.fit(x, y, epochs=epochs, **{"batch_size": BATCH, "progress": "off"} | options)


def statistics(model):
    return {key: array for key, array in model.state_dict().items() if "running" in key}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def assert_close(a, b, rtol=1e-5):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=rtol, atol=rtol, err_msg=key)


def averages(batches, momentum):
    """The running mean and variance after these batches, ``[…,C]``, in float64."""
    mean, variance = 0.0, 1.0
    for batch in batches:
        rows = batch.reshape(-1, batch.shape[-1]).astype(np.float64)
        mean = momentum * mean + (1 - momentum) * rows.mean(axis=0)
        variance = momentum * variance + (1 - momentum) * rows.var(axis=0)
    return mean, variance


# -- what is remembered


@pytest.mark.parametrize("planned", [True, False])
def test_running_statistics_after_some_steps(planned, donating_backend, x, y, features):
    model = network(donating_backend, planned=planned)
    parts = [PARTS[index] for index in (0, 1, 2, 2, 0)]
    for count, part in enumerate(parts, 1):
        model.train_step(x[part, ...], y[part, ...])
        mean, variance = averages([features[part] for part in parts[:count]], 0.8)
        np.testing.assert_allclose(model.state_dict()["0.running_mean"], mean, rtol=1e-5)
        np.testing.assert_allclose(model.state_dict()["0.running_var"], variance, rtol=1e-5)


def test_the_inner_norm_remembers_its_own_input(backend, x, y):
    model = network(backend, layers=[Dense(4), BatchNorm(momentum=0.5), Dense(3)])
    state = model.state_dict()
    model.train_step(x, y)
    hidden = backend.to_numpy(x) @ state["0.weights"] + state["0.biases"]
    np.testing.assert_allclose(model.state_dict()["1.running_mean"], hidden.mean(axis=0) / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.state_dict()["1.running_var"], (1 + hidden.var(axis=0)) / 2, rtol=1e-5)


@pytest.mark.parametrize("planned", [True, False])
def test_an_epoch_is_its_steps(planned, donating_backend, x, y):
    """Also with metrics, whose program is another."""
    fitted, stepped = (network(donating_backend, planned=planned, metrics=["accuracy"]) for _ in range(2))
    fit(fitted, x, y, 2, shuffle=False)
    for part in PARTS * 2:
        stepped.train_step(x[part, ...], y[part, ...])
    assert_same(fitted.state_dict(), stepped.state_dict())


def test_momentum_of_0_remembers_the_last_batch(backend, x, y, features):
    model = network(backend, layers=[BatchNorm(momentum=0), Dense(3)])
    for part in PARTS:
        model.train_step(x[part, ...], y[part, ...])
        np.testing.assert_allclose(model.state_dict()["0.running_mean"], features[part].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(model.state_dict()["0.running_var"], features[part].var(axis=0), rtol=1e-5)


@pytest.mark.parametrize("shape", [(5, 3), (4, 2, 3)])
def test_images_have_a_pair_a_channel(shape, backend, array, y):
    x = np.random.default_rng(6).standard_normal((ROWS, *shape)) * DEVIATIONS + MEANS
    model = nnxp.Model(
        [BatchNorm(momentum=0.5), Flatten(), Dense(3)], loss=MeanSquaredError(), optimizer=SGD(), backend=backend
    )
    model.train_step(array(x), y)
    mean, variance = averages([x], 0.5)
    state = model.state_dict()
    assert state["0.scale"].shape == state["0.running_var"].shape == (3,)
    np.testing.assert_allclose(state["0.running_mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(state["0.running_var"], variance, rtol=1e-5)
    outputs = backend.to_numpy(alone(backend, shape=shape).forward(array(x), training=True)).reshape(-1, 3)
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.var(axis=0), 1, rtol=1e-4)


def test_a_batch_of_one(donating_backend, x, y, features):
    """Its variance is 0, and its features vanish: nothing is NaN, and what is remembered is 0."""
    model = network(donating_backend, layers=[BatchNorm(momentum=0.5), Dense(3)])
    biases = model.state_dict()["1.biases"]
    loss = float(model.train_step(x[:1, ...], y[:1, ...]))
    assert loss == pytest.approx(((donating_backend.to_numpy(y)[0] - biases) ** 2).mean(), rel=1e-5)
    np.testing.assert_allclose(model.state_dict()["0.running_mean"], features[0] / 2, rtol=1e-6)
    np.testing.assert_array_equal(model.state_dict()["0.running_var"], [0.5] * 3)
    assert all(np.isfinite(array).all() for array in model.state_dict().values())


# -- who reads it


def test_predict_and_evaluate_read_it_and_change_nothing(donating_backend, x, y, features):
    """By hand: (x - mean) / √(variance + ε), and then the line."""
    model = network(donating_backend, layers=[BatchNorm(momentum=0.5, epsilon=0.01), Dense(3)], metrics=["accuracy"])
    fit(model, x, y, 3)
    state = model.state_dict()
    normal = (features - state["0.running_mean"]) / np.sqrt(state["0.running_var"] + 0.01)
    expected = (normal * state["0.scale"] + state["0.offset"]) @ state["1.weights"] + state["1.biases"]
    loss = ((expected - donating_backend.to_numpy(y)) ** 2).mean()
    for size in (None, 4, 1):
        np.testing.assert_allclose(
            donating_backend.to_numpy(model.predict(x, batch_size=size)), expected, rtol=1e-4, atol=1e-5
        )
        assert model.evaluate(x, y, batch_size=size)["loss"] == pytest.approx(loss, rel=1e-5)
    assert float(model.loss_and_gradients(x, y, training=False)[0]) == pytest.approx(loss, rel=1e-5)
    assert_same(model.state_dict(), state)


def test_gradients_outside_of_training_are_differences(make_backend, x, y):
    """By parameters in front of a norm, which then is a line."""
    backend = make_backend(dtype="float64")
    model = network(backend, layers=[Dense(2), BatchNorm(), Dense(3)])
    rng = np.random.default_rng(7)
    state = {key: rng.uniform(0.5, 1.5, array.shape) for key, array in model.state_dict().items()}
    model.load_state_dict(state)
    x, y = (backend.asarray(rng.standard_normal((5, 3))) for _ in range(2))
    for training in (False, True):
        _, gradients = model.loss_and_gradients(x, y, training=training)
        for key in ("0.weights", "1.scale", "1.offset"):
            step = 1e-6
            losses = []
            for sign in (1, -1):
                moved = state[key].copy()
                moved.flat[0] += sign * step
                model.load_state_dict(state | {key: moved})
                losses.append(float(model.loss_and_gradients(x, y, training=training)[0]))
            model.load_state_dict(state)
            assert gradients[key].flat[0] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_asking_for_gradients_changes_nothing(training, planned, donating_backend, x, y):
    asked, never = (network(donating_backend, planned=planned) for _ in range(2))
    for model in (asked, never):
        fit(model, x, y, 1)
    for part in PARTS:
        asked.loss_and_gradients(x[part, ...], y[part, ...], training=training)
        assert_same(asked.state_dict(), never.state_dict())
    assert float(asked.train_step(x, y)) == float(never.train_step(x, y))
    assert_same(asked.state_dict(), never.state_dict())


def test_validation_changes_nothing(backend, x, y):
    watched, alone = network(backend), network(backend)
    fit(watched, x, y, 3, validation_data=(x * 100, y))
    fit(alone, x, y, 3)
    assert_same(watched.state_dict(), alone.state_dict())


def test_a_profile_changes_nothing(backend, x, y):
    model = network(backend)
    model.train_step(x, y)
    state = model.state_dict()
    model.profile(x, y, seconds=0.01)
    assert_same(model.state_dict(), state)


@pytest.mark.parametrize("planned", [True, False])
def test_a_candidate_of_random_search_leaves_no_trace(planned, donating_backend, x, y):
    """An update remembers once, of the parameters before it."""
    layers = lambda: [Dense(4), BatchNorm(), Tanh(), BatchNorm(), Dense(3)]  # noqa: E731  # anew for each model
    searching = network(donating_backend, layers=layers(), optimizer=RandomSearch(0.5), planned=planned)
    still = network(donating_backend, layers=layers(), optimizer=SGD(1e-30), planned=planned)
    for _ in range(4):
        still.load_state_dict(searching.state_dict())
        assert float(searching.train_step(x, y)) == pytest.approx(float(still.train_step(x, y)), rel=1e-5)
        assert_close(statistics(searching), statistics(still), 1e-6)


# -- what puts it back


class AtStep(Layer):
    """Does something in the training forward of that number."""

    def __init__(self, number, act):
        self.number, self.act, self.forwards = number, act, 0

    def forward(self, x, *, training=False):
        self.forwards += training
        if training and self.forwards == self.number:
            self.act()
        return x

    def backward(self, dy):
        return dy


class States(Callback):
    def __init__(self):
        self.states = []

    def on_epoch_end(self, model, epoch, logs):
        self.states.append(model.state_dict())


def with_layer(backend, layer, **options):
    return network(backend, layers=[BatchNorm(), Dense(4), BatchNorm(momentum=0.5), layer, Dense(3)], **options)


@pytest.mark.parametrize("epochs", [0, 2])
def test_an_interrupt_puts_the_last_epoch_back(epochs, donating_backend, x, y):
    states = States()
    press = AtStep(3 * epochs + 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    model = with_layer(donating_backend, press)
    start = model.state_dict()
    with pytest.raises(KeyboardInterrupt):
        fit(model, x, y, 4, callbacks=[states])
    assert len(states.states) == epochs
    assert_same(model.state_dict(), [start, *states.states][-1])
    whole = with_layer(donating_backend, AtStep(0, None))
    fit(whole, x, y, 3)
    fit(model, x, y, 3 - epochs)
    assert_same(model.state_dict(), whole.state_dict())


def test_divergence_puts_the_last_epoch_back(backend, x, y):
    states, model = States(), network(backend, optimizer=Adam(lambda step: 0.05 if step < 7 else 1e38))
    with pytest.raises(TrainingError, match="epoch 3"):
        fit(model, x, y, 9, callbacks=[states])
    assert len(states.states) == 2
    assert_same(model.state_dict(), states.states[-1])
    assert all(np.isfinite(array).all() for array in model.state_dict().values())


def test_an_error_in_an_epoch_puts_the_last_one_back(backend, x, y):
    def stumble():
        raise RuntimeError("stumbled")

    states, model = States(), with_layer(backend, AtStep(5, stumble))
    with pytest.raises(RuntimeError, match="stumbled"):
        fit(model, x, y, 3, callbacks=[states])
    assert_same(model.state_dict(), states.states[0])


def test_an_error_in_a_candidate_leaves_nothing(backend, x, y):
    def stumble():
        raise RuntimeError("stumbled")

    model = with_layer(backend, AtStep(3, stumble), optimizer=RandomSearch(0.5))
    model.train_step(x, y)
    before = model.state_dict()
    with pytest.raises(RuntimeError, match="stumbled"):
        model.train_step(x, y)
    assert_same(model.state_dict(), before)


# -- as state


def test_names_and_first_values(backend):
    state = network(backend).state_dict()
    assert list(state)[:4] == ["0.scale", "0.offset", "0.running_mean", "0.running_var"]
    assert [key for key in state if key.startswith("2.")] == [
        f"2.0.{name}" for name in ("scale", "offset", "running_mean", "running_var")
    ]
    for name, value in (("scale", 1), ("offset", 0), ("running_mean", 0), ("running_var", 1)):
        np.testing.assert_array_equal(state[f"2.0.{name}"], [value] * 4)
    others = network(backend, layers=[LayerNorm(), RMSNorm(), Dense(3)]).state_dict()
    assert [key for key in others if key[0] in "01"] == ["0.scale", "0.offset", "1.scale"]


def test_only_parameters_have_gradients_and_counts(backend, x, y):
    model = network(backend)
    _, gradients = model.loss_and_gradients(x, y)
    assert gradients.keys() == {key for key in model.state_dict() if "running" not in key}
    counts = [row[3] for row in model.summary().rows]
    assert counts[:3] == [6, 16, 8]


def test_state_is_copied_out_and_in(donating_backend, x, y):
    first, second = network(donating_backend), network(donating_backend)
    fit(first, x, y, 1)
    state = first.state_dict()
    kept = {key: array.copy() for key, array in state.items()}
    second.load_state_dict(state)
    first.train_step(x, y)
    assert_same(state, kept)
    assert_same(second.state_dict(), kept)
    np.testing.assert_array_equal(
        donating_backend.to_numpy(second.layers[0].buffers()["running_mean"]), kept["0.running_mean"]
    )
    second.train_step(x, y)
    assert not np.array_equal(second.state_dict()["0.running_mean"], kept["0.running_mean"])


def test_training_resumes_bit_for_bit_from_a_file(backend, x, y, tmp_path):
    whole, half = network(backend), network(backend)
    fit(whole, x, y, 3)
    fit(half, x, y, 1)
    half.save(tmp_path / "m")
    back = nnxp.load(tmp_path / "m", backend=backend)
    assert_same(back.state_dict(), half.state_dict())
    np.testing.assert_array_equal(back.backend.to_numpy(back.predict(x)), backend.to_numpy(half.predict(x)))
    fit(back, x, y, 2)
    assert_same(back.state_dict(), whole.state_dict())


def test_moved_and_back_continues_bit_for_bit(backend, x, y):
    stayed, moved = network(backend), network(backend)
    for model in (stayed, moved):
        fit(model, x, y, 1)
    moved.to("array_api_strict" if backend.name == "numpy" else "numpy")
    assert_same(moved.state_dict(), stayed.state_dict())
    moved.to(backend)
    for model in (stayed, moved):
        fit(model, x, y, 1)
    assert_same(moved.state_dict(), stayed.state_dict())


def test_a_new_optimizer_keeps_it(backend, x, y):
    model = network(backend)
    model.train_step(x, y)
    before = statistics(model)
    model.optimizer = Adam()
    assert_same(statistics(model), before)


# -- a layer by itself


def alone(backend, layer=None, shape=(INPUTS,)):
    layer = layer or BatchNorm(momentum=0.75)
    layer.build(shape, backend)
    return layer


def test_alone_it_remembers_in_training_only(backend, x, features):
    layer, host = alone(backend), backend.to_numpy
    for count in (1, 2, 3):
        layer.forward(x, training=True)
        layer.backward(x)
        mean, variance = averages([features] * count, 0.75)
        for _ in range(2):
            y = layer.forward(x)
            layer.backward(x)
            np.testing.assert_allclose(host(layer.buffers()["running_mean"]), mean, rtol=1e-5)
            np.testing.assert_allclose(host(layer.buffers()["running_var"]), variance, rtol=1e-5)
            np.testing.assert_allclose(host(y), (features - mean) / np.sqrt(variance + 1e-5), rtol=1e-4, atol=1e-5)


def test_alone_and_in_a_model_are_one(backend, x, y):
    """The same chain, run by hand."""
    model = network(backend, layers=[Dense(4), BatchNorm(), Tanh(), Dense(3)])
    chain = Sequential([Dense(4), BatchNorm(), Tanh(), Dense(3)])
    chain.build((INPUTS,), backend)
    loss = model.loss
    for _ in range(2):
        value, gradients = model.loss_and_gradients(x, y)
        p = chain.forward(x, training=True)
        assert float(loss.value(p, y)) == pytest.approx(float(value), rel=1e-5)
        chain.backward(loss.gradient(p, y))
        assert_close({key: backend.to_numpy(a) for key, a in chain.gradients().items()}, gradients)
        model.engine.run(nnxp.training.engine.TRAIN, x, y)
        assert_close({key: backend.to_numpy(a) for key, a in chain.buffers().items()}, statistics(model))
        for key, leaf in chain.leaves():
            for name in leaf.parameters():
                setattr(leaf, name, model.state_dict()[f"{key}.{name}"])


def test_in_training_the_output_is_normal(backend, x):
    layer, host = alone(backend), backend.to_numpy
    y = host(layer.forward(x, training=True))
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(axis=0), 1, rtol=1e-3)
    layer.scale, layer.offset = [2.0, 3.0, 4.0], [1.0, 0.0, -1.0]
    np.testing.assert_allclose(host(layer.forward(x, training=True)), y * [2, 3, 4] + [1, 0, -1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 3)])
def test_rows_know_nothing_of_each_other(shape, training, backend, array):
    """LayerNorm and RMSNorm of one sample, of many, in training and outside, are one; and they remember nothing."""
    x = np.random.default_rng(9).standard_normal((4, *shape)) + 1
    for make in (LayerNorm, RMSNorm):
        layer = alone(backend, make(epsilon=1e-6), shape)
        y = backend.to_numpy(layer.forward(array(x), training=training))
        alike = [backend.to_numpy(layer.forward(array(x[i : i + 1]), training=not training)) for i in range(4)]
        np.testing.assert_allclose(y, np.concatenate(alike), rtol=1e-6)
        np.testing.assert_allclose((y**2).mean(axis=-1), 1, rtol=1e-3)
        if make is LayerNorm:
            np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-5)
        assert layer.buffers() == {}


def test_inputs_are_never_written(backend, x, features):
    for make in (BatchNorm, LayerNorm, RMSNorm):
        layer = alone(backend, make())
        layer.forward(x, training=True)
        layer.backward(x)
    np.testing.assert_array_equal(backend.to_numpy(x), features)


# -- arguments


@pytest.mark.parametrize("make", [BatchNorm, LayerNorm, RMSNorm])
@pytest.mark.parametrize("epsilon", [0, -1e-5, np.nan, np.inf, "1", None, True])
def test_epsilon_is_positive(make, epsilon):
    with pytest.raises(ConfigurationError, match=rf"^{make.__name__}: epsilon must be a positive number, got"):
        make(epsilon=epsilon)


@pytest.mark.parametrize("momentum", [1, 1.5, -0.1, np.nan, "0.9", None, True])
def test_momentum_is_a_share(momentum):
    with pytest.raises(ConfigurationError, match=r"^BatchNorm: momentum must be a number in \[0, 1\), got"):
        BatchNorm(momentum=momentum)


@pytest.mark.parametrize("make", [BatchNorm, LayerNorm, RMSNorm])
class TestShapes:
    def test_a_sample_has_an_axis(self, make, backend):
        with pytest.raises(
            ShapeError, match=rf"^{make.__name__}\(\) expected x of shape \(batch, …, features\), got \(batch\)"
        ):
            make().build((), backend)

    def test_features_are_those_of_the_build(self, make, backend, array):
        with pytest.raises(ShapeError, match=rf"^{make.__name__}\(\) expected x of shape \(batch, 3\), got \(2, 4\)"):
            alone(backend, make()).forward(array(np.ones((2, 4))))

    def test_unbuilt(self, make, array):
        with pytest.raises(NotBuiltError, match=rf"^{make.__name__}\(\) has no parameters yet"):
            make().forward(array(np.ones((2, 4))))
