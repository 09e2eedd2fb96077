"""What the book's classes refuse, and what they say: what arrived, what was expected, what to do."""

from math import inf, nan

import numpy as np
import pytest

from nnxp.compat.nnfs import (
    Accuracy_Categorical,
    Accuracy_Regression,
    Activation_Linear,
    Activation_ReLU,
    Activation_Sigmoid,
    Activation_Softmax,
    Activation_Softmax_Loss_CategoricalCrossentropy,
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
from nnxp.errors import ConfigurationError, DataError, DtypeError, OrderError, ShapeError

COLUMN = [[0.5], [0.5]]
SHARES = [[0.5, 0.5], [0.25, 0.75]]


def refused(error, text, call, *arguments, **options):
    """The whole text, so that it is read here as a user reads it."""
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    assert str(caught.value) == text


@pytest.fixture(autouse=True)
def _begin(begun):
    """On every backend the same words."""


# -- layers


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (np.zeros(2), "got (2,); for one sample use [inputs]."),
        (np.zeros((3, 4)), "got (3, 4); n_inputs is the number of columns."),
        (np.zeros((5, 2, 2)), "got (5, 2, 2); use one row of numbers for each sample."),
        (1.0, "got (); use one row of numbers for each sample."),
    ],
    ids=["row", "columns", "images", "number"],
)
def test_dense_inputs_of_a_wrong_shape(inputs, text):
    refused(ShapeError, "Layer_Dense expected inputs of shape (samples, 2), " + text, Layer_Dense(2, 3).forward, inputs)


@pytest.mark.parametrize(("inputs", "what"), [("abc", "str"), ([["a", "b"]], "list"), (None, "NoneType")])
def test_inputs_that_are_no_numbers(inputs, what):
    for layer in (Layer_Dense(2, 3), Activation_ReLU(), Layer_Dropout(0.5)):
        name = type(layer).__name__
        text = f"{name} expected inputs to be an array of numbers, got {what}; encode it as numbers first."
        refused(DtypeError, text, layer.forward, inputs)


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (3,), (1, 3)])
def test_dense_gradients_of_a_wrong_shape(shape):
    layer = Layer_Dense(2, 3)
    layer.forward(np.zeros((4, 2)))
    good = (4, 3)
    if shape == good:
        layer.backward(np.zeros(shape))
    else:
        text = f"Layer_Dense expected dvalues of shape {good}, got {shape}."
        refused(ShapeError, text, layer.backward, np.zeros(shape))


STEPS = [
    lambda: Activation_Linear(),
    lambda: Activation_ReLU(),
    lambda: Activation_Sigmoid(),
    lambda: Activation_Softmax(),
    lambda: Layer_Dropout(0.5),
]


@pytest.mark.parametrize("make", STEPS)
@pytest.mark.parametrize("shape", [(2, 1), (1, 3), (3,), (3, 2)])
def test_gradients_of_a_wrong_shape(make, shape):
    step = make()
    step.forward(np.ones((2, 3)))
    text = f"{type(step).__name__} expected dvalues of shape (2, 3), like its output, got {shape}."
    refused(ShapeError, text, step.backward, np.ones(shape))


@pytest.mark.parametrize("make", [*STEPS, lambda: Layer_Dense(2, 3)])
def test_backward_before_forward(make):
    step = make()
    text = f"{type(step).__name__}.backward needs a forward before it: call forward(inputs) first."
    refused(OrderError, text, step.backward, [[1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 3), "n_inputs must be a whole number of at least 1, got 0."),
        ((2, 2.5), "n_neurons must be a whole number of at least 1, got 2.5."),
        (("2", 3), "n_inputs must be a whole number of at least 1, got '2'."),
        ((2, 3, -1), "weight_regularizer_l1 must be a number of at least 0, got -1."),
        ((2, 3, 0, nan), "weight_regularizer_l2 must be a number of at least 0, got nan."),
        ((2, 3, 0, 0, "1"), "bias_regularizer_l1 must be a number of at least 0, got '1'."),
        ((2, 3, 0, 0, 0, -0.5), "bias_regularizer_l2 must be a number of at least 0, got -0.5."),
    ],
)
def test_dense_arguments(arguments, text):
    refused(ConfigurationError, "Layer_Dense: " + text, Layer_Dense, *arguments)


@pytest.mark.parametrize("rate", [1, -0.1, "0.5", nan])
def test_dropout_rates(rate):
    refused(ConfigurationError, f"Layer_Dropout: rate must be a number in [0, 1), got {rate!r}.", Layer_Dropout, rate)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ((np.zeros((3, 2)), np.zeros((1, 3))), "weights has shape (2, 3), got (3, 2)."),
        ((np.zeros((2, 3)), np.zeros(3)), "biases has shape (1, 3), got (3,)."),
    ],
)
def test_parameters_of_a_wrong_shape(parameters, text, begun):
    layer = Layer_Dense(2, 3)
    before = begun.to_numpy(layer.weights)
    refused(ShapeError, "Layer_Dense: " + text, layer.set_parameters, *parameters)
    np.testing.assert_array_equal(begun.to_numpy(layer.weights), before)


# -- losses

ELEMENTWISE = [Loss_BinaryCrossentropy, Loss_MeanSquaredError, Loss_MeanAbsoluteError]


def both_ways(make):
    """``forward``, ``calculate`` and ``backward`` refuse the same."""
    return [make().forward, make().calculate, make().backward]


@pytest.mark.parametrize("make", ELEMENTWISE)
@pytest.mark.parametrize(
    ("y", "text"),
    [
        ([0, 1], "got (2,); use y[:, None]."),
        ([[0, 1], [1, 0]], "got (2, 2); they are never broadcast."),
        ([[[0]], [[1]]], "got (2, 1, 1); they are never broadcast."),
    ],
)
def test_targets_of_another_shape(make, y, text):
    for call in both_ways(make):
        expected = f"{make.__name__} expected y of shape (2, 1), like the predictions, " + text
        refused(ShapeError, expected, call, COLUMN, y)


@pytest.mark.parametrize("make", ELEMENTWISE)
def test_predictions_without_a_column(make):
    text = f"{make.__name__} expected predictions of shape (samples, outputs), got (2,); use a column."
    for call in both_ways(make):
        refused(ShapeError, text, call, [0.5, 0.5], [0, 1])


@pytest.mark.parametrize("make", ELEMENTWISE)
@pytest.mark.parametrize("bad", [nan, inf])
def test_targets_that_are_not_finite(make, bad):
    text = f"{make.__name__} expected y to have finite values, got {bad} at [1, 0]; drop or fill those rows."
    for call in both_ways(make):
        refused(DataError, text, call, COLUMN, [[0.0], [bad]])


@pytest.mark.parametrize("bad", [-1.0, 2.0])
def test_binary_targets_out_of_range(bad):
    text = f"Loss_BinaryCrossentropy expected y to have values in [0, 1], got {bad} at [0, 0]; scale or relabel y."
    for call in both_ways(Loss_BinaryCrossentropy):
        refused(DataError, text, call, COLUMN, [[bad], [0.0]])


CATEGORICAL = "Loss_CategoricalCrossentropy expected "


@pytest.mark.parametrize(
    ("y", "error", "text"),
    [
        ([-1, 0], DataError, "class indices y in 0..1 (2 outputs), got -1 at y[0]; renumber the classes from 0, or "
         "give the last layer more outputs."),
        ([0, 2], DataError, "class indices y in 0..1 (2 outputs), got 2 at y[1]; renumber the classes from 0, or give "
         "the last layer more outputs."),
        ([[0], [1]], ShapeError, "y of shape (2,) (class indices) or (2, 2) (probabilities), got (2, 1); use y[:, 0]."),
        ([0.0, nan], DtypeError, "class indices y of an integer dtype, got float64; use y.astype('int64') if they are "
         "whole numbers, or a loss for regression."),
        ([[1.0, 0.0], [nan, 0.0]], DataError, "y to have finite probabilities of at least 0, got nan at [1, 0]; check "
         "y."),
        ([[1, 0], [1, 1]], DataError, "the row sums of y to have rows that sum to 1, got 2.0 at [1]; divide each row "
         "by its sum."),
        ([0], ShapeError, "one row of y for each of the 2 rows of x, got 1 rows in y."),
        (["a", "b"], DtypeError, "y to be an array of numbers, got list; encode it as numbers first."),
    ],
    ids=["-1", "too large", "column", "floats", "NaN", "two hot", "too few", "strings"],
)  # fmt: skip
def test_class_targets(y, error, text):
    for call in both_ways(Loss_CategoricalCrossentropy):
        refused(error, CATEGORICAL + text, call, SHARES, y)


def test_the_combined_class_refuses_the_same():
    both = Activation_Softmax_Loss_CategoricalCrossentropy()
    for call in (both.forward, both.backward):
        with pytest.raises(DataError, match=r"expected class indices y in 0\.\.1 \(2 outputs\), got -1 at y\[0\]"):
            call(SHARES, [-1, 0])


@pytest.mark.parametrize("make", [*ELEMENTWISE, Loss_CategoricalCrossentropy])
def test_no_samples(make):
    y = np.zeros(0, dtype=int) if make is Loss_CategoricalCrossentropy else np.zeros((0, 2))
    text = f"{make.__name__} expected at least one sample, got none: the data is empty."
    refused(DataError, text, make().calculate, np.zeros((0, 2)), y)
    text = f"{make.__name__}: nothing was calculated since new_pass(); call calculate first."
    refused(OrderError, text, make().calculate_accumulated)


# -- accuracies


@pytest.mark.parametrize(
    ("predictions", "y", "expected", "got", "remedy"),
    [
        ([[0], [1]], [0, 1], (2, 1), (2,), "y.reshape(-1, 1)"),
        ([0, 1], [[0], [1]], (2,), (2, 1), "y[:, 0]"),
        ([0, 1], [0, 1, 1], (2,), (3,), "one target for each prediction"),
        ([[0], [1]], [[0, 1], [1, 0]], (2, 1), (2, 2), "one target for each prediction"),
    ],
)
def test_accuracies_never_broadcast(predictions, y, expected, got, remedy):
    regression = Accuracy_Regression()
    regression.init([1.0, 2.0])
    for accuracy in (Accuracy_Categorical(), Accuracy_Categorical(binary=True), regression):
        name = type(accuracy).__name__
        text = f"{name} expected y of shape {expected}, like the predictions, got {got}; use {remedy}."
        refused(ShapeError, text, accuracy.calculate, predictions, y)


def test_accuracy_of_nothing():
    text = "Accuracy_Categorical expected at least one prediction, got none: the data is empty."
    refused(DataError, text, Accuracy_Categorical().calculate, [], [])
    text = "Accuracy_Categorical: nothing was calculated since new_pass(); call calculate first."
    refused(OrderError, text, Accuracy_Categorical().calculate_accumulated)


def test_accuracy_of_strings():
    text = "Accuracy_Categorical expected y to be an array of numbers, got list; encode it as numbers first."
    refused(DtypeError, text, Accuracy_Categorical().calculate, [0, 1], ["a", "b"])


def test_regression_accuracy_before_init():
    text = "Accuracy_Regression has no precision yet: call init(y) with the training targets first."
    refused(OrderError, text, Accuracy_Regression().calculate, COLUMN, COLUMN)


@pytest.mark.parametrize(("y", "what"), [([[1.0], [nan]], "NaN or infinity among them"), ([], "none")])
def test_a_precision_of_bad_targets(y, what):
    accuracy = Accuracy_Regression()
    text = f"Accuracy_Regression.init expected finite targets y, got {what}; drop those rows."
    refused(DataError, text, accuracy.init, y)
    assert accuracy.precision is None


# -- optimizers


@pytest.mark.parametrize("make", [Optimizer_SGD, Optimizer_Adagrad, Optimizer_RMSprop, Optimizer_Adam])
def test_optimizers(make):
    name = make.__name__
    for rate in (0, -1, nan, "1"):
        text = f"{name}: learning_rate must be a positive number, got {rate!r}."
        refused(ConfigurationError, text, make, learning_rate=rate)
    refused(ConfigurationError, f"{name}: decay must be a number of at least 0, got -1.", make, decay=-1)
    text = f"{name} needs weights' gradients: call the layer's backward first."
    refused(OrderError, text, make().update_params, Layer_Dense(2, 2))
    text = f"{name} updates a layer with weights and biases, got {Layer_Dense!r}."
    refused(ConfigurationError, text, make().update_params, Layer_Dense)
    with pytest.raises(ConfigurationError, match=f"{name} updates a layer with weights and biases, got .*ReLU object"):
        make().update_params(Activation_ReLU())


@pytest.mark.parametrize(
    ("make", "name", "bad", "expected"),
    [
        (Optimizer_SGD, "momentum", 1, "a number in [0, 1)"),
        (Optimizer_Adagrad, "epsilon", 0, "a positive number"),
        (Optimizer_RMSprop, "epsilon", 0, "a positive number"),
        (Optimizer_RMSprop, "rho", 1.5, "a number in [0, 1)"),
        (Optimizer_Adam, "epsilon", -1, "a positive number"),
        (Optimizer_Adam, "beta_1", 1, "a number in [0, 1)"),
        (Optimizer_Adam, "beta_2", None, "a number in [0, 1)"),
    ],
)
def test_their_own_arguments(make, name, bad, expected):
    text = f"{make.__name__}: {name} must be {expected}, got {bad!r}."
    refused(ConfigurationError, text, make, **{name: bad})


# -- models


@pytest.fixture
def model():
    """Two inputs, one output, for regression."""
    model = Model()
    model.add(Layer_Dense(2, 1))
    model.add(Activation_Linear())
    model.set(loss=Loss_MeanSquaredError(), optimizer=Optimizer_SGD(), accuracy=Accuracy_Regression())
    return model


X, Y = np.float32([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.float32([[1.0], [2.0], [3.0]])


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Activation_ReLU, "layer is the class Activation_ReLU; call it: Activation_ReLU()."),
        ("relu", "layer 'relu' lacks the methods forward, backward."),
        (None, "layer None lacks the methods forward, backward."),
    ],
)
def test_add(layer, text):
    model = Model()
    refused(ConfigurationError, "Model.add: " + text, model.add, layer)
    assert model.layers == []


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"loss": Loss_MeanSquaredError}, "loss is the class Loss_MeanSquaredError; call it: Loss_MeanSquaredError()."),
        ({"optimizer": Optimizer_SGD}, "optimizer is the class Optimizer_SGD; call it: Optimizer_SGD()."),
        (
            {"optimizer": "sgd"},
            "optimizer 'sgd' lacks the methods pre_update_params, update_params, post_update_params.",
        ),
        ({"accuracy": 1}, "accuracy 1 lacks the methods calculate, calculate_accumulated, init, new_pass."),
        (
            {"loss": 1},
            "loss 1 lacks the methods calculate, calculate_accumulated, backward, new_pass, remember_trainable_layers.",
        ),
    ],
)
def test_set(parts, text):
    refused(ConfigurationError, "Model.set: " + text, Model().set, **parts)


def test_a_model_without_layers():
    text = "Model.finalize: there are no layers; add one first."
    for call in (Model().finalize, Model().get_parameters, lambda: Model().predict(X)):
        refused(ConfigurationError, text, call)


def test_parts_that_are_missing():
    model = Model()
    model.add(Layer_Dense(2, 1))
    model.add(Activation_Linear())
    train, evaluate = (lambda: model.train(X, Y)), (lambda: model.evaluate(X, Y))
    refused(OrderError, "Model.train needs loss, optimizer, accuracy: call set(loss=...) first.", train)
    refused(OrderError, "Model.save needs loss, optimizer: call set(loss=...) first.", model.save, "never written")
    model.set(loss=Loss_MeanSquaredError())
    refused(OrderError, "Model.train needs optimizer, accuracy: call set(optimizer=...) first.", train)
    refused(OrderError, "Model.evaluate needs accuracy: call set(accuracy=...) first.", evaluate)
    model.set(optimizer=Optimizer_SGD())
    refused(OrderError, "Model.train needs accuracy: call set(accuracy=...) first.", train)
    model.set(accuracy=Accuracy_Regression())
    text = "Accuracy_Regression has no precision yet: call init(y) with the training targets first."
    refused(OrderError, text, evaluate)
    model.train(X, Y)


def test_a_last_layer_without_predictions(model):
    model.layers.pop()
    model.finalize()
    text = "Model.train: Layer_Dense has no predictions(); end with add(Activation_Linear())."
    refused(ConfigurationError, text, model.train, X, Y)
    model.predict(X)


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ((np.zeros((0, 2)), np.zeros((0, 1))), DataError, "at least one row in X, got shape (0, 2)."),
        ((1.0, Y), DataError, "at least one row in X, got shape ()."),
        ((X, Y[:2]), ShapeError, "one row of y for each of the 3 rows of X, got shape (2, 1)."),
        ((X, 1.0), ShapeError, "one row of y for each of the 3 rows of X, got shape ()."),
        (([["a", "b"]], Y), DtypeError, "X to be an array of numbers, got list; encode it as numbers first."),
        ((X, "abc"), DtypeError, "y to be an array of numbers, got str; encode it as numbers first."),
    ],
    ids=["empty", "number", "too few", "one target", "strings", "string"],
)
def test_data(data, error, text, batch_size, model, capsys):
    for name in ("train", "evaluate"):
        call = getattr(model, name)
        refused(error, f"Model.{name} expected " + text, call, *data, batch_size=batch_size)
    assert capsys.readouterr().out == ""


def test_prediction_of_nothing(model):
    refused(DataError, "Model.predict expected at least one row in X, got shape (0, 2).", model.predict, X[:0])
    text = "Model.predict expected X to be an array of numbers, got str; encode it as numbers first."
    refused(DtypeError, text, model.predict, "abc")


def test_targets_in_a_row(model, begun):
    """(N,) beside (N, 1) would be (N, N); nothing is learned of it."""
    before = begun.to_numpy(model.layers[0].weights)
    text = "Loss_MeanSquaredError expected y of shape (3, 1), like the predictions, got (3,); use y[:, None]."
    refused(ShapeError, text, model.train, X, Y[:, 0])
    np.testing.assert_array_equal(begun.to_numpy(model.layers[0].weights), before)


def test_nan_targets_leave_the_model_as_it_was(model, begun):
    before = begun.to_numpy(model.layers[0].weights)
    text = "Accuracy_Regression.init expected finite targets y, got NaN or infinity among them; drop those rows."
    refused(DataError, text, model.train, X, Y * nan)
    np.testing.assert_array_equal(begun.to_numpy(model.layers[0].weights), before)
    model.train(X, Y)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "print_every"])
@pytest.mark.parametrize("bad", [0, -1, 1.5, "1"])
def test_counts(name, bad, model, capsys):
    owner = "Model" if name == "batch_size" else "Model.train"
    text = f"{owner}: {name} must be a whole number of at least 1, got {bad!r}."
    refused(ConfigurationError, text, model.train, X, Y, **{name: bad})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("validation_data", "error", "text"),
    [
        ([X], ConfigurationError, "Model.train expected validation_data to be a pair (X, y), got a list."),
        (X, ConfigurationError, "Model.train expected validation_data to be a pair (X, y), got a ndarray."),
        (
            (X, Y[:1]),
            ShapeError,
            "validation_data expected one row of y for each of the 3 rows of X, got shape (1, 1).",
        ),
    ],
    ids=["one", "array", "too few"],
)
def test_validation_data_is_checked_before_training(validation_data, error, text, model, capsys):
    refused(error, text, model.train, X, Y, validation_data=validation_data)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("parameters", [3, [3], [], [(X, Y), (X, Y)], [(X,)], "ab"])
def test_parameters_that_are_no_pairs(parameters, model):
    count = len(parameters) if isinstance(parameters, list) else 0
    text = (
        f"Model.set_parameters expected a list of (weights, biases) for 1 layers, got {type(parameters).__name__} with "
        f"{count} items; use what get_parameters() gives."
    )
    refused(ConfigurationError, text, model.set_parameters, parameters)


@pytest.mark.parametrize("bad", [nan, inf])
@pytest.mark.parametrize("method", ["train", "evaluate"])
def test_features_must_be_finite(bad, method, model, capsys):
    x = np.array(X, dtype=np.float64)
    x[0, 0] = bad
    text = f"Model.{method} expected finite values in X, got NaN or infinity; drop those rows or fill them in."
    refused(DataError, text, getattr(model, method), x, Y)
    assert capsys.readouterr().out == ""


def test_bad_validation_targets_are_told_before_training(model, begun, capsys):
    before = begun.to_numpy(model.layers[0].weights)
    with pytest.raises(ShapeError):
        model.train(X, Y, epochs=2, validation_data=(X, np.asarray(Y)[:, 0]))
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(begun.to_numpy(model.layers[0].weights), before)
