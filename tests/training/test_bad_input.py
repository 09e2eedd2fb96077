"""Bad input: what is refused, with which words, on every backend the same; and that nothing is left of it."""

import re
import warnings
from dataclasses import dataclass

import numpy as np
import pytest

import nnxp
from nnxp.callbacks import Callback
from nnxp.data import Scaling
from nnxp.errors import (
    BackendError,
    ConfigurationError,
    ConversionWarning,
    DataError,
    DtypeError,
    NnxpError,
    ShapeError,
)
from nnxp.layers import Dense, Flatten, Layer, RecordedLayer, ReLU, Sequential, Sigmoid, Softmax, activations
from nnxp.losses import BinaryCrossentropy, CategoricalCrossentropy, MeanAbsoluteError, MeanSquaredError
from nnxp.optimizers import SGD, Adam

ROWS, INPUTS = 6, 3

X = np.random.default_rng(0).normal(size=(ROWS, INPUTS)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1, 0, 2])
COLUMN = np.array([[0.0], [1.0], [1.0], [0.0], [1.0], [0.0]], dtype=np.float32)
SHARES = np.array([[0.5, 0.25, 0.25]] * ROWS, dtype=np.float32)


class Squeeze(Layer):
    """``x[B,1] -> y[B]``."""

    def build(self, input_shape, backend):
        return ()

    def forward(self, x, *, training=False):
        return x[:, 0]

    def backward(self, dy):
        return dy[:, None]


NETWORKS = {
    "classes": (lambda: [Dense(4), ReLU(), Dense(3), Softmax()], CategoricalCrossentropy, LABELS),
    "binary": (lambda: [Dense(4), ReLU(), Dense(1), Sigmoid()], BinaryCrossentropy, COLUMN),
    "binary, flat": (lambda: [Dense(4), ReLU(), Dense(1), Sigmoid(), Squeeze()], BinaryCrossentropy, COLUMN[:, 0]),
    "squared": (lambda: [Dense(4), ReLU(), Dense(1)], MeanSquaredError, COLUMN),
    "squared, flat": (lambda: [Dense(4), ReLU(), Dense(1), Squeeze()], MeanSquaredError, COLUMN[:, 0]),
    "absolute": (lambda: [Dense(4), ReLU(), Dense(1)], MeanAbsoluteError, COLUMN),
}


def network(backend, name="classes", *, built=True, layers=None, **options):
    make, loss, _ = NETWORKS[name]
    model = nnxp.Model(layers or make(), loss=loss(), optimizer=SGD(0.1), backend=backend, **options)
    if built:
        model.build((INPUTS,))
    return model


CALLS = {
    "fit": lambda model, x, y: model.fit(x, y, progress="off"),
    "evaluate": lambda model, x, y: model.evaluate(x, y),
    "train_step": lambda model, x, y: model.train_step(x, y),
    "loss_and_gradients": lambda model, x, y: model.loss_and_gradients(x, y),
    "predict": lambda model, x, y: model.predict(x),
}


def put(a, place, value):
    """A copy of the array with one other value."""
    a = np.array(a)
    a[place] = value
    return a


@dataclass
class Case:
    """What is given, and what is said of it: the class of the error, and words in their order."""

    error: type
    words: list
    x: object = None
    y: object = None
    network: str = "classes"

    def data(self):
        x = X if self.x is None else self.x
        return x, NETWORKS[self.network][2] if self.y is None else self.y

    @property
    def match(self):
        return ".*".join(map(re.escape, self.words))


LAYER = "Dense(4) expected "
CCE = "CategoricalCrossentropy expected "
BCE = "BinaryCrossentropy expected "
MSE = "MeanSquaredError expected "
MAE = "MeanAbsoluteError expected "
WIDE = X.astype(np.float64)
"""A number of 10³⁰⁰ has room in here, and none in float32."""


def bad_x(error, x, *words):
    """Features that every network refuses, in the name of its first layer."""
    return Case(error, [LAYER, *words], x=x)


def bad_y(error, y, network, owner, *words):
    """Targets that the network's loss refuses, in its own name."""
    return Case(error, [owner, *words], y=y, network=network)


FEATURES = {
    "too few features": bad_x(ShapeError, X[:, :2], "x of shape (batch, 3), got (6, 2)"),
    "too many features": bad_x(ShapeError, np.ones((6, 4)), "x of shape (batch, 3), got (6, 4)"),
    "images": bad_x(ShapeError, np.ones((6, 3, 3)), "(batch, 3), got (6, 3, 3); put Flatten() before it"),
    "one axis more": bad_x(ShapeError, X[:, :, None], "(batch, 3), got (6, 3, 1); put Flatten() before it"),
    "one sample": bad_x(ShapeError, X[0], "(batch, 3), got (3,); for one sample use x[None]"),
    "one number": bad_x(ShapeError, 5.0, "batch axis, got a single number", "x[None]"),
    "no rows": bad_x(DataError, X[:0], "at least one row in x, got shape (0, 3)", "empty"),
    "an empty list": bad_x(DataError, [], "at least one row in x, got shape (0,)", "empty"),
    "NaN": bad_x(DataError, put(X, (4, 1), np.nan), "finite values in x, got nan at x[4, 1] (1 of 18", "drop those"),
    "infinite": bad_x(DataError, put(X, (0, 2), np.inf), "finite values in x, got inf at x[0, 2] (1 of 18"),
    "minus infinite": bad_x(DataError, put(X, (5, 0), -np.inf), "finite values in x, got -inf at x[5, 0] (1 of 18"),
    "a row of NaN": bad_x(DataError, put(X, 1, np.nan), "finite values in x, got nan at x[1, 0] (3 of 18"),
    "too large": bad_x(DataError, put(WIDE, (2, 1), 1e300), "finite values in x, got inf at x[2, 1] (1 of 18"),
    "complex": bad_x(DtypeError, X + np.complex128(1j), "x of real numbers, got complex128; use x.real"),
    "strings": bad_x(DtypeError, np.full((6, 3), "a"), "x", "numbers, got"),
    "objects": bad_x(DtypeError, np.full((6, 3), None), "x", "numbers, got", "object"),
    "numbers as objects": bad_x(DtypeError, X.astype(object), "x", "numbers, got", "object"),
    "dates": bad_x(DtypeError, np.zeros((6, 3), "datetime64[s]"), "x", "numbers, got", "datetime64"),
    "a file name": bad_x(DtypeError, "features.csv", "x", "numbers, got"),
    "a dictionary": bad_x(DtypeError, {"a": 1}, "x", "numbers, got"),
    "a ragged list": bad_x(DtypeError, [[1.0, 2.0, 3.0], [1.0]], "x", "numbers, got list"),
}

TARGETS = {
    "class too large": bad_y(
        DataError, put(LABELS, 2, 3), "classes", CCE, "class indices y in 0..2 (3 outputs), got 3 at y[2]; renumber"
    ),
    "class negative": bad_y(DataError, put(LABELS, 0, -1), "classes", CCE, "0..2", "got -1 at y[0]; renumber"),
    "class far below": bad_y(
        DataError, put(LABELS, 5, -128).astype(np.int8), "classes", CCE, "0..2", "got -128 at y[5]"
    ),
    "classes as floats": bad_y(
        DtypeError, LABELS * 1.0, "classes", CCE, "class indices y of an integer dtype, got float", "y.astype('int64')"
    ),
    "classes as booleans": bad_y(DtypeError, LABELS > 0, "classes", CCE, "y of an integer dtype, got bool"),
    "classes as strings": bad_y(DtypeError, LABELS.astype(str), "classes", CCE, "y", "got"),
    "classes as objects": bad_y(DtypeError, LABELS.astype(object), "classes", CCE, "y", "got", "object"),
    "classes complex": bad_y(DtypeError, LABELS + 0j, "classes", CCE, "y", "got complex128"),
    "classes ragged": bad_y(DtypeError, [[0], [1, 2]], "classes", CCE, "y", "got list"),
    "classes as a column": bad_y(
        ShapeError,
        LABELS[:, None],
        "classes",
        CCE,
        "y of shape (6,) (class indices) or (6, 3) (probabilities), got (6, 1); use y[:, 0]",
    ),
    "too few classes": bad_y(
        ShapeError, LABELS[:5], "classes", CCE, "one row of y for each of the 6 rows of x, got 5 rows in y"
    ),
    "too many classes": bad_y(ShapeError, np.append(LABELS, 0), "classes", CCE, "6 rows of x, got 7 rows in y"),
    "one class": bad_y(ShapeError, 1, "classes", CCE, "y of shape (6,)", "got ()"),
    "too many columns": bad_y(ShapeError, np.ones((6, 4)) / 4, "classes", CCE, "(6, 3) (probabilities), got (6, 4)"),
    "too few probabilities": bad_y(ShapeError, SHARES[:5], "classes", CCE, "(6, 3) (probabilities), got (5, 3)"),
    "probabilities that do not add up": bad_y(
        DataError, put(SHARES, (3, 0), 1.0), "classes", CCE, "rows that sum to 1, got 1.5", "[3]", "divide each row"
    ),
    "negative probability": bad_y(
        DataError, put(SHARES, (1, 2), -0.5), "classes", CCE, "at least 0, got -0.5", "[1, 2]"
    ),
    "probability NaN": bad_y(DataError, put(SHARES, (0, 1), np.nan), "classes", CCE, "finite", "got nan", "[0, 1]"),
    "probabilities complex": bad_y(DtypeError, SHARES + 0j, "classes", CCE, "y of real numbers, got complex"),
    "binary (N,) for (N, 1)": bad_y(
        ShapeError, COLUMN[:, 0], "binary", BCE, "y of shape (6, 1)", "got (6,); use y[:, None]"
    ),
    "binary (N, 1) for (N,)": bad_y(
        ShapeError, COLUMN, "binary, flat", BCE, "y of shape (6,)", "got (6, 1)", "never broadcast"
    ),
    "binary above 1": bad_y(DataError, put(COLUMN, (3, 0), 2), "binary", BCE, "in [0, 1], got 2.0", "[3, 0]"),
    "binary below 0": bad_y(DataError, put(COLUMN, (3, 0), -1), "binary", BCE, "in [0, 1], got -1.0", "[3, 0]"),
    "binary NaN": bad_y(DataError, put(COLUMN, (2, 0), np.nan), "binary", BCE, "finite values, got nan", "[2, 0]"),
    "binary strings": bad_y(DtypeError, np.full((6, 1), "no"), "binary", BCE, "y", "got"),
    "binary too short": bad_y(ShapeError, COLUMN[:4], "binary", BCE, "each of the 6 rows of x, got 4 rows in y"),
    "real (N,) for (N, 1)": bad_y(
        ShapeError, COLUMN[:, 0], "squared", MSE, "y of shape (6, 1)", "got (6,); use y[:, None]"
    ),
    "real (N, 1) for (N,)": bad_y(
        ShapeError, COLUMN, "squared, flat", MSE, "y of shape (6,)", "got (6, 1)", "never broadcast"
    ),
    "real (N, 2) for (N, 1)": bad_y(ShapeError, np.ones((6, 2)), "squared", MSE, "y of shape (6, 1)", "got (6, 2)"),
    "real (1, 1) for (N, 1)": bad_y(ShapeError, np.ones((1, 1)), "squared", MSE, "6 rows of x, got 1 rows in y"),
    "real number": bad_y(ShapeError, 1.0, "squared", MSE, "6 rows of x, got a single number"),
    "real NaN": bad_y(DataError, put(COLUMN, (5, 0), np.nan), "squared", MSE, "finite values, got nan", "[5, 0]"),
    "real infinite": bad_y(DataError, put(COLUMN, (0, 0), np.inf), "absolute", MAE, "finite values, got inf", "[0, 0]"),
    "real strings": bad_y(DtypeError, np.full((6, 1), "1.0"), "squared", MSE, "y", "got"),
    "real objects": bad_y(DtypeError, COLUMN.astype(object), "squared", MSE, "y", "got", "object"),
    "real complex": bad_y(DtypeError, COLUMN + np.complex128(0), "squared", MSE, "real numbers, got complex128"),
}

CASES = FEATURES | TARGETS
REFUSALS = [(name, call) for name in CASES for call in CALLS if name in FEATURES or call != "predict"]


def unchanged(model, state, step=0):
    after = model.state_dict()
    return model.step == step and all(np.array_equal(state[key], after[key]) for key in state)


def refusal(model, case, call, give=lambda a: a):
    """The error that a call raises."""
    x, y = case.data()
    with pytest.raises(NnxpError) as caught:
        CALLS[call](model, give(x), give(y))
    return caught.value


@pytest.mark.parametrize(("name", "call"), REFUSALS)
def test_bad_data_is_refused(backend, name, call):
    case = CASES[name]
    model = network(backend, case.network)
    state = model.state_dict()
    error = refusal(model, case, call)
    assert type(error) is case.error
    assert re.search(case.match, str(error))
    assert len(str(error).splitlines()) == 1
    assert unchanged(model, state)


@pytest.mark.parametrize("name", CASES)
def test_refusals_read_the_same_on_every_backend(backend, name):
    case = CASES[name]
    here, there = (refusal(network(b, case.network), case, "fit") for b in (backend, "numpy"))
    assert str(here) == str(there)


ON_DEVICE = [
    name
    for name, case in CASES.items()
    if all(isinstance(a, np.ndarray) and a.dtype in (X.dtype, LABELS.dtype) for a in case.data())
]
"""Cases that every library has arrays for."""


@pytest.mark.parametrize("name", ON_DEVICE)
def test_arrays_of_the_backend_are_refused_with_the_same_words(backend, array, name):
    case = CASES[name]
    model = network(backend, case.network)
    state = model.state_dict()
    own = refusal(model, case, "fit", array)
    assert str(own) == str(refusal(network(backend, case.network), case, "fit"))
    assert unchanged(model, state)


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].network == "classes" and "features" not in n])
def test_nothing_is_built_from_refused_data(backend, name):
    # Two columns more than the good data have, as if the wrong file had been read.
    case = CASES[name]
    x, y = case.data()
    if isinstance(x, np.ndarray) and x.ndim == 2:
        x = np.concatenate([x, x[:, :2]], axis=1)
    model, fresh = network(backend, built=False), network(backend, built=False)
    for call in ("fit", "evaluate", "train_step", "loss_and_gradients"):
        with pytest.raises(NnxpError):
            CALLS[call](model, x, y)
    assert float(model.train_step(X, LABELS)) == float(fresh.train_step(X, LABELS))
    assert model.step == 1


# -- scaling at the door


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("width", [1, 2, 4])
def test_scaling_does_not_hide_a_wrong_shape(backend, call, width):
    model = network(backend, input_scaling=Scaling.standard(X))
    state = model.state_dict()
    for give in (lambda a: a, backend.asarray):
        with pytest.raises(ShapeError, match=rf"Dense\(4\) expected x of shape \(batch, 3\), got \(6, {width}\)"):
            CALLS[call](model, give(np.ones((ROWS, width), np.float32)), give(LABELS))
    assert unchanged(model, state)


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_step", "loss_and_gradients"])
@pytest.mark.parametrize("shape", [(ROWS, 2), (ROWS, 1), (ROWS,), (ROWS, 3, 1)])
def test_scaling_of_other_features_is_refused_before_building(backend, call, shape):
    # The scaling knows three features, so data of other shapes are not these, however well they broadcast.
    model = network(backend, input_scaling=Scaling.standard(X), built=False)
    for give in (lambda a: a, backend.asarray):
        with pytest.raises(NnxpError):
            CALLS[call](model, give(np.ones(shape, np.float32)), give(LABELS))
    assert np.isfinite(model.evaluate(X, LABELS)["loss"])


# -- what is converted

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def conversions(caught):
    """The warnings of this kind: on a GPU there is one of a transfer, too."""
    return [warning for warning in caught if warning.category is ConversionWarning]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integer_features_are_converted_with_one_warning(backend, call, dtype):
    numbers = np.arange(ROWS * INPUTS).reshape(ROWS, INPUTS).astype(dtype)
    model, fresh = network(backend), network(backend)
    with pytest.warns(ConversionWarning) as caught:
        got = CALLS[call](model, numbers, LABELS)
    caught = conversions(caught)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert re.search(rf"Dense\(4\): x has dtype {dtype} .*float32.*convert it", message)
    expected = CALLS[call](fresh, numbers.astype(np.float32), LABELS)
    assert repr(got) == repr(expected)
    for again in CALLS.values():  # warnings are errors here
        again(model, numbers, LABELS)


@pytest.mark.parametrize("call", CALLS)
def test_the_warning_points_at_the_callers_line(call):
    model = network("numpy")
    with pytest.warns(ConversionWarning) as caught:
        CALLS[call](model, np.ones((ROWS, INPUTS), int), LABELS)
    assert caught[0].filename == __file__


def test_the_warning_reads_the_same_on_every_backend(backend):
    texts = []
    for b in (backend, "numpy"):
        with pytest.warns(ConversionWarning) as caught:
            network(b).predict(np.ones((ROWS, INPUTS), np.int64))
        texts.append(str(conversions(caught)[0].message))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_are_converted_in_silence(backend, dtype):
    model, fresh = network(backend), network(backend)
    rounded = X.astype(np.float16)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConversionWarning)
        got = model.evaluate(rounded.astype(dtype), LABELS)
    assert got == fresh.evaluate(rounded.astype(np.float32), LABELS)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_of_any_integer_dtype_are_taken(backend, dtype):
    model, fresh = network(backend, metrics=["accuracy"]), network(backend, metrics=["accuracy"])
    labels = LABELS.astype(dtype)
    assert model.evaluate(X, labels) == fresh.evaluate(X, LABELS)
    assert float(model.train_step(X, labels)) == float(fresh.train_step(X, LABELS))
    with pytest.raises(DataError, match=r"got 100 at y\[1\]"):
        model.evaluate(X, put(labels, 1, 100))


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool", "float16", "float64"])
@pytest.mark.parametrize("name", ["binary", "squared"])
def test_other_targets_of_any_real_dtype_are_taken(backend, name, dtype):
    model, fresh = network(backend, name), network(backend, name)
    assert model.evaluate(X, COLUMN.astype(dtype)) == fresh.evaluate(X, COLUMN)


@pytest.mark.parametrize("call", CALLS)
def test_lists_are_taken(backend, call):
    x = np.round(X * 8) / 8
    model, fresh = network(backend), network(backend)
    assert repr(CALLS[call](model, x.tolist(), LABELS.tolist())) == repr(CALLS[call](fresh, x, LABELS))


def test_arrays_of_another_library_are_taken(backend):
    other = nnxp.get_backend("array_api_strict" if backend.name == "numpy" else "numpy")
    model, fresh = network(backend), network(backend)
    expected = fresh.evaluate(X, LABELS)
    assert model.evaluate(other.asarray(X), other.asarray(LABELS)) == expected


# -- arguments


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (X, "validation_data must be (x, y) or (x, y, sample_weight), got ndarray"),
        ((X, LABELS, LABELS, LABELS), "validation_data must be (x, y) or (x, y, sample_weight), got tuple"),
        ((X,), "validation_data must be (x, y) or (x, y, sample_weight), got tuple"),
        (0.2, "validation_data must be (x, y) or (x, y, sample_weight), got float"),
        ("xy", "validation_data must be (x, y) or (x, y, sample_weight), got str"),
        ((X[:, :2], LABELS), "Dense(4) expected x of shape (batch, 3), got (6, 2)"),
        ((X, LABELS + 1), "class indices y in 0..2"),
        ((X, LABELS[:4]), "each of the 6 rows of x, got 4 rows in y"),
        ((put(X, (1, 1), np.nan), LABELS), "got nan at x[1, 1]"),
        ((X[:0], LABELS[:0]), "the data is empty"),
        ((X, LABELS, LABELS[:4]), "sample_weight expected shape (6,), one number a sample, got (4,)"),
        ((X, LABELS, LABELS - 1.0), "weights to have finite values of at least 0, got -1.0 at [0]"),
    ],
    ids=[
        *("array", "four", "one", "share", "string", "features", "labels", "lengths", "nan", "empty"),
        *("weights", "negative weights"),
    ],
)
def test_bad_validation_data_is_refused_before_training(backend, data, words):
    class Never(Callback):
        def on_train_begin(self, model):
            pytest.fail("training began")

    model = network(backend)
    state = model.state_dict()
    with pytest.raises(NnxpError, match=re.escape(words)):
        model.fit(X, LABELS, validation_data=data, callbacks=[Never()], progress="off")
    assert unchanged(model, state)


@pytest.mark.parametrize("value", [0, -3, 1.5, True, "2", np.float64(2)])
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, v: m.fit(X, LABELS, epochs=v), "fit: epochs"),
        (lambda m, v: m.fit(X, LABELS, batch_size=v), "fit: batch_size"),
        (lambda m, v: m.evaluate(X, LABELS, batch_size=v), "evaluate: batch_size"),
        (lambda m, v: m.predict(X, batch_size=v), "predict: batch_size"),
    ],
    ids=["epochs", "fit", "evaluate", "predict"],
)
def test_counts_are_whole_and_positive(backend, call, words, value):
    model = network(backend)
    state = model.state_dict()
    expected = f"{words} must be a whole number of at least 1, got {value!r}"
    with pytest.raises(ConfigurationError, match=re.escape(expected)):
        call(model, value)
    assert unchanged(model, state)


def test_counts_may_be_numpy_integers(backend):
    model = network(backend)
    history = model.fit(X, LABELS, epochs=np.int64(2), batch_size=np.int32(6), progress="off")
    assert history.epochs == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": "accuracy"}, "metrics must be a list, got 'accuracy'; write metrics=['accuracy']"),
        ({"metrics": ["acuracy"]}, "metrics must hold objects of nnxp.metrics or names ('accuracy', 'auc', "),
        ({"metrics": ["auc"]}, "metric 'auc' is for targets of the kind 'binary'; those of MeanSquaredError are"),
        ({"metrics": ["accuracy", "accuracy"]}, "two metrics have one name"),
        ({"loss": MeanSquaredError}, "loss must be an object such as losses.CategoricalCrossentropy(), got the class"),
        ({"loss": "mse"}, "loss must be an object such as losses.CategoricalCrossentropy(), got 'mse'"),
        ({"loss": None}, "loss must be an object such as losses.CategoricalCrossentropy(), got None"),
        ({"optimizer": Adam}, "optimizer must be an object such as optimizers.Adam(), got the class Adam"),
        ({"optimizer": "adam"}, "optimizer must be an object such as optimizers.Adam(), got 'adam'"),
        ({"layers": [Dense]}, "layers must be objects that derive from nnxp.layers.Layer, got the class Dense"),
        ({"layers": ["dense"]}, "layers must be objects that derive from nnxp.layers.Layer, got 'dense'"),
        ({"layers": []}, "layers is empty; a network needs at least one layer, such as layers.Dense(3)"),
    ],
)
def test_a_senseless_model_is_refused(options, words):
    sensible = {"layers": [Dense(3)], "loss": MeanSquaredError(), "optimizer": SGD()}
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        nnxp.Model(**sensible | options)


@pytest.mark.parametrize("optimizer", [Adam, "adam", None])
def test_a_senseless_optimizer_is_not_assigned(backend, optimizer):
    model, twin = network(backend), network(backend)
    with pytest.raises(ConfigurationError, match=r"optimizer must be an object such as optimizers\.Adam\(\)"):
        model.optimizer = optimizer
    assert model.optimizer == twin.optimizer
    assert float(model.train_step(X, LABELS)) == float(twin.train_step(X, LABELS))


def test_images_before_dense_name_the_remedy_when_the_model_is_built(backend):
    images = np.ones((ROWS, 3, 3), np.float32)
    for layers in ([Dense(4)], [Sequential([Dense(4)])], [ReLU(), Dense(4)]):
        model = network(backend, "squared", layers=layers, built=False)
        with pytest.raises(ShapeError, match=r"Dense\(4\) .*\(batch, 3, 3\); put Flatten\(\) before it"):
            model.evaluate(images, np.ones((ROWS, 4)))
        assert not model.built
    remedied = network(backend, "squared", layers=[Flatten(), Dense(4)], built=False)
    assert np.isfinite(remedied.evaluate(images, np.ones((ROWS, 4)))["loss"])


@pytest.mark.parametrize("make", [nnxp.get_backend, network])
def test_an_unknown_backend_lists_the_usable_ones_and_why_others_are_not(make):
    with pytest.raises(BackendError, match="'tensorflow'") as caught:
        make("tensorflow")
    usable, *others = str(caught.value).partition("Usable here: ")[2].split(". ", 1)
    states = nnxp.available_backends()
    assert set(usable.rstrip(".").split(", ")) == {name for name, state in states.items() if state == "ready"}
    for name, state in states.items():
        assert state == "ready" or f"{name}: {state}" in others[0]


def test_an_unusable_backend_says_why():
    unusable = [name for name, state in nnxp.available_backends().items() if state != "ready"]
    if not unusable:
        pytest.skip("every backend is usable here")
    reason = nnxp.available_backends()[unusable[0]]
    with pytest.raises(BackendError, match=re.escape(reason) + ".*Usable here: .*numpy"):
        nnxp.get_backend(unusable[0])


@pytest.mark.parametrize(
    ("layers", "loss", "message"),
    [
        (
            [Dense(3)],
            CategoricalCrossentropy(),
            r"Model: CategoricalCrossentropy expects probabilities, and the network ends in Dense\(3\): put "
            r"Softmax\(\) behind it, or use CategoricalCrossentropy\(from_logits=True\)",
        ),
        ([Dense(3), ReLU(), Flatten()], CategoricalCrossentropy(), r"the network ends in ReLU\(\): put Softmax\(\)"),
        ([Sequential([Dense(1)])], BinaryCrossentropy(), r"ends in Dense\(1\): put Sigmoid\(\) behind it"),
    ],
)
def test_heads_that_do_not_fit_the_loss(layers, loss, message):
    """Such a network would train, and its loss would fall, while it learns little or nothing."""
    with pytest.raises(ConfigurationError, match=message):
        nnxp.Model(layers, loss=loss, optimizer=SGD())
    assert not any(leaf.in_model for layer in layers for _, leaf in layer.leaves())


@pytest.mark.parametrize(
    ("layers", "loss"),
    [
        ([Dense(3)], CategoricalCrossentropy(from_logits=True)),
        ([Dense(3), Softmax()], BinaryCrossentropy()),
        ([Squeeze()], BinaryCrossentropy()),  # a head of one's own
        ([Dense(3), ReLU()], MeanSquaredError()),
    ],
)
def test_heads_that_are_accepted(layers, loss):
    nnxp.Model(layers, loss=loss, optimizer=SGD())


@pytest.mark.parametrize("name", activations.__all__)
def test_every_activation_says_what_it_makes(name):
    """And so each is taken as a head, or refused, without being known to the model."""
    kind = getattr(activations, name)
    assert kind.makes != "anything"
    network = [Dense(3), Softmax(), kind()]
    if kind.makes == "scores":
        with pytest.raises(ConfigurationError, match=rf"ends in {kind.__name__}\(.*\): put Softmax\(\) behind it"):
            nnxp.Model(network, loss=CategoricalCrossentropy(), optimizer=SGD())
    else:
        nnxp.Model(network, loss=CategoricalCrossentropy(), optimizer=SGD())
    probabilities = {"Sigmoid", "HardSigmoid", "Softmax"}
    assert (kind.makes == "probabilities") == (name in probabilities)


def test_layers_of_ones_own_may_make_anything():
    assert {Layer.makes, RecordedLayer.makes, Squeeze.makes} == {"anything"}


@pytest.mark.parametrize("layers", [Dense(2), None, 3])
def test_layers_that_are_no_list(layers):
    with pytest.raises(
        ConfigurationError, match=r"layers must be a list of layers, got .*; write \[layers\.Dense\(3\), …\]"
    ):
        nnxp.Model(layers, loss=MeanSquaredError(), optimizer=SGD())


@pytest.mark.parametrize("callbacks", [print, [print], [Callback], [Callback(), None], None])
def test_callbacks_that_are_none(callbacks, backend):
    model = network(backend)
    before = model.state_dict()
    with pytest.raises(
        ConfigurationError, match=r"callbacks must be a list of objects that derive from nnxp\.callbacks"
    ):
        model.fit(X, LABELS, callbacks=callbacks, progress="off")
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


def test_one_callback_without_a_list(backend):
    network(backend).fit(X, LABELS, callbacks=Callback(), progress="off")


class Widening(Layer):
    """Gives float64, whatever comes in."""

    def __init__(self, where):
        self.where = where

    def forward(self, x, *, training=False):
        return x.astype("float64") if self.where == "forward" else x * 1

    def backward(self, dy):
        return dy.astype("float64") if self.where == "backward" else dy * 1


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("kernels", ["reference", "numpy", "auto"])
def test_an_own_layer_keeps_the_type(where, kernels):
    """What comes next may read bare memory, and would read nonsense."""
    model = nnxp.Model(
        [Dense(4), Widening(where), Dense(3), Softmax()],
        loss=CategoricalCrossentropy(),
        optimizer=SGD(),
        backend=nnxp.get_backend("numpy", kernels=kernels),
    )
    with pytest.raises(DtypeError, match=rf"Widening\(\)\.{where} gave float64, expected float32"):
        model.fit(X, LABELS, progress="off")


@pytest.mark.parametrize("head", [[Softmax()], [Softmax(), Flatten()]], ids=["last", "behind another"])
def test_probabilities_are_no_logits(head):
    with pytest.raises(ConfigurationError, match=r"\(from_logits=True\) expects logits, and the network ends in"):
        nnxp.Model([Dense(3), *head], loss=CategoricalCrossentropy(from_logits=True), optimizer=SGD())


@pytest.mark.parametrize(
    "last", [nnxp.layers.Conv2D(3, 2), nnxp.layers.BatchNorm(), nnxp.layers.LayerNorm(), nnxp.layers.RMSNorm()], ids=str
)
def test_scores_are_no_probabilities(last):
    pooled = [last, nnxp.layers.GlobalAveragePool2D()]
    with pytest.raises(ConfigurationError, match=r"expects probabilities, and the network ends in .*put Softmax\(\)"):
        nnxp.Model(pooled, loss=CategoricalCrossentropy(), optimizer=SGD())


@pytest.mark.parametrize("rate", [-0.1, float("nan"), "a", None, np.array([0.1])], ids=repr)
def test_a_rate_is_a_number(rate):
    model = nnxp.Model([Dense(3), Softmax()], loss=CategoricalCrossentropy(), optimizer=SGD(lambda step: rate))
    with pytest.raises(ConfigurationError, match=r"SGD: learning_rate gave .* for step 0, expected a number"):
        model.fit(X, LABELS, progress="off")


def test_bad_validation_data_leaves_the_model_unbuilt(backend):
    model = nnxp.Model([Dense(3), Softmax()], loss=CategoricalCrossentropy(), optimizer=SGD(), backend=backend)
    with pytest.raises(ShapeError):
        model.fit(X[:, :2], LABELS, validation_data=(X, LABELS), progress="off")
    assert not model.built
    model.fit(X, LABELS, progress="off")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CategoricalCrossentropy(from_logits="abc"), "CategoricalCrossentropy: from_logits"),
        (lambda: SGD(nesterov="no"), "SGD: nesterov"),
        (lambda: nnxp.callbacks.EarlyStopping(restore_best="no"), "EarlyStopping: restore_best"),
    ],
)
def test_flags_are_true_or_false(make, words):
    with pytest.raises(ConfigurationError, match=f"^{words} must be True or False, got "):
        make()
