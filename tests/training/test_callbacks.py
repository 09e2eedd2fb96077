"""Callbacks that watch a number: by hand on made-up logs, and in training."""

from typing import Any

import numpy as np
import pytest

import nnxp
from nnxp.callbacks import EarlyStopping, ReduceOnPlateau
from nnxp.errors import ConfigurationError
from nnxp.layers import Dense
from nnxp.losses import MeanSquaredError
from nnxp.optimizers import SGD, Adam, RandomSearch
from nnxp.schedules import InverseTimeDecay


def build(optimizer: Any = None, backend: Any = "numpy") -> nnxp.Model:
    layers = [Dense(4), Dense(1)]
    model = nnxp.Model(layers, loss=MeanSquaredError(), optimizer=optimizer or SGD(0.1), backend=backend)
    model.build((3,))
    return model


def batch(backend: Any = None) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    x, y = random.standard_normal((20, 3)).astype("float32"), random.standard_normal((20, 1)).astype("float32")
    return (x, y) if backend is None else (backend.asarray(x), backend.asarray(y))


def watch(callback: Any, values: list[float], model: nnxp.Model | None = None) -> list[float]:
    """The learning rate after each epoch whose "loss" is the next of these values."""
    model = model or build()
    rates = []
    callback.on_train_begin(model)
    for epoch, value in enumerate(values):
        callback.on_epoch_end(model, epoch, {"loss": value})
        rates.append(model.learning_rate)
        if model.stop_training:
            break
    return rates


@pytest.mark.parametrize(
    ("options", "values", "expected"),
    [
        ({"patience": 1}, [5, 4, 4, 4, 3, 3, 3], [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025]),
        ({"patience": 0}, [5, 5, 5], [0.1, 0.05, 0.025]),
        # better by less than the least difference is no better, and the best stays what it was
        ({"patience": 1, "minimum_delta": 0.5}, [5, 4.6, 4.4, 4.2], [0.1, 0.1, 0.1, 0.1]),
        ({"patience": 0, "minimum_delta": 0.5}, [5, 4.6, 4.4], [0.1, 0.05, 0.05]),
        ({"patience": 0, "mode": "max"}, [5, 6, 6, 7, 5], [0.1, 0.1, 0.05, 0.05, 0.025]),
        # two epochs of rest after the first reduction
        ({"patience": 0, "cooldown": 2}, [5, 5, 5, 5, 5, 5], [0.1, 0.05, 0.05, 0.05, 0.025, 0.025]),
        ({"patience": 0, "minimum_rate": 0.04}, [5, 5, 5], [0.1, 0.05, 0.04]),
        ({"patience": 0, "minimum_rate": 0.5}, [5, 5, 5], [0.1, 0.1, 0.1]),
        ({"patience": 0}, [np.nan, np.nan, 5, 5], [0.05, 0.025, 0.025, 0.0125]),
    ],
)
def test_reductions_by_hand(options, values, expected):
    assert watch(ReduceOnPlateau("loss", factor=0.5, **options), values) == pytest.approx(expected)


def test_a_schedule_goes_on_under_a_reduction(backend):
    model, decay = build(SGD(InverseTimeDecay(0.1, 0.5)), backend), InverseTimeDecay(0.1, 0.5)
    model.train_step(*batch(backend))
    watch(ReduceOnPlateau("loss", patience=0), [1.0, 1.0], model)
    assert model.learning_rate_factor == pytest.approx(0.1)
    model.train_step(*batch(backend))
    assert model.learning_rate == pytest.approx(0.1 * decay(2))


def test_each_training_watches_anew():
    callback = ReduceOnPlateau("loss", factor=0.5, patience=0, cooldown=5)
    assert watch(callback, [5, 5, 5]) == pytest.approx([0.1, 0.05, 0.05])
    assert watch(callback, [6, 6]) == pytest.approx([0.1, 0.05])


def test_a_plateau_in_training(backend):
    """Of the validation's loss, which here grows from the start: the rate shrinks after each epoch but the first."""
    x, y = batch(backend)
    model = build(SGD(0.01), backend)
    callback = ReduceOnPlateau(factor=0.5, patience=0)
    history = model.fit(x, y, epochs=4, validation_data=(x, y + 1e3 * y), callbacks=[callback], progress="off")
    worse = sum(b >= min(history["val_loss"][: i + 1]) - 1e-4 for i, b in enumerate(history["val_loss"][1:]))
    assert model.learning_rate == pytest.approx(0.01 * 0.5**worse)


def test_stopping_by_hand():
    for options, values, epochs in (
        ({"patience": 2}, [5, 4, 4, 4, 3], 4),
        ({"patience": 1}, [5, 4, 3, 2, 2, 1], 5),
        ({"patience": 1, "minimum_delta": 1.0}, [5, 4.5, 3], 2),
        ({"patience": 2, "mode": "max"}, [1, 2, 3, 2, 2, 9], 5),
        ({"patience": 1}, [np.nan, 5], 1),
        ({"patience": 9}, [5, 5, 5], 3),
    ):
        model = build()
        assert len(watch(EarlyStopping("loss", **options), values, model)) == epochs
        assert model.stop_training is (epochs < len(values))


@pytest.mark.parametrize("restore_best", [True, False])
def test_the_best_epoch_comes_back(restore_best, backend):
    """Parameters, moments and the number of updates, as after the best epoch; too large a rate made it worse."""
    x, y = batch(backend)
    model, twin = build(Adam(3.0), backend), build(Adam(3.0), backend)
    stop = EarlyStopping("loss", patience=3, restore_best=restore_best)
    history = model.fit(x, y, epochs=50, callbacks=[stop], progress="off")
    best = int(np.argmin(history["loss"]))
    assert history.epochs == best + 4 < 50
    twin.fit(x, y, epochs=best + 1 if restore_best else history.epochs, progress="off")
    assert model.step == twin.step
    for found, expected in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert float(model.train_step(x, y)) == float(twin.train_step(x, y))


def test_the_best_epoch_comes_back_without_a_stop():
    x, y = batch()
    model, twin = build(Adam(3.0)), build(Adam(3.0))
    history = model.fit(x, y, epochs=3, callbacks=[EarlyStopping("loss", patience=50)], progress="off")
    twin.fit(x, y, epochs=int(np.argmin(history["loss"])) + 1, progress="off")
    assert (model.step, history.epochs) == (twin.step, 3)


@pytest.mark.parametrize("make", [ReduceOnPlateau, EarlyStopping])
def test_a_number_that_is_not_logged(make):
    model = build()
    text = rf"{make.__name__}: there is no 'val_loss' to monitor; the epoch logged loss, data_loss\. Names with val_"
    with pytest.raises(ConfigurationError, match=text):
        model.fit(*batch(), callbacks=[make()], progress="off")


def test_no_rate_to_lower():
    with pytest.raises(ConfigurationError, match="ReduceOnPlateau: RandomSearch has no learning rate"):
        build(RandomSearch()).fit(*batch(), callbacks=[ReduceOnPlateau("loss")], progress="off")


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (ReduceOnPlateau, {"factor": 1.0}, r"ReduceOnPlateau: factor must be below 1, .* got 1\.0"),
        (ReduceOnPlateau, {"factor": 0}, "ReduceOnPlateau: factor must be a positive number, got 0"),
        (ReduceOnPlateau, {"patience": -1}, "ReduceOnPlateau: patience must be a whole number of at least 0, got -1"),
        (ReduceOnPlateau, {"cooldown": 0.5}, "ReduceOnPlateau: cooldown must be a whole number"),
        (ReduceOnPlateau, {"minimum_rate": -1}, "ReduceOnPlateau: minimum_rate must be a number of at least 0, got -1"),
        (ReduceOnPlateau, {"minimum_delta": -1}, "ReduceOnPlateau: minimum_delta must be a number of at least 0"),
        (ReduceOnPlateau, {"mode": "auto"}, "ReduceOnPlateau: mode must be one of 'min', 'max', got 'auto'"),
        (EarlyStopping, {"patience": 0}, "EarlyStopping: patience must be a whole number of at least 1, got 0"),
        (EarlyStopping, {"minimum_delta": np.nan}, "EarlyStopping: minimum_delta must be a number of at least 0"),
        (EarlyStopping, {"mode": None}, "EarlyStopping: mode must be one of 'min', 'max', got None"),
    ],
)
def test_options(make, options, message):
    with pytest.raises(ConfigurationError, match=message):
        make("loss", **options)
