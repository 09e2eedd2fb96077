"""The loop: batches and their order, what history says, and what is left of a training that did not end well."""

import os
import signal
import sys
import threading
from itertools import chain

import numpy as np
import pytest

import nnxp
from nnxp.callbacks import Callback
from nnxp.errors import ConfigurationError, NnxpError, TrainingError
from nnxp.layers import Dense, Dropout, Layer, Linear, Softmax, Tanh
from nnxp.losses import BinaryCrossentropy, CategoricalCrossentropy, MeanSquaredError
from nnxp.metrics import BinaryAccuracy
from nnxp.optimizers import SGD, Adam
from nnxp.regularizers import L1, L2
from nnxp.schedules import InverseTimeDecay

ROWS, BATCH, INPUTS = 10, 4, 3
PARTS = [slice(0, 4), slice(4, 8), slice(8, 10)]
"""Batches of four out of ten rows: the last one is ragged."""

STILL = SGD(1e-30)
"""An optimizer whose updates are lost to rounding."""


@pytest.fixture
def x(array, random):
    return array(random.normal(size=(ROWS, INPUTS)))


@pytest.fixture
def y(array, random):
    return array(random.normal(size=(ROWS, 3)) + 1)


class Mean(Layer):
    """Takes off a running mean, which it remembers; and does ``at_call`` in the training forward of that number."""

    def __init__(self, at_call=None):
        self.at_call = at_call or {}
        self.forwards = self.backwards = 0

    def build(self, input_shape, backend):
        self.xp = backend.xp
        self.mean = backend.zeros(input_shape[0])
        return input_shape

    def forward(self, x, *, training=False):
        if training:
            self.forwards += 1
            self.at_call.get(self.forwards, lambda: None)()
            self.mean = 0.5 * self.mean + 0.5 * self.xp.mean(x, axis=0)
        return x - self.mean

    def backward(self, dy):
        self.backwards += 1
        return dy

    def buffers(self):
        return {"mean": self.mean}


def network(backend, *, optimizer=None, layer=None, **options):
    """Everything that has a state: parameters, slots, a schedule, masks, and a layer that remembers."""
    layers = [Dense(4, weight_regularizer=L2(0.02)), layer or Mean(), Tanh(), Dropout(0.3), Dense(3)]
    optimizer = optimizer or Adam(InverseTimeDecay(0.05, 0.1))
    return nnxp.Model(layers, loss=MeanSquaredError(), optimizer=optimizer, backend=backend, **options)


def fit(model, x, y, epochs, **options):
    return model.fit(x, y, epochs=epochs, **{"batch_size": BATCH, "progress": "off"} | options)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


class States(Callback):
    """Keeps the state and the number of updates after each epoch."""

    def __init__(self):
        self.states, self.steps = [], []

    def on_epoch_end(self, model, epoch, logs):
        self.states.append(model.state_dict())
        self.steps.append(model.step)


# -- history


def test_history_has_one_python_float_an_epoch(backend, x, y):
    model = network(backend, metrics=["accuracy"])
    history = fit(model, x, y, 3, validation_data=(x, y))
    names = {"loss", "data_loss", "accuracy"}
    assert history.keys() == names | {"val_" + name for name in names}
    for values in history.values():
        assert len(values) == 3
        assert {type(value) for value in values} == {float}
    assert history is model.history
    assert fit(model, x, y, 1).keys() == names
    assert model.history.epochs == 1


def test_one_batch_is_taken_in_the_given_order(backend, x, y):
    fitted, stepped = network(backend), network(backend)
    history = fit(fitted, x, y, 3, batch_size=None)
    losses = [float(stepped.train_step(x, y)) for _ in range(3)]
    assert history["loss"] == losses
    assert_same(fitted.state_dict(), stepped.state_dict())  # Dropout tells rows apart by their place


def test_history_weighs_batches_by_their_samples(backend, x, y):
    fitted, stepped = network(backend), network(backend)
    history = fit(fitted, x, y, 2, shuffle=False)
    for epoch in range(2):
        losses = [float(stepped.train_step(x[part, ...], y[part, ...])) for part in PARTS]
        expected = (4 * losses[0] + 4 * losses[1] + 2 * losses[2]) / 10
        np.testing.assert_allclose(history["loss"][epoch], expected, rtol=1e-12)
    assert_same(fitted.state_dict(), stepped.state_dict())


def penalized(backend, reduction):
    model = nnxp.Model(
        [Dense(3, weight_regularizer=L2(0.3), bias_regularizer=L1(0.2))],
        loss=MeanSquaredError(reduction=reduction),
        optimizer=STILL,
        backend=backend,
    )
    model.build((INPUTS,))
    model.load_state_dict({"0.weights": np.eye(3), "0.biases": [1, -2, 3]})
    return model


@pytest.mark.parametrize(("reduction", "batches"), [("mean", 1), ("sum", 3)])
def test_the_penalty_enters_once_per_batch(backend, x, y, reduction, batches):
    history = fit(penalized(backend, reduction), x, y, 2)
    y_pred = backend.to_numpy(x) + np.array([1, -2, 3])
    squares = (y_pred - backend.to_numpy(y)) ** 2
    data_loss = squares.sum() if reduction == "sum" else squares.mean()
    penalty = 0.3 * 3 + 0.2 * 6
    # 1e-6: sums of a dozen float32 numbers
    np.testing.assert_allclose(history["data_loss"], [data_loss] * 2, rtol=1e-6)
    np.testing.assert_allclose(history["loss"], [data_loss + batches * penalty] * 2, rtol=1e-6)


# -- metrics


def without_parameters(layers, loss, backend, metrics=("accuracy",)):
    return nnxp.Model(layers, loss=loss, optimizer=SGD(), metrics=list(metrics), backend=backend)


def test_accuracy_merges_counts(backend, array):
    # Right are 1 of 4, 1 of 4 and 2 of 2: 0.4 of all, and half on the average of the batches.
    labels = np.array([0, 1, 1, 1, 0, 1, 1, 1, 0, 0])
    x = array(np.tile([1.0, 0.0, 0.0], (ROWS, 1)))
    model = without_parameters([Softmax()], CategoricalCrossentropy(), backend)
    history = fit(model, x, array(labels), 1, shuffle=False, validation_data=(x, array(labels)))
    assert history["accuracy"] == history["val_accuracy"] == [0.4]


def test_binary_accuracy_counts_outputs(backend, array):
    x = np.tile([0.9, 0.1], (ROWS, 1))
    y = np.tile([1, 1], (ROWS, 1))
    y[8:, 1] = 0
    for metric, share in (("accuracy", 0.6), (BinaryAccuracy(0.05), 0.9), (BinaryAccuracy(0.95), 0.1)):
        model = without_parameters([Linear()], BinaryCrossentropy(), backend, [metric])
        assert fit(model, array(x), array(y), 1)["accuracy"] == [share]


def test_regression_accuracy_measures_by_the_training_data(backend, array):
    y = np.linspace(-3, 3, ROWS)[:, None]
    tolerance = y.std() / 250
    x = y + tolerance * np.where(np.arange(ROWS) < 7, 0.9, 1.1)[:, None]
    # These targets spread a hundredth of the others: by their own measure, nothing here would be right.
    y_val = np.linspace(-0.03, 0.03, 6)[:, None]
    x_val = y_val + 0.9 * tolerance
    model = without_parameters([Linear()], MeanSquaredError(), backend)
    history = fit(model, array(x), array(y), 1, validation_data=(array(x_val), array(y_val)))
    assert history["accuracy"] == [0.7]
    assert history["val_accuracy"] == [1.0]
    assert model.evaluate(array(x_val), array(y_val))["accuracy"] == 1.0


def test_each_training_measures_by_its_own_data(backend, array):
    model = without_parameters([Linear()], MeanSquaredError(), backend)
    for spread in (3.0, 0.03):
        y = np.linspace(-spread, spread, ROWS)[:, None]
        x = y + y.std() / 250 * np.where(np.arange(ROWS) < 7, 0.9, 1.1)[:, None]
        # The second time, an error of a tolerance of the first would be right for all.
        assert fit(model, array(x), array(y), 1)["accuracy"] == [0.7]


# -- order


class Recorder(Layer):
    """Notes the first feature of the rows that it is trained on."""

    def __init__(self):
        self.batches = []

    def build(self, input_shape, backend):
        self.to_numpy = backend.to_numpy
        return input_shape

    def forward(self, x, *, training=False):
        if training:
            self.batches.append(self.to_numpy(x)[:, 0].astype(int).tolist())
        return x

    def backward(self, dy):
        return dy


def batches_of(backend, epochs, *, seed=None, fits=1, **options):
    """The rows of each batch, epoch by epoch; the model's loss is zero as long as targets go with their rows."""
    recorder = Recorder()
    layers = [Linear(), recorder]
    model = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD(), backend=backend, seed=seed)
    rows = np.arange(ROWS, dtype=float)[:, None] * [[1, 2]]
    x, y = model.backend.asarray(rows), model.backend.asarray(rows.copy())
    for _ in range(fits):
        history = fit(model, x, y, epochs, **options)
        assert history["loss"] == [0.0] * epochs
    return [recorder.batches[i : i + 3] for i in range(0, len(recorder.batches), 3)]


def test_rows_not_batches_are_shuffled_anew_each_epoch(backend):
    epochs = batches_of(backend, 4)
    assert [[len(batch) for batch in batches] for batches in epochs] == [[4, 4, 2]] * 4
    orders = [list(chain(*batches)) for batches in epochs]
    assert all(sorted(order) == list(range(ROWS)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    together = {frozenset(batch) for batches in epochs for batch in batches}
    assert len(together) > 6  # three sets of rows for ever would be shuffled batches


def test_the_order_is_a_function_of_the_seed_on_every_backend(backend):
    order = batches_of(backend, 3, seed=5)
    assert order == batches_of(backend, 3, seed=5) == batches_of("numpy", 3, seed=5)
    assert order != batches_of(backend, 3, seed=6)


def test_the_order_goes_on_in_the_next_fit(backend):
    assert batches_of(backend, 2, fits=2) == batches_of(backend, 4)


def test_without_shuffle_rows_keep_their_order(backend):
    assert batches_of(backend, 2, shuffle=False) == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]] * 2


def test_two_fits_of_one_epoch_are_one_of_two(backend, x, y):
    once, twice = network(backend), network(backend)
    whole = fit(once, x, y, 2)
    halves = [fit(twice, x, y, 1) for _ in range(2)]
    for name, values in whole.items():
        assert values == [half[name][0] for half in halves]
    assert_same(once.state_dict(), twice.state_dict())
    assert once.step == twice.step == 6


def test_host_data_trains_like_data_on_the_device(backend, x, y):
    first, second = network(backend), network(backend)
    host = fit(first, backend.to_numpy(x).astype(np.float64), backend.to_numpy(y).tolist(), 2)
    assert host == fit(second, x, y, 2)
    assert_same(first.state_dict(), second.state_dict())


# -- validation and callbacks


def test_validation_is_the_evaluation_after_the_epoch(backend, x, y):
    rows = []

    class Evaluate(Callback):
        def on_epoch_end(self, model, epoch, logs):
            rows.append(model.evaluate(x[:6, ...], y[:6, ...], batch_size=BATCH))

    watched, alone = network(backend, metrics=["accuracy"]), network(backend)
    history = fit(watched, x, y, 2, validation_data=(x[:6, ...], y[:6, ...]), callbacks=[Evaluate()])
    for name in ("loss", "data_loss", "accuracy"):
        assert history["val_" + name] == [row[name] for row in rows]
    fit(alone, x, y, 2)
    assert_same(watched.state_dict(), alone.state_dict())


class Events(Callback):
    def __init__(self, name, events):
        self.name, self.events = name, events

    def on_train_begin(self, model):
        self.events.append((self.name, "begin", model))

    def on_epoch_end(self, model, epoch, logs):
        self.events.append((self.name, epoch, dict(logs)))

    def on_train_end(self, model):
        self.events.append((self.name, "end", model))


def test_callbacks_run_in_order(backend, x, y):
    events = []
    model = network(backend)
    history = fit(model, x, y, 2, callbacks=[Events("a", events), Events("b", events)], validation_data=(x, y))
    rows = [{name: values[epoch] for name, values in history.items()} for epoch in range(2)]
    assert "val_loss" in rows[0]
    expected = [(name, what, with_) for what, with_ in (("begin", model), (0, rows[0])) for name in "ab"]
    expected += [(name, what, with_) for what, with_ in ((1, rows[1]), ("end", model)) for name in "ab"]
    assert events == expected


def test_a_callback_stops_training_after_the_epoch(backend, x, y):
    class Stop(Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.stop_training = epoch == 1

    events = []
    model = network(backend)
    history = fit(model, x, y, 5, callbacks=[Stop(), Events("a", events)])
    assert history.epochs == 2
    assert [event[1] for event in events] == ["begin", 0, 1, "end"]
    assert fit(model, x, y, 3).epochs == 3


def test_a_callback_may_change_the_optimizer(backend, x, y):
    class Change(Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.optimizer = SGD(0.01, momentum=0.9)

    by_callback, by_hand = network(backend), network(backend)
    fit(by_callback, x, y, 2, callbacks=[Change()])
    fit(by_hand, x, y, 1)
    by_hand.optimizer = SGD(0.01, momentum=0.9)
    fit(by_hand, x, y, 1)
    assert_same(by_callback.state_dict(), by_hand.state_dict())


@pytest.mark.parametrize("optimizer", [Adam(0.02), SGD(0.01, momentum=0.9)])
def test_a_changed_optimizer_survives_ctrl_c(backend, x, y, optimizer):
    class Change(Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.optimizer = optimizer

    interrupted, by_hand = network(backend, layer=Mean({5: press})), network(backend)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, x, y, 2, callbacks=[Change()])
    fit(by_hand, x, y, 1)
    assert_same(interrupted.state_dict(), by_hand.state_dict())
    by_hand.optimizer = optimizer
    for model in (interrupted, by_hand):
        fit(model, x, y, 1)
    assert_same(interrupted.state_dict(), by_hand.state_dict())


class Stumble(Exception):
    pass


def test_an_error_in_a_callback_keeps_the_finished_epochs(backend, x, y):
    class Raise(Callback):
        def on_epoch_end(self, model, epoch, logs):
            if epoch == 1:
                raise Stumble

    states, events = States(), []
    model = network(backend)
    with pytest.raises(Stumble):
        fit(model, x, y, 4, callbacks=[states, Raise(), Events("a", events)])
    assert_same(model.state_dict(), states.states[1])
    assert model.history.epochs == 2
    assert events[-1][1] == 0  # neither the second epoch nor the end was heard of


# -- divergence


def test_divergence_puts_the_last_finished_epoch_back(backend, x, y):
    # Three batches an epoch: the eighth update, in the third epoch, is the first senseless one.
    optimizer = Adam(lambda step: 0.05 if step < 7 else 1e38)
    states, model = States(), network(backend, optimizer=optimizer)
    with pytest.raises(TrainingError, match=r"epoch 3: .*as it was after epoch 2\. Lower the learning rate .*clip"):
        fit(model, x, y, 9, callbacks=[states])
    assert_same(model.state_dict(), states.states[-1])
    assert all(np.isfinite(array).all() for array in model.state_dict().values())
    assert model.step == states.steps[-1] == 6
    assert [len(values) for values in model.history.values()] == [2, 2]
    # What the optimizer remembers is back, too: the next update is the one that the third epoch began with.
    twin = network(backend, optimizer=optimizer)
    fit(twin, x, y, 2)
    for fitted in (model, twin):
        fitted.train_step(x, y)
    assert_same(model.state_dict(), twin.state_dict())


def test_divergence_in_the_first_epoch_puts_the_start_back(backend, x, y):
    model = network(backend, optimizer=SGD(1e38))
    model.build((INPUTS,))
    before = model.state_dict()
    with pytest.raises(TrainingError, match=r"epoch 1: .*as it was before training.*learning rate \(now 1e\+38\)"):
        fit(model, x, y, 2)
    assert_same(model.state_dict(), before)
    assert (model.step, model.history.epochs) == (0, 0)


def test_an_infinite_loss_is_divergence(backend, x, y):
    # 10³⁰ is a number, and its square is none in float32.
    model = nnxp.Model([Dense(3)], loss=MeanSquaredError(), optimizer=STILL, backend=backend)
    model.build((INPUTS,))
    before = model.state_dict()
    with pytest.raises(TrainingError, match=r"the loss is inf.*scale the inputs") as caught:
        fit(model, x * 1e30, y, 1, batch_size=None)
    assert isinstance(caught.value, ArithmeticError)
    assert isinstance(caught.value, NnxpError)
    assert_same(model.state_dict(), before)


def test_infinite_parameters_are_divergence(backend, x, y):
    # One batch: its loss is from before the update, so only the parameters can tell.
    model = nnxp.Model([Dense(3)], loss=MeanSquaredError(), optimizer=SGD(1e38), backend=backend)
    model.build((INPUTS,))
    before = model.state_dict()
    with pytest.raises(TrainingError, match=r"epoch 1: a parameter is not a finite number.*before training"):
        fit(model, x * 1000, y, 1, batch_size=None)
    assert_same(model.state_dict(), before)


# -- Ctrl-C


def press():
    """A real Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def handler():
    """Whatever happens in a test, the handler before it is the one after it."""
    before = signal.getsignal(signal.SIGINT)
    yield before
    after = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert after is before


def test_ctrl_c_ends_the_step_and_puts_the_last_epoch_back(backend, x, y):
    layer, states = Mean({5: press}), States()
    model = network(backend, layer=layer)
    with pytest.raises(KeyboardInterrupt):
        fit(model, x, y, 3, callbacks=[states])
    assert layer.forwards == layer.backwards == 5
    assert_same(model.state_dict(), states.states[0])
    assert model.step == 3
    assert [len(values) for values in model.history.values()] == [1, 1]


def test_training_goes_on_after_ctrl_c_as_if_nothing_had_been(backend, x, y):
    interrupted, whole = network(backend, layer=Mean({5: press})), network(backend)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, x, y, 3)
    history = fit(interrupted, x, y, 2)
    expected = fit(whole, x, y, 3)
    assert history["loss"] == expected["loss"][1:]
    assert_same(interrupted.state_dict(), whole.state_dict())


def test_ctrl_c_in_the_first_epoch_puts_the_start_back(backend, x, y):
    model = network(backend, layer=Mean({1: press}))
    model.build((INPUTS,))
    before = model.state_dict()
    with pytest.raises(KeyboardInterrupt):
        fit(model, x, y, 3)
    assert_same(model.state_dict(), before)
    assert (model.step, model.history.epochs) == (0, 0)


@pytest.mark.parametrize("epoch", [0, 1])
def test_ctrl_c_in_a_callback_keeps_the_epoch(backend, x, y, epoch):
    class Press(Callback):
        def on_epoch_end(self, model, at, logs):
            if at == epoch:
                press()

    states, model = States(), network(backend)
    with pytest.raises(KeyboardInterrupt):
        fit(model, x, y, 4, callbacks=[Press(), states])  # the callbacks after it still hear of the epoch
    assert len(states.states) == model.history.epochs == epoch + 1
    assert_same(model.state_dict(), states.states[epoch])


def test_a_second_ctrl_c_does_not_wait_for_the_step(backend, x, y):
    layer, states = Mean({5: lambda: [press(), press()]}), States()
    model = network(backend, layer=layer)
    with pytest.raises(KeyboardInterrupt):
        fit(model, x, y, 3, callbacks=[states])
    assert (layer.forwards, layer.backwards) == (5, 4)
    assert_same(model.state_dict(), states.states[0])


def test_a_handler_of_the_users_own_stays(x, y, handler):
    pressed = []

    def own(number, frame):
        pressed.append(number)

    signal.signal(signal.SIGINT, own)
    try:
        model = network("numpy", layer=Mean({2: press}))
        assert fit(model, np.ones((ROWS, INPUTS)), np.ones((ROWS, 3)), 2).epochs == 2
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, handler)
    assert pressed == [signal.SIGINT]


def test_ctrl_c_works_again_after_training():
    fit(network("numpy"), np.ones((ROWS, INPUTS)), np.ones((ROWS, 3)), 1)
    with pytest.raises(KeyboardInterrupt):
        press()


def test_a_thread_trains_the_same(backend, x, y):
    here, there = network(backend), network(backend)
    expected = fit(here, x, y, 2)
    histories = []
    thread = threading.Thread(target=lambda: histories.append(fit(there, x, y, 2)))
    thread.start()
    thread.join(60)
    assert histories == [expected]
    assert_same(here.state_dict(), there.state_dict())


# -- progress


def show(epochs, capsys, **options):
    """What a training prints on standard error; nothing goes to standard output."""
    model = without_parameters([Linear()], MeanSquaredError(), "numpy")
    x = np.arange(ROWS, dtype=np.float32)[:, None]
    fit(model, x, x, epochs, validation_data=(x, x), **options)
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_off_prints_nothing(capsys):
    assert show(3, capsys, progress="off") == ""


@pytest.mark.parametrize("epochs", [10, 19, 30, 99, 1000])
@pytest.mark.parametrize("progress", ["lines", "auto"])
def test_about_ten_lines_are_printed(capsys, epochs, progress):
    lines = show(epochs, capsys, progress=progress).splitlines()
    assert 8 <= len(lines) <= 13
    assert f" 1/{epochs} " in lines[0]
    assert f" {epochs}/{epochs} " in lines[-1]
    for line in lines:
        assert "loss 0.0000" in line
        assert "accuracy 1.0000" in line
        assert "val_loss 0.0000" in line


def test_a_short_training_prints_each_epoch(capsys):
    assert len(show(3, capsys, progress="lines").splitlines()) == 3


def test_a_bar_is_drawn(capsys):
    bar = show(3, capsys, progress="bar")
    for part in ("\r", "█", "epoch 3/3", "loss 0.0000"):
        assert part in bar


def test_a_bar_is_drawn_in_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert "█" in show(3, capsys, progress="auto")


@pytest.mark.parametrize("progress", ["fancy", None, True])
def test_an_unknown_progress_is_refused(backend, x, y, progress):
    model = network(backend)
    model.build((INPUTS,))
    before = model.state_dict()
    with pytest.raises(
        ConfigurationError, match=f"progress must be one of 'auto', 'bar', 'lines', 'off', got {progress!r}"
    ):
        fit(model, x, y, 1, progress=progress)
    assert_same(model.state_dict(), before)
