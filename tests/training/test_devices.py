"""Models and arrays on several devices: what is moved, what is said of it, and what comes back where.

The strict namespace has devices to test on: a mixture of two raises in every op, as it does on GPUs.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import nnxp
from nnxp import schedules
from nnxp.backend import Backend
from nnxp.errors import TransferWarning
from nnxp.layers import BatchNorm, Dense, Dropout, ReLU, Softmax
from nnxp.losses import CategoricalCrossentropy
from nnxp.optimizers import SGD, Adam

strict = pytest.importorskip("array_api_strict")

X = np.random.default_rng(0).standard_normal((24, 5)).astype("float32")
Y = np.arange(24) % 3
WEIGHTS = np.linspace(0.5, 2, 24).astype("float32")
DEVICES = ["CPU_DEVICE", "device1", "device2"]


def on(device: str) -> Backend:
    return nnxp.get_backend("array_api_strict", device=strict.Device(device))


HOMES: dict[str, Callable[[], Backend]] = {
    "numpy": lambda: nnxp.get_backend("numpy", kernels="reference"),
    **{device: lambda device=device: on(device) for device in DEVICES},
}


def classifier(backend: Backend, **options: object) -> nnxp.Model:
    layers = [Dense(8, input_size=5), BatchNorm(), ReLU(), Dropout(0.3), Dense(3), Softmax()]
    optimizer = Adam(schedules.InverseTimeDecay(0.05, 0.1), ema=0.9)
    settings = {"optimizer": optimizer, "metrics": ["accuracy"], "seed": 5, **options}
    return nnxp.Model(layers, loss=CategoricalCrossentropy(), backend=backend, **settings)


def state_of(model: nnxp.Model) -> dict[str, object]:
    """All that training goes on from."""
    engine = model.engine
    slots = {f"{slot}/{key}": a for slot, arrays in engine.slot_state().items() for key, a in arrays.items()}
    numbers = (engine.step, engine.optimizer_start, engine.rate_factor, model.backend.rng.seed, engine.graph)
    return {**model.state_dict(), **slots, "numbers": np.array(numbers)}


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


class TestTo:
    @pytest.mark.parametrize(
        "way", [["device1"], ["device2", "device1"], ["CPU_DEVICE", "numpy"], ["numpy", "device2"]]
    )
    @pytest.mark.parametrize("start", HOMES)
    def test_training_goes_on_to_the_bit(self, start, way):
        """All of these compute with NumPy. Dropout, running means, Adam's slots, the rate, the average: all move."""
        moved, stayed = (classifier(HOMES[start]()) for _ in range(2))
        for model in (moved, stayed):
            model.fit(X, Y, epochs=2, batch_size=8, graph=False, progress="off")
            model.optimizer = Adam(schedules.InverseTimeDecay(0.05, 0.1), ema=0.9)  # which counts from here
            model.fit(X, Y, epochs=1, batch_size=8, graph=False, progress="off")
            model.learning_rate_factor = 0.25
        before = state_of(moved)
        for name in way:
            backend = HOMES[name]()
            assert moved.to(backend) is moved
            assert (moved.backend.xp, moved.backend.device) == (backend.xp, backend.device)
            assert_same(state_of(moved), before)
        assert moved.learning_rate == stayed.learning_rate
        for model in (moved, stayed):
            model.fit(X, Y, epochs=2, batch_size=8, sample_weight=WEIGHTS, graph=False, progress="off")
            model.train_step(X, Y)
        assert moved.history == stayed.history
        assert_same(state_of(moved), state_of(stayed))
        with moved.averaged(), stayed.averaged():
            assert_same(moved.state_dict(), stayed.state_dict())
        assert moved.evaluate(X, Y) == stayed.evaluate(X, Y)

    @pytest.mark.parametrize("name", ["numpy", "device1"])
    def test_there_and_back(self, name, backend):
        """From any backend, and back to it."""
        model = classifier(backend)
        model.fit(X, Y, epochs=2, batch_size=8, progress="off")
        before = state_of(model)
        model.to(HOMES[name]()).to(backend)
        assert_same(state_of(model), before)
        assert all(backend.owns(leaf) for layer in model.layers for leaf in layer.parameters().values())
        model.fit(X, Y, batch_size=8, progress="off")

    def test_what_lies_on_the_old_device_is_left_alone(self):
        """A batch that the model knew is one from another device now."""
        model = classifier(on("device1"))
        x, y = (model.backend.asarray(a) for a in (X, Y))
        for _ in range(2):
            model.train_step(x, y)
        model.to(on("device2"))
        for _ in range(2):
            assert model.train_step(x, y).device == strict.Device("device2")
        assert (x.device, y.device) == (strict.Device("device1"),) * 2

    def test_the_choice_of_a_graph_moves(self):
        model = classifier(on("device1"))
        model.fit(X, Y, graph=False, progress="off")
        assert model.to(on("device2")).engine.graph is False


GUESTS: dict[str, Callable[[np.ndarray], object]] = {
    "list": lambda a: a.tolist(),
    "numpy": lambda a: a,
    **{device: lambda a, device=device: strict.asarray(a, device=strict.Device(device)) for device in DEVICES},
}


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("home", HOMES)
class TestArraysFromElsewhere:
    """Each kind of array that a model takes, from each device, to each device: as if it had been there."""

    @pytest.fixture
    def pair(self, home):
        return tuple(classifier(HOMES[home]()) for _ in range(2))

    @pytest.fixture
    def move(self, guest):
        return GUESTS[guest]

    def test_predict(self, pair, move, guest):
        """The answer is where the question came from."""
        model, other = pair
        x = move(X)
        for size in (None, 7):
            found = model.predict(x, batch_size=size)
            assert isinstance(found, np.ndarray) == (guest in ("list", "numpy"))
            if guest in DEVICES:
                assert found.device == x.device == strict.Device(guest)
            np.testing.assert_array_equal(np.from_dlpack(found), other.backend.to_numpy(other.predict(X)))

    def test_evaluate(self, pair, move):
        model, other = pair
        for data in ((move(X), Y), (X, move(Y)), (move(X), move(Y))):
            assert model.evaluate(*data, batch_size=10) == other.evaluate(X, Y, batch_size=10)
        weighted = model.evaluate(X, Y, sample_weight=move(WEIGHTS))
        assert weighted == other.evaluate(X, Y, sample_weight=WEIGHTS)

    def test_fit(self, pair, move):
        """Features, targets, weights and validation data."""
        model, other = pair
        ours = (move(X), move(Y)), {"sample_weight": move(WEIGHTS), "validation_data": (move(X), Y, move(WEIGHTS))}
        theirs = (X, Y), {"sample_weight": WEIGHTS, "validation_data": (X, Y, WEIGHTS)}
        for each, (data, options) in ((model, ours), (other, theirs)):
            each.fit(*data, **options, epochs=2, batch_size=10, progress="off")
        assert model.history == other.history
        assert_same(state_of(model), state_of(other))

    def test_train_step(self, pair, move):
        model, other = pair
        for data in ((move(X), Y), (X, move(Y)), (move(X), move(Y))):
            for _ in range(2):
                loss = model.train_step(*data)
                assert loss.device == model.backend.device
                assert float(loss) == float(other.train_step(X, Y))
        model.train_step(X, Y, sample_weight=move(WEIGHTS))
        other.train_step(X, Y, sample_weight=WEIGHTS)
        assert_same(state_of(model), state_of(other))

    def test_loss_and_gradients(self, pair, move):
        model, other = pair
        loss, gradients = model.loss_and_gradients(move(X), move(Y), sample_weight=move(WEIGHTS))
        expected, theirs = other.loss_and_gradients(X, Y, sample_weight=WEIGHTS)
        assert float(loss) == float(expected)
        assert_same(gradients, theirs)

    def test_state(self, pair, move):
        model, other = pair
        other.train_step(X, Y)
        model.load_state_dict({key: move(array) for key, array in other.state_dict().items()})
        assert_same(model.state_dict(), other.state_dict())


def apart(backend: Backend) -> Backend:
    """The backend as one whose device has a memory of its own."""
    return replace(backend, adapter=replace(backend.adapter, apart=True))


CALLS: dict[str, Callable[[nnxp.Model, object, object], object]] = {
    "fit": lambda model, x, y: model.fit(x, y, batch_size=8, progress="off"),
    "train_step": lambda model, x, y: model.train_step(x, y),
    "evaluate": lambda model, x, y: model.evaluate(x, y),
    "predict": lambda model, x, y: model.predict(x),
    "loss_and_gradients": lambda model, x, y: model.loss_and_gradients(x, y),
}


@pytest.fixture
def loud():
    """Outside of this file the suite does not hear the warning: `pyproject.toml` says why."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", TransferWarning)
        yield


class TestTransferWarning:
    @pytest.mark.parametrize("call", CALLS)
    def test_once_a_model_with_the_line_to_type(self, call, loud):
        model = classifier(apart(on("device1")))
        with pytest.warns(TransferWarning) as caught:
            CALLS[call](model, X, Y)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        message = str(caught[0].message)
        assert message.startswith("x is on the host, and the model on array_api_strict.Device('device1')")
        assert message.endswith("Better move once what is used again: x = model.backend.asarray(x).")
        for again in CALLS.values():
            again(model, X, Y)

    def test_nothing_is_said_after_the_advice_is_taken(self, loud):
        model = classifier(apart(on("device1")))
        x, y = model.backend.asarray(X), model.backend.asarray(Y)
        for call in CALLS.values():
            call(model, x, y)

    @pytest.mark.parametrize(
        ("give", "match"),
        [
            (lambda model, x, y, w: model.fit(x, Y, progress="off"), "^y is on the host"),
            (lambda model, x, y, w: model.train_step(x, y, sample_weight=WEIGHTS), "^sample_weight is on the host"),
            (lambda model, x, y, w: model.fit(x, y, validation_data=(X, y), progress="off"), "^x is on the host"),
            (lambda model, x, y, w: model.fit(x, y, validation_data=(x, y, WEIGHTS), progress="off"), "^sample_weight"),
            (
                lambda model, x, y, w: model.predict(on("device2").asarray(X)),
                r"^x is on .*device2'\), and the model on",
            ),
        ],
    )
    def test_all_that_a_model_takes(self, give, match, loud):
        model = classifier(apart(on("device1")))
        asarray = model.backend.asarray
        with pytest.warns(TransferWarning, match=match) as caught:
            give(model, asarray(X), asarray(Y), asarray(WEIGHTS))
        assert len(caught) == 1

    def test_lists_and_numbers_may_travel(self, loud):
        model = classifier(apart(on("device1")))
        for call in CALLS.values():
            call(model, X.tolist(), Y.tolist())

    def test_where_host_memory_is_the_devices_own(self, backend, loud):
        """NumPy, the strict namespace, and torch and JAX on a CPU: a transfer costs next to nothing."""
        if backend.adapter.apart:
            pytest.skip("this is a device")
        model = classifier(backend)
        for call in CALLS.values():
            call(model, X, Y)

    def test_a_moved_model_says_it_again_only_where_it_matters(self, loud):
        model = classifier(on("device1"))
        model.train_step(X, Y)
        model.to(apart(on("device2")))
        with pytest.warns(TransferWarning):
            model.train_step(X, Y)
        model.train_step(X, Y)

    def test_refused_data_was_moved_all_the_same(self, loud):
        model = nnxp.Model(
            [Dense(3), Softmax()], loss=CategoricalCrossentropy(), optimizer=SGD(), backend=apart(on("device1"))
        )
        with pytest.warns(TransferWarning), pytest.raises(nnxp.errors.DataError):
            model.fit(np.full((4, 2), np.nan, "float32"), np.zeros(4, int), progress="off")
