"""Files of the book's models: there and back, on with training, over to `nnxp.load`, and what is refused."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import nnxp
import nnxp.compat.nnfs as nnfs
from nnxp import data, layers, losses, metrics, optimizers, regularizers, schedules
from nnxp.compat.nnfs import (
    Accuracy_Categorical,
    Accuracy_Regression,
    Activation_Linear,
    Activation_ReLU,
    Activation_Sigmoid,
    Activation_Softmax,
    Layer_Dense,
    Layer_Dropout,
    Loss_BinaryCrossentropy,
    Loss_CategoricalCrossentropy,
    Loss_MeanAbsoluteError,
    Loss_MeanSquaredError,
    Model,
    Optimizer_Adagrad,
    Optimizer_Adam,
    Optimizer_RMSprop,
    Optimizer_SGD,
)
from nnxp.errors import ConfigurationError, FileFormatError, FileNotFound, NnxpError, ShapeError

X = np.random.RandomState(1).randn(10, 2).astype(np.float32)
LABELS = np.arange(10) % 3
PRODUCTS = 1e-5
"""Relative: nnxp sums its products in float32, the book's classes in float64."""

OPTIMIZERS = {
    "sgd": lambda: Optimizer_SGD(0.1),
    "momentum": lambda: Optimizer_SGD(0.1, decay=0.1, momentum=0.9),
    "adagrad": lambda: Optimizer_Adagrad(0.1, decay=1e-2, epsilon=1e-5),
    "rmsprop": lambda: Optimizer_RMSprop(0.01, decay=1e-2, epsilon=1e-5, rho=0.8),
    "adam": lambda: Optimizer_Adam(0.01, decay=1e-2, epsilon=1e-5, beta_1=0.8, beta_2=0.99),
}
ENDS = {
    # the last layer, its loss and accuracy, the targets
    "categorical": (Activation_Softmax, Loss_CategoricalCrossentropy, Accuracy_Categorical, LABELS),
    "binary": (
        Activation_Sigmoid,
        Loss_BinaryCrossentropy,
        lambda: Accuracy_Categorical(binary=True),
        np.eye(3, dtype=int)[LABELS],
    ),
    "squares": (Activation_Linear, Loss_MeanSquaredError, Accuracy_Regression, np.eye(3)[LABELS]),
    "absolute": (Activation_Linear, Loss_MeanAbsoluteError, Accuracy_Regression, np.eye(3)[LABELS]),
}
REGULARIZERS = [
    {},
    {"weight_regularizer_l1": 0.01},
    {"weight_regularizer_l2": 0.02, "bias_regularizer_l1": 0.03},
    {"bias_regularizer_l2": 0.04},
    {"weight_regularizer_l1": 1e-3, "weight_regularizer_l2": 2e-3, "bias_regularizer_l1": 3, "bias_regularizer_l2": 4},
]


def build(optimizer="adam", end="categorical", dropout=0.2, **rates):
    activation, loss, accuracy, _ = ENDS[end]
    model = Model()
    for layer in (Layer_Dense(2, 4, **rates), Activation_ReLU(), Layer_Dropout(dropout), Layer_Dense(4, 3)):
        model.add(layer)
    model.add(activation())
    model.set(loss=loss(), optimizer=OPTIMIZERS[optimizer](), accuracy=accuracy())
    model.finalize()
    return model


def settings(thing):
    """The numbers and switches that a constructor took."""
    return {name: value for name, value in vars(thing).items() if isinstance(value, bool | int | float)}


def parameters(model):
    return [nnfs._arithmetic.current().to_numpy(a) for pair in model.get_parameters() for a in pair]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# -- there and back


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("end", ENDS)
def test_a_model_comes_back_whole(optimizer, end, begun, path):
    model, y = build(optimizer, end), ENDS[end][3]
    model.train(X, y, epochs=2, batch_size=4)
    model.save(path)
    back = Model.load(path)
    assert [type(layer) for layer in back.layers] == [type(layer) for layer in model.layers]
    assert [settings(layer) for layer in back.layers] == [settings(layer) for layer in model.layers]
    for name in ("loss", "optimizer", "accuracy"):
        assert type(getattr(back, name)) is type(getattr(model, name))
    expected = settings(model.optimizer)
    del expected["current_learning_rate"]  # the next update sets it
    assert settings(back.optimizer).items() >= expected.items()
    assert_same(parameters(back), parameters(model))
    if end in ("squares", "absolute"):
        assert back.accuracy.precision == model.accuracy.precision > 0
    else:
        assert back.accuracy.binary == model.accuracy.binary
    assert_same([begun.to_numpy(back.predict(X))], [begun.to_numpy(model.predict(X))])


@pytest.mark.parametrize("rates", REGULARIZERS, ids=str)
def test_regularizers(rates, begun, path):
    model = build(**rates)
    model.save(path)
    back = Model.load(path)
    assert settings(back.layers[0]) == settings(model.layers[0])
    assert settings(back.layers[0]).items() >= rates.items()
    assert back.loss.regularization_loss() == model.loss.regularization_loss()


def trained(begun, path, capsys, optimizer, end, y, *, interrupted):
    """Four epochs, with a file in the middle or without: parameters, what was printed, and the number of updates."""
    nnfs.init(begun)
    model = build(optimizer, end)
    model.train(X, y, epochs=2, batch_size=4)
    if interrupted:
        model.save(path)
        model = Model.load(path)
    capsys.readouterr()
    model.train(X, y, epochs=2, batch_size=4)
    return parameters(model), capsys.readouterr().out, model.optimizer.iterations


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("end", ENDS)
def test_training_goes_on_bit_for_bit(optimizer, end, begun, path, capsys):
    """With dropout and shuffles too, as the legacy stream goes on."""
    y = ENDS[end][3]
    y = y.astype(np.float32) if y.dtype == np.float64 else y
    expected = trained(begun, path, capsys, optimizer, end, y, interrupted=False)
    found = trained(begun, path, capsys, optimizer, end, y, interrupted=True)
    assert_same(found[0], expected[0])
    assert found[1:] == expected[1:]
    assert found[2] == 12


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_on_float64_targets_goes_on(optimizer, begun, path, capsys):
    """There the optimizer remembers the last biases' gradients in float64, as in the book; a file rounds them once."""
    whole, broken = (
        trained(begun, path, capsys, optimizer, "squares", ENDS["squares"][3], interrupted=interrupted)[0]
        for interrupted in (False, True)
    )
    for found, expected in zip(broken, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_reading_and_writing_draw_nothing(begun, path):
    model, state = build(), np.random.get_state()
    model.save(path)
    Model.load(path)
    model.save_parameters(path)
    model.load_parameters(path)
    assert np.random.get_state()[2] == state[2]


def test_an_untrained_model(begun, path):
    """The optimizer remembers nothing yet, and the accuracy has no precision."""
    build("adam", "squares").save(path)
    back = Model.load(path)
    assert back.optimizer.iterations == 0
    assert back.accuracy.precision is None
    back.train(X, ENDS["squares"][3])


def test_a_model_without_an_accuracy(begun, path):
    model = Model()
    model.add(Layer_Dense(2, 3))
    model.set(loss=Loss_MeanSquaredError(), optimizer=Optimizer_SGD())
    model.save(path)  # finalizes it
    back = Model.load(path)
    assert back.accuracy is None
    assert_same([begun.to_numpy(back.predict(X))], [begun.to_numpy(model.predict(X))])


def test_a_file_of_one_backend_opens_on_another(begun, path):
    model = build()
    model.train(X, LABELS)
    expected = parameters(model)
    model.save(path)
    nnfs.init("numpy")
    assert_same(parameters(Model.load(path)), expected)


def test_a_float64_file_opens_in_float32(path):
    nnfs.init(default_dtype="float64")
    model = build()
    model.train(X, LABELS)
    model.save(path)
    expected = parameters(model)
    nnfs.init()
    back = Model.load(path)
    assert_same(parameters(back), [a.astype(np.float32) for a in expected])
    assert {a.dtype for slots in back.optimizer.memory.values() for pair in slots.values() for a in pair} == {
        np.dtype("float32")
    }


# -- nnxp's own files


def test_files_are_safetensors(begun, path):
    model = build()
    model.train(X, LABELS)
    for write in (model.save, model.save_parameters):
        write(path)
        assert path.read_bytes()[8:9] == b"{"  # the length of the header, then JSON: no pickle begins so
        with safe_open(path, framework="numpy") as file:
            np.testing.assert_array_equal(file.get_tensor("0.weights"), parameters(model)[0])


@pytest.mark.parametrize("end", ENDS)
def test_nnxp_opens_the_file(end, begun, path):
    model = build("adam", end, weight_regularizer_l2=10)
    model.train(X, ENDS[end][3], epochs=5)
    model.save(path)
    back = nnxp.load(path)
    np.testing.assert_allclose(back.predict(X), begun.to_numpy(model.predict(X)), rtol=PRODUCTS, atol=1e-7)
    assert back.step == 5
    found = back.evaluate(X, np.asarray(ENDS[end][3], dtype=None if end == "categorical" else np.float32))
    assert found["data_loss"] == pytest.approx(model.loss.calculate(model.predict(X), ENDS[end][3]), rel=PRODUCTS)
    assert found["loss"] - found["data_loss"] == pytest.approx(model.loss.regularization_loss(), rel=PRODUCTS, abs=2e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nnxp_trains_on_as_the_book_s_classes_do(optimizer, begun, path):
    """Full batches without dropout: three updates, with what the optimizer remembers and its falling rate."""
    model = build(optimizer, dropout=0)
    model.train(X, LABELS, epochs=3)
    model.save(path)
    back = nnxp.load(path)
    model.train(X, LABELS, epochs=3)
    back.fit(X, LABELS, epochs=3, progress="off")
    found = back.state_dict()
    for key, expected in zip(("0.weights", "0.biases", "3.weights", "3.biases"), parameters(model), strict=True):
        np.testing.assert_allclose(found[key], expected.reshape(found[key].shape), rtol=1e-3, atol=1e-6)


def whole_network():
    hidden = layers.Dense(4, weight_regularizer=regularizers.L1L2(0.1, 0.2))
    return [hidden, layers.ReLU(), layers.Dropout(0.25), layers.Dense(3), layers.Softmax()]


def native(**options):
    """A model of nnxp proper that the book's classes can express, unless the options say otherwise."""
    defaults = {
        "loss": losses.CategoricalCrossentropy(),
        "optimizer": optimizers.Adam(schedules.InverseTimeDecay(0.01, 0.5)),
        "metrics": ["accuracy"],
    }
    network = options.pop("network", whole_network)()
    model = nnxp.Model(network, **defaults | options)
    model.build((2,))
    return model


def test_a_file_of_nnxp_opens_here(begun, path):
    model = native()
    model.fit(X, LABELS, epochs=3, progress="off")
    model.save(path)
    back = Model.load(path)
    np.testing.assert_allclose(begun.to_numpy(back.predict(X)), model.predict(X), rtol=PRODUCTS)
    assert (back.optimizer.learning_rate, back.optimizer.decay, back.optimizer.iterations) == (0.01, 0.5, 3)
    assert (back.layers[0].weight_regularizer_l1, back.layers[0].weight_regularizer_l2) == (0.1, 0.2)
    assert (back.layers[2].dropped, back.layers[2].rate) == (0.25, 0.75)
    assert {tuple(layer.biases.shape) for layer in back.trainable_layers} == {(1, 4), (1, 3)}
    back.train(X, LABELS)
    assert back.optimizer.iterations == 4


@dataclass(frozen=True)
class Halving(schedules.Schedule):
    """A schedule of one's own."""

    start: float

    def __call__(self, step):
        return self.start / 2**step


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"network": lambda: [layers.Dense(4), layers.Tanh(), layers.Softmax()]},
            "holds Tanh.*, for which the book has no class",
        ),
        (
            {"network": lambda: [layers.Sequential([layers.Dense(3)]), layers.Softmax()]},
            "has no class; read it with nnxp.load",
        ),
        ({"optimizer": optimizers.SGD(Halving(0.1))}, "holds an object of class 'Halving', which nnxp does not know"),
        ({"optimizer": optimizers.SGD(0.1, momentum=0.9, nesterov=True)}, "has optimizer SGD.*nesterov=True.*lack"),
        ({"optimizer": optimizers.Adam(clip_norm=1.0)}, "has optimizer Adam.*clip_norm=1.0.*the book's classes lack"),
        ({"optimizer": optimizers.RandomSearch()}, "holds RandomSearch.*for which the book has no class"),
        ({"loss": losses.CategoricalCrossentropy(reduction="sum")}, "has loss Categorical.*reduction='sum'.*lack"),
        (
            {"network": lambda: [layers.Dense(3)], "loss": losses.CategoricalCrossentropy(from_logits=True)},
            "has loss Categorical.*from_logits=True.*lack",
        ),
        ({"loss": losses.CategoricalCrossentropy(label_smoothing=0.1)}, "has loss Categorical.*label_smoothing.*lack"),
        ({"optimizer": optimizers.Adam(accumulate=2)}, "has optimizer Adam.*accumulate=2.*lack"),
        ({"optimizer": optimizers.Adam(ema=0.9)}, "has optimizer Adam.*ema=0.9.*lack"),
        ({"optimizer": optimizers.Adam(rates={"0": 0.0})}, "has optimizer Adam.*rates=.*lack"),
        ({"optimizer": optimizers.AdamW()}, "holds AdamW.*for which the book has no class"),
        (
            {"loss": losses.BinaryCrossentropy(), "metrics": [metrics.BinaryAccuracy(0.25)]},
            "has metrics .*threshold=0.25.*lack",
        ),
        ({"input_scaling": data.Scaling([0.0, 1.0], [2.0, 3.0])}, "has input_scaling .*; read it with nnxp.load"),
    ],
)  # fmt: skip
def test_what_the_book_s_classes_cannot_say(options, text, begun, path):
    native(**options).save(path)
    with pytest.raises(FileFormatError, match=text) as caught:
        Model.load(path)
    assert str(path) in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


# -- what is refused


class OwnLoss(Loss_MeanSquaredError):
    pass


class OwnDense(Layer_Dense):
    pass


class OwnActivation(Activation_ReLU):
    pass


class OwnOptimizer(Optimizer_SGD):
    pass


@pytest.mark.parametrize("own", [OwnDense, OwnActivation, OwnLoss, OwnOptimizer])
def test_classes_of_one_s_own_cannot_be_written(own, begun, path):
    """One error, and the file that was there stays."""
    model = Model()
    model.add(OwnDense(2, 1) if own is OwnDense else Layer_Dense(2, 1))
    model.add(OwnActivation() if own is OwnActivation else Activation_Linear())
    loss = own() if own is OwnLoss else Loss_MeanSquaredError()
    model.set(loss=loss, optimizer=own() if own is OwnOptimizer else Optimizer_SGD())
    path.write_text("before")
    text = rf"^Model.save: a file cannot hold {own.__name__}: it holds the book's own classes only. Keep what"
    with pytest.raises(ConfigurationError, match=text):
        model.save(path)
    assert path.read_text() == "before"


def test_nothing_to_write(begun, path):
    model = Model()
    model.add(Activation_Linear())
    model.set(loss=Loss_MeanSquaredError(), optimizer=Optimizer_SGD())
    for write in (model.save, model.save_parameters):
        with pytest.raises(ConfigurationError, match="there is no Layer_Dense, so there is nothing to save"):
            write(path)
    assert not path.exists()


def damaged(path, kind):
    good = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(good[: len(good) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "pickle":
        path.write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05hello\x94.")
    elif kind == "foreign":
        save_file({"0.weights": np.zeros((2, 4), dtype=np.float32)}, path)
    elif kind == "changed":
        path.write_bytes(good[:-4] + b"\x00\x00\x80\x3f")
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("truncated", FileFormatError, "is not a whole safetensors file"),
        ("empty", FileFormatError, "is not a whole safetensors file"),
        ("pickle", FileFormatError, "is not a whole safetensors file"),
        ("foreign", FileFormatError, "is a safetensors file of another program"),
        ("changed", FileFormatError, "was changed after it was saved"),
        ("missing", FileNotFound, "There is no file"),
    ],
)
def test_files_that_are_none(kind, error, text, begun, path):
    model = build()
    model.save(path)
    damaged(path, kind)
    before = parameters(model)
    for read in (Model.load, model.load_parameters):
        with pytest.raises(error, match=text):
            read(path)
    assert_same(parameters(model), before)


def test_a_directory_is_no_place_for_a_file(begun, tmp_path):
    with pytest.raises(NnxpError, match="could not be written: Is a directory"):
        build().save(tmp_path)
    with pytest.raises(NnxpError):
        Model.load(tmp_path)


# -- parameters alone


@pytest.mark.parametrize("write", ["save", "save_parameters"])
def test_parameters_from_a_file(write, begun, path):
    source, target = build(), build("sgd", "squares")
    source.train(X, LABELS)
    getattr(source, write)(path)
    target.load_parameters(path)
    assert_same(parameters(target), parameters(source))


def test_parameters_need_no_loss(begun, path):
    model = Model()
    model.add(Layer_Dense(2, 3))
    model.save_parameters(path)
    before = parameters(model)
    model.set_parameters([(np.ones((2, 3)), np.ones((1, 3)))])
    model.load_parameters(path)
    assert_same(parameters(model), before)


def test_parameters_of_another_network(begun, path):
    other = Model()
    other.add(Layer_Dense(2, 4))
    other.add(Layer_Dense(4, 2))
    other.save_parameters(path)
    model = build()
    before = parameters(model)
    with pytest.raises(ShapeError, match=r"Layer_Dense: weights has shape \(4, 3\), got \(4, 2\)"):
        model.load_parameters(path)
    other.layers.pop()
    other.finalize()
    other.save_parameters(path)
    with pytest.raises(ConfigurationError, match=r"for 2 layers, got list with 1 items"):
        model.load_parameters(path)
    assert_same(parameters(model), before)


def test_the_configuration_is_plain(begun, path):
    """Anyone can read what a file says."""
    build("momentum", weight_regularizer_l2=0.5).save(path)
    with safe_open(path, framework="numpy") as file:
        configuration = json.loads(json.loads(file.metadata()["nnxp"])["configuration"])
    assert configuration["optimizer"]["momentum"] == 0.9
    assert configuration["layers"][0]["weight_regularizer"] == {"class": "L2", "rate": 0.5}
