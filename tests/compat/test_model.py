"""The book's ``Model``: what it prints, in which order it sees the data, and how it is put together."""

import re

import numpy as np
import pytest

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
    Loss_MeanSquaredError,
    Model,
    Optimizer_Adam,
    Optimizer_SGD,
)
from nnxp.errors import ShapeError

NUMBER = r"\d+\.\d{3}"
LINE = rf"acc: {NUMBER}, loss: {NUMBER} \(data_loss: {NUMBER}, reg_loss: {NUMBER}\), lr: [\d.e-]+"
VALIDATION = rf"validation, acc: {NUMBER}, loss: {NUMBER}"

X = np.arange(20, dtype=np.float32).reshape(10, 2) / 20
CLASSES = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])


class Recorder:
    """A layer of one's own: it hands everything on, and keeps what it saw."""

    def __init__(self):
        self.seen = []

    def forward(self, inputs, training):
        self.seen.append((inputs, training))
        self.output = inputs

    def backward(self, dvalues):
        self.dinputs = dvalues

    def predictions(self, outputs):
        return outputs


class Still:
    """An optimizer of one's own, which leaves everything where it is."""

    current_learning_rate = 0.25

    def pre_update_params(self):
        self.calls = []

    def update_params(self, layer):
        self.calls.append(layer)

    def post_update_params(self):
        pass


def chain(*layers, loss, optimizer=None, accuracy=None):
    model = Model()
    for layer in layers:
        model.add(layer)
    model.set(loss=loss, optimizer=optimizer or Optimizer_SGD(0.1), accuracy=accuracy or Accuracy_Regression())
    model.finalize()
    return model


def classifier(**options):
    options = {"optimizer": Optimizer_Adam(0.05, decay=0.01), "accuracy": Accuracy_Categorical()} | options
    layers = Layer_Dense(2, 8, weight_regularizer_l2=0.01), Activation_ReLU(), Layer_Dropout(0.1), Layer_Dense(8, 3)
    return chain(*layers, Activation_Softmax(), loss=Loss_CategoricalCrossentropy(), **options)


def recorder():
    """A model that learns nothing: its output is its input."""
    seen = Recorder()
    return chain(seen, loss=Loss_MeanSquaredError(), optimizer=Still()), seen


def matches(lines, patterns):
    assert len(lines) == len(patterns), lines
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


@pytest.fixture
def printed(capsys):
    return lambda: capsys.readouterr().out.splitlines()


# -- what it prints


def test_without_batches_one_line_every_so_many_epochs(begun, printed):
    """And the validation at the end."""
    classifier().train(X, CLASSES, epochs=7, print_every=3, validation_data=(X, CLASSES))
    matches(printed(), [f"epoch: 3, {LINE}", f"epoch: 6, {LINE}", VALIDATION])


def test_every_epoch_is_printed_by_default(begun, printed):
    classifier().train(X, CLASSES, epochs=2)
    matches(printed(), [f"epoch: 1, {LINE}", f"epoch: 2, {LINE}"])


def test_with_batches_steps_a_pass_and_the_validation(begun, printed):
    """Ten samples by four are three steps, the last one of two."""
    classifier().train(X, CLASSES, epochs=2, batch_size=4, validation_data=(X, CLASSES))
    steps = [rf"step: {step}, {LINE}" for step in range(3)]
    matches(printed(), [p for n in (1, 2) for p in (f"epoch: {n}", *steps, f"training, {LINE}", VALIDATION)])


def test_the_last_step_is_always_printed(begun, printed):
    classifier().train(X, CLASSES, batch_size=2, print_every=3)
    steps = [rf"step: {step}, {LINE}" for step in (0, 3, 4)]
    matches(printed(), ["epoch: 1", *steps, f"training, {LINE}"])


def test_a_batch_that_holds_all_samples(begun, printed):
    classifier().train(X, CLASSES, batch_size=100)
    matches(printed(), ["epoch: 1", f"step: 0, {LINE}", f"training, {LINE}"])


def test_the_numbers_of_a_line(begun, printed):
    """Of the model as it was before the update; the rate is that of the update."""
    dense = Layer_Dense(2, 1, weight_regularizer_l2=2, bias_regularizer_l1=1)
    dense.set_parameters([[1.0], [0.5]], [[0.25]])
    model = chain(dense, Activation_Linear(), loss=Loss_MeanSquaredError(), optimizer=Optimizer_SGD(1e-3, decay=1.0))
    y = X @ [[1.0], [0.5]] + 0.75  # off by a half everywhere
    model.train(X, y, epochs=2)
    first, second = printed()
    assert first == "epoch: 1, acc: 0.000, loss: 3.000 (data_loss: 0.250, reg_loss: 2.750), lr: 0.001"
    assert second.endswith("lr: 0.0005")
    assert second != first


def test_the_pass_is_weighted_by_samples(begun, printed):
    """Batches of four, four and two whose losses differ; the model stands still."""
    model, _ = recorder()
    y = X + np.repeat([[1.0], [2.0], [4.0]], [4, 4, 2], axis=0)
    model.train(X, y, batch_size=4)
    lines = printed()
    assert [re.search(r"data_loss: (\S+),", line)[1] for line in lines[1:]] == ["1.000", "4.000", "16.000", "5.200"]
    assert lines[-1] == "training, acc: 0.000, loss: 5.200 (data_loss: 5.200, reg_loss: 0.000), lr: 0.25"


@pytest.mark.parametrize("batch_size", [None, 4])
def test_evaluate(batch_size, begun, printed):
    """Without penalties and without dropout, whatever the batches."""
    model = chain(
        Layer_Dropout(0.9),
        Layer_Dense(2, 1, weight_regularizer_l2=5),
        Activation_Linear(),
        loss=Loss_MeanSquaredError(),
    )
    model.layers[1].set_parameters([[2.0], [0.0]], [[0.0]])
    model.accuracy.init([[0.0], [1.0]])
    y = 2 * X[:, :1] + np.repeat([[0.0], [1.0]], [5, 5], axis=0)
    model.evaluate(X, y, batch_size=batch_size)
    assert printed() == ["validation, acc: 0.500, loss: 0.500"]


# -- in which order it sees the data


def test_batches_in_the_given_order_then_shuffled(begun):
    """Shuffled between epochs, by the legacy stream; rows and targets together, so the loss stays 0."""
    model, layer = recorder()
    np.random.seed(8)
    model.train(X, X, epochs=3, batch_size=4)
    stream, order, expected = np.random.RandomState(8), np.arange(10), []
    for _ in range(3):
        expected += [X[order[:4]], X[order[4:8]], X[order[8:]]]
        order = order[stream.permutation(10)]
    assert len(layer.seen) == 9
    for (found, training), rows in zip(layer.seen, expected, strict=True):
        np.testing.assert_array_equal(begun.to_numpy(found), rows)
        assert training
    assert model.loss.calculate_accumulated() == 0


def test_without_batches_nothing_is_drawn(begun):
    model, layer = recorder()
    before = np.random.get_state()[2]
    model.train(X, X, epochs=3)
    assert np.random.get_state()[2] == before
    assert all(np.array_equal(begun.to_numpy(rows), X) for rows, _ in layer.seen)


def test_evaluation_and_prediction_are_not_training(begun):
    model, layer = recorder()
    model.accuracy.init(X)
    model.evaluate(X, X, batch_size=4)
    model.predict(X, batch_size=4)
    assert [(rows.shape[0], training) for rows, training in layer.seen] == [(4, False), (4, False), (2, False)] * 2


def test_the_data_stays_as_it_was(begun):
    features, labels = X.copy(), CLASSES.copy()
    classifier().train(features, labels, epochs=3, batch_size=4)
    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(labels, CLASSES)


# -- how it learns


def test_learns_classes(begun, printed):
    y = (X[:, 0] > 0.45).astype(np.uint8)
    layers = Layer_Dense(2, 8), Activation_ReLU(), Layer_Dense(8, 2), Activation_Softmax()
    accuracy, optimizer = Accuracy_Categorical(), Optimizer_Adam(0.05)
    model = chain(*layers, loss=Loss_CategoricalCrossentropy(), optimizer=optimizer, accuracy=accuracy)
    model.train(X, y, epochs=200, print_every=200)
    assert "acc: 1.000" in printed()[0]
    model.evaluate(X, np.eye(2)[y])  # the same as rows
    assert "acc: 1.000" in printed()[0]
    assert {layer.weights.dtype for layer in model.trainable_layers} == {begun.dtype}


def test_learns_two_answers_at_once(begun, printed):
    y = np.stack([X[:, 0] > 0.45, X[:, 1] > 0.3], axis=1)
    layers = Layer_Dense(2, 16), Activation_ReLU(), Layer_Dense(16, 2), Activation_Sigmoid()
    accuracy = Accuracy_Categorical(binary=True)
    model = chain(*layers, loss=Loss_BinaryCrossentropy(), optimizer=Optimizer_Adam(0.05), accuracy=accuracy)
    model.train(X, y.astype(int), epochs=300, print_every=300)
    assert "acc: 1.000" in printed()[0]


def test_whole_numbers_as_targets_of_a_regression(begun, printed):
    model = chain(Layer_Dense(2, 1), Activation_Linear(), loss=Loss_MeanSquaredError())
    model.train(X.tolist(), [[n] for n in range(10)], epochs=2)
    matches(printed(), [f"epoch: 1, {LINE}", f"epoch: 2, {LINE}"])


def test_every_layer_has_its_gradient(begun):
    """A softmax with its cross-entropy has the short way back: (p - y) / samples at its inputs."""
    model = classifier()
    output = model.forward(X, training=False)
    model.backward(output, CLASSES)
    p = begun.to_numpy(output)
    found = begun.to_numpy(model.layers[-1].dinputs)
    np.testing.assert_allclose(found, (p - np.eye(3)[CLASSES]) / 10, rtol=1e-6, atol=1e-8)
    assert all(tuple(layer.dinputs.shape) == tuple(layer.inputs.shape) for layer in model.layers)


def test_a_softmax_with_another_loss(begun):
    """It has the long way back: dL/dz = y·(g - Σ g·y)."""
    model = chain(Activation_Softmax(), loss=Loss_MeanSquaredError())
    targets = np.float32(np.eye(2)[CLASSES % 2])
    output = model.forward(X, training=True)
    model.backward(output, targets)
    p = begun.to_numpy(output).astype(float)
    g = 2 * (p - targets) / p.size
    expected = p * (g - np.sum(g * p, axis=1, keepdims=True))
    np.testing.assert_allclose(begun.to_numpy(model.layers[0].dinputs), expected, rtol=1e-5, atol=1e-8)


# -- how it is put together


def test_one_layer_without_a_loss(begun):
    model = Model()
    model.add(Layer_Dense(2, 3))
    model.finalize()
    assert tuple(model.predict(X).shape) == (10, 3)
    assert [len(pair) for pair in model.get_parameters()] == [2]


def test_finalize_can_be_left_out_and_repeated(begun, printed):
    model = Model()
    model.add(Layer_Dense(2, 3))
    assert tuple(model.predict(X).shape) == (10, 3)
    model.add(Activation_Softmax())
    assert begun.to_numpy(model.predict(X)).sum(axis=1) == pytest.approx(1)
    model.set(loss=Loss_CategoricalCrossentropy())
    model.finalize()
    model.finalize()
    model.set(optimizer=Optimizer_SGD())
    model.set(accuracy=Accuracy_Categorical())
    model.train(X, CLASSES)
    matches(printed(), [f"epoch: 1, {LINE}"])
    assert [type(layer) for layer in model.trainable_layers] == [Layer_Dense]


def test_a_layer_added_later_is_trained_too(begun, printed):
    model = chain(Layer_Dense(2, 4), Activation_ReLU(), loss=Loss_MeanSquaredError())
    last = Layer_Dense(4, 2)
    model.add(last)
    model.add(Activation_Linear())
    before = begun.to_numpy(last.biases)
    model.train(X, X)
    assert len(model.get_parameters()) == 2
    assert np.all(begun.to_numpy(last.biases) != before)
    assert model.output_layer_activation is model.layers[-1]


def test_layers_know_their_neighbours(begun):
    model = classifier()
    first, second = model.layers[:2]
    assert (first.prev, first.next) == (model.input_layer, second)
    assert (second.prev, model.layers[-1].next) == (first, model.loss)


def test_another_loss_and_its_penalties(begun, printed):
    """Set after ``finalize``, it knows the layers too."""
    model = chain(Layer_Dense(2, 1, weight_regularizer_l2=1), Activation_Linear(), loss=Loss_MeanSquaredError())
    model.layers[0].set_parameters([[1.0], [1.0]], [[0.0]])
    model.set(loss=Loss_MeanSquaredError())
    model.train(X, np.zeros((10, 1)))
    assert "reg_loss: 2.000" in printed()[0]


def test_another_optimizer_can_take_over(begun, printed):
    model = classifier()
    model.train(X, CLASSES, epochs=2)
    for optimizer in (Optimizer_SGD(0.1, momentum=0.9), Optimizer_Adam(), Optimizer_SGD()):
        model.set(optimizer=optimizer)
        model.train(X, CLASSES, epochs=2)
    assert len(printed()) == 8


def test_parts_of_one_s_own(begun, printed):
    class Loss(Loss_MeanSquaredError):
        def calculate(self, output, y, *, include_regularization=False):
            super().calculate(output, y)
            return (7.0, 0) if include_regularization else 7.0

    class Accuracy:
        def init(self, y):
            self.y = y

        def new_pass(self):
            pass

        def calculate(self, predictions, y):
            return 0.125

        calculate_accumulated = None

    Accuracy.calculate_accumulated = lambda self: 0.5
    dense, seen, still = Layer_Dense(2, 2), Recorder(), Still()
    model = chain(dense, seen, loss=Loss(), optimizer=still, accuracy=Accuracy())
    model.train(X, X, batch_size=10)
    assert printed()[1] == "step: 0, acc: 0.125, loss: 7.000 (data_loss: 7.000, reg_loss: 0.000), lr: 0.25"
    assert still.calls == [dense]


@pytest.mark.parametrize("batch_size", [1, 3, 10, 99])
def test_predicts_in_batches(batch_size, begun):
    """The last bits may be another's: a product of fewer rows may be summed in another order."""
    model = classifier()
    whole, parts = model.predict(X), model.predict(X, batch_size=batch_size)
    assert begun.owns(parts)
    np.testing.assert_allclose(begun.to_numpy(parts), begun.to_numpy(whole), rtol=1e-6)
    np.testing.assert_allclose(begun.to_numpy(model.predict(X.tolist())), begun.to_numpy(whole), rtol=1e-6)


def test_parameters_move_from_one_model_to_another(begun):
    source, target = classifier(), classifier()
    target.set_parameters(source.get_parameters())
    np.testing.assert_array_equal(begun.to_numpy(target.predict(X)), begun.to_numpy(source.predict(X)))
    source.train(X, CLASSES, epochs=3)  # and they are copies
    assert np.any(begun.to_numpy(target.predict(X)) != begun.to_numpy(source.predict(X)))


def test_parameters_are_taken_all_or_not_at_all(begun):
    model = classifier()
    before = [begun.to_numpy(a) for pair in model.get_parameters() for a in pair]
    (w, b), (w2, _) = model.get_parameters()
    with pytest.raises(ShapeError, match=r"Layer_Dense: biases has shape \(1, 3\), got \(3,\)"):
        model.set_parameters([(w + 1, b), (w2, np.zeros(3))])
    after = [begun.to_numpy(a) for pair in model.get_parameters() for a in pair]
    for a, wanted in zip(after, before, strict=True):
        np.testing.assert_array_equal(a, wanted)
