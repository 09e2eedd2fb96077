"""Embeddings: rows of a table by integer features, from the door to the gradient of each row."""

import re
import warnings

import numpy as np
import pytest

import nnxp
from nnxp.data import Scaling
from nnxp.errors import (
    ConfigurationError,
    ConversionWarning,
    DataError,
    DtypeError,
    NnxpError,
    NotBuiltError,
    ShapeError,
)
from nnxp.initializers import Constant, Normal
from nnxp.layers import Dense, Embedding, Flatten, Layer, LayerNorm, Linear, Sequential, Softmax, Tanh
from nnxp.layers._base import join
from nnxp.losses import CategoricalCrossentropy, MeanSquaredError
from nnxp.ops.record import record
from nnxp.optimizers import SGD, Adam, RandomSearch

V, D, ROWS, WORDS = 5, 3, 6, 4
X = np.array([[0, 4, 4, 1], [2, 2, 2, 2], [1, 0, 4, 3], [3, 3, 0, 1], [4, 4, 4, 0], [1, 2, 0, 4]])
LABELS = np.array([0, 2, 1, 1, 0, 2])
TABLE = np.random.default_rng(0).standard_normal((V, D))


def classifier(backend, *, embedding=None, **options):
    layers = [embedding or Embedding(V, D), Flatten(), Dense(3), Softmax()]
    options = {"optimizer": Adam(0.05), "metrics": ["accuracy"]} | options
    return nnxp.Model(layers, loss=CategoricalCrossentropy(), backend=backend, **options)


def table(backend, layers=None, shape=(WORDS,), **options):
    """A network that is the table alone."""
    layers = layers or [Embedding(V, D)]
    model = nnxp.Model(layers, loss=MeanSquaredError(reduction="sum"), optimizer=SGD(0.5), backend=backend, **options)
    model.build(shape)
    return model


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


# -- forward


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integers_of_every_type(dtype, backend):
    """From the host; and no warning of a conversion, which there is none of."""
    model = table(backend)
    model.load_state_dict({"0.weights": TABLE})
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConversionWarning)
        for x in (X.astype(dtype), X.astype(dtype)[:, ::-1]):
            found = model.predict(x)
            assert (type(found), found.dtype) == (np.ndarray, np.float32)
            np.testing.assert_array_equal(found, TABLE.astype("float32")[x.astype(int)])


def test_integers_where_the_model_lives(backend, array):
    model = table(backend)
    model.load_state_dict({"0.weights": TABLE})
    found = model.predict(array(X))
    assert backend.owns(found)
    assert found.dtype == backend.dtype
    np.testing.assert_array_equal(backend.to_numpy(found), TABLE.astype("float32")[X])


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_samples_of_any_shape(shape, backend, array):
    """One index a sample, too."""
    x = np.random.default_rng(1).integers(0, V, (ROWS, *shape))
    model = table(backend, shape=shape)
    model.load_state_dict({"0.weights": TABLE})
    assert model.output_shape == (*shape, D)
    np.testing.assert_array_equal(backend.to_numpy(model.predict(array(x))), TABLE.astype("float32")[x])
    _, gradients = model.loss_and_gradients(x, np.zeros((*x.shape, D)))
    counts = np.bincount(x.ravel(), minlength=V)[:, None]
    np.testing.assert_allclose(gradients["0.weights"], 2 * counts * TABLE, rtol=1e-5)


def test_lists(backend):
    model = table(backend)
    model.load_state_dict({"0.weights": TABLE})
    np.testing.assert_array_equal(model.predict(X.tolist()), TABLE.astype("float32")[X])


def test_first_values(backend):
    """Uniform in ±0.05, unless another initializer is given."""
    weights = table(backend, [Embedding(50, 40)]).state_dict()["0.weights"]
    assert weights.shape == (50, 40)
    assert 0.049 < np.abs(weights).max() <= 0.05
    np.testing.assert_array_equal(
        table(backend, [Embedding(V, D, weight_initializer=Constant(1.0))]).state_dict()["0.weights"], np.ones((V, D))
    )


# -- gradients


@pytest.mark.parametrize("planned", [True, False])
def test_gradients_of_repeated_indices_add_up(planned, donating_backend, array):
    """By hand: of Σ (w[x] - y)², 2·Σ (w_v - y_i) over the places i where v stands; rows that nobody names have none."""
    y = np.random.default_rng(2).standard_normal((ROWS, WORDS, D))
    x = np.where(X == 3, 2, X)
    model = table(donating_backend)
    model.engine.planned = planned
    for count in (ROWS, 2, 1):
        model.load_state_dict({"0.weights": TABLE})
        expected = np.zeros((V, D))
        for i in np.ndindex(count, WORDS):
            expected[x[i]] += 2 * (TABLE[x[i]] - y[i])
        loss, gradients = model.loss_and_gradients(array(x[:count]), array(y[:count]))
        assert float(loss) == pytest.approx(((TABLE[x[:count]] - y[:count]) ** 2).sum(), rel=1e-5)
        np.testing.assert_allclose(gradients["0.weights"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(gradients["0.weights"][3], 0)
        model.train_step(array(x[:count]), array(y[:count]))
        np.testing.assert_allclose(model.state_dict()["0.weights"], TABLE - 0.5 * expected, rtol=1e-4, atol=1e-5)


class Residual(Sequential):
    """y = x + f(x)."""

    def trace(self, program, path, x, *, training):
        y, total = super().trace(program, path, x, training=training), join(path, "sum")
        program.records.append(record("add", f"{x} {y}", total))
        return total

    def trace_backward(self, program, path, dy, *, training):
        dx, total = super().trace_backward(program, path, dy, training=training), join(path, "dsum")
        program.records.append(record("add", f"{dy} {dx}", total))
        return total


class Both(Sequential):
    """y = f(x) + g(x), of the same indices."""

    def build(self, input_shape, backend):
        self.input_shape = input_shape
        for leaf, layer in enumerate(self.layers):
            layer.input_shape = input_shape
            self.output_shape = layer.output_shape = layer.build(input_shape, backend.for_layer(leaf))
        return self.output_shape

    def trace(self, program, path, x, *, training):
        names = [layer.trace(program, join(path, i), x, training=training) for i, layer in enumerate(self.layers)]
        program.records.append(record("add", " ".join(names), join(path, "sum")))
        return join(path, "sum")

    def trace_backward(self, program, path, dy, *, training):
        for i, layer in enumerate(self.layers):
            layer.trace_backward(program, join(path, i), dy, training=training)
        return join(path, "dx")


CONTAINERS = {
    "chain": lambda: [Sequential([Embedding(V, D), Tanh()])],
    "chain in a chain": lambda: [Sequential([Sequential([Embedding(V, D)]), Flatten(), Dense(3)])],
    "residual behind": lambda: [Embedding(V, D), Residual([LayerNorm(), Tanh()]), Flatten(), Dense(3)],
    "both": lambda: [Both([Embedding(V, D), Embedding(V, D, weight_initializer=Normal(0.5))]), Tanh()],
    "both in a chain": lambda: [Sequential([Both([Embedding(V, D), Embedding(V, D)]), Flatten()]), Dense(2)],
}


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("name", CONTAINERS)
def test_gradients_in_containers_are_differences(name, planned, make_backend, random):
    backend = make_backend(dtype="float64")
    model = table(backend, CONTAINERS[name]())
    model.engine.planned = planned
    y = random.standard_normal((ROWS, *model.output_shape))
    state = {key: random.standard_normal(a.shape) for key, a in model.state_dict().items()}
    model.load_state_dict(state)
    _, gradients = model.loss_and_gradients(X, y)
    assert gradients.keys() == state.keys()
    for key, place in state.items():
        direction = random.standard_normal(place.shape)
        losses = []
        for step in (1e-6, -1e-6):
            model.load_state_dict(state | {key: place + step * direction})
            losses.append(model.evaluate(X, y)["loss"])
        slope = (losses[0] - losses[1]) / 2e-6
        assert (gradients[key] * direction).sum() == pytest.approx(slope, rel=1e-6), key


class OneHot(Layer):
    """A layer of one's own that reads indices: ``x[B] -> y[B,K]``."""

    def __init__(self, classes):
        self.index_limit = classes

    def build(self, input_shape, backend):
        self.xp, self.dtype = backend.xp, backend.dtype
        return (self.index_limit,)

    def forward(self, x, *, training=False):
        assert self.xp.isdtype(x.dtype, "integral")
        columns = self.xp.arange(self.index_limit, dtype=x.dtype, device=x.device)
        return self.xp.astype(x[:, None] == columns[None, :], self.dtype)

    def backward(self, dy):
        raise AssertionError("nobody needs this")


def test_an_own_layer_may_read_indices(donating_backend, array):
    """A one-hot row times weights is an embedding."""
    ours = table(donating_backend, [OneHot(V), Dense(D)], shape=())
    theirs = table(donating_backend, shape=())
    ours.load_state_dict({"1.weights": TABLE, "1.biases": np.zeros(D)})
    theirs.load_state_dict({"0.weights": TABLE})
    x, y = array(X[:, 0]), array(np.zeros((ROWS, D)))
    (loss, gradients), (expected, wanted) = (model.loss_and_gradients(x, y) for model in (ours, theirs))
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradients["1.weights"], wanted["0.weights"], rtol=1e-5)
    for model in (ours, theirs):
        model.fit(x, y, batch_size=4, progress="off")
        with pytest.raises(DataError, match=r"expected indices in 0\.\.4, got 5 at x\[1\]"):
            model.predict([0, V])


# -- a model's life


def test_a_life(backend, tmp_path):
    """It learns labels that depend on the first word; its file is the same model, which trains on bit for bit."""
    rng = np.random.default_rng(3)
    x = rng.integers(0, V, (60, WORDS))
    y = x[:, 0] % 3
    model = classifier(backend)
    history = model.fit(x, y, epochs=12, batch_size=16, validation_data=(x, y), progress="off")
    assert history["accuracy"][-1] == history["val_accuracy"][-1] == 1
    assert model.evaluate(x, y, batch_size=7)["accuracy"] == 1
    model.save(tmp_path / "m")
    back = nnxp.load(tmp_path / "m", backend=backend)
    assert_same(back.state_dict(), model.state_dict())
    np.testing.assert_array_equal(back.predict(x), model.predict(x))
    for either in (model, back):
        either.fit(x, y, batch_size=16, progress="off")
    assert_same(back.state_dict(), model.state_dict())


def test_moved_elsewhere(backend):
    model = classifier(backend)
    model.fit(X, LABELS, epochs=2, progress="off")
    expected = backend.to_numpy(model.predict(X))
    model.to("array_api_strict" if backend.name == "numpy" else "numpy")
    np.testing.assert_allclose(model.backend.to_numpy(model.predict(X)), expected, rtol=1e-5)
    model.fit(X, LABELS, progress="off")


def test_random_search(backend):
    model = classifier(backend, optimizer=RandomSearch(0.2))
    losses = [float(model.train_step(X, LABELS)) for _ in range(10)]
    assert losses == sorted(losses, reverse=True)


def test_train_step_takes_what_it_knows(backend, array):
    """The second batch of a look goes in unasked: not even its values are read."""
    model = classifier(backend)
    x, y = array(X), array(LABELS)
    first = [float(model.train_step(x, y)) for _ in range(3)]
    other = classifier(backend)
    assert first == [float(other.train_step(X.tolist(), LABELS.tolist())) for _ in range(3)]


# -- bad features

CALLS = {
    "fit": lambda model, x: model.fit(x, LABELS[: len(x)], progress="off"),
    "evaluate": lambda model, x: model.evaluate(x, LABELS[: len(x)]),
    "train_step": lambda model, x: model.train_step(x, LABELS[: len(x)]),
    "loss_and_gradients": lambda model, x: model.loss_and_gradients(x, LABELS[: len(x)]),
    "predict": lambda model, x: model.predict(x),
}


def put(place, value):
    x = X.copy()
    x[place] = value
    return x


BAD = {
    "too large": (put((2, 3), V), DataError, "Embedding(5, 3) expected indices in 0..4, got 5 at x[2, 3]; number them"),
    "negative": (
        put((0, 0), -1),
        DataError,
        "Embedding(5, 3) expected indices in 0..4, got -1 at x[0, 0]; number them",
    ),
    "floats": (X.astype("float32"), DtypeError, "expected indices x of an integer dtype, got float32"),
    "whole floats of a list": ((X * 1.0).tolist(), DtypeError, "expected indices x of an integer dtype, got float64"),
    "booleans": (X > 2, DtypeError, "expected indices x of an integer dtype, got bool"),
    "words": (X.astype(str), DtypeError, "expected x to be an array of numbers, got"),
    "complex": (X * 1j, DtypeError, "expected x of real numbers, got complex128"),
    "no rows": (X[:0], DataError, "expected at least one row in x, got shape (0, 4)"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", BAD)
def test_bad_features_are_refused(name, call, backend):
    x, error, words = BAD[name]
    for built in (True, False):
        model = classifier(backend)
        if built:
            model.build((WORDS,))
        elif call == "predict":
            continue
        state = model.state_dict() if built else None
        with pytest.raises(error, match=re.escape(words)) as caught:
            CALLS[call](model, x)
        assert isinstance(caught.value, NnxpError)
        assert str(caught.value).startswith("Embedding(5, 3) expected ")
        assert model.built == built
        if built:
            assert_same(model.state_dict(), state)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X[:, :3], "expected x of shape (batch, 4), got (6, 3)"),
        (X[0], "expected x of shape (batch, 4), got (4,); for one sample use x[None]"),
        (X[:, :, None], "expected x of shape (batch, 4), got (6, 4, 1)"),
        (3, "expected x to have a batch axis, got a single number"),
    ],
)
def test_other_shapes_are_refused(x, words, backend):
    model = classifier(backend)
    model.build((WORDS,))
    with pytest.raises(ShapeError, match=re.escape("Embedding(5, 3) " + words)):
        model.predict(x)


def test_values_are_looked_at_in_the_first_step_of_a_shape(backend, array):
    model = classifier(backend)
    with pytest.raises(DataError, match="got 9 at x"):
        model.train_step(array(put((1, 1), 9)), array(LABELS))
    model.train_step(array(X), array(LABELS))
    with pytest.raises(DataError, match="got 9 at x"):
        model.fit(put((1, 1), 9), LABELS, progress="off")
    with pytest.raises(DataError, match="got 9 at x"):
        model.predict(put((1, 1), 9))


def test_numbers_that_no_index_has(backend):
    """Where integers have 32 bits, 2³² would come back as 0; beyond int64 numbers come back negative."""
    model = classifier(backend)
    model.build((WORDS,))
    for value in (2**32, 2**32 + 1, 2**63 - 1, 2**63, 2**64 - 1):
        with pytest.raises(DataError, match=r"expected indices in 0\.\.4, got -?\d+ at x\[0, 0\]"):
            model.predict(np.full((1, WORDS), value, dtype="uint64"))


def test_indices_are_not_scaled(backend):
    model = classifier(backend, input_scaling=Scaling(0, 1 / 255))
    model.build((WORDS,))
    for ask in (lambda: model.predict(X), lambda: model.train_step(X, LABELS)):
        with pytest.raises(
            ConfigurationError, match=r"Embedding\(5, 3\) reads indices, which cannot be scaled; leave inp"
        ):
            ask()


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [Linear(), Embedding(V, D)],
        lambda: [Flatten(), Embedding(V, D)],
        lambda: [Dense(4), Sequential([Embedding(V, D)])],
        lambda: [Sequential([Dense(4), Embedding(V, D)])],
    ],
)
def test_it_comes_first(layers):
    with pytest.raises(ConfigurationError, match=r"Embedding\(5, 3\) reads indices, but x goes to .* first; put Embed"):
        nnxp.Model(layers(), loss=MeanSquaredError(), optimizer=SGD())


def test_it_does_not_read_another_embedding(backend):
    model = table(backend, [Embedding(V, D), Embedding(V, D)])
    for ask in (lambda: model.predict(X), lambda: model.train_step(X, np.zeros((ROWS, WORDS, D, D)))):
        with pytest.raises(
            ConfigurationError, match=r"Embedding\(5, 3\) reads indices, not the output of another layer"
        ):
            ask()


# -- by itself


def test_alone(backend, array):
    layer = Embedding(V, D)
    with pytest.raises(NotBuiltError, match=r"Embedding\(5, 3\) has no parameters yet"):
        layer.forward(array(X))
    assert layer.build((WORDS,), backend) == (WORDS, D)
    layer.weights = TABLE
    y = layer.forward(array(X), training=True)
    np.testing.assert_array_equal(backend.to_numpy(y), TABLE.astype("float32")[X])
    dx = layer.backward(array(np.ones((ROWS, WORDS, D))))
    assert tuple(dx.shape) == X.shape
    counts = np.bincount(X.ravel(), minlength=V)
    np.testing.assert_array_equal(backend.to_numpy(layer.gradients()["weights"]), np.outer(counts, np.ones(D)))
    with pytest.raises(
        DtypeError, match=r"expected indices x of an integer dtype, got float32; put it first in the net"
    ):
        layer.forward(array(X * 1.0))
    with pytest.raises(ShapeError, match=r"expected x of shape \(batch, 4\), got \(6, 2\)"):
        layer.forward(array(X[:, :2]))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 3), {}, "vocabulary must be a whole number of at least 1, got 0"),
        ((2.0, 3), {}, "vocabulary must be a whole number of at least 1, got 2.0"),
        ((5, -1), {}, "size must be a whole number of at least 1, got -1"),
        ((5, True), {}, "size must be a whole number of at least 1, got True"),
        ((5, 3), {"weight_initializer": Normal}, "weight_initializer must be an Initializer object, got <class"),
        ((5, 3), {"weight_initializer": "normal"}, "weight_initializer must be an Initializer object, got 'normal'"),
    ],
)
def test_arguments(arguments, options, message):
    with pytest.raises(ConfigurationError, match="^Embedding: " + message):
        Embedding(*arguments, **options)


def test_one_word_of_one_number(backend):
    model = table(backend, [Embedding(1, 1)], shape=(1,))
    assert float(model.train_step([[0]], [[[1.0]]])) > 0
