"""Files: a model comes back whole from one, and from a damaged or made-up one nothing comes but an error of nnxp."""

import json
import os
import pickle
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save as to_bytes

import nnxp
from nnxp import initializers, layers, losses, metrics, optimizers, regularizers, schedules, serialization
from nnxp.data import Scaling
from nnxp.errors import ConfigurationError, FileFormatError, FileNotFound, FileNotWritable, NnxpError, NotBuiltError
from nnxp.layers import Dense, Dropout, Flatten, Layer, ReLU, Sequential, Softmax, Tanh
from nnxp.losses import CategoricalCrossentropy, MeanSquaredError
from nnxp.optimizers import SGD, Adam
from nnxp.regularizers import L1, L1L2, L2
from nnxp.schedules import InverseTimeDecay, Schedule

ROWS, INPUTS, CLASSES = 6, 3, 3
X = np.random.default_rng(0).normal(size=(ROWS, INPUTS)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1, 0, 2])

OPTIMIZERS = {
    "sgd": SGD(0.1),
    "momentum": SGD(InverseTimeDecay(0.1, 0.2), momentum=0.9, nesterov=True),
    "adam": Adam(InverseTimeDecay(0.05, 0.1), beta_1=0.8, clip_norm=1.0),
    "adagrad": optimizers.Adagrad(0.1, clip_value=0.5),
    "adadelta": optimizers.Adadelta(2.0, rho=0.8),
    "rmsprop": optimizers.RMSprop(0.01, rho=0.8),
    "adamw": optimizers.AdamW(0.05, weight_decay=0.1, clip_parameter_norm=0.5),
    "adamax": optimizers.Adamax(0.05),
    "nadam": optimizers.NAdam(0.05, momentum_decay=0.1),
    "lion": optimizers.Lion(0.01, weight_decay=0.1),
    "random search": optimizers.RandomSearch(0.1),
    "in parts": Adam(0.05, accumulate=3),
    "averaging": Adam(0.05, ema=0.8),
    "several rates": SGD(0.1, momentum=0.9, rates={"1.0": 0.5, "1.0.weights": 0, "3": 2}),
    "everything": optimizers.AdamW(
        InverseTimeDecay(0.05, 0.1), accumulate=2, ema=0.5, rates={"3.biases": 0.0}, clip_parameter_norm=0.1
    ),
}


def classifier(backend="numpy", *, optimizer="adam", **options):
    """A network with everything that a file has to hold."""
    network = [
        Flatten(),
        Sequential([Dense(4, weight_regularizer=L2(0.02), bias_regularizer=L1(0.01)), Tanh()]),
        Dropout(0.4),
        Dense(CLASSES, weight_initializer=initializers.HeNormal()),
        Softmax(),
    ]
    defaults = {
        "metrics": ["accuracy"],
        "seed": 11,
        "input_scaling": Scaling([1.0, 0.0, -2.0], [0.5, 4.0, 0.1]),
        "class_names": ["cat", "dog", "öl"],
    }
    return nnxp.Model(
        network,
        loss=CategoricalCrossentropy(),
        optimizer=OPTIMIZERS[optimizer],
        backend=backend,
        **defaults | options,
    )


def train(model, epochs=1):
    return model.fit(X, LABELS, epochs=epochs, batch_size=4, progress="off")


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# -- there and back


def test_a_model_comes_back_whole(backend, path):
    model = classifier(backend)
    train(model)
    model.save(path)
    back = nnxp.load(path, backend=backend)
    assert_same(back.state_dict(), model.state_dict())
    assert back.step == model.step == 2
    assert back.backend.rng.seed == 11
    assert back.backend.dtype == model.backend.dtype
    assert back.class_names == ("cat", "dog", "öl")
    assert back.metrics == model.metrics
    assert (back.loss, back.optimizer) == (model.loss, model.optimizer)
    assert (back.input_shape, back.output_shape) == ((INPUTS,), (CLASSES,))
    assert str(back.summary()) == str(model.summary())
    assert back.evaluate(X, LABELS) == model.evaluate(X, LABELS)
    np.testing.assert_array_equal(back.predict(X), model.predict(X))


@pytest.mark.parametrize("there", ["numpy", "array_api_strict"])
def test_a_file_of_one_backend_opens_on_another(backend, path, there):
    for source, target in ((backend, there), (there, backend)):
        model = classifier(source)
        train(model)
        model.save(path)
        back = nnxp.load(path, backend=target)
        assert back.backend.name == (target if isinstance(target, str) else target.name)
        assert_same(back.state_dict(), model.state_dict())
        assert back.step == 2
        # Sums in another order, through a Softmax; float32.
        np.testing.assert_allclose(back.predict(X), model.predict(X), atol=1e-5)


def test_a_file_does_not_know_where_it_was_written(backend, tmp_path):
    files = []
    for name, where in (("here", backend), ("numpy", "numpy")):
        model = classifier(where)
        model.build((INPUTS,))
        model.save(tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_resumes_bit_for_bit(backend, path, name):
    whole, half = classifier(backend, optimizer=name), classifier(backend, optimizer=name)
    expected = train(whole, 2)
    train(half)
    half.save(path)
    back = nnxp.load(path, backend=backend)
    history = train(back)
    assert history == {key: values[1:] for key, values in expected.items()}
    assert_same(back.state_dict(), whole.state_dict())
    assert back.step == whole.step == 4
    assert back.optimizer == whole.optimizer
    for slot, arrays in whole.engine.slot_state().items():
        assert_same(back.engine.slot_state()[slot], arrays)
    if getattr(whole.optimizer, "ema", None) is not None:
        with whole.averaged(), back.averaged():
            assert_same(back.state_dict(), whole.state_dict())


def test_every_optimizer_resumes():
    public = {getattr(optimizers, name) for name in optimizers.__all__}
    assert {type(optimizer) for optimizer in OPTIMIZERS.values()} == {k for k in public if not k.__abstractmethods__}


def test_training_resumes_at_the_rate_that_a_callback_left(backend, path):
    whole, half = classifier(backend), classifier(backend)
    for model in (whole, half):
        train(model)
        model.learning_rate_factor = 0.3
    half.save(path)
    back = nnxp.load(path, backend=backend)
    assert back.learning_rate_factor == 0.3
    assert back.learning_rate == whole.learning_rate
    assert train(back) == train(whole)
    assert_same(back.state_dict(), whole.state_dict())


def test_rates_read_like_the_mapping_that_was_saved(path):
    model = classifier(optimizer="several rates")
    model.build((INPUTS,))
    model.save(path)
    assert dict(nnxp.load(path).optimizer.rates) == {"1.0": 0.5, "1.0.weights": 0.0, "3": 2.0}


def test_an_exchanged_optimizer_resumes_at_its_own_step(backend, path):
    whole = classifier(backend)
    train(whole)
    whole.optimizer = Adam(InverseTimeDecay(0.2, 1.0))
    train(whole)
    whole.save(path)
    back = nnxp.load(path, backend=backend)
    train(whole)
    train(back)
    assert_same(back.state_dict(), whole.state_dict())


def test_the_dtype_is_kept(make_backend, path):
    backend = make_backend(dtype="float64")
    model = classifier(backend)
    train(model)
    model.save(path)
    back = nnxp.load(path, backend=backend.name)
    assert str(back.backend.dtype).endswith("float64")
    assert_same(back.state_dict(), model.state_dict())
    assert {array.dtype for array in back.state_dict().values()} == {np.dtype("float64")}


def test_a_given_backend_decides_the_dtype_but_not_the_seed(path):
    model = classifier(dtype="float64")
    model.build((INPUTS,))
    model.save(path)
    back = nnxp.load(path, backend=nnxp.get_backend("numpy", seed=5))
    assert back.backend.dtype == np.float32
    assert back.backend.rng.seed == 11
    assert_same(back.state_dict(), {key: array.astype("float32") for key, array in model.state_dict().items()})


def test_numpy_is_where_a_model_opens_by_itself(backend, path):
    model = classifier(backend)
    model.build((INPUTS,))
    model.save(path)
    assert nnxp.load(path).backend.name == "numpy"


EVERY = [getattr(module, name) for module in (losses, metrics, optimizers, schedules) for name in module.__all__]
CONCRETE = [kind for kind in EVERY if isinstance(kind, type) and not kind.__abstractmethods__]


ARGUMENTS = {
    schedules.Constant: (0.25,),
    schedules.InverseTimeDecay: (0.25, 0.5),
    schedules.StepDecay: (0.25, 5, 0.5),
    schedules.PiecewiseConstant: ([5, 8], [0.25, 0.125, 0.0]),
    schedules.ExponentialDecay: (0.25, 0.5, 3),
    schedules.PolynomialDecay: (0.25, 5, 0.125, 2.0),
    schedules.CosineDecay: (0.25, 5, 0.125),
    schedules.CosineRestarts: (0.25, 5, 1.5, 0.5, 0.125),
    schedules.OneCycle: (0.25, 5, 0.5, 0.25, 0.125),
    schedules.LinearWarmup: (schedules.Constant(0.25), 5, 0.125),
    initializers.Constant: (0.25,),
    metrics.TopKAccuracy: (2,),
    metrics.F1: ("weighted",),
    metrics.BinaryAccuracy: (0.25,),
    metrics.RegressionAccuracy: (0.25,),
}
"""For classes that cannot be made without, or that should come back with other values than their own."""


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_class_of_configuration_comes_back(path, kind):
    thing = kind(*ARGUMENTS.get(kind, ()))
    options = {"loss": losses.MeanSquaredError(), "optimizer": SGD()}
    if issubclass(kind, losses.Loss):
        options["loss"] = kind(reduction="sum")
    elif issubclass(kind, metrics.Metric):
        options["metrics"] = [thing]
    else:
        options["optimizer"] = thing if issubclass(kind, optimizers.Optimizer) else SGD(thing)
    model = nnxp.Model([Dense(2, input_size=3), Softmax()], **options)
    model.save(path)
    back = nnxp.load(path)
    assert (back.loss, back.optimizer, back.metrics) == (model.loss, model.optimizer, model.metrics)


def doubled(xp, x):
    return 2 * x


def doubled_backward(xp, dy, x):
    return 2 * dy


IMAGE = (4, 6, 2)
LAYERS = {
    "AveragePool2D": (IMAGE, lambda kind: kind((2, 3), strides=(1, 2), padding="same")),
    "BatchNorm": (IMAGE, lambda kind: kind(momentum=0.8)),
    "Conv2D": (IMAGE, lambda kind: kind(3, (2, 1), strides=2, padding=(1, 0), bias_regularizer=L2(0.1))),
    "Dense": ((3,), lambda kind: kind(4)),
    "Dropout": ((3,), lambda kind: kind(0.25)),
    "ELU": ((3,), lambda kind: kind(0.5)),
    "Embedding": ((3,), lambda kind: kind(5, 2)),
    "GlobalAveragePool1D": ((3, 2), lambda kind: kind()),
    "GlobalAveragePool2D": (IMAGE, lambda kind: kind()),
    "Lambda": ((3,), lambda kind: kind(doubled, doubled_backward)),
    "LeakyReLU": ((3,), lambda kind: kind(0.2)),
    "MaxPool2D": (IMAGE, lambda kind: kind(2, padding=1)),
    "Reshape": ((6,), lambda kind: kind((3, -1))),
    "Residual": ((3,), lambda kind: kind([ReLU()])),
    "Sequential": ((3,), lambda kind: kind([ReLU()])),
}
"""What a sample looks like, and how the layer is made, where that is not as for an activation."""


@pytest.mark.parametrize("name", [name for name in layers.__all__ if name not in ("Layer", "RecordedLayer")])
def test_every_layer_comes_back(path, name, random):
    shape, make = LAYERS.get(name, ((3,), lambda kind: kind()))
    model = nnxp.Model([make(getattr(layers, name)), Flatten()], loss=MeanSquaredError(), optimizer=SGD())
    model.build(shape)
    model.save(path)
    back = nnxp.load(path, custom_objects={"doubled": doubled, "doubled_backward": doubled_backward})
    assert [str(layer) for layer in back.layers] == [str(layer) for layer in model.layers]
    assert str(back.summary()) == str(model.summary())
    x = random.integers(0, 5, (6, *shape)) if name == "Embedding" else random.standard_normal((6, *shape), np.float32)
    np.testing.assert_array_equal(back.predict(x), model.predict(x))


@pytest.mark.parametrize(
    "layer",
    [
        layers.BatchNorm(momentum=0.75, epsilon=0.25),
        layers.LayerNorm(epsilon=0.25),
        layers.RMSNorm(epsilon=0.25),
        layers.Embedding(7, 2, weight_initializer=initializers.Normal(0.5)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_arguments_of_a_layer_come_back(path, layer):
    model = nnxp.Model(
        [layer, Flatten(), Dense(CLASSES), Softmax()], loss=CategoricalCrossentropy(), optimizer=SGD(0.1)
    )
    x = np.array([[0, 6, 6], [1, 2, 3], [4, 5, 0]])
    x = x if layer.index_limit else x.astype("float32")
    model.fit(x, [0, 1, 2], progress="off")
    model.save(path)
    back = nnxp.load(path)
    for name in ("momentum", "epsilon", "vocabulary", "size", "weight_initializer"):
        assert getattr(back.layers[0], name, None) == getattr(layer, name, None)
    assert_same(back.state_dict(), model.state_dict())
    np.testing.assert_array_equal(back.predict(x), model.predict(x))


@pytest.mark.parametrize(
    "loss",
    [
        CategoricalCrossentropy(label_smoothing=0.1, class_weights=[1, 2.5, 0]),
        CategoricalCrossentropy(from_logits=True, class_weights=np.array([1.0, 2.0, 3.0], dtype="float32")),
        losses.BinaryCrossentropy(positive_weight=2),
        losses.BinaryCrossentropy(from_logits=True, positive_weight=(1.0, 2.0, 3.0)),
        losses.KLDivergence(from_logits=True, reduction="sum"),
        losses.Huber(delta=0.25),
    ],
    ids=str,
)
def test_options_of_a_loss_come_back(path, loss):
    head = [] if loss.reads_logits else [Softmax()]
    model = nnxp.Model([Dense(CLASSES, input_size=3), *head], loss=loss, optimizer=SGD())
    model.save(path)
    back = nnxp.load(path)
    assert back.loss == loss
    y = np.eye(3, dtype="float32")
    assert back.evaluate(y, y) == model.evaluate(y, y)


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_statistics_are_held_against_the_file(path, name):
    model = nnxp.Model([layers.BatchNorm()], loss=MeanSquaredError(), optimizer=SGD())
    model.build((3,))
    configuration, tensors = parts(bytes_of(model))
    for change in (lambda: tensors.update({f"0.{name}": np.ones(4, np.float32)}), lambda: tensors.pop(f"0.{name}")):
        change()
        path.write_bytes(forged(configuration, tensors))
        with pytest.raises(FileFormatError, match=rf"needs 0\.{name} of shape \(3,\), the file holds"):
            nnxp.load(path)


@pytest.mark.parametrize("name", [n for n in initializers.__all__ if n not in ("Initializer", "fans")])
@pytest.mark.parametrize("weight_regularizer", [L1(0.1), L1L2(0.1, 0.3)], ids=str)
def test_every_initializer_and_regularizer_comes_back(path, name, weight_regularizer):
    kind = getattr(initializers, name)
    initializer = kind(*ARGUMENTS.get(kind, ()))
    given = {
        "weight_initializer": initializer,
        "bias_initializer": initializer,
        "weight_regularizer": weight_regularizer,
        "bias_regularizer": L2(0.2),
    }
    model = nnxp.Model([Dense(2, input_size=3, **given)], loss=MeanSquaredError(), optimizer=SGD())
    model.save(path)
    layer = nnxp.load(path).layers[0]
    assert {key: getattr(layer, key) for key in given} == given
    assert layer.input_size == 3
    assert {"L1", "L2", "L1L2"} <= set(regularizers.__all__)


def test_classes_of_one_name_are_told_apart(path):
    """A loss and a metric, a schedule and an initializer."""
    model = nnxp.Model(
        [Dense(2, input_size=3, bias_initializer=initializers.Constant(0.5))],
        loss=MeanSquaredError(),
        optimizer=SGD(schedules.Constant(0.5)),
        metrics=[metrics.MeanSquaredError(), metrics.MeanAbsoluteError()],
    )
    model.save(path)
    back = nnxp.load(path)
    assert (back.loss, back.optimizer, back.metrics) == (model.loss, model.optimizer, model.metrics)
    assert back.layers[0].bias_initializer == initializers.Constant(0.5)


def test_bare_names_stay_with_their_first_owner():
    """Files of before there were two of a name hold them: these names never change hands."""
    losses_first = {"MeanSquaredError": losses.MeanSquaredError, "MeanAbsoluteError": losses.MeanAbsoluteError}
    first = losses_first | {"Constant": schedules.Constant}
    assert {name: serialization._CLASSES[name] for name in first} == first
    prefixed = {name for name in serialization._CLASSES if "." in name}
    assert prefixed >= {"initializers.Constant", "metrics.MeanSquaredError", "metrics.MeanAbsoluteError"}


def test_measured_tolerances_are_kept(path):
    model = nnxp.Model([Dense(1)], loss=MeanSquaredError(), optimizer=SGD(), metrics=["accuracy"])
    y = np.linspace(-5, 5, ROWS)[:, None]
    model.fit(X, y, progress="off")
    model.save(path)
    assert nnxp.load(path).metrics == (metrics.RegressionAccuracy(float(y.astype(np.float32).std(dtype="f8")) / 250),)


def test_saving_again_replaces_the_file(path):
    model = classifier()
    model.build((INPUTS,))
    model.save(path)
    first = path.read_bytes()
    train(model)
    model.save(path)
    assert path.read_bytes() != first
    assert_same(nnxp.load(path).state_dict(), model.state_dict())
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("name", ["modèle ä.safetensors", "no_ending", ".hidden"])
def test_any_name_will_do(tmp_path, name):
    model = classifier()
    model.build((INPUTS,))
    model.save(str(tmp_path / name))
    assert_same(nnxp.load(str(tmp_path / name)).state_dict(), model.state_dict())


# -- classes of one's own


class Scale(Layer):
    """y = x · s · factor, with a running mean that it remembers."""

    def __init__(self, factor, *, name="scale"):
        self.factor, self.name = factor, name

    def build(self, input_shape, backend):
        self.xp = backend.xp
        self.scale = backend.asarray(np.ones(input_shape))
        self.mean = backend.zeros(input_shape[0])
        return input_shape

    def forward(self, x, *, training=False):
        self.x = x
        if training:
            self.mean = 0.5 * self.mean + 0.5 * self.xp.mean(x, axis=0)
        return x * self.scale * self.factor

    def backward(self, dy):
        self.dscale = self.factor * self.xp.sum(dy * self.x, axis=0)
        return dy * self.scale * self.factor

    def parameters(self):
        return {"scale": self.scale}

    def gradients(self):
        return {"scale": self.dscale}

    def buffers(self):
        return {"mean": self.mean}


class Forgetful(Scale):
    """Keeps its argument under another name than the constructor has for it."""

    def __init__(self, size):
        super().__init__(size)


@dataclass(frozen=True)
class Halving(Schedule):
    rate: float

    def __call__(self, step):
        return self.rate * 0.5**step


def with_own(backend="numpy", layer=None, **options):
    network = [Dense(4), layer or Scale(0.5, name="mine"), Dense(CLASSES), Softmax()]
    options = {"optimizer": Adam(Halving(0.1))} | options
    model = nnxp.Model(network, loss=CategoricalCrossentropy(), backend=backend, **options)
    model.build((INPUTS,))
    return model


def test_own_classes_come_back_when_they_are_named(backend, path):
    model = with_own(backend)
    train(model)
    model.save(path)
    back = nnxp.load(path, backend=backend, custom_objects={"Scale": Scale, "Halving": Halving})
    assert isinstance(back.layers[1], Scale)
    assert (back.layers[1].factor, back.layers[1].name) == (0.5, "mine")
    assert back.optimizer == Adam(Halving(0.1))
    assert "1.mean" in back.state_dict()
    assert_same(back.state_dict(), model.state_dict())
    train(model)
    train(back)
    assert_same(back.state_dict(), model.state_dict())


@pytest.mark.parametrize(("known", "missing"), [({}, "Scale"), ({"Scale": Scale}, "Halving")])
def test_unknown_classes_are_not_made(path, known, missing):
    with_own().save(path)
    with pytest.raises(FileFormatError, match=rf"'{missing}'.*custom_objects={{'{missing}': {missing}}}") as caught:
        nnxp.load(path, custom_objects=known)
    assert str(path) in "".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"optimizer": SGD(lambda step: 0.1)}, r"optimizer.*function.*nnxp\.schedules"),
        ({"layer": Forgetful(2)}, r"layers.*Forgetful.*constructor argument.*attribute"),
        ({"layer": Scale(np.ones(4))}, "layers.*Scale.*plain data"),
    ],
    ids=["lambda", "arguments not kept", "array"],
)
def test_what_cannot_be_written_is_said_and_nothing_is_written(path, options, match):
    path.write_bytes(b"old")
    with pytest.raises(ConfigurationError, match=match):
        with_own(**options).save(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_an_unbuilt_model_is_not_written(path):
    with pytest.raises(NotBuiltError, match="build"):
        classifier().save(path)
    assert not path.exists()


# -- what stands in a file


def bytes_of(model):
    """What a model's file holds."""
    with TemporaryDirectory() as folder:
        model.save(Path(folder, "m"))
        return Path(folder, "m").read_bytes()


TRAINED = classifier()
train(TRAINED)
FILE = bytes_of(TRAINED)
HEADER = 8 + int.from_bytes(FILE[:8], "little")
"""Where the tensors begin."""


@pytest.fixture
def good(path):
    path.write_bytes(FILE)
    return path


def test_a_file_is_tensors_and_plain_json(good):
    with safe_open(good, framework="numpy") as file:
        keys = set(file.keys())
        metadata = file.metadata()
    state = {"1.0.weights", "1.0.biases", "3.weights", "3.biases"}
    assert keys == state | {f"optimizer.{slot}.{key}" for slot in ("first_moment", "second_moment") for key in state}
    header = json.loads(FILE[8:HEADER])
    assert header["__metadata__"] == metadata
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F32"}
    configuration, _ = parts(FILE)
    assert configuration["step"] == 2
    assert configuration["seed"] == 11
    assert [layer["class"] for layer in configuration["layers"]] == [
        "Flatten",
        "Sequential",
        "Dropout",
        "Dense",
        "Softmax",
    ]
    for word in ("backend", "numpy", "cupy", "pickle"):
        assert word not in json.dumps(configuration)


def test_a_file_opens_where_no_other_library_can_be_imported(good):
    program = f"""
import sys
for name in ("cupy", "torch", "jax", "array_api_strict", "numba"):
    sys.modules[name] = None
import nnxp
print(nnxp.load({str(good)!r}).step)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == ["2"]


# -- files that are none


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFound, match=r"no file .*nowhere\.safetensors") as caught:
        nnxp.load(tmp_path / "nowhere.safetensors")
    assert isinstance(caught.value, FileNotFoundError)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(NnxpError, match=tmp_path.name):
        nnxp.load(tmp_path)


CUTS = [0, 1, 7, 8, 9, 60, HEADER - 1, HEADER, HEADER + 1, (HEADER + len(FILE)) // 2, len(FILE) - 4, len(FILE) - 1]


@pytest.mark.parametrize("size", CUTS)
def test_a_truncated_file(path, size):
    path.write_bytes(FILE[:size])
    with pytest.raises(FileFormatError, match=path.name):
        nnxp.load(path)


@pytest.mark.parametrize("tail", [b"\0", b"more", FILE])
def test_a_file_with_something_behind_it(path, tail):
    path.write_bytes(FILE + tail)
    with pytest.raises(FileFormatError, match=path.name):
        nnxp.load(path)


def test_a_pickle_is_called_one(path):
    path.write_bytes(pickle.dumps({"weights": X.tolist()}))
    with pytest.raises(FileFormatError, match="looks like a pickle, which nnxp never reads"):
        nnxp.load(path)


def test_a_folder_is_called_one(tmp_path):
    with pytest.raises(FileFormatError, match="is a folder; name a file in it"):
        nnxp.load(tmp_path)


STRANGERS = {
    "no metadata": to_bytes({"w": X}),
    "of another program": to_bytes({"w": X}, metadata={"format": "pt"}),
    "without tensors": to_bytes({}, metadata={"format": "pt"}),
    "pickle": pickle.dumps({"weights": X.tolist()}),
    "text": b"0.5,0.25\n" * 9,
    "zip": b"PK\x03\x04" + bytes(100),
    "zeros": bytes(1000),
    "a huge header": (10**15).to_bytes(8, "little") + bytes(1000),
    "a deep header": (40_008).to_bytes(8, "little") + b'{"a":' * 8000 + b"1" * 8,
    "random": np.random.default_rng(0).bytes(3000),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_file_of_another_kind(path, name):
    path.write_bytes(STRANGERS[name])
    with pytest.raises(FileFormatError, match=path.name):
        nnxp.load(path)


class Burglar:
    """What a pickle runs when it is loaded."""

    def __reduce__(self):
        return (open, ("/no/such/folder/opened_by_a_pickle", "w"))


def test_a_pickle_is_never_loaded(path):
    path.write_bytes(pickle.dumps(Burglar()))
    with pytest.raises(FileFormatError):
        nnxp.load(path)


def test_a_declared_size_is_held_against_the_file(path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    _refused_without_memory(path)


def _refused_without_memory(path, **options):
    tracemalloc.start()
    try:
        with pytest.raises(NnxpError) as caught:
            nnxp.load(path, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    return caught.value


# -- one byte wrong


def loads_the_same_or_refuses(path):
    try:
        back = nnxp.load(path)
    except NnxpError:
        return False
    assert_same(back.state_dict(), TRAINED.state_dict())
    assert repr(back) == repr(TRAINED)
    assert (back.step, back.class_names, back.metrics) == (TRAINED.step, TRAINED.class_names, TRAINED.metrics)
    np.testing.assert_array_equal(back.predict(X), TRAINED.predict(X))
    return True


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(FILE) - 1), value=st.integers(0, 255))
@example(position=0, value=255)
@example(position=7, value=255)
@example(position=8, value=0)
@example(position=len(FILE) - 1, value=0)
def test_one_wrong_byte_never_passes_unseen(path, position, value):
    changed = bytearray(FILE)
    changed[position] = value
    path.write_bytes(changed)
    same = loads_the_same_or_refuses(path)
    if position >= HEADER:
        assert same == (changed == FILE)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(8, HEADER - 1), value=st.sampled_from(b'0123456789-eE{}[]":,\\ \n\0axFIU\x80\xff'))
def test_one_wrong_byte_in_the_header_never_passes_unseen(path, position, value):
    changed = bytearray(FILE)
    changed[position] = value
    path.write_bytes(changed)
    loads_the_same_or_refuses(path)


@pytest.mark.parametrize("position", [HEADER, (HEADER + len(FILE)) // 2, len(FILE) - 1])
@pytest.mark.parametrize("bit", [0, 7])
def test_one_wrong_bit_in_a_tensor_is_said(path, position, bit):
    changed = bytearray(FILE)
    changed[position] ^= 1 << bit
    path.write_bytes(changed)
    with pytest.raises(FileFormatError, match=r"changed after it was saved.*SHA-256"):
        nnxp.load(path)


# -- made-up files: whoever changes a file can also make its SHA-256 fit again


def parts(content):
    """A file's configuration and tensors."""
    from safetensors.numpy import load

    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    return json.loads(json.loads(metadata["nnxp"])["configuration"]), load(content)


def forged(configuration, tensors):
    """A file of these, with a SHA-256 that fits."""
    text = configuration if isinstance(configuration, str) else json.dumps(configuration, sort_keys=True)
    entry = json.dumps({"configuration": text, "sha256": serialization._digest(text, tensors)}, sort_keys=True)
    return to_bytes(tensors, metadata={"nnxp": entry})


def test_forging_is_understood(path):
    # What the tests below change is all that is wrong with their files.
    path.write_bytes(forged(*parts(FILE)))
    assert nnxp.load(path).step == 2


def test_a_changed_configuration_is_said(path):
    entry = json.dumps({"configuration": json.dumps(parts(FILE)[0] | {"step": 5}), "sha256": "0" * 64})
    path.write_bytes(to_bytes(parts(FILE)[1], metadata={"nnxp": entry}))
    with pytest.raises(FileFormatError, match="SHA-256"):
        nnxp.load(path)


def test_another_version_is_said(path):
    configuration, tensors = parts(FILE)
    path.write_bytes(forged(configuration | {"version": 99}, tensors))
    with pytest.raises(FileFormatError, match=r"version 99, this nnxp reads \d+; update nnxp"):
        nnxp.load(path)


@pytest.mark.parametrize("name", ["os.system", "Nonsense", "Layer", "join", "", None, 5, ["Dense"]])
def test_only_known_classes_are_made(path, name):
    configuration, tensors = parts(FILE)
    configuration["layers"][0] = {"class": name}
    path.write_bytes(forged(configuration, tensors))
    with pytest.raises(NnxpError):
        nnxp.load(path)


VALUES = [None, True, -1, 5, 10**30, 1.5, "x", "", [], [1], {}, {"class": "Dense", "units": 3}, {"class": "Softmax"}]


MAY_VARY = {
    "class_names",
    "dtype",
    "input_scaling",
    "metrics",
    "optimizer_start",
    "rate_factor",
    "seed",
    "step",
    "version",
}
"""What may hold another of these values (``True`` is a 1) and still be a model that trains."""


@pytest.mark.parametrize("key", sorted(parts(FILE)[0]))
def test_a_senseless_configuration_raises_nothing_foreign(path, key):
    for value in VALUES:
        configuration, tensors = parts(FILE)
        path.write_bytes(forged(configuration | {key: value}, tensors))
        try:
            model = nnxp.load(path)
            model.train_step(X, LABELS)
        except NnxpError:
            continue
        assert key in MAY_VARY, f"{key} = {value!r} was taken"
    del configuration[key]
    path.write_bytes(forged(configuration, tensors))
    if key == "rate_factor":  # older files have none
        assert nnxp.load(path).learning_rate_factor == 1.0
        return
    with pytest.raises(NnxpError):
        nnxp.load(path)


@pytest.mark.parametrize("text", ["", "null", "[]", "5", "{", '{"version": 1}', "[" * 100_000, "{}"])
def test_a_configuration_that_is_none(path, text):
    path.write_bytes(forged(text, parts(FILE)[1]))
    with pytest.raises(FileFormatError, match=path.name):
        nnxp.load(path)


HUGE = {
    "units": [{"class": "Dense", "units": 10**15}],
    "units inside": [{"class": "Sequential", "layers": [{"class": "ReLU"}, {"class": "Dense", "units": 10**15}]}],
    "input size": [{"class": "Dense", "units": 3, "input_size": 10**15}],
    "units behind an own layer": [{"class": "Own"}, {"class": "Dense", "units": 10**15}],
    "several layers": [{"class": "Dense", "units": 3}, *[{"class": "Dense", "units": 1000}] * 3],
}


class Own(Layer):
    def forward(self, x, *, training=False):
        return x

    def backward(self, dy):
        return dy


@pytest.mark.parametrize("name", HUGE)
def test_declared_layers_are_held_against_the_file_before_memory_is_taken(path, name):
    # 10¹⁵ numbers are more than any address space holds: a mistake is an error at once, not a slow machine.
    model = nnxp.Model([Dense(3, input_size=3)], loss=CategoricalCrossentropy(from_logits=True), optimizer=SGD())
    configuration, tensors = parts(bytes_of(model))
    path.write_bytes(forged(configuration | {"layers": HUGE[name]}, tensors))
    error = _refused_without_memory(path, custom_objects={"Own": Own})
    assert isinstance(error, FileFormatError)
    assert "needs" in str(error)


def test_a_huge_input_is_held_against_the_file(path):
    configuration, tensors = parts(FILE)
    path.write_bytes(forged(configuration | {"input_shape": [10**15]}, tensors))
    assert isinstance(_refused_without_memory(path), FileFormatError)


CHANGES = {
    "a tensor is missing": lambda t: t.pop("1.0.weights"),
    "a tensor is too much": lambda t: t.update({"9.weights": X}),
    "a tensor is transposed": lambda t: t.update({"1.0.weights": np.ascontiguousarray(t["1.0.weights"].T)}),
    "a tensor is flat": lambda t: t.update({"1.0.weights": t["1.0.weights"].reshape(-1)}),
    "a tensor would broadcast": lambda t: t.update({"1.0.weights": t["1.0.weights"][:1]}),
    "a tensor is of one number": lambda t: t.update({"1.0.biases": np.zeros(1, np.float32)}),
    "a slot is missing": lambda t: t.pop("optimizer.first_moment.3.biases"),
    "all slots are missing": lambda t: [t.pop(key) for key in list(t) if key.startswith("optimizer.")],
    "a slot is too much": lambda t: t.update({"optimizer.velocity.3.biases": np.zeros(3, np.float32)}),
    "a slot is longer": lambda t: t.update({"optimizer.first_moment.3.biases": np.zeros(4, np.float32)}),
    "a slot would broadcast": lambda t: t.update({"optimizer.first_moment.3.weights": np.zeros(3, np.float32)}),
    "a slot is of one number": lambda t: t.update({"optimizer.first_moment.3.biases": np.zeros((), np.float32)}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_tensors_that_do_not_fit_are_refused(path, name):
    configuration, tensors = parts(FILE)
    CHANGES[name](tensors)
    path.write_bytes(forged(configuration, tensors))
    with pytest.raises(NnxpError):
        nnxp.load(path)


# -- a save that fails


def save_over(path, error=FileNotWritable, match=None):
    """A save that must fail: the old file stands, and no other."""
    before = sorted(os.listdir(path.parent))
    model = classifier()
    train(model)
    state = model.state_dict()
    with pytest.raises(error, match=match):
        model.save(path)
    assert sorted(os.listdir(path.parent)) == before
    assert_same(model.state_dict(), state)


def failing(*arguments, **options):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("function", ["nnxp._files.fsync", "os.replace"])
def test_a_failed_save_leaves_the_old_file(good, monkeypatch, function):
    monkeypatch.setattr(function, failing)
    save_over(good, match=r"could not be written: No space left on device.*Nothing was changed")
    assert good.read_bytes() == FILE


def test_a_save_cut_off_half_way_leaves_the_old_file(good):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(FILE) // 2, limits[1]))
    try:
        save_over(good, match="could not be written")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert good.read_bytes() == FILE


def test_an_interrupted_save_leaves_the_old_file(good, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("nnxp._files.fsync", interrupt)
    save_over(good, KeyboardInterrupt)
    assert good.read_bytes() == FILE


def test_a_failed_first_save_leaves_no_file(path, monkeypatch):
    monkeypatch.setattr("os.replace", failing)
    save_over(path)
    assert not path.exists()


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    save_over(tmp_path / "folder", match="folder could not be written")


def test_a_missing_folder_is_said(tmp_path):
    model = classifier()
    model.build((INPUTS,))
    with pytest.raises(FileNotWritable, match=r"m\.safetensors could not be written.*choose a path") as caught:
        model.save(tmp_path / "missing" / "m.safetensors")
    assert isinstance(caught.value, OSError)
    assert os.listdir(tmp_path) == []
